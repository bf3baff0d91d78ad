//! Passing listening sockets on to another process: what a reactor does when it is asked ([`crate::requests`]).

use crate::driver::Driver;
use crate::ids::ListenerId;
use crate::requests::{Request, Shown};

use super::Reactor;

/// How far a reactor is with what it was asked.
#[derive(Default)]
pub(super) struct Handing {
    /// The number of the request that was read last.
    number: u32,
    /// It was asked to accept nothing.
    pub(super) is_withdrawn: bool,
    /// It was, and the kernel may still accept.
    is_ending: bool,
}

impl<D: Driver> Reactor<D> {
    /// Does what is asked, where that is new.
    #[cold]
    pub(super) fn read_requests(&mut self) {
        let (number, request) = self.core.shared.requests.newest();
        if std::mem::replace(&mut self.handing.number, number) == number {
            return;
        }
        let outcome = match request {
            Request::Nothing => return,
            Request::Share => self.duplicate_sockets(),
            Request::Withdraw => {
                (self.handing.is_withdrawn, self.handing.is_ending) = (true, true);
                self.listening.iter().for_each(|listener| self.driver.withdraw(*listener));
                return;
            }
            Request::Restore => self.restore_listeners().map(|()| Vec::new()),
            Request::Release => {
                self.handing.is_ending = false;
                self.all_services().for_each(|listener| self.driver.release(listener));
                self.listening.clear();
                Ok(Vec::new())
            }
        };
        self.core.shared.requests.report(number, outcome);
    }

    /// Reports when the kernel accepts nothing any more.
    #[inline]
    pub(super) fn go_on_withdrawing(&mut self) {
        if self.handing.is_ending && self.listening.iter().all(|listener| self.driver.is_withdrawn(*listener)) {
            self.handing.is_ending = false;
            self.core.shared.requests.report(self.handing.number, Ok(Vec::new()));
        }
    }

    fn all_services(&self) -> std::ops::Range<ListenerId> {
        0..self.services.len() as ListenerId
    }

    fn duplicate_sockets(&self) -> std::io::Result<Vec<Shown>> {
        let index = usize::from(self.core.reactor);
        let all = self.all_services().map(|listener| (listener, self.driver.duplicate(listener)));
        all.filter_map(|(listener, socket)| Some(socket.transpose()?.map(|fd| (listener, index, fd)))).collect()
    }

    fn restore_listeners(&mut self) -> std::io::Result<()> {
        (self.handing.is_withdrawn, self.handing.is_ending) = (false, false);
        for index in 0..self.listening.len() {
            let listener = self.listening[index];
            let on = self.accepts_now(listener);
            self.driver.restore(listener, on)?;
        }
        Ok(())
    }
}
