//! What Redis 7.0 answers.

use std::collections::BTreeSet;

use gannet::proto::resp::Version;

use crate::trial::Trial;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range\r\n";
const SYNTAX: &str = "-ERR syntax error\r\n";

#[test]
fn what_was_set_in_a_hash_is_what_one_gets() {
    Trial::default().expect(&[
        ("hset h a 1 b 2", ":2\r\n"),
        ("hset h a 3 c 4 a 5", ":1\r\n"),
        ("hget h a", "$1\r\n5\r\n"),
        ("hget h d", "$-1\r\n"),
        ("hget none a", "$-1\r\n"),
        ("hmset h d 6", "+OK\r\n"),
        ("hmget h a none d a", "*4\r\n$1\r\n5\r\n$-1\r\n$1\r\n6\r\n$1\r\n5\r\n"),
        ("hmget none a b", "*2\r\n$-1\r\n$-1\r\n"),
        ("hgetall h", "*8\r\n$1\r\na\r\n$1\r\n5\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n4\r\n$1\r\nd\r\n$1\r\n6\r\n"),
        ("hkeys h", "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n"),
        ("hvals h", "*4\r\n$1\r\n5\r\n$1\r\n2\r\n$1\r\n4\r\n$1\r\n6\r\n"),
        ("hlen h", ":4\r\n"),
        ("hexists h a", ":1\r\n"),
        ("hexists h none", ":0\r\n"),
        ("hexists none a", ":0\r\n"),
        ("hset h long \"eleven byte\"", ":1\r\n"),
        ("hstrlen h long", ":11\r\n"),
        ("hstrlen h none", ":0\r\n"),
        ("hstrlen none a", ":0\r\n"),
        ("hset h \"\" \"\"", ":1\r\n"),
        ("hget h \"\"", "$0\r\n\r\n"),
    ]);
}

#[test]
fn a_hash_that_is_not_there_has_no_fields() {
    let mut trial = Trial::default();
    trial.expect(&[("hgetall h", "*0\r\n"), ("hkeys h", "*0\r\n"), ("hvals h", "*0\r\n"), ("hlen h", ":0\r\n")]);
    trial.version = Version::Resp3;
    trial.expect(&[("hgetall h", "%0\r\n"), ("hkeys h", "*0\r\n"), ("hget h a", "_\r\n"), ("hrandfield h", "_\r\n")]);
}

#[test]
fn all_of_a_hash_is_a_map_in_the_third_protocol() {
    let mut trial = Trial { version: Version::Resp3, ..Trial::default() };
    trial.expect(&[
        ("hset h a 1 b 2", ":2\r\n"),
        ("hgetall h", "%2\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n"),
        ("hmget h a c", "*2\r\n$1\r\n1\r\n_\r\n"),
        ("hscan h 0", "*2\r\n$1\r\n0\r\n*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n"),
        ("hincrbyfloat h a 0.5", "$3\r\n1.5\r\n"),
    ]);
}

#[test]
fn a_field_is_set_once_where_it_is_set_if_it_is_not_there() {
    Trial::default().expect(&[
        ("hsetnx h a 1", ":1\r\n"),
        ("hsetnx h a 2", ":0\r\n"),
        ("hget h a", "$1\r\n1\r\n"),
        ("hsetnx h b 2", ":1\r\n"),
        ("hlen h", ":2\r\n"),
    ]);
}

#[test]
fn a_key_goes_with_the_last_field_of_its_hash() {
    let mut trial = Trial::default();
    trial.expect(&[
        ("hset h a 1 b 2 c 3", ":3\r\n"),
        ("hdel h a none a", ":1\r\n"),
        ("hdel h none", ":0\r\n"),
        ("hdel none a", ":0\r\n"),
        ("hlen h", ":2\r\n"),
        ("hdel h b c", ":2\r\n"),
        ("hlen h", ":0\r\n"),
        // A hash would not let itself be read as a string.
        ("get h", "$-1\r\n"),
    ]);
    assert_eq!(trial.store.bytes(), 0);
}

