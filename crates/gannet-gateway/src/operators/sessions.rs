//! Who is logged in to the admin page.

use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gannet_channels::Time;

use crate::secret::Secret;

/// How long a session lasts.
pub(crate) const LASTS: Duration = Duration::from_secs(12 * 60 * 60);

/// Sessions at a time. A further login ends the one that would end first.
const MOST: usize = 16;

/// The name of the cookie.
const COOKIE: &[u8] = b"gannet-admin=";

/// Bytes of a token that the system draws.
const TOKEN: usize = 32;

/// The sessions, in the order of their ends. They are in memory only: a restart ends them.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Vec<Session>);

#[derive(Debug)]
struct Session {
    token: Secret,
    ends: Time,
}

impl Sessions {
    /// Opens a session, and returns its token. `None` if the system gives no random bytes.
    pub(crate) fn open(&mut self, now: Time) -> Option<String> {
        let token = random::<TOKEN>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))?;
        self.0.retain(|session| now < session.ends);
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(Session { token: Secret::new(&*token), ends: Time(now.0 + LASTS.as_millis() as u64) });
        Some(token)
    }

    /// Returns whether one of these tokens is that of a session. Each is compared with all sessions, so that the time does
    /// not tell which one it is like.
    pub(crate) fn knows<'a>(&self, tokens: impl Iterator<Item = &'a [u8]>, now: Time) -> bool {
        let compare =
            |token: &[u8]| self.0.iter().fold(false, |found, own| (own.token.is(token) && now < own.ends) | found);
        tokens.fold(false, |found, token| compare(token) | found)
    }

    /// Ends the sessions with these tokens.
    pub(crate) fn close<'a>(&mut self, tokens: impl Iterator<Item = &'a [u8]>) {
        for token in tokens {
            self.0.retain(|session| !session.token.is(token));
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.len()
    }
}

/// The tokens in the `Cookie` fields of a request.
pub(crate) fn tokens<'a>(fields: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    // As many as a browser would send, and not as many as fit into a head.
    fields
        .flat_map(|field| field.split(|byte| *byte == b';'))
        .filter_map(|pair| pair.trim_ascii().strip_prefix(COOKIE))
        .take(4)
}

/// The value of `Set-Cookie` that has a browser keep a token, or forget it where there is none.
///
/// Scripts do not see it, pages of others do not send it, and over TLS it is never sent without.
pub(crate) fn set_cookie(token: Option<&str>, secure: bool) -> String {
    let name = std::str::from_utf8(COOKIE).unwrap_or_default();
    let seconds = if token.is_some() { LASTS.as_secs() } else { 0 };
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}{}; Path=/admin; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}", token.unwrap_or_default())
}

/// Letters and digits that are not mistaken for each other.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Makes a password of 100 random bits that can be read out and typed. `None` if the system gives no random bytes.
pub(crate) fn password() -> Option<Secret> {
    let mut text = String::with_capacity(24);
    for (place, byte) in random::<20>()?.into_iter().enumerate() {
        if place > 0 && place % 5 == 0 {
            text.push('-');
        }
        text.push(LETTERS[usize::from(byte) % LETTERS.len()].into());
    }
    Some(Secret::new(text))
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok().map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000);

    fn knows(sessions: &Sessions, token: &str, now: Time) -> bool {
        sessions.knows([token.as_bytes()].into_iter(), now)
    }

    #[test]
    fn a_session_is_known_by_its_token_until_it_ends() {
        let mut sessions = Sessions::default();
        let token = sessions.open(NOW).expect("random bytes");
        let last = NOW.0 + LASTS.as_millis() as u64 - 1;
        assert!(knows(&sessions, &token, NOW) && knows(&sessions, &token, Time(last)));
        assert!(!knows(&sessions, &token, Time(last + 1)), "it has expired");
        for other in ["", "x", &token[1..], &format!("{token}x"), &token.to_uppercase()] {
            assert!(!knows(&sessions, other, NOW), "{other}");
        }
        assert!(!Sessions::default().knows([&b""[..]].into_iter(), NOW), "nobody is logged in");
    }

    #[test]
    fn a_session_that_was_closed_is_not_known_any_more_and_others_are() {
        let mut sessions = Sessions::default();
        let [first, second] = [(); 2].map(|()| sessions.open(NOW).expect("random bytes"));
        assert_ne!(first, second);
        sessions.close([first.as_bytes()].into_iter());
        assert!(!knows(&sessions, &first, NOW) && knows(&sessions, &second, NOW));
    }

    #[test]
    fn one_login_too_many_ends_the_oldest_session() {
        let mut sessions = Sessions::default();
        let tokens: Vec<_> = (0..100).map(|at| sessions.open(Time(NOW.0 + at)).expect("random bytes")).collect();
        assert_eq!(sessions.len(), MOST);
        let (ended, open) = tokens.split_at(100 - MOST);
        assert!(ended.iter().all(|token| !knows(&sessions, token, NOW)));
        assert!(open.iter().all(|token| knows(&sessions, token, NOW)));
    }

    #[test]
    fn expired_sessions_make_room() {
        let mut sessions = Sessions::default();
        for _ in 0..MOST {
            sessions.open(NOW).expect("random bytes");
        }
        sessions.open(Time(NOW.0 + LASTS.as_millis() as u64)).expect("random bytes");
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn the_cookie_is_for_the_server_alone_and_for_requests_of_its_own_pages() {
        let cookie = set_cookie(Some("abc"), false);
        assert_eq!(cookie, "gannet-admin=abc; Path=/admin; HttpOnly; SameSite=Strict; Max-Age=43200");
        assert!(set_cookie(Some("abc"), true).ends_with("; Secure"));
        assert!(
            set_cookie(None, false).starts_with("gannet-admin=; ") && set_cookie(None, false).contains("Max-Age=0")
        );
    }

    #[test]
    fn tokens_are_found_among_other_cookies() {
        let found = |fields: &[&str]| -> Vec<String> {
            let fields = fields.iter().map(|field| field.as_bytes());
            tokens(fields).map(|token| String::from_utf8_lossy(token).into_owned()).collect()
        };
        assert_eq!(found(&["a=b; gannet-admin=x;gannet-admin=y", "gannet-admin=z"]), ["x", "y", "z"]);
        assert_eq!(found(&["gannet-admins=x; xgannet-admin=y; gannet-admin"]), [""; 0]);
        assert_eq!(found(&["gannet-admin=x;".repeat(1_000).as_str()]).len(), 4, "no more are compared");
    }

    #[test]
    fn passwords_differ_and_can_be_typed() {
        let [first, second] = [(); 2].map(|()| password().expect("random bytes"));
        assert_ne!(first.reveal(), second.reveal());
        assert_eq!(first.reveal().len(), 23);
        assert!(first.reveal().bytes().all(|byte| byte == b'-' || LETTERS.contains(&byte)));
    }
}
