//! Which file a path means, if it may mean one at all.

use crate::percent::decode;

/// A path beneath the root, as it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Names of directories and a file, with single slashes between them; empty for the root.
    pub(super) path: String,
    /// Whether it ended with a slash, as paths of directories do.
    pub(super) directory: bool,
}

impl Name {
    /// What a path means that comes from outside, as it was sent. Its segments are decoded once, each for itself, so
    /// that an encoded slash does not become one. Nothing where a segment
    ///
    /// * is empty, `.` or `..`: there are no ways up, and one name only for each file;
    /// * begins with a dot, unless `hidden` is set;
    /// * has a slash, a backslash or a control character in it, NUL above all;
    /// * is malformed, or no UTF-8.
    pub(super) fn of(sent: &str, hidden: bool) -> Option<Self> {
        let (segments, directory) = match sent.strip_suffix('/') {
            Some(segments) => (segments, true),
            None => (sent, sent.is_empty()),
        };
        let mut path = String::with_capacity(segments.len());
        if sent.is_empty() {
            return Some(Self { path, directory });
        }
        for segment in segments.split('/') {
            let name = decode(segment)?;
            let is_name = !matches!(&*name, "" | "." | "..")
                && (hidden || !name.starts_with('.'))
                && !name.contains(|each: char| matches!(each, '/' | '\\') || each.is_control());
            if !is_name {
                return None;
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(&name);
        }
        Some(Self { path, directory })
    }

    /// The path of a file in the directory that this one is.
    pub(super) fn inside(&self, file: &str) -> String {
        if self.path.is_empty() { file.to_owned() } else { format!("{}/{file}", self.path) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What may come from outside that means no file.
    pub(in super::super) const ATTACKS: &[&str] = &[
        "..",
        "../",
        "../secret",
        "../../../../../../etc/passwd",
        "a/../../secret",
        "a/..",
        "a/.",
        "./a",
        ".",
        "./",
        "a//b",
        "//etc/passwd",
        "/etc/passwd",
        "/",
        "//",
        "a//",
        "%2e%2e/secret",
        "%2E%2e/secret",
        ".%2e/secret",
        "%2e%2e%2fsecret",
        "..%2fsecret",
        "..%2Fsecret",
        "%2fetc%2fpasswd",
        "a%2fb",
        "..\\secret",
        "..%5csecret",
        "..%5Csecret",
        "%5c..%5csecret",
        "C:\\secret",
        "\\\\host\\secret",
        "secret%00",
        "secret%00.html",
        "%00",
        "a/%00/b",
        "%0a",
        "a%0d%0ab",
        "a%7fb",
        "%c2%85",
        "%",
        "%2",
        "%zz",
        "%u002e",
        "%c0%ae%c0%ae/secret",
        "%c0%af",
        "%e0%80%ae",
        "%ff",
        "....//secret/",
        "...//",
        ".htaccess",
        ".git/config",
        "a/.git/config",
        "%2egit/config",
        "a/.hidden",
        ".../secret",
    ];

    #[test]
    fn what_means_no_file_is_nothing() {
        for path in ATTACKS {
            assert_eq!(Name::of(path, false), None, "{path}");
        }
    }

    #[test]
    fn a_path_means_the_file_it_says_and_is_decoded_once() {
        for (sent, path, directory) in [
            ("", "", true),
            ("a", "a", false),
            ("a/", "a", true),
            ("a/b.txt", "a/b.txt", false),
            ("gr%C3%BCn%20.txt", "grün .txt", false),
            ("%2561", "%61", false),
            ("%252e%252e/a", "%2e%2e/a", false),
            ("a..b", "a..b", false),
            ("a.", "a.", false),
            ("a+b;c=d&e", "a+b;c=d&e", false),
            ("~user", "~user", false),
        ] {
            assert_eq!(Name::of(sent, false), Some(Name { path: path.to_owned(), directory }), "{sent}");
        }
    }

    #[test]
    fn hidden_files_are_named_only_where_they_are_let() {
        assert_eq!(Name::of(".well-known/x", true).map(|name| name.path).as_deref(), Some(".well-known/x"));
        for path in ["..", ".", "a/../b", "%2e%2e", "a/%2e"] {
            assert_eq!(Name::of(path, true), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_goes_up_or_begins_anew(sent in "([./\\\\a%]|%2e|%2E|%2f|%5c|%00|%25|\\PC){0,16}", hidden: bool) {
            if let Some(name) = Name::of(&sent, hidden) {
                prop_assert!(!name.path.starts_with('/') && !name.path.contains(['\0', '\\']));
                for segment in name.path.split('/').filter(|_| !name.path.is_empty()) {
                    prop_assert!(!matches!(segment, "" | "." | ".."), "{sent:?}: {}", name.path);
                    prop_assert!(hidden || !segment.starts_with('.'));
                }
            }
        }
    }
}
