//! The protocol's own Go package reads what we write, and we read what it writes.

use std::io::Write as _;
use std::process::{Command as Process, Stdio};

use gannet_proto::centrifuge::{Command, Format, Reply};

use serde_json::Value;

use super::drawn::Draw;
use super::*;

/// What was sent, of which both formats are given to the package.
enum Sent {
    Command(Command<'static>),
    Reply(Reply<'static>),
}

impl Sent {
    fn write(&self, format: Format) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Command(command) => format.write_command(&mut out, command),
            Self::Reply(reply) => format.write_reply(&mut out, reply),
        }
        out
    }

    fn check_is(&self, format: Format, bytes: &[u8]) {
        match self {
            Self::Command(command) => assert_eq!(commands(format, bytes).as_deref(), Ok(&[command.clone()][..])),
            Self::Reply(reply) => assert_eq!(replies(format, bytes).as_deref(), Ok(&[reply.clone()][..])),
        }
    }
}

fn digits(bytes: &[u8]) -> String {
    hex(bytes).replace(' ', "")
}

fn from_digits(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits")).collect()
}

/// Whether two values are the same; a list or map without entries is null where Go has none.
fn is_same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Null) => ours.is_empty(),
        (Value::Object(ours), Value::Null) => ours.is_empty(),
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(name, value)| theirs.get(name).is_some_and(|other| is_same(value, other)))
        }
        _ => ours == theirs,
    }
}

#[test]
#[ignore = "it needs Go, and gets the package from its proxy"]
fn the_package_of_the_protocol_reads_and_writes_the_same_messages() {
    let mut sent = Vec::new();
    for seed in 0..2_000 {
        // Maps of Go have no order, so they have one entry at most.
        let mut draw = Draw::for_others(seed);
        sent.push(Sent::Command(draw.one()));
        sent.push(Sent::Reply(draw.one()));
    }
    let mut input = String::new();
    for each in &sent {
        let kind = if matches!(each, Sent::Command(_)) { "command" } else { "reply" };
        let [text, binary] = FORMATS.map(|format| digits(&each.write(format)));
        let _ = writeln!(input, "{kind} {text} {binary}");
    }

    let mut go = Process::new("go")
        .args(["run", "."])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/centrifuge/oracle"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Go is installed");
    let mut stdin = go.stdin.take().expect("it is piped");
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = go.wait_with_output().expect("it ends");
    writer.join().expect("it does not panic").expect("all is written");
    let answers = String::from_utf8(output.stdout).expect("digits");
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!(answers.len(), sent.len());

    for (sent, answer) in sent.iter().zip(answers) {
        let ours = sent.write(Format::Json);
        let shown = String::from_utf8_lossy(&ours);
        let (text, binary) = answer.split_once(' ').filter(|(first, _)| *first != "error:").unwrap_or_else(|| {
            panic!("{answer}\n{shown}");
        });
        let (text, binary) = (from_digits(text), from_digits(binary));
        sent.check_is(Format::Json, &text);
        sent.check_is(Format::Protobuf, &binary);
        assert!(
            binary == sent.write(Format::Protobuf),
            "{shown}\nours {}\ntheirs {}",
            hex(&sent.write(Format::Protobuf)),
            hex(&binary)
        );
        // With the same zero values in it.
        let [ours, theirs] = [&ours, &text].map(|text| serde_json::from_slice::<Value>(text).unwrap());
        assert!(is_same(&ours, &theirs), "{ours}\n{theirs}");
    }
}
