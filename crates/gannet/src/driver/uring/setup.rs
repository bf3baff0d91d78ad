//! Making a ring, and finding out whether one can be made.

use std::io;

use io_uring::{IoUring, Probe, opcode};
use rustix::process::{Resource, getrlimit};

use super::buffers::{Buffers, Kind};
use super::release;

/// Submissions that fit before they have to be handed over in the middle of a turn.
const SUBMISSIONS: u32 = 1_024;

/// Completions that fit before the kernel has to keep them elsewhere (io_uring_setup(2), IORING_FEAT_NODROP).
const COMPLETIONS: u32 = 16_384;

/// Direct descriptors of a ring, at the most. Each takes about 12 bytes of the kernel's memory from the start.
const MOST_SLOTS: u64 = 1 << 20;

/// Direct descriptors of all rings of an engine together, roughly; more where each would have fewer than `FEW_SLOTS`.
const SHARED_SLOTS: u64 = 1 << 21;

const FEW_SLOTS: u64 = 1 << 16;

/// A ring for this thread alone.
pub(super) fn ring() -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(COMPLETIONS)
        .build(SUBMISSIONS)
}

/// How many direct descriptors a ring has, where there are so many rings: the kernel bounds them by the limit on open
/// files (RLIMIT_NOFILE), for each ring by itself.
pub(super) fn slots(reactors: usize) -> u32 {
    let share = (SHARED_SLOTS / reactors.max(1) as u64).clamp(FEW_SLOTS, MOST_SLOTS);
    getrlimit(Resource::Nofile).current.unwrap_or(share).min(share) as u32
}

/// What was found of io_uring where this process can use it.
pub(crate) struct Found {
    /// In a few words.
    pub(crate) features: &'static str,
    /// Whether it keeps the sockets of connections that closed, as kernels before 6.13 do.
    pub(crate) keeps_closed: bool,
}

/// Whether this process can use io_uring as the driver does; says what it found, or why not.
///
/// On a thread of its own: what a ring leaves to do when it ends interrupts the thread that made it, and a caller of
/// ours need not expect EINTR from its next system call.
pub(crate) fn probe() -> Result<Found, String> {
    let probing = std::thread::Builder::new().name("gannet-probe".to_owned()).spawn(probe_here);
    let probing = probing.map_err(|error| format!("no thread to try it on: {error}"))?;
    probing.join().unwrap_or_else(|_| Err("trying it panicked; this is a bug".to_owned()))
}

fn probe_here() -> Result<Found, String> {
    let mut ring = ring().map_err(|error| explain(&error))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| format!("its operations cannot be read: {error}"))?;
    let needed = [
        ("accept", opcode::Accept::CODE),
        ("recv", opcode::RecvMulti::CODE),
        ("send", opcode::Send::CODE),
        ("sendmsg", opcode::SendMsg::CODE),
        ("connect", opcode::Connect::CODE),
        ("shutdown", opcode::Shutdown::CODE),
        ("close", opcode::Close::CODE),
        ("cancel", opcode::AsyncCancel::CODE),
        ("poll", opcode::PollAdd::CODE),
    ];
    if let Some((name, _)) = needed.iter().find(|(_, code)| !probe.is_supported(*code)) {
        return Err(format!("this kernel's io_uring has no {name}; Linux 6.1 or later has all that is needed"));
    }
    ring.submitter()
        .register_files_sparse(release::SLOTS)
        .map_err(|error| format!("no direct descriptors: {error}"))?;
    let keeps_closed = !release::is_prompt(&mut ring).map_err(|error| format!("no direct descriptors: {error}"))?;
    Buffers::new(&ring.submitter(), &[Kind::Whole])
        .map(|buffers| {
            drop(ring);
            drop(buffers);
        })
        .map_err(|error| format!("no provided-buffer ring: {error}"))?;
    let features = match keeps_closed {
        false => "this kernel offers io_uring with direct descriptors and buffer rings",
        true => {
            "this kernel's io_uring keeps the sockets of closed connections until older ones end; Linux 6.13 does not"
        }
    };
    Ok(Found { features, keeps_closed })
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => match std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled") {
            Ok(setting) if setting.trim() != "0" => {
                format!("it is disabled here (kernel.io_uring_disabled = {})", setting.trim())
            }
            _ => "it is denied to this process, as the seccomp profiles of containers do".to_owned(),
        },
        Some(libc::ENOSYS) => "this kernel has none, or a seccomp profile hides it".to_owned(),
        Some(libc::EINVAL) => "this kernel is too old: Linux 6.1 or later is needed".to_owned(),
        Some(libc::ENOMEM) => format!("no memory for a ring: {error}; see ulimit -l"),
        _ => error.to_string(),
    }
}
