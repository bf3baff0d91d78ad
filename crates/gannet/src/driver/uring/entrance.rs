//! Entering the ring by the number under which it is registered, which spares the kernel a look-up of its descriptor.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::IoUring;
use io_uring::types::SubmitArgs;

// From linux/io_uring.h; see io_uring_enter(2) and io_uring_register(2).
const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;

/// A registration to be made or undone: `struct io_uring_rsrc_update`.
#[repr(C)]
struct Registration {
    number: u32,
    reserved: u32,
    descriptor: u64,
}

/// How a ring is entered.
pub(super) struct Entrance {
    descriptor: i32,
    /// The ring's number, which holds for the thread that made it.
    number: Option<u32>,
}

impl Entrance {
    /// Registers a ring with this thread, where the kernel takes one more; it has room for 16 of each thread.
    pub(super) fn new(ring: &IoUring) -> Self {
        let descriptor = ring.as_raw_fd();
        let mut wanted = Registration { number: u32::MAX, reserved: 0, descriptor: descriptor as u64 };
        let is_made = register(descriptor, REGISTER_RING_FDS, &mut wanted);
        Self { descriptor, number: is_made.then_some(wanted.number) }
    }

    /// Hands over all submissions and waits for so many completions. Work that is due is done in any case where a
    /// completion is waited for, and where the kernel says that there is some.
    pub(super) fn enter(&self, ring: &mut IoUring, want: usize, args: Option<&SubmitArgs<'_, '_>>) -> io::Result<()> {
        let queue = ring.submission();
        let is_due = want > 0 || queue.taskrun() || queue.cq_overflow();
        let count = queue.len();
        drop(queue);
        self.call(count, want, if is_due { ENTER_GETEVENTS } else { 0 }, args)
    }

    /// Hands over all submissions and has the work done that is due, without waiting for more.
    pub(super) fn enter_without_waiting(&self, ring: &mut IoUring) -> io::Result<()> {
        let count = ring.submission().len();
        self.call(count, 0, ENTER_GETEVENTS, None)
    }

    fn call(&self, submit: usize, want: usize, flags: u32, args: Option<&SubmitArgs<'_, '_>>) -> io::Result<()> {
        let (ring, flags) = match self.number {
            Some(number) => (number as i32, flags | ENTER_REGISTERED_RING),
            None => (self.descriptor, flags),
        };
        let (args, length, flags) = match args {
            Some(args) => (std::ptr::from_ref(args), size_of_val(args), flags | ENTER_EXT_ARG),
            None => (std::ptr::null(), 0, flags),
        };
        // SAFETY: the ring's descriptor is open as long as the driver, and `args` is the kernel's own struct, which is
        // read during the call only. What the submissions name is the concern of `push`.
        let result =
            unsafe { libc::syscall(libc::SYS_io_uring_enter, ring, submit as u32, want as u32, flags, args, length) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Undoes the registration, which would keep the ring until its thread ends.
    pub(super) fn close(&mut self) {
        if let Some(number) = self.number.take() {
            register(self.descriptor, UNREGISTER_RING_FDS, &mut Registration { number, reserved: 0, descriptor: 0 });
        }
    }
}

/// Says whether it was done.
fn register(ring: i32, operation: u32, registration: &mut Registration) -> bool {
    // SAFETY: the argument is the kernel's own struct, one of them, read and written during the call only.
    unsafe { libc::syscall(libc::SYS_io_uring_register, ring, operation, &raw mut *registration, 1) == 1 }
}
