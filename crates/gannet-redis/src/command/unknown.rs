//! What is answered to what is no command.

use super::Signature;
use super::error::Error;

/// Bytes of a name, and of all words together, that are repeated.
const MOST: usize = 128;

/// There is no such command.
#[cold]
pub(crate) fn command(args: &[&[u8]]) -> Error {
    let mut words = Vec::new();
    for arg in &args[1..] {
        if words.len() >= MOST {
            break;
        }
        let room = MOST - words.len();
        words.push(b'\'');
        words.extend_from_slice(&arg[..arg.len().min(room)]);
        words.extend_from_slice(b"' ");
    }
    let words = String::from_utf8_lossy(&words);
    Error::of(format!("ERR unknown command '{}', with args beginning with: {words}", shown(args[0])))
}

/// The command has no such subcommand.
#[cold]
pub(crate) fn subcommand(command: &Signature, name: &[u8]) -> Error {
    let help = command.name.to_uppercase();
    Error::of(format!("ERR unknown subcommand '{}'. Try {help} HELP.", shown(name)))
}

/// As much of a name as is repeated: to the first NUL, as Redis does it.
fn shown(name: &[u8]) -> String {
    let name = &name[..name.len().min(MOST)];
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_repeated_up_to_a_length() {
        let (a, b) = ("a".repeat(200), "b".repeat(50));
        let unknown = |words: &[&str]| {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            command(&words).0.into_owned()
        };
        assert_eq!(unknown(&["FOO"]), "ERR unknown command 'FOO', with args beginning with: ");
        assert_eq!(unknown(&["fo o", "x y", "2"]), "ERR unknown command 'fo o', with args beginning with: 'x y' '2' ");
        let cut = &a[..128];
        assert_eq!(unknown(&[&a, "x"]), format!("ERR unknown command '{cut}', with args beginning with: 'x' "));
        assert_eq!(unknown(&["f", &a, "b"]), format!("ERR unknown command 'f', with args beginning with: '{cut}' "));
        assert_eq!(
            unknown(&["foo", &a[..105], &b, "c", "d"]),
            format!("ERR unknown command 'foo', with args beginning with: '{}' '{}' ", &a[..105], &b[..20])
        );
        assert_eq!(unknown(&["a\0b"]), "ERR unknown command 'a', with args beginning with: ");
    }
}
