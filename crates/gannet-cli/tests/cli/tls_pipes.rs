//! Certificates in what is no regular file: a pipe, or a device without an end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::server::{Folder, Server, drivers};
use crate::tls::{Client, LINES, Rig, authority, is_failure, is_reload, put};

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
}

/// As shells make them: `--tls-cert <(...)`.
#[test]
fn a_certificate_and_its_key_can_come_through_pipes() {
    let (folder, ca) = (Folder::new("tls-pipes"), authority());
    let issued = ca.server(&["localhost"]);
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

/// Nobody may ever write to a pipe, and a device may have no end.
#[test]
fn a_reload_waits_for_no_pipe_and_later_ones_are_done() {
    for driver in drivers() {
        let mut rig = Rig::start(driver, "stuck", &[]);
        let path = rig.folder.path("cert.pem");
        let certificate = fs::read_to_string(&path).expect("it is there");
        for is_pipe in [true, false] {
            fs::remove_file(&path).expect("it is there");
            if is_pipe {
                make_pipe(&path)
            } else {
                symlink("/dev/zero", &path).expect("a link")
            }
            rig.server.signal(Signal::HUP);
            // The watch may have seen before that the file was gone.
            rig.server.wait_for(|event| is_failure(event) && event.to_string().contains("no regular file"));
            rig.client().talk(&rig.url(), "localhost").expect("it is served as before");
            fs::remove_file(&path).expect("it is there");
            put(&path, &certificate);
            rig.server.signal(Signal::HUP);
            rig.server.wait_for(is_reload);
        }
        assert!(rig.server.stop().status.success());
    }
}
