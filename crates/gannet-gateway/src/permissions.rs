//! Who may subscribe, publish, and read: pure decisions, in the order that clients of the protocol rely on.
//!
//! Nothing is looked up here and nothing is remembered. The session passes what it knows, and carries out the answer.

use gannet_channels::{Options, split_name};

/// Begins the name of a channel that needs a token.
const PRIVATE: char = '$';

/// Stands before the users that a name lists.
const USERS: char = '#';

/// Separates the users that a name lists.
const BETWEEN_USERS: char = ',';

/// What is known about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who<'a> {
    /// Its user; empty is an anonymous one.
    pub user: &'a str,
    /// Whether everything is allowed to everybody ([`insecure`](crate::settings::ClientSettings::insecure)).
    pub insecure: bool,
}

impl Who<'_> {
    fn is_anonymous(self) -> bool {
        self.user.is_empty()
    }
}

/// What shall become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Carry it out.
    Allow,
    /// Verify the token that came with it: that alone decides.
    VerifyToken,
    /// Ask the application, which decides.
    Ask,
    /// Refuse it.
    Deny(Denial),
}

/// Why a request is refused; [`code`](Self::code) is the error that the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denial {
    /// The channel's namespace does not exist: error 102.
    UnknownChannel,
    /// The client may not: error 103.
    PermissionDenied,
    /// The channel's name is not one: error 107.
    BadRequest,
    /// The channel's namespace does not keep what is asked for: error 108.
    NotAvailable,
}

impl Denial {
    /// Returns the code of the error.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::UnknownChannel => 102,
            Self::PermissionDenied => 103,
            Self::BadRequest => 107,
            Self::NotAvailable => 108,
        }
    }
}

/// Decides whether a client may subscribe. `options` are those of the channel's namespace, `None` where it does not exist.
///
/// `personal` tells whether channels of the form `#user` belong to that user.
#[must_use]
pub fn subscribe(options: Option<&Options>, channel: &str, who: Who<'_>, has_token: bool, personal: bool) -> Decision {
    let Some(options) = options else { return Decision::Deny(Denial::UnknownChannel) };
    if !channel.is_ascii() {
        return Decision::Deny(Denial::BadRequest);
    }
    let is_own = personal && is_personal(channel, who.user);
    if !is_own && !fits(options, channel) {
        return Decision::Deny(Denial::BadRequest);
    }
    if has_token {
        return Decision::VerifyToken;
    }
    if channel.starts_with(PRIVATE) {
        return Decision::Deny(Denial::PermissionDenied);
    }
    if is_own {
        return Decision::Allow;
    }
    let is_limited = options.allow_user_limited_channels && channel.contains(USERS);
    if is_limited {
        // A list of users is not opened to others by the options below.
        return if names(channel, who.user) || who.insecure {
            Decision::Allow
        } else {
            Decision::Deny(Denial::PermissionDenied)
        };
    }
    if options.subscribe_proxy {
        return Decision::Ask;
    }
    let is_open = options.allow_subscribe_for_client;
    if is_open && (!who.is_anonymous() || options.allow_subscribe_for_anonymous) || who.insecure {
        return Decision::Allow;
    }
    Decision::Deny(Denial::PermissionDenied)
}

/// Decides whether a client may publish. `is_subscribed` tells whether it is subscribed to the channel.
#[must_use]
pub fn publish(options: Option<&Options>, channel: &str, who: Who<'_>, is_subscribed: bool) -> Decision {
    let Some(options) = options else { return Decision::Deny(Denial::UnknownChannel) };
    if !channel.is_ascii() || !fits(options, channel) {
        return Decision::Deny(Denial::BadRequest);
    }
    if options.publish_proxy {
        return Decision::Ask;
    }
    decide(
        who,
        is_subscribed,
        options.allow_publish_for_client,
        options.allow_publish_for_subscriber,
        options.allow_publish_for_anonymous,
    )
}

/// Decides whether a client may read the history. That there is none is looked at first.
#[must_use]
pub fn history(options: Option<&Options>, who: Who<'_>, is_subscribed: bool) -> Decision {
    let Some(options) = options else { return Decision::Deny(Denial::UnknownChannel) };
    if !options.has_history() {
        return Decision::Deny(Denial::NotAvailable);
    }
    decide(
        who,
        is_subscribed,
        options.allow_history_for_client,
        options.allow_history_for_subscriber,
        options.allow_history_for_anonymous,
    )
}

/// Decides whether a client may read the presence. That there is none is looked at first.
#[must_use]
pub fn presence(options: Option<&Options>, who: Who<'_>, is_subscribed: bool) -> Decision {
    let Some(options) = options else { return Decision::Deny(Denial::UnknownChannel) };
    if !options.presence {
        return Decision::Deny(Denial::NotAvailable);
    }
    decide(
        who,
        is_subscribed,
        options.allow_presence_for_client,
        options.allow_presence_for_subscriber,
        options.allow_presence_for_anonymous,
    )
}

