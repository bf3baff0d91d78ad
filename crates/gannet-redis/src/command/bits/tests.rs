//! What Redis 7.0 answers.

use gannet::proto::resp::Version;

use crate::trial::Trial;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range\r\n";
const SYNTAX: &str = "-ERR syntax error\r\n";
const BAD_OFFSET: &str = "-ERR bit offset is not an integer or out of range\r\n";
const BAD_BIT: &str = "-ERR bit is not an integer or out of range\r\n";
const BAD_TYPE: &str =
    "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n";

#[test]
fn bits_are_set_one_by_one_and_the_string_grows_to_hold_them() {
    Trial::default().expect(&[
        ("setbit s 7 1", ":0\r\n"),
        ("setbit s 7 1", ":1\r\n"),
        ("get s", "$1\r\n\u{1}\r\n"),
        ("setbit s 17 1", ":0\r\n"),
        ("get s", "$3\r\n\u{1}\0@\r\n"),
        ("setbit s 7 0", ":1\r\n"),
        ("getbit s 7", ":0\r\n"),
        ("getbit s 17", ":1\r\n"),
        ("getbit s 1000", ":0\r\n"),
        ("getbit none 5", ":0\r\n"),
        ("setbit zero 20 0", ":0\r\n"),
        ("get zero", "$3\r\n\0\0\0\r\n"),
        ("set n 12345", "+OK\r\n"),
        ("getbit n 3", ":1\r\n"),
        ("setbit n 7 0", ":1\r\n"),
        ("get n", "$5\r\n02345\r\n"),
    ]);
}

#[test]
fn a_string_has_no_bits_beyond_its_largest_size() {
    let mut trial = Trial::default();
    for offset in ["-1", "x", "4294967296", "99999999999999999999"] {
        assert_eq!(trial.ask(&format!("setbit s {offset} 1")), BAD_OFFSET);
        assert_eq!(trial.ask(&format!("getbit s {offset}")), BAD_OFFSET);
        assert_eq!(trial.ask(&format!("bitfield s get u8 {offset}")), BAD_OFFSET);
    }
    trial.expect(&[
        ("getbit s 4294967295", ":0\r\n"),
        ("setbit s 4294967295 2", BAD_BIT),
        ("setbit s 0 x", BAD_BIT),
        ("setbit s 0 -1", BAD_BIT),
        ("bitfield s get u8 #536870912", BAD_OFFSET),
        ("bitfield s get i64 #9223372036854775807", BAD_OFFSET),
        ("bitfield s get i64 #288230376151711744", BAD_OFFSET),
        ("bitfield s get u8 #", BAD_OFFSET),
        ("bitfield s get u8 #-1", BAD_OFFSET),
        ("bitfield s get u8 4294967295 get u8 #536870911", "*2\r\n:0\r\n:0\r\n"),
    ]);
}

#[test]
fn a_hash_has_no_bits() {
    let mut trial = Trial::default();
    trial.expect(&[("hset h a 1", ":1\r\n"), ("set s x", "+OK\r\n")]);
    for line in [
        "setbit h 1 1",
        "getbit h 1",
        "bitcount h",
        "bitcount h 0 x",
        "bitpos h 1",
        "bitpos h 1 x",
        "bitop and d h",
        "bitop or d s h",
        "bitfield h",
        "bitfield h get u8 0",
        "bitfield h set u8 0 1",
        "bitfield_ro h get u8 0",
    ] {
        assert_eq!(trial.ask(line), WRONG_TYPE, "{line}");
    }
}

#[test]
fn bits_are_counted_in_bytes_or_bits() {
    Trial::default().expect(&[
        ("set s foobar", "+OK\r\n"),
        ("bitcount s", ":26\r\n"),
        ("bitcount s 0 0", ":4\r\n"),
        ("bitcount s 1 1 BYTE", ":6\r\n"),
        ("bitcount s 5 30 bit", ":17\r\n"),
        ("bitcount s -2 -1", ":7\r\n"),
        ("bitcount s -100 0", ":4\r\n"),
        ("bitcount s 0 100", ":26\r\n"),
        ("bitcount s 3 2", ":0\r\n"),
        ("bitcount s 6 9", ":0\r\n"),
        ("bitcount s -9223372036854775808 9223372036854775807 bit", ":26\r\n"),
        ("set empty \"\"", "+OK\r\n"),
        ("bitcount empty", ":0\r\n"),
        ("bitcount empty 0 -1 bit", ":0\r\n"),
        ("bitcount none", ":0\r\n"),
    ]);
}

