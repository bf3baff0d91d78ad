//! An upload of a gigabyte takes no more memory than a small one. In a process of its own, whose memory is looked at.

mod rig;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gannet_http::{Receive, Receiving, Router};
use rig::{Rig, drivers};

const LENGTH: usize = 1 << 30;

/// How much more memory the process may have at any time, in KiB: the allocator's spare memory and thread stacks with it.
const MOST_KIB: u64 = 32 << 10;

/// Has each piece counted on the pool, as if it were written to a disk.
struct Count(Arc<AtomicU64>);

impl Receive for Count {
    fn piece(&mut self, bytes: &[u8], body: &mut Receiving<'_, '_>) {
        let (bytes, count) = (bytes.to_vec(), Arc::clone(&self.0));
        body.offload_blocking(
            move || {
                count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            },
            |(), _| {},
        );
    }

    fn whole(&mut self, body: &mut Receiving<'_, '_>) {
        body.answer(self.0.load(Ordering::Relaxed).to_string());
    }
}

/// The most memory that the process had since this was reset, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says so");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line for it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
#[cfg(target_os = "linux")]
fn an_upload_of_a_gigabyte_takes_no_more_memory_than_a_small_one() {
    let routes = Router::new().upload("PUT", "/", |cx| cx.receive(1 << 31, Count(Arc::default()))).build();
    let routes = routes.expect("one route");
    let piece = vec![b'x'; 1 << 20];
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        for (framing, begin, end) in [
            (format!("Content-Length: {LENGTH}"), "", ""),
            ("Transfer-Encoding: chunked".to_owned(), "100000\r\n", "\r\n"),
        ] {
            let upload = |length: usize, framing: &str| {
                let mut client = rig.connect();
                client.send(&format!("PUT / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n"));
                for _ in 0..length / piece.len() {
                    client.send(begin);
                    client.stream.write_all(&piece).expect("it is taken");
                    client.send(end);
                }
                if !end.is_empty() {
                    client.send("0\r\n\r\n");
                }
                assert_eq!(client.response(false).body, length.to_string());
            };
            let small = 8 << 20;
            upload(small, &framing.replace(&LENGTH.to_string(), &small.to_string()));
            std::fs::write("/proc/self/clear_refs", "5").expect("the peak is reset");
            let before = peak_kib();
            upload(LENGTH, &framing);
            let more = peak_kib().saturating_sub(before);
            eprintln!("{more} KiB more on {driver:?} with {framing}");
            assert!(more < MOST_KIB, "{more} KiB more on {driver:?} with {framing}");
        }
    }
}