/// The personal channel of a user; `None` of an anonymous one.
#[must_use]
pub fn personal_channel(user: &str) -> Option<String> {
    // A comma would make it the channel of several users.
    (!user.is_empty() && !user.contains(BETWEEN_USERS)).then(|| format!("{USERS}{user}"))
}

fn decide(who: Who<'_>, is_subscribed: bool, client: bool, subscriber: bool, anonymous: bool) -> Decision {
    let is_named = client || subscriber && is_subscribed;
    if is_named && (!who.is_anonymous() || anonymous) || who.insecure {
        return Decision::Allow;
    }
    Decision::Deny(Denial::PermissionDenied)
}

/// Whether the rest of the name, behind the namespace, is as the namespace wants it.
fn fits(options: &Options, channel: &str) -> bool {
    options.channel_pattern.as_ref().is_none_or(|pattern| pattern.is_match(split_name(channel).1))
}

/// Whether a name lists a user: `room#ann,bob`.
fn names(channel: &str, user: &str) -> bool {
    let Some((_, users)) = channel.split_once(USERS) else { return false };
    !user.is_empty() && users.split(BETWEEN_USERS).any(|listed| listed == user)
}

fn is_personal(channel: &str, user: &str) -> bool {
    !user.is_empty() && !user.contains(BETWEEN_USERS) && channel.strip_prefix(USERS) == Some(user)
}

#[cfg(test)]
mod tests {
    use super::Decision::{Allow, Ask, VerifyToken};
    use super::*;
    use crate::settings::namespace;

    const UNKNOWN: Decision = Decision::Deny(Denial::UnknownChannel);
    const DENIED: Decision = Decision::Deny(Denial::PermissionDenied);
    const BAD: Decision = Decision::Deny(Denial::BadRequest);
    const OFF: Decision = Decision::Deny(Denial::NotAvailable);

    fn options(words: &str) -> Options {
        namespace::parse(&format!("ns:{words}")).unwrap_or_else(|error| panic!("{error}")).options
    }