#[test]
fn what_counts_bits_looks_at_its_words_in_redis_order() {
    Trial::default().expect(&[
        ("bitcount none x y z", ":0\r\n"),
        ("set s foobar", "+OK\r\n"),
        ("bitcount s 0", SYNTAX),
        ("bitcount s 0 x", NOT_INTEGER),
        ("bitcount s x 0 unit", NOT_INTEGER),
        ("bitcount s 0 -1 unit", SYNTAX),
        ("bitcount s 0 -1 bit bit", SYNTAX),
        // Both before the beginning is the first byte, unless they are the wrong way around.
        ("bitcount s -200 -100", ":4\r\n"),
        ("bitcount s -100 -200", ":0\r\n"),
        ("bitcount s -100 -200 unit", ":0\r\n"),
    ]);
}

#[test]
fn the_first_bit_of_a_kind_is_found() {
    let mut trial = Trial::default();
    trial.run(&[b"set", b"s", b"\xff\xf0\x00"]);
    trial.run(&[b"set", b"ones", b"\xff\xff"]);
    trial.run(&[b"set", b"zeros", b"\0\0"]);
    trial.expect(&[
        ("bitpos s 0", ":12\r\n"),
        ("bitpos s 1", ":0\r\n"),
        ("bitpos s 1 2", ":-1\r\n"),
        ("bitpos s 0 2", ":16\r\n"),
        ("bitpos s 1 1 -1", ":8\r\n"),
        ("bitpos s 0 9 15 bit", ":12\r\n"),
        ("bitpos s 1 -13 -1 BIT", ":11\r\n"),
        ("bitpos zeros 1", ":-1\r\n"),
        // Behind the end there are zeros, unless it is said where the end is.
        ("bitpos ones 0", ":16\r\n"),
        ("bitpos ones 0 1", ":16\r\n"),
        ("bitpos ones 0 0 -1", ":-1\r\n"),
        ("bitpos ones 0 2", ":-1\r\n"),
        ("bitpos ones 0 0 -1 bit", ":-1\r\n"),
        ("bitpos none 0", ":0\r\n"),
        ("bitpos none 1", ":-1\r\n"),
        ("bitpos none 0 x", ":0\r\n"),
        ("bitpos none 2", "-ERR The bit argument must be 1 or 0.\r\n"),
        ("bitpos none x", NOT_INTEGER),
        ("bitpos ones 0 x", NOT_INTEGER),
        ("bitpos ones 0 1 bit", NOT_INTEGER),
        ("bitpos ones 0 1 2 unit", SYNTAX),
        ("bitpos ones 0 1 2 bit bit", SYNTAX),
    ]);
}

#[test]
fn strings_are_combined_as_if_they_ended_in_zeros() {
    let mut trial = Trial::default();
    trial.expect(&[
        ("set one abc", "+OK\r\n"),
        ("set other aB", "+OK\r\n"),
        ("bitop and d one other", ":3\r\n"),
        ("get d", "$3\r\naB\0\r\n"),
        ("bitop OR d one other none", ":3\r\n"),
        ("get d", "$3\r\nabc\r\n"),
        ("bitop xor d other one", ":3\r\n"),
        ("get d", "$3\r\n\0 c\r\n"),
        ("bitop and d one none", ":3\r\n"),
        ("get d", "$3\r\n\0\0\0\r\n"),
        ("set n 12", "+OK\r\n"),
        ("bitop or n n n", ":2\r\n"),
        ("get n", "$2\r\n12\r\n"),
        ("bitop or d other", ":2\r\n"),
        ("get d", "$2\r\naB\r\n"),
        ("hset h a 1", ":1\r\n"),
        ("bitop or h one", ":3\r\n"),
        ("get h", "$3\r\nabc\r\n"),
        // What comes to nothing removes what was there.
        ("bitop or d none none", ":0\r\n"),
        ("get d", "$-1\r\n"),
        ("bitop nor d one", SYNTAX),
        ("bitop not d one other", "-ERR BITOP NOT must be called with a single source key.\r\n"),
    ]);
    trial.run(&[b"set", b"bytes", b"\x0f\xff"]);
    trial.expect(&[("bitop not d bytes", ":2\r\n"), ("bitop not d d", ":2\r\n"), ("bitpos d 1", ":4\r\n")]);
}