#[test]
fn fields_count() {
    Trial::default().expect(&[
        ("hincrby h n 5", ":5\r\n"),
        ("hincrby h n -7", ":-2\r\n"),
        ("hget h n", "$2\r\n-2\r\n"),
        ("hset h n 9223372036854775807 text 1x fraction 1.5", ":2\r\n"),
        ("hincrby h n 1", "-ERR increment or decrement would overflow\r\n"),
        ("hincrby h n -1", ":9223372036854775806\r\n"),
        ("hincrby h text 1", "-ERR hash value is not an integer\r\n"),
        ("hincrby h fraction 1", "-ERR hash value is not an integer\r\n"),
        ("hincrby h n 1x", NOT_INTEGER),
        ("hincrby h n 9223372036854775808", NOT_INTEGER),
        ("hincrbyfloat h fraction 2.25", "$4\r\n3.75\r\n"),
        ("hincrbyfloat h fraction 0.25", "$1\r\n4\r\n"),
        ("hincrby h fraction 1", ":5\r\n"),
        ("hincrbyfloat h new 5e3", "$4\r\n5000\r\n"),
        ("hincrbyfloat h text 1", "-ERR hash value is not a float\r\n"),
        ("hincrbyfloat h fraction x", "-ERR value is not a valid float\r\n"),
        ("hincrbyfloat h fraction nan", "-ERR value is not a valid float\r\n"),
        ("hincrbyfloat h fraction inf", "-ERR value is NaN or Infinity\r\n"),
        ("hset h inf inf", ":1\r\n"),
        ("hincrbyfloat h inf 1", "-ERR increment would produce NaN or Infinity\r\n"),
        // Nothing comes of what could not be done.
        ("hincrby none n x", NOT_INTEGER),
        ("hincrbyfloat none n x", "-ERR value is not a valid float\r\n"),
        ("hlen none", ":0\r\n"),
    ]);
}

#[test]
fn a_string_is_no_hash_and_a_hash_no_string() {
    let mut trial = Trial::default();
    trial.expect(&[("set s x", "+OK\r\n"), ("hset h a 1", ":1\r\n"), ("get h", WRONG_TYPE)]);
    for line in [
        "hset s a 1",
        "hsetnx s a 1",
        "hget s a",
        "hmset s a 1",
        "hmget s a",
        "hgetall s",
        "hdel s a",
        "hexists s a",
        "hlen s",
        "hstrlen s a",
        "hkeys s",
        "hvals s",
        "hincrby s a 1",
        "hincrbyfloat s a 1",
        "hrandfield s",
        "hrandfield s 0",
        "hscan s 0 count x",
    ] {
        assert_eq!(trial.ask(line), WRONG_TYPE, "{line}");
    }
}

#[test]
fn a_field_without_a_value_is_not_set() {
    Trial::default().expect(&[
        ("hset h a", "-ERR wrong number of arguments for 'hset' command\r\n"),
        ("hset h a 1 b", "-ERR wrong number of arguments for 'hset' command\r\n"),
        ("hmset h a 1 b", "-ERR wrong number of arguments for 'hmset' command\r\n"),
        ("hlen h", ":0\r\n"),
    ]);
}

