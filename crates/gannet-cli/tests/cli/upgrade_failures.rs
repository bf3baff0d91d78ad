//! Upgrades that fail: the new process ends, hangs or has a broken configuration, before it is ready or after the old one
//! has stopped to accept. The old process goes on, and nobody is refused.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::crowd::HI;
use crate::upgrade::{Everywhere, Place, kill, wait_for_end, wait_for_number};

/// What a new process says when everything is ready but accepting.
const READY: &str = r#"echo '{"say":"ready","version":"0","driver":"poll","generation":1}' >&0"#;

/// Long enough for what ends by itself.
const LONG: &str = "60s";

#[test]
fn a_new_process_that_fails_changes_nothing() {
    let mut place = Place::new("fails");
    let file = place.folder.join("gannet.toml");
    let is_broken = |line: &str| std::fs::write(&file, format!("[limits]\n{line}\n")).expect("a file");
    is_broken("connections = 5000");
    let options = ["--reactors", "2", "--config", &file.display().to_string()];
    let everywhere = Everywhere::start(&mut place, &options);
    let mut stays = everywhere.server.connect("echo");
    let (mut server, crowds) = everywhere.crowds(200);
    let come = || crowds.iter().for_each(|(kind, crowd)| crowd.wait_for(if *kind == "TCP" { 20 } else { 2 }));
    let taken = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr().map(|at| (socket, at)));
    let (_taken, address) = taken.expect("a port");
    let failures = [
        ("exit 3", LONG, "the new process ended before it was ready (exit status: 3)"),
        (
            "kill -9 $$",
            LONG,
            "before it was ready (signal: 9 (SIGKILL)); somebody killed it, or the kernel did for want",
        ),
        ("kill -SYS $$", LONG, "a seccomp filter forbids a system call"),
        ("exec 0</dev/null; exec sleep 600", LONG, "the new process closed its standard input"),
        ("exec $GANNET serve --reactors many", LONG, "the new process says: "),
        ("exec $GANNET serve --outbox-high 1GiB --outbox-hard 1", LONG, "the new process says: "),
        (&format!("exec $GANNET serve --listen echo=tcp://{address}"), LONG, "in use"),
        ("exec sleep 600", "1s", "the new process took too long before it was ready"),
        ("echo not JSON >&0; exec sleep 600", LONG, "does not understand"),
        // The old process accepts nothing meanwhile: clients wait in the kernel's queue until it accepts again.
        (&format!("{READY}; exit 4"), LONG, "the new process ended before it served (exit status: 4)"),
        (&format!("{READY}; exec sleep 600"), "2s", "the new process took too long before it served"),
    ];
    for (script, timeout, why) in failures {
        place.install(script);
        let said = place.fail_to_upgrade(&["--start-timeout", timeout]);
        assert!(said.contains(why) && said.contains("the old process goes on"), "{script}: {said}");
        come();
        stays.ask(HI, HI);
    }
    place.install("");
    is_broken("conections = 5000");
    let said = place.fail_to_upgrade(&[]);
    assert!(said.contains("the new process says: ") && said.contains("gannet.toml:2:1"), "{said}");
    is_broken("connections = 6000");
    std::fs::remove_file(place.program()).expect("it is ours");
    assert!(place.fail_to_upgrade(&[]).contains("cannot be started"), "there is no program any more");
    place.install("");
    place.upgrade();
    come();
    for (kind, crowd) in crowds {
        let figures = crowd.end();
        eprintln!("{kind}: {figures}");
        assert!(kind != "TCP" || figures.most_waiting >= 100, "clients come while nobody accepts: {figures}");
    }
    let event = server.wait_for(|event| event["message"] == "the upgrade failed: this process goes on");
    assert!(event["why"].as_str().is_some_and(|why| why.contains("exit status: 3")), "{event}");
}

/// What a reload changes in the old process would not be in the new one, which has read the configuration before.
#[test]
fn a_reload_is_refused_while_a_new_process_starts_and_taken_when_that_has_failed() {
    let mut place = Place::new("reloads");
    let file = place.folder.join("gannet.toml");
    let write = |connections: u32| {
        std::fs::write(&file, format!("[limits]\nconnections = {connections}\n")).expect("a file");
    };
    write(5000);
    let everywhere = Everywhere::start(&mut place, &["--config", &file.display().to_string()]);
    let (marker, go) = (place.folder.join("started"), place.folder.join("go"));
    let script = format!(
        "echo $$ > {0}.new && mv {0}.new {0}\nwhile [ ! -e {1} ]; do sleep 0.01; done\nexit 3",
        marker.display(),
        go.display()
    );
    place.install(&script);
    let asking = |command: &str| {
        let mut asking = Command::new(env!("CARGO_BIN_EXE_gannet"));
        asking.args([command, "--admin"]).arg(place.admin());
        asking
    };
    let upgrade = asking("upgrade").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    wait_for_number(&marker);
    write(6000);
    let refused = asking("reload").output().expect("the binary starts");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(said.contains("an upgrade is under way") && said.contains("reload when it has ended"), "{said}");
    std::fs::write(&go, "").expect("a file");
    assert!(!upgrade.wait_with_output().expect("it ends").status.success());
    let taken = asking("reload").output().expect("the binary starts");
    assert!(taken.status.success() && String::from_utf8_lossy(&taken.stdout).contains("5000 -> 6000"), "{taken:?}");
    drop(everywhere);
}

#[test]
fn a_new_process_serves_where_the_old_one_is_killed_meanwhile() {
    let mut place = Place::new("killed");
    let (server, visits) = Everywhere::start(&mut place, &["--reactors", "2"]).visitors();
    let old = server.pid();
    let (marker, go) = (place.folder.join("started"), place.folder.join("go"));
    // It has the sockets already when its old process ends: they wait in its standard input.
    let script = format!(
        "echo $$ > {0}.new && mv {0}.new {0}\nwhile [ ! -e {1} ]; do :; done\nexec -a \"$0\" $GANNET \"$@\"",
        marker.display(),
        go.display()
    );
    place.install(&script);
    let mut asking = Command::new(env!("CARGO_BIN_EXE_gannet"));
    asking.args(["upgrade", "--admin"]).arg(place.admin()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut asking = asking.spawn().expect("the binary starts");
    let new = wait_for_number(&marker);
    place.pids.push(new);
    // The sockets were passed when the old process waits for the new one.
    let mut stays = server.connect("echo");
    stays.ask(HI, HI);
    kill(old);
    wait_for_end(old);
    std::fs::write(&go, "").expect("a file");
    assert!(!asking.wait().expect("it ends").success());
    visits.iter().for_each(|visit| visit().expect("who came in between waits in the queue, and is served"));
    drop(server);
}