#[test]
fn a_combined_string_does_not_expire_with_what_was_there_before() {
    let mut trial = Trial::default();
    trial.expect(&[("set s x", "+OK\r\n"), ("set d y px 100", "+OK\r\n"), ("bitop or d s", ":1\r\n")]);
    trial.now_ms += 1_000;
    assert_eq!(trial.ask("get d"), "$1\r\nx\r\n");
}

#[test]
fn fields_are_numbers_of_any_width_at_any_bit() {
    Trial::default().expect(&[
        ("bitfield f set u8 0 255 get i8 0 get u4 4 get u63 1", "*4\r\n:0\r\n:-1\r\n:15\r\n:9151314442816847872\r\n"),
        (
            "bitfield f set i64 0 -9223372036854775808 get i64 0",
            "*2\r\n:-72057594037927936\r\n:-9223372036854775808\r\n",
        ),
        ("bitfield f set u63 3 -1 get u63 3", "*2\r\n:0\r\n:9223372036854775807\r\n"),
        ("get f", "$9\r\n\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\r\n"),
        ("bitfield f set u8 #1 7 get u8 8", "*2\r\n:255\r\n:7\r\n"),
        ("bitfield f incrby i5 100 1 get u4 0", "*2\r\n:1\r\n:9\r\n"),
        ("bitfield none get u8 0 get i64 1000", "*2\r\n:0\r\n:0\r\n"),
        ("get none", "$-1\r\n"),
        ("bitfield none", "*0\r\n"),
        ("set n 12", "+OK\r\n"),
        ("bitfield n get u8 0 set u8 0 50", "*2\r\n:49\r\n:49\r\n"),
        ("get n", "$2\r\n22\r\n"),
    ]);
}

#[test]
fn a_field_that_cannot_hold_a_number_wraps_saturates_or_fails() {
    let mut trial = Trial::default();
    trial.expect(&[
        (
            "bitfield s overflow sat set u8 0 256 get u8 0 set i8 0 128 get i8 0 set i8 0 -129 get i8 0 set u8 0 -1 get u8 0",
            "*8\r\n:0\r\n:255\r\n:-1\r\n:127\r\n:127\r\n:-128\r\n:128\r\n:255\r\n",
        ),
        (
            "bitfield w overflow WRAP set u8 0 256 get u8 0 set i8 0 128 get i8 0 set i8 0 -129 get i8 0 set u8 0 -1 get u8 0",
            "*8\r\n:0\r\n:0\r\n:0\r\n:-128\r\n:-128\r\n:127\r\n:127\r\n:255\r\n",
        ),
        (
            "bitfield f overflow fail set u8 0 256 set i8 0 128 set i8 0 -129 set i8 0 -1 get i8 0",
            "*5\r\n$-1\r\n$-1\r\n$-1\r\n:0\r\n:-1\r\n",
        ),
        (
            "bitfield l overflow sat incrby u63 0 -1 incrby u63 0 9223372036854775807 incrby u63 0 1",
            "*3\r\n:0\r\n:9223372036854775807\r\n:9223372036854775807\r\n",
        ),
        (
            "bitfield i incrby i64 0 9223372036854775807 overflow sat incrby i64 0 1 overflow wrap incrby i64 0 1",
            "*3\r\n:9223372036854775807\r\n:9223372036854775807\r\n:-9223372036854775808\r\n",
        ),
        (
            "bitfield m overflow sat incrby u8 0 -1 overflow fail incrby u8 0 -1 overflow wrap incrby u8 0 -1 incrby u8 0 -300",
            "*4\r\n:0\r\n$-1\r\n:255\r\n:211\r\n",
        ),
        ("bitfield far overflow sat set i8 0 -9223372036854775808 get i8 0", "*2\r\n:0\r\n:-128\r\n"),
        // What fails has made the string long enough all the same.
        ("bitfield grown overflow fail incrby u8 100 1000", "*1\r\n$-1\r\n"),
        ("bitcount grown 13 13", ":0\r\n"),
        ("bitpos grown 0 13 13", ":104\r\n"),
        ("bitpos grown 0 14 14", ":-1\r\n"),
    ]);
    trial.version = Version::Resp3;
    trial.expect(&[("bitfield grown overflow fail incrby u8 100 1000", "*1\r\n_\r\n")]);
}

