//! The checks against a machine made of files.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::*;
use crate::doctor::check::Verdict;

const STATUS: &str = include_str!("../recorded/status.txt");

/// A machine of files, gone with this.
struct Fake {
    root: PathBuf,
}

impl Fake {
    /// A machine that is ready for a million connections.
    fn ready(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("gannet-doctor-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let fake = Self { root };
        let limits = include_str!("../recorded/limits.txt").replace("1048576 ", "1100000 ");
        let netstat = include_str!("../recorded/netstat.txt").replace(" 17 17 ", " 0 0 ");
        for (path, text) in [
            ("proc/self/limits", &*limits),
            ("proc/self/status", &STATUS.replace("Seccomp:\t2", "Seccomp:\t0")),
            ("proc/self/cgroup", "0::/user.slice\n"),
            ("proc/meminfo", include_str!("../recorded/meminfo.txt")),
            ("proc/net/netstat", &*netstat),
            ("proc/sys/fs/nr_open", "1073741816\n"),
            ("proc/sys/fs/file-max", "9223372036854775807\n"),
            ("proc/sys/net/ipv4/tcp_mem", "750000\t1000000\t1500000\n"),
            ("proc/sys/net/core/somaxconn", "32768\n"),
            ("proc/sys/net/ipv4/tcp_max_syn_backlog", "16384\n"),
            ("proc/sys/net/core/netdev_max_backlog", "16384\n"),
            ("proc/sys/net/ipv4/tcp_max_tw_buckets", "1048576\n"),
            ("proc/sys/net/ipv4/tcp_max_orphans", "524288\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
            ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm \n"),
            ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
        ] {
            fake.write(path, text);
        }
        fake
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn with(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    /// All checks for a million connections of two reactors, by their names.
    fn check(&self, pid: Option<u32>, ring: Result<String, String>) -> BTreeMap<&'static str, Check> {
        let machine = Machine::new(self.root.clone());
        let subject = Subject::of(&machine, pid).expect("a process");
        let question = Question { connections: 1_000_000, reactors: 2, ring };
        all(&machine, &subject, &question).into_iter().map(|check| (check.name, check)).collect()
    }

    fn checked(&self) -> BTreeMap<&'static str, Check> {
        self.check(None, Ok("it is offered".to_owned()))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

#[track_caller]
fn assert_bad(checks: &BTreeMap<&'static str, Check>, name: &str, now: Option<&str>) {
    let check = &checks[name];
    assert_eq!(check.verdict, Verdict::Bad, "{check:?}");
    assert_eq!(check.fix.now.as_deref(), now, "{check:?}");
    let others = checks.values().filter(|other| other.verdict == Verdict::Bad && other.name != name);
    assert_eq!(others.count(), 0, "{checks:?}");
}

#[test]
fn every_check_has_a_name_to_leave_it_out_by() {
    let checks = Fake::ready("names").checked();
    let mut names = NAMES;
    names.sort_unstable();
    assert_eq!(checks.keys().copied().collect::<Vec<_>>(), names);
    assert!(known("somaxconn").is_ok() && known("somaxcon").is_err_and(|why| why.contains("tcp_mem")));
}

#[test]
fn nothing_is_bad_on_a_machine_that_is_prepared() {
    let checks = Fake::ready("prepared").checked();
    let skipped = ["nf_conntrack_max", "process_io_uring"];
    for (name, check) in &checks {
        let expected = if skipped.contains(name) { Verdict::Skip } else { Verdict::Ok };
        assert_eq!(check.verdict, expected, "{check:?}");
    }
}

#[test]
fn each_setting_that_is_too_low_is_bad_alone_and_comes_with_its_command() {
    for (path, text, name, now) in [
        ("proc/sys/net/core/somaxconn", "4096", "somaxconn", "sysctl -w net.core.somaxconn=32768"),
        (
            "proc/sys/net/ipv4/tcp_max_syn_backlog",
            "512",
            "tcp_max_syn_backlog",
            "sysctl -w net.ipv4.tcp_max_syn_backlog=16384",
        ),
        (
            "proc/sys/net/core/netdev_max_backlog",
            "1000",
            "netdev_max_backlog",
            "sysctl -w net.core.netdev_max_backlog=16384",
        ),
        (
            "proc/sys/net/ipv4/tcp_max_tw_buckets",
            "262144",
            "tcp_max_tw_buckets",
            "sysctl -w net.ipv4.tcp_max_tw_buckets=1048576",
        ),
        ("proc/sys/net/ipv4/tcp_max_orphans", "65536", "tcp_max_orphans", "sysctl -w net.ipv4.tcp_max_orphans=499980"),
        (
            "proc/sys/net/netfilter/nf_conntrack_max",
            "262144",
            "nf_conntrack_max",
            "sysctl -w net.netfilter.nf_conntrack_max=1100000",
        ),
        ("proc/sys/net/ipv4/tcp_mem", "1 2 3", "tcp_mem", "sysctl -w net.ipv4.tcp_mem=\"750000 1000000 1500000\""),
        ("proc/sys/fs/nr_open", "1024", "nr_open", "sysctl -w fs.nr_open=500064"),
        ("proc/sys/fs/file-max", "1000000", "file_max", "sysctl -w fs.file-max=1100000"),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
            "huge_pages",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        (
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            "hpet",
            "clock",
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource",
        ),
    ] {
        let checks = Fake::ready(name).with(path, text).checked();
        assert_bad(&checks, name, Some(now));
        assert!(checks[name].fix.file.is_some() && checks[name].fix.line.is_some(), "{:?}", checks[name]);
    }
}

#[test]
fn open_files_are_counted_for_each_reactor_with_io_uring_and_for_all_connections_with_epoll() {
    let fake = Fake::ready("open-files");
    assert_eq!(fake.checked()["nofile"].need, Some(Amount::Count(500_064)));
    let denied = fake.check(None, Err("it is denied to this process".to_owned()));
    assert_eq!(denied["nofile"].need, Some(Amount::Count(1_000_064)));
}

#[test]
fn a_process_is_judged_by_its_own_limits_and_its_service_is_named() {
    let fake = Fake::ready("process")
        .with("proc/77/limits", include_str!("../recorded/limits.txt"))
        .with("proc/77/status", STATUS)
        .with("proc/77/cgroup", "0::/system.slice/gannet.service\n")
        .with("proc/77/net/netstat", include_str!("../recorded/netstat.txt"))
        .with("sys/fs/cgroup/system.slice/memory.max", "max\n")
        .with("sys/fs/cgroup/system.slice/gannet.service/memory.max", "1073741824\n");
    let checks = fake.check(Some(77), Ok(String::new()));
    // The soft limit: a server that runs has raised it already, if it could.
    assert_eq!(checks["nofile"].have, Some(Amount::Count(1_024)));
    assert_eq!(checks["nofile"].fix.now.as_deref(), Some("prlimit --pid 77 --nofile=500064:500064"));
    let file = "/etc/systemd/system/gannet.service.d/open-files.conf";
    assert_eq!(checks["nofile"].fix.file.as_deref(), Some(file));
    let memory = &checks["cgroup_memory"];
    assert_eq!((memory.verdict, &memory.have), (Verdict::Bad, &Some(Amount::Bytes(1 << 30))));
    assert!(memory.fix.now.as_deref().is_some_and(|now| now.contains("gannet.service MemoryMax=")), "{memory:?}");
    assert_eq!(checks["listen_overflows"].have, Some(Amount::Count(17)));
    assert_eq!(checks["seccomp"].have, Some(Amount::Text("filter".to_owned())));
    let machine = Machine::new(fake.root.clone());
    assert!(Subject::of(&machine, Some(78)).is_err_and(|why| why.contains("no process 78")));
}

#[cfg(unix)]
#[test]
fn a_process_without_a_ring_is_counted_by_epoll_though_this_one_could_have_one() {
    let fake = Fake::ready("driver").with("proc/5/limits", include_str!("../recorded/limits.txt"));
    let fd = fake.root.join("proc/5/fd");
    fs::create_dir_all(&fd).expect("made");
    std::os::unix::fs::symlink("socket:[1]", fd.join("3")).expect("linked");
    let checks = fake.check(Some(5), Ok(String::new()));
    assert_eq!(
        (checks["process_io_uring"].verdict, &checks["nofile"].need),
        (Verdict::Skip, &Some(Amount::Count(1_000_064)))
    );
    std::os::unix::fs::symlink("anon_inode:[io_uring]", fd.join("4")).expect("linked");
    let checks = fake.check(Some(5), Ok(String::new()));
    assert_eq!(
        (checks["process_io_uring"].verdict, &checks["nofile"].need),
        (Verdict::Ok, &Some(Amount::Count(500_064)))
    );
}

#[test]
fn why_io_uring_is_denied_is_told_and_what_allows_it() {
    let why = || Err("it is disabled here".to_owned());
    let disabled = Fake::ready("disabled").with("proc/sys/kernel/io_uring_disabled", "2\n").check(None, why());
    assert_eq!(disabled["io_uring"].fix, Fix::sysctl("kernel.io_uring_disabled", 0));
    let filtered = Fake::ready("filtered").with("proc/self/status", STATUS).check(None, why());
    assert!(filtered["io_uring"].why.contains("seccomp") && filtered["io_uring"].verdict == Verdict::Bad);
    assert_eq!(filtered["io_uring"].fix, Fix::default());
}

#[test]
fn without_proc_and_sys_everything_is_left_out_and_nothing_fails() {
    let empty = Fake { root: std::env::temp_dir().join("gannet-doctor-nothing") };
    let checks = empty.checked();
    assert!(checks.values().all(|check| check.verdict == Verdict::Skip || check.name == "io_uring"), "{checks:?}");
}

#[test]
fn malformed_files_are_left_out_and_nothing_fails() {
    let fake = Fake::ready("malformed");
    let paths = ["limits", "status", "cgroup"].map(|file| format!("proc/self/{file}"));
    for path in paths.iter().map(String::as_str).chain([
        "proc/meminfo",
        "proc/net/netstat",
        "proc/sys/net/ipv4/tcp_mem",
        "proc/sys/net/core/somaxconn",
        "sys/kernel/mm/transparent_hugepage/enabled",
        "sys/fs/cgroup/user.slice/memory.max",
    ]) {
        fake.write(path, "\u{0}:: nonsense [\n:\n");
    }
    let checks = fake.checked();
    for name in ["nofile", "memory", "cgroup_memory", "tcp_mem", "somaxconn", "huge_pages", "seccomp", "listen_drops"] {
        assert_eq!(checks[name].verdict, Verdict::Skip, "{:?}", checks[name]);
    }
}

#[test]
fn the_script_is_one_that_a_shell_can_read_and_has_each_change() {
    let fake = Fake::ready("script")
        .with("proc/sys/net/core/somaxconn", "128")
        .with("proc/sys/net/ipv4/tcp_mem", "1 2 3")
        .with("proc/self/limits", "Max open files 1024 4096 files\n")
        .with("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
    let question = Question { connections: 1_000_000, reactors: 2, ring: Ok(String::new()) };
    let checks: Vec<Check> = fake.checked().into_values().collect();
    let script = crate::doctor::report::script(&question, &checks);
    for line in [
        "ulimit -n 500064 || echo",
        "net.core.somaxconn = 32768\n",
        "net.ipv4.tcp_mem = 750000 1000000 1500000\n",
        "cat > /etc/sysctl.d/90-gannet.conf <<'END'",
        "* - nofile 500064\nroot - nofile 500064\n",
    ] {
        assert!(script.contains(line), "{line}: {script}");
    }
    let path = fake.root.join("script.sh");
    fs::write(&path, &script).expect("written");
    let read = std::process::Command::new("sh").arg("-n").arg(&path).status().expect("a shell");
    assert!(read.success(), "{script}");
}