#[test]
fn fields_come_by_chance() {
    let mut trial = Trial::default();
    trial.expect(&[
        ("hset h a 1", ":1\r\n"),
        ("hrandfield h", "$1\r\na\r\n"),
        ("hrandfield h 5", "*1\r\n$1\r\na\r\n"),
        ("hrandfield h -2", "*2\r\n$1\r\na\r\n$1\r\na\r\n"),
        ("hrandfield h -2 WITHVALUES", "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("hrandfield h 0", "*0\r\n"),
        ("hrandfield h 0 withvalues", "*0\r\n"),
        ("hrandfield none", "$-1\r\n"),
        ("hrandfield none 3", "*0\r\n"),
        ("hrandfield h x", NOT_INTEGER),
        ("hrandfield h 1 values", SYNTAX),
        ("hrandfield h 1 withvalues withvalues", SYNTAX),
        ("hrandfield h 4611686018427387904 withvalues", "-ERR value is out of range\r\n"),
        ("hrandfield h 4611686018427387903 withvalues", "*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        (
            "hrandfield h -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n",
        ),
    ]);
    trial.version = Version::Resp3;
    trial.expect(&[
        ("hrandfield h 1", "*1\r\n$1\r\na\r\n"),
        ("hrandfield h -2 withvalues", "*2\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
    ]);
}

#[test]
fn fields_by_chance_differ_from_each_other_unless_their_number_is_negative() {
    let mut trial = Trial::default();
    for count in [100, 1_000] {
        for number in 0..count {
            trial.ask(&format!("hset h {number:04} {number}"));
        }
        let fields = |reply: &str| -> Vec<String> {
            reply.lines().filter(|line| line.len() == 4 && !line.starts_with(['$', '*'])).map(str::to_owned).collect()
        };
        let some = fields(&trial.ask("hrandfield h 50"));
        assert_eq!((some.len(), some.iter().collect::<BTreeSet<_>>().len()), (50, 50));
        assert_ne!(some, fields(&trial.ask("hrandfield h 50")));
        let all = fields(&trial.ask(&format!("hrandfield h {}", count + 1)));
        assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (count, count));
        let many = fields(&trial.ask("hrandfield h -5000"));
        assert_eq!(many.len(), 5_000);
    }
}

#[test]
fn very_many_fields_by_chance_are_written_only_as_they_are_sent() {
    let mut trial = Trial::default();
    let long = [b'x'; 1 << 20];
    trial.run(&[b"hset", b"h", &long, &long]);
    assert_eq!(trial.answer(&[b"hrandfield", b"h", b"-9223372036854775807"]), None);
    assert_eq!(trial.answer(&[b"hrandfield", b"h", b"-4611686018427387903", b"withvalues"]), None);
    assert_eq!(trial.ask("hrandfield h -3").len(), "*3\r\n".len() + 3 * "$1048576\r\n\r\n".len() + (3 << 20));
}

#[test]
fn a_small_hash_is_scanned_at_once() {
    Trial::default().expect(&[
        ("hset h a 1 ab 2 \"\" 3", ":3\r\n"),
        (
            "hscan h 0 count 1",
            "*2\r\n$1\r\n0\r\n*6\r\n$1\r\na\r\n$1\r\n1\r\n$2\r\nab\r\n$1\r\n2\r\n$0\r\n\r\n$1\r\n3\r\n",
        ),
        ("hscan h 77 match a", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("hscan h 0 match a match ?b COUNT 5", "*2\r\n$1\r\n0\r\n*2\r\n$2\r\nab\r\n$1\r\n2\r\n"),
        ("hscan h 0 match x*", "*2\r\n$1\r\n0\r\n*0\r\n"),
        (
            "hscan h 0 match *",
            "*2\r\n$1\r\n0\r\n*6\r\n$1\r\na\r\n$1\r\n1\r\n$2\r\nab\r\n$1\r\n2\r\n$0\r\n\r\n$1\r\n3\r\n",
        ),
    ]);
}

#[test]
fn a_scan_says_what_is_wrong_with_its_words() {
    let mut trial = Trial::default();
    trial.ask("hset h a 1");
    for (words, reply) in [
        ("0 count 0", SYNTAX),
        ("0 count -1", SYNTAX),
        ("0 count", SYNTAX),
        ("0 match", SYNTAX),
        ("0 type hash", SYNTAX),
        ("0 count x", NOT_INTEGER),
        ("0 count 99999999999999999999", NOT_INTEGER),
        ("1 count x match", NOT_INTEGER),
        ("x", "-ERR invalid cursor\r\n"),
        ("0x1", "-ERR invalid cursor\r\n"),
        ("-", "-ERR invalid cursor\r\n"),
        ("\" 1\"", "-ERR invalid cursor\r\n"),
        ("\"1 \"", "-ERR invalid cursor\r\n"),
        ("18446744073709551616", "-ERR invalid cursor\r\n"),
        ("18446744073709551615", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("-1", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("+5", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("\"\"", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
    ] {
        assert_eq!(trial.ask(&format!("hscan h {words}")), reply, "{words}");
    }
    trial.expect(&[
        ("hscan none 0 count x", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("hscan none x count x", "-ERR invalid cursor\r\n"),
    ]);
}

#[test]
fn a_large_hash_is_scanned_in_steps_from_cursor_to_cursor() {
    let mut trial = Trial::default();
    for number in 0..1_000 {
        trial.ask(&format!("hset h field{number:03} {number}"));
    }
    let (mut cursor, mut fields, mut steps) = ("0".to_owned(), BTreeSet::new(), 0);
    loop {
        let reply = trial.ask(&format!("hscan h {cursor} count 100 match field*"));
        let lines: Vec<&str> = reply.lines().collect();
        assert_eq!((lines[0], lines[3]), ("*2", "*200"));
        fields.extend(lines[4..].iter().filter(|line| line.starts_with("field")).map(|line| line.to_string()));
        cursor = lines[2].to_owned();
        steps += 1;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!((steps, fields.len()), (10, 1_000));
    assert_eq!(trial.ask("hscan h 0 count 9223372036854775807").lines().nth(3), Some("*2000"));
}