#[test]
fn nothing_is_written_where_one_of_the_fields_is_wrong() {
    let mut trial = Trial::default();
    for bad in ["u64", "i65", "u0", "i0", "x8", "u", "u8x", "u08", "U8", "u+8", "\"\""] {
        assert_eq!(trial.ask(&format!("bitfield s set u8 0 1 get {bad} 0")), BAD_TYPE, "{bad}");
    }
    trial.expect(&[
        ("bitfield s set u8 0 1 overflow maybe", "-ERR Invalid OVERFLOW type specified\r\n"),
        ("bitfield s overflow", SYNTAX),
        ("bitfield s overflow wrap", "*0\r\n"),
        ("bitfield s get u8", SYNTAX),
        ("bitfield s set u8 0", SYNTAX),
        ("bitfield s set u8 0 x", NOT_INTEGER),
        ("bitfield s set u8 0 9223372036854775808", NOT_INTEGER),
        ("bitfield s incrby u8 0 9223372036854775808", NOT_INTEGER),
        ("bitfield s put u8 0 1", SYNTAX),
        ("bitfield s get u8 0 get", SYNTAX),
        ("get s", "$-1\r\n"),
    ]);
}

#[test]
fn fields_can_be_read_by_those_who_may_not_write() {
    Trial::default().expect(&[
        ("set s a", "+OK\r\n"),
        ("bitfield_ro s get u8 0 overflow fail get i4 4", "*2\r\n:97\r\n:1\r\n"),
        ("bitfield_ro s set u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n"),
        ("bitfield_ro s get u8 0 incrby u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n"),
        ("bitfield_ro s set u8 0 x", NOT_INTEGER),
        ("bitfield_ro none get u8 0", "*1\r\n:0\r\n"),
    ]);
}

#[test]
fn commands_on_bits_count_the_bytes_that_they_look_at_or_add() {
    let mut trial = Trial::default();
    let mut work = |line: &str| {
        trial.work = 0;
        trial.ask(line);
        trial.work
    };
    assert_eq!(work("setbit s 799999 0"), 100_000);
    assert_eq!(work("setbit s 799999 1"), 0, "it was as long before");
    assert_eq!(work("setrange t 99999 x"), 100_000);
    assert_eq!(work("bitcount s"), 100_000);
    assert_eq!(work("bitcount s 10 19"), 10);
    assert_eq!(work("bitcount s 10 19 bit"), 2);
    assert_eq!(work("bitpos s 1"), 99_999);
    assert_eq!(work("bitpos s 0"), 0, "it is the first bit");
    assert_eq!(work("bitop or both s t"), 300_000, "two are read, and one is made");
    assert_eq!(work("bitfield u set u8 #999 1"), 1_000);
    assert!(work("lcs s s") == 0 && work("set short abcd") == 0, "it is refused, or small");
    assert_eq!(work("lcs short short len"), 100, "5 times 5 numbers of 4 bytes");
    assert_eq!((work("get s"), work("getbit s 9"), work("strlen s"), work("append s x")), (0, 0, 0, 0));
}