    fn user(user: &str) -> Who<'_> {
        Who { user, insecure: false }
    }

    #[test]
    fn subscribing_is_decided_in_the_order_of_the_protocol() {
        let open = "allow_subscribe_for_client";
        let both = "allow_subscribe_for_client,allow_subscribe_for_anonymous";
        let limited = "allow_user_limited_channels,subscribe_proxy_enabled,allow_subscribe_for_client";
        // Options, channel, user, with a token or not, decision.
        for (words, channel, who, has_token, expected) in [
            ("", "ns:a", "ann", false, DENIED),
            ("", "ns:a", "ann", true, VerifyToken),
            ("", "$ns:a", "ann", false, DENIED),
            ("", "$ns:a", "ann", true, VerifyToken),
            (open, "$ns:a", "ann", false, DENIED),
            (open, "ns:a", "ann", false, Allow),
            (open, "ns:a", "", false, DENIED),
            (both, "ns:a", "", false, Allow),
            (open, "ns:grün", "ann", false, BAD),
            (open, "ns:grün", "ann", true, BAD),
            // A token decides alone, also where the channel is open.
            (open, "ns:a", "ann", true, VerifyToken),
            (limited, "ns:a#ann,bob", "ann", false, Allow),
            (limited, "ns:a#ann,bob", "bob", false, Allow),
            (limited, "ns:a#ann,bob", "eve", false, DENIED),
            (limited, "ns:a#ann,bob", "an", false, DENIED),
            (limited, "ns:a#ann,bob", "", false, DENIED),
            (limited, "ns:a#", "", false, DENIED),
            (limited, "ns:a#ann,bob", "eve", true, VerifyToken),
            (limited, "ns:a", "ann", false, Ask),
            ("subscribe_proxy_enabled,allow_subscribe_for_client", "ns:a", "", false, Ask),
            // Without the option, the sign has no meaning.
            (open, "ns:a#ann", "eve", false, Allow),
            ("allow_subscribe_for_client,channel_regex=^[a-z]+$", "ns:abc", "ann", false, Allow),
            ("allow_subscribe_for_client,channel_regex=^[a-z]+$", "ns:a1", "ann", false, BAD),
            ("subscribe_proxy_enabled,channel_regex=^[a-z]+$", "ns:a1", "ann", false, BAD),
            ("channel_regex=^[a-z]+$", "ns:a1", "ann", true, BAD),
            ("channel_regex=^[a-z]+$", "$ns:abc", "ann", true, VerifyToken),
        ] {
            let decided = subscribe(Some(&options(words)), channel, user(who), has_token, false);
            assert_eq!(decided, expected, "{words} {channel} {who:?} token: {has_token}");
        }
    }

    #[test]
    fn a_channel_without_a_namespace_that_exists_is_unknown_whatever_comes_with_it() {
        for has_token in [false, true] {
            assert_eq!(subscribe(None, "xx:a", user("ann"), has_token, true), UNKNOWN);
            assert_eq!(subscribe(None, "$xx:a", Who { user: "ann", insecure: true }, has_token, true), UNKNOWN);
        }
        assert_eq!(publish(None, "xx:a", user("ann"), true), UNKNOWN);
        assert_eq!(history(None, user("ann"), true), UNKNOWN);
        assert_eq!(presence(None, user("ann"), true), UNKNOWN);
    }

    #[test]
    fn without_security_everything_that_exists_is_open_but_private_channels() {
        let insecure = Who { user: "", insecure: true };
        let limited = options("allow_user_limited_channels");
        assert_eq!(subscribe(Some(&options("")), "ns:a", insecure, false, false), Allow);
        assert_eq!(subscribe(Some(&options("")), "$ns:a", insecure, false, false), DENIED);
        assert_eq!(subscribe(Some(&limited), "ns:a#ann", insecure, false, false), Allow);
        assert_eq!(publish(Some(&options("")), "ns:a", insecure, false), Allow);
        assert_eq!(history(Some(&options("")), insecure, false), OFF);
        assert_eq!(presence(Some(&options("presence")), insecure, false), Allow);
    }

    #[test]
    fn a_personal_channel_belongs_to_its_user_alone() {
        for (channel, who, personal, expected) in [
            ("#ann", "ann", true, Allow),
            ("#ann", "bob", true, DENIED),
            ("#ann", "ann", false, DENIED),
            ("#", "", true, DENIED),
            ("#ann,bob", "ann", true, DENIED),
            ("#ann,bob", "ann,bob", true, DENIED),
            ("a#ann", "ann", true, DENIED),
        ] {
            let decided = subscribe(Some(&options("")), channel, user(who), false, personal);
            assert_eq!(decided, expected, "{channel} {who:?} {personal}");
        }
        assert_eq!(subscribe(None, "#ann", user("ann"), false, true), UNKNOWN);
        let letters = options("channel_regex=^[a-z]+$");
        assert_eq!(subscribe(Some(&letters), "#ann", user("ann"), false, true), Allow);
        assert_eq!(subscribe(Some(&letters), "#ann", user("ann"), true, true), VerifyToken);
        assert_eq!(subscribe(None, "#ann", user("bob"), false, true), UNKNOWN);
        assert_eq!(personal_channel("ann").as_deref(), Some("#ann"));
        assert_eq!((personal_channel(""), personal_channel("a,b")), (None, None));
    }

    #[test]
    fn publishing_is_asked_for_or_allowed_by_the_namespace() {
        for (words, who, is_subscribed, expected) in [
            ("", "ann", true, DENIED),
            ("publish_proxy_enabled,allow_publish_for_client", "ann", false, Ask),
            ("publish_proxy_enabled", "", false, Ask),
            ("allow_publish_for_client", "ann", false, Allow),
            ("allow_publish_for_client", "", false, DENIED),
            ("allow_publish_for_client,allow_publish_for_anonymous", "", false, Allow),
            ("allow_publish_for_subscriber", "ann", false, DENIED),
            ("allow_publish_for_subscriber", "ann", true, Allow),
            ("allow_publish_for_subscriber", "", true, DENIED),
            ("allow_publish_for_subscriber,allow_publish_for_anonymous", "", true, Allow),
            ("allow_publish_for_subscriber,allow_publish_for_anonymous", "", false, DENIED),
        ] {
            let decided = publish(Some(&options(words)), "ns:a", user(who), is_subscribed);
            assert_eq!(decided, expected, "{words} {who:?} subscribed: {is_subscribed}");
        }
        let pattern = options("allow_publish_for_client,channel_regex=^[a-z]+$");
        assert_eq!(publish(Some(&pattern), "ns:a1", user("ann"), true), BAD);
        assert_eq!(publish(Some(&pattern), "ns:grün", user("ann"), true), BAD);
    }

    #[test]
    fn that_there_is_no_history_or_presence_is_said_before_that_it_is_not_allowed() {
        let history_on = "history_size=1,history_ttl=1m";
        assert_eq!(history(Some(&options("")), user("ann"), true), OFF);
        assert_eq!(presence(Some(&options("")), user("ann"), true), OFF);
        assert_eq!(history(Some(&options(history_on)), user("ann"), true), DENIED);
        assert_eq!(presence(Some(&options("presence")), user("ann"), true), DENIED);
        for (allowed, is_subscribed, who, expected) in [
            ("subscriber", true, "ann", Allow),
            ("subscriber", false, "ann", DENIED),
            ("client", false, "ann", Allow),
            ("client", false, "", DENIED),
        ] {
            let of_history = options(&format!("{history_on},allow_history_for_{allowed}"));
            let of_presence = options(&format!("presence,allow_presence_for_{allowed}"));
            assert_eq!(history(Some(&of_history), user(who), is_subscribed), expected, "{allowed} {who:?}");
            assert_eq!(presence(Some(&of_presence), user(who), is_subscribed), expected, "{allowed} {who:?}");
        }
    }

    #[test]
    fn each_denial_has_the_code_of_the_protocol() {
        let codes = [Denial::UnknownChannel, Denial::PermissionDenied, Denial::BadRequest, Denial::NotAvailable];
        assert_eq!(codes.map(Denial::code), [102, 103, 107, 108]);
    }
}
