//! Commands as the tables have them: words between blanks; in double quotes also blanks and `\n`, `\r`, `\t`, `\\`,
//! `\"`, `\x7f`; and `{ab*500}` for what is repeated.

/// The words of a line.
pub(crate) fn words(line: &str) -> Vec<Vec<u8>> {
    let (mut words, mut rest) = (Vec::new(), line.trim());
    while !rest.is_empty() {
        let word;
        (word, rest) = match rest.as_bytes()[0] {
            b'"' => quoted(&rest[1..]),
            _ => {
                let end = rest.find(' ').unwrap_or(rest.len());
                (repeated(&rest[..end]), &rest[end..])
            }
        };
        assert!(rest.is_empty() || rest.starts_with(' '), "a word does not end where its quotes do: {line}");
        words.push(word);
        rest = rest.trim_start();
    }
    words
}

/// What is in quotes, and what comes behind them.
pub(crate) fn quoted(text: &str) -> (Vec<u8>, &str) {
    let (mut word, mut chars) = (Vec::new(), text.char_indices());
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => return (word, &text[index + 1..]),
            '\\' => match chars.next().map(|(_, char)| char) {
                Some('n') => word.push(b'\n'),
                Some('r') => word.push(b'\r'),
                Some('t') => word.push(b'\t'),
                Some('x') => {
                    let digits: String = chars.by_ref().take(2).map(|(_, char)| char).collect();
                    word.push(u8::from_str_radix(&digits, 16).expect("two hexadecimal digits"));
                }
                Some(char) => word.extend(char.to_string().bytes()),
                None => break,
            },
            char => word.extend(char.to_string().bytes()),
        }
    }
    panic!("no closing quote: {text}");
}

fn repeated(word: &str) -> Vec<u8> {
    let inner = word.strip_prefix('{').and_then(|word| word.strip_suffix('}'));
    match inner.and_then(|inner| inner.rsplit_once('*')) {
        Some((text, count)) => text.repeat(count.parse().expect("how often")).into_bytes(),
        None => word.as_bytes().to_vec(),
    }
}
