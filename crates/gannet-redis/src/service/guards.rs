//! Guards against those who should not be here: other machines where nobody has set a password, and web pages that have
//! a browser speak to the store.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use gannet::Peer;

/// What a client of another machine is told where there is no password. The code and the beginning are Redis's.
pub(super) const DENIED: &str = "DENIED Redis is running in protected mode because protected mode is enabled and no \
                                 password is set for the default user. In this mode connections are only accepted from \
                                 the loopback interface. To connect from other machines, do one of these: 1) set a \
                                 password when the server starts; 2) send 'CONFIG SET requirepass <password>' from the \
                                 machine that the server runs on; 3) where nobody but your own machines can reach the \
                                 server, turn protected mode off when it starts, or send 'CONFIG SET protected-mode no' \
                                 from its own machine.";

/// An attack is logged again after so long.
const LOG_EVERY_S: u32 = 60;

/// What a server has of them. Used on all reactors.
#[derive(Debug)]
pub(crate) struct Guards {
    /// Whether clients of other machines are refused where there is no password.
    protected: AtomicBool,
    /// When an attack was logged last, in seconds since 1970.
    logged_s: AtomicU32,
}

impl Guards {
    pub(super) fn new(protected: bool) -> Self {
        Self { protected: AtomicBool::new(protected), logged_s: AtomicU32::new(0) }
    }

    /// Whether clients of other machines are refused where there is no password.
    pub(crate) fn protects(&self) -> bool {
        self.protected.load(Ordering::Relaxed)
    }

    /// Sets that; for clients that come then.
    pub(crate) fn protect(&self, on: bool) {
        self.protected.store(on, Ordering::Relaxed);
    }

    /// Logs that a connection is closed because of what [`is_of_browser`] is true for, once in a minute at most: a page
    /// can send very many requests.
    #[cold]
    pub(super) fn attacked(&self, by: Peer, now_s: u32) {
        let logged_s = self.logged_s.load(Ordering::Relaxed);
        if now_s.saturating_sub(logged_s) < LOG_EVERY_S {
            return;
        }
        if self.logged_s.compare_exchange(logged_s, now_s, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(
                peer = %by,
                "closing: POST or Host: was sent to redis, which is how a web page attacks a store through a browser that \
                 can reach it (cross-protocol scripting); set a password, and find out which page it was"
            );
        }
    }
}

/// Whether somebody is on this machine.
pub(super) fn is_local(peer: Peer) -> bool {
    peer.ip().is_none_or(|ip| ip.to_canonical().is_loopback())
}

/// Whether a command's name is one of two words that every browser sends in a request and no client of Redis ever does.
#[cold]
pub(super) fn is_of_browser(name: &[u8]) -> bool {
    // Redis does not see what is behind a NUL.
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn loopback_addresses_and_unix_sockets_are_local_and_nothing_else_is() {
        let is_local = |text: &str| is_local(text.parse::<SocketAddr>().expect("an address").into());
        assert!(super::is_local(Peer::UNIX));
        assert!(["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"].into_iter().all(is_local));
        assert!(
            !["10.0.0.1:1", "0.0.0.0:1", "[fe80::1]:1", "[::ffff:10.0.0.1]:1", "[2001:db8::1]:1"]
                .into_iter()
                .any(is_local)
        );
    }

    #[test]
    fn what_a_browser_sends_is_told_from_what_clients_send() {
        assert!([&b"POST"[..], b"post", b"Host:", b"HOST:", b"POST\0x"].into_iter().all(is_of_browser));
        assert!(![&b"GET"[..], b"host", b"hosts:", b"POST:", b"", b"\0POST", b"posts"].into_iter().any(is_of_browser));
    }
}
