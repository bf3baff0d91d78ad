//! Readers of the texts in /proc and /sys. Each takes a text as a kernel wrote it, and gives nothing where it is malformed.

use super::check::Amount;

/// A number alone in its file, as most settings of the kernel are.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The field of a number in a file of several, as `net.ipv4.tcp_mem`.
pub(super) fn field(text: &str, index: usize) -> Option<u64> {
    text.split_whitespace().nth(index)?.parse().ok()
}

/// The soft and the hard limit on open files in `/proc/PID/limits`.
pub(super) fn open_files(text: &str) -> Option<(Amount, Amount)> {
    let row = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut fields = row.split_whitespace().map(limit);
    Some((fields.next()??, fields.next()??))
}

fn limit(text: &str) -> Option<Amount> {
    if text == "unlimited" { Some(Amount::Unlimited) } else { text.parse().ok().map(Amount::Count) }
}

/// A row of `/proc/meminfo` or `/proc/PID/status` that is in kB, in bytes.
pub(super) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let row = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let number: u64 = row.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1_024)
}

/// A row of `/proc/PID/status` that is a plain number.
pub(super) fn status(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim().parse().ok()
}

/// A counter of `/proc/net/netstat`: its names are in one row, its numbers in the next.
pub(super) fn netstat(text: &str, name: &str) -> Option<u64> {
    let rows: Vec<&str> = text.lines().collect();
    rows.chunks_exact(2).find_map(|pair| {
        let (names, numbers) = (pair[0].split_once(':')?, pair[1].split_once(':')?);
        let place = names.1.split_whitespace().position(|own| own == name).filter(|_| names.0 == numbers.0)?;
        numbers.1.split_whitespace().nth(place)?.parse().ok()
    })
}

/// The choice in brackets, as `always [madvise] never`.
pub(super) fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(chosen, _)| chosen).filter(|chosen| !chosen.is_empty())
}

/// The folder of a process's control group below the mount point, and whether it is of version 1.
pub(super) fn control_group(text: &str) -> Option<(String, bool)> {
    let rows = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let v1 = rows().find(|(controllers, _)| controllers.split(',').any(|controller| controller == "memory"));
    let (path, is_first) = match (v1, rows().find(|(controllers, _)| controllers.is_empty())) {
        (Some((_, path)), _) => (path, true),
        (None, Some((_, path))) => (path, false),
        (None, None) => return None,
    };
    // A path out of the namespace says nothing of what is mounted here.
    (path.starts_with('/') && !path.split('/').any(|part| part == "..")).then(|| (path.to_owned(), is_first))
}

/// The limit on memory of a control group. Version 1 has a huge number where there is none.
pub(super) fn memory_limit(text: &str) -> Option<Amount> {
    match text.trim() {
        "max" => Some(Amount::Unlimited),
        number => match number.parse().ok()? {
            bytes if bytes >= 1 << 60 => Some(Amount::Unlimited),
            bytes => Some(Amount::Bytes(bytes)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = include_str!("recorded/limits.txt");
    const MEMINFO: &str = include_str!("recorded/meminfo.txt");
    const NETSTAT: &str = include_str!("recorded/netstat.txt");
    const STATUS: &str = include_str!("recorded/status.txt");

    #[test]
    fn the_limit_on_open_files_is_read_as_the_kernel_writes_it() {
        assert_eq!(open_files(LIMITS), Some((Amount::Count(1_024), Amount::Count(1_048_576))));
        let unlimited = "Max open files            unlimited            unlimited            files     \n";
        assert_eq!(open_files(unlimited), Some((Amount::Unlimited, Amount::Unlimited)));
    }

    #[test]
    fn memory_and_counters_are_read_as_the_kernel_writes_them() {
        assert_eq!(kilobytes(MEMINFO, "MemAvailable"), Some(23_158_248 * 1_024));
        assert_eq!(kilobytes(STATUS, "VmRSS"), Some(5_632 * 1_024));
        assert_eq!(status(STATUS, "Seccomp"), Some(2));
        assert_eq!(netstat(NETSTAT, "ListenOverflows"), Some(17));
        assert_eq!(netstat(NETSTAT, "TCPReqQFullDrop"), Some(0));
        assert_eq!(netstat(NETSTAT, "InNoRoutes"), Some(3));
    }

    #[test]
    fn settings_and_choices_are_read_as_the_kernel_writes_them() {
        assert_eq!(number("4096\n"), Some(4_096));
        assert_eq!(
            (field("188802\t251739\t377604\n", 1), field("1376\t0\t9223372036854775807\n", 0)),
            (Some(251_739), Some(1_376))
        );
        assert_eq!(chosen("always [madvise] never\n"), Some("madvise"));
        assert_eq!(memory_limit("max\n"), Some(Amount::Unlimited));
        assert_eq!(memory_limit("536870912\n"), Some(Amount::Bytes(512 << 20)));
        assert_eq!(memory_limit("9223372036854771712\n"), Some(Amount::Unlimited));
    }

    #[test]
    fn a_control_group_is_found_in_both_versions() {
        let v2 = control_group("0::/system.slice/gannet.service\n");
        assert_eq!(v2, Some(("/system.slice/gannet.service".to_owned(), false)));
        let v1 = "12:pids:/docker/0af\n9:memory:/docker/0af\n1:name=systemd:/docker/0af\n0::/\n";
        assert_eq!(control_group(v1), Some(("/docker/0af".to_owned(), true)));
        assert_eq!(control_group("0::/../../elsewhere\n"), None);
    }

    #[test]
    fn malformed_texts_give_nothing_and_never_panic() {
        let cut =
            |text: &str| -> Vec<String> { (0..text.len()).step_by(7).map(|end| text[..end].to_owned()).collect() };
        let texts = [LIMITS, MEMINFO, NETSTAT, STATUS].map(cut).concat();
        let odd = [
            "",
            "\n",
            ":",
            "::",
            "a:b:c",
            "[",
            "[]",
            "-1",
            "1 kB",
            "99999999999999999999999",
            "Max open files",
            "\0",
            "é",
        ];
        for text in texts.iter().map(String::as_str).chain(odd) {
            let _ = (
                number(text),
                field(text, 2),
                open_files(text),
                kilobytes(text, "MemAvailable"),
                status(text, "Seccomp"),
            );
            let _ = (netstat(text, "ListenDrops"), chosen(text), control_group(text), memory_limit(text));
        }
        for text in odd {
            assert!(open_files(text).is_none() && kilobytes(text, "MemAvailable").is_none(), "{text:?}");
            assert!(netstat(text, "ListenDrops").is_none() && chosen(text).is_none(), "{text:?}");
        }
        assert_eq!(kilobytes("MemAvailable: 1 MB\n", "MemAvailable"), None);
        assert_eq!(kilobytes("MemAvailable: 18446744073709551615 kB\n", "MemAvailable"), None);
        assert_eq!(netstat("TcpExt: A ListenDrops\nIpExt: 1 2\n", "ListenDrops"), None);
        assert_eq!(netstat("TcpExt: A ListenDrops\nTcpExt: 1\n", "ListenDrops"), None);
        assert_eq!(open_files("Max open files 12"), None);
    }
}
