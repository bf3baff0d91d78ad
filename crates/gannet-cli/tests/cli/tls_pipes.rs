//! Certificates in what is no regular file: a pipe, or a file that nobody can read to its end.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::Signal;

use crate::server::{Folder, Server, drivers};
use crate::tls::{Ca, Client, LINES, Rig};

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
}

/// The end to write to of a pipe, once somebody reads from it.
fn once_it_is_read(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    loop {
        match options.open(path) {
            Ok(end) => return end,
            Err(_) => std::thread::yield_now(),
        }
    }
}

/// As shells make them: `--tls-cert <(...)`.
#[test]
fn a_certificate_and_its_key_can_come_through_pipes() {
    let (folder, ca) = (Folder::new("tls-pipes"), Ca::new());
    let issued = ca.server();
    let of = |name: &str| folder.path(name).display().to_string();
    let server = std::thread::scope(|scope| {
        for (name, text) in [("cert.pem", &issued.certificate), ("key.pem", &issued.key)] {
            let path = folder.path(name);
            make_pipe(&path);
            scope.spawn(move || fs::write(path, text).expect("somebody reads it"));
        }
        Server::serve(drivers()[0], &[LINES, "--tls-cert", &of("cert.pem"), "--tls-key", &of("key.pem")])
    });
    Client::trusting(&ca).talk(&server.url("lines"), "localhost").expect("it is served");
    assert!(server.stop().status.success());
}

/// As on a network folder whose server is gone.
#[test]
fn a_server_ends_though_it_waits_for_a_file() {
    let rig = Rig::start(drivers()[0], "stuck", &[]);
    let path = rig.folder.path("cert.pem");
    fs::remove_file(&path).expect("it is there");
    make_pipe(&path);
    rig.server.signal(Signal::HUP);
    let never_written = once_it_is_read(&path);
    rig.client().talk(&rig.url(), "localhost").expect("it is served as before");
    let ended = rig.server.stop();
    assert!(ended.status.success());
    assert!(ended.stderr.iter().any(|line| line.contains("cert.pem")), "{:#?}", ended.stderr);
    drop(never_written);
}
