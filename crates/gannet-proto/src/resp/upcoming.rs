//! Looks at received commands before they are decoded.

use super::header;

/// Returns the second words, usually keys, of the whole commands at the start of `input`.
///
/// A server uses it to prefetch the memory of keys. It does not decode: it checks no limits, and ends at the first
/// command that is unusual or not whole. Commands of one word are skipped.
pub fn upcoming_keys(mut input: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let (second, size) = command(input)?;
            input = &input[size..];
            if second.is_some() {
                return second;
            }
        }
    })
}

/// The second word of the command at the start of `input`, and the command's size.
#[inline]
fn command(input: &[u8]) -> Option<(Option<&[u8]>, usize)> {
    if input.first() != Some(&b'*') {
        return None;
    }
    let (words, mut at) = header::short(input)?;
    let mut second = None;
    for word in 0..words {
        let line = input.get(at..).filter(|line| line.first() == Some(&b'$'))?;
        let (length, size) = header::short(line)?;
        let bytes = line.get(size..size + length)?;
        at += size + length + 2;
        if word == 1 {
            second = Some(bytes);
        }
    }
    (at <= input.len()).then_some((second, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_ahead_finds_the_key_of_each_whole_command() {
        let input = b"*2\r\n$3\r\nGET\r\n$3\r\none\r\n*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$3\r\ntwo\r\n$1\r\nx\r\n*2\r\n$3\r\nGET\r\n$5\r\nthr";
        let keys: Vec<_> = upcoming_keys(input).collect();
        assert_eq!(keys, [&b"one"[..], b"two"]);
        for cut in 0..input.len() {
            assert!(keys.starts_with(&upcoming_keys(&input[..cut]).collect::<Vec<_>>()), "cut at {cut}");
        }
    }

    #[test]
    fn it_ends_at_what_is_unusual() {
        for input in [
            "",
            "PING\r\n",
            "*2\r\n+x\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*2\r\n$3\r\nGET\r\n$999999999\r\n",
            "*9999\r\n",
            "*1\r\n$0\r\n",
        ] {
            assert_eq!(upcoming_keys(input.as_bytes()).count(), 0, "{input}");
        }
    }
}
