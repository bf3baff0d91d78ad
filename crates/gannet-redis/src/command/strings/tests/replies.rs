//! Replies as the real server gives them.

use gannet::proto::resp::Version;

use crate::store::Key;
use crate::store::entry::New;
use crate::trial::Trial;

#[test]
fn what_was_set_is_what_one_gets() {
    Trial::default().expect(&[
        ("get name", "$-1\r\n"),
        ("set name \"a value\"", "+OK\r\n"),
        ("get name", "$7\r\na value\r\n"),
        ("set name 12", "+OK\r\n"),
        ("GET name", "$2\r\n12\r\n"),
        ("strlen name", ":2\r\n"),
        ("get", "-ERR wrong number of arguments for 'get' command\r\n"),
    ]);
}

#[test]
fn set_can_ask_for_the_key_to_be_there_or_not() {
    Trial::default().expect(&[
        ("set name one XX", "$-1\r\n"),
        ("set name one NX", "+OK\r\n"),
        ("set name two NX", "$-1\r\n"),
        ("set name two xx", "+OK\r\n"),
        ("get name", "$3\r\ntwo\r\n"),
        ("setnx name three", ":0\r\n"),
        ("setnx other three", ":1\r\n"),
        ("mget name other neither", "*3\r\n$3\r\ntwo\r\n$5\r\nthree\r\n$-1\r\n"),
    ]);
}

#[test]
fn set_can_answer_what_was_there_before_whether_it_sets_or_not() {
    Trial::default().expect(&[
        ("set name one GET", "$-1\r\n"),
        ("set name two NX GET", "$3\r\none\r\n"),
        ("get name", "$3\r\none\r\n"),
        ("set name two GET", "$3\r\none\r\n"),
        ("set name three XX GET", "$3\r\ntwo\r\n"),
        ("set other one NX GET", "$-1\r\n"),
        ("get other", "$3\r\none\r\n"),
        ("set missing one XX GET", "$-1\r\n"),
        ("get missing", "$-1\r\n"),
        ("getset name 4", "$5\r\nthree\r\n"),
        ("getset missing 1", "$-1\r\n"),
        ("get name", "$1\r\n4\r\n"),
    ]);
}

#[test]
fn options_that_contradict_each_other_are_a_syntax_error() {
    Trial::default().expect(&[
        ("set name 1 NX XX", "-ERR syntax error\r\n"),
        ("set name 1 XX NX", "-ERR syntax error\r\n"),
        ("set name 1 EX 10 PX 10", "-ERR syntax error\r\n"),
        ("set name 1 EX 10 KEEPTTL", "-ERR syntax error\r\n"),
        ("set name 1 KEEPTTL PXAT 10", "-ERR syntax error\r\n"),
        ("set name 1 EX", "-ERR syntax error\r\n"),
        ("set name 1 PERSIST", "-ERR syntax error\r\n"),
        ("set name 1 none", "-ERR syntax error\r\n"),
        ("set name 1 EX none NX XX", "-ERR syntax error\r\n"),
        ("getex name EX 10 PERSIST", "-ERR syntax error\r\n"),
        ("getex name PERSIST EXAT 10", "-ERR syntax error\r\n"),
        ("getex name KEEPTTL", "-ERR syntax error\r\n"),
        ("getex name NX", "-ERR syntax error\r\n"),
        ("set name 1 EX 10 EX 20", "+OK\r\n"),
        ("set name 1 nx Nx kEEPttl keepTTL get GET", "$1\r\n1\r\n"),
    ]);
}

#[test]
fn a_deadline_has_to_be_a_number_of_milliseconds_that_fits() {
    Trial::default().expect(&[
        ("set name 1 EX ten", "-ERR value is not an integer or out of range\r\n"),
        ("set name 1 EX 0", "-ERR invalid expire time in 'set' command\r\n"),
        ("set name 1 PX -1", "-ERR invalid expire time in 'set' command\r\n"),
        ("set name 1 EXAT 0", "-ERR invalid expire time in 'set' command\r\n"),
        ("set name 1 PXAT -1", "-ERR invalid expire time in 'set' command\r\n"),
        ("set name 1 EX 9223372036854776", "-ERR invalid expire time in 'set' command\r\n"),
        ("set name 1 EX 9223372036854775", "-ERR invalid expire time in 'set' command\r\n"),
        ("set name 1 PX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"),
        ("set name 1 PXAT 9223372036854775808", "-ERR value is not an integer or out of range\r\n"),
        ("set name 1 PXAT 9223372036854775807", "+OK\r\n"),
        ("setex name 0 1", "-ERR invalid expire time in 'setex' command\r\n"),
        ("setex name ten 1", "-ERR value is not an integer or out of range\r\n"),
        ("setex name 9223372036854775807 1", "-ERR invalid expire time in 'setex' command\r\n"),
        ("psetex name -1 1", "-ERR invalid expire time in 'psetex' command\r\n"),
        ("psetex name 9223372036854775807 1", "-ERR invalid expire time in 'psetex' command\r\n"),
        ("getex name EX 0", "-ERR invalid expire time in 'getex' command\r\n"),
        ("getex name PX ten", "-ERR value is not an integer or out of range\r\n"),
        ("getex missing EX 0", "$-1\r\n"),
        ("get name", "$1\r\n1\r\n"),
    ]);
}

#[test]
fn mset_needs_a_value_for_each_key_and_msetnx_all_keys_absent() {
    Trial::default().expect(&[
        ("mset a 1 b 2 a 3", "+OK\r\n"),
        ("mget a b c", "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n"),
        ("mset a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"),
        ("msetnx c 1 d", "-ERR wrong number of arguments for 'msetnx' command\r\n"),
        ("msetnx c 1 a 1", ":0\r\n"),
        ("get c", "$-1\r\n"),
        ("msetnx c 1 d 2", ":1\r\n"),
        ("mget c d", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("getdel c", "$1\r\n1\r\n"),
        ("getdel c", "$-1\r\n"),
    ]);
}

#[test]
fn a_string_grows_where_it_is_appended_to() {
    Trial::default().expect(&[
        ("append text \"\"", ":0\r\n"),
        ("get text", "$0\r\n\r\n"),
        ("append text abc", ":3\r\n"),
        ("append text 12", ":5\r\n"),
        ("get text", "$5\r\nabc12\r\n"),
        ("set number 12", "+OK\r\n"),
        ("append number 3", ":3\r\n"),
        ("incr number", ":124\r\n"),
        ("strlen number", ":3\r\n"),
        ("strlen missing", ":0\r\n"),
    ]);
}

#[test]
fn a_range_counts_from_either_end_and_is_cut_to_the_string() {
    Trial::default().expect(&[
        ("set text \"This is a string\"", "+OK\r\n"),
        ("getrange text 0 3", "$4\r\nThis\r\n"),
        ("getrange text -3 -1", "$3\r\ning\r\n"),
        ("getrange text 0 -1", "$16\r\nThis is a string\r\n"),
        ("getrange text 10 100", "$6\r\nstring\r\n"),
        ("getrange text -100 3", "$4\r\nThis\r\n"),
        ("getrange text -100 -100", "$1\r\nT\r\n"),
        ("getrange text -100 -101", "$0\r\n\r\n"),
        ("getrange text 5 3", "$0\r\n\r\n"),
        ("getrange text 16 16", "$0\r\n\r\n"),
        ("getrange text -9223372036854775808 9223372036854775807", "$16\r\nThis is a string\r\n"),
        ("substr text -6 -1", "$6\r\nstring\r\n"),
        ("getrange missing 0 -1", "$0\r\n\r\n"),
        ("getrange missing x 0", "-ERR value is not an integer or out of range\r\n"),
        ("set number -123", "+OK\r\n"),
        ("getrange number 0 1", "$2\r\n-1\r\n"),
    ]);
}

#[test]
fn setrange_fills_up_with_zeros() {
    Trial::default().expect(&[
        ("setrange text 3 abc", ":6\r\n"),
        ("get text", "$6\r\n\0\0\0abc\r\n"),
        ("setrange text 0 xy", ":6\r\n"),
        ("setrange text 4 \"\"", ":6\r\n"),
        ("setrange missing 4 \"\"", ":0\r\n"),
        ("get missing", "$-1\r\n"),
        ("set number 1234", "+OK\r\n"),
        ("setrange number 1 00", ":4\r\n"),
        ("incr number", ":1005\r\n"),
        ("setrange text -1 x", "-ERR offset is out of range\r\n"),
        ("setrange text x x", "-ERR value is not an integer or out of range\r\n"),
    ]);
}

#[test]
fn no_string_becomes_larger_than_the_largest_word() {
    Trial::default().expect(&[
        ("setrange text 536870912 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"),
        ("setrange text 536870911 xx", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"),
        ("setrange text 9223372036854775807 xx", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"),
        ("setrange text 9223372036854775807 \"\"", ":0\r\n"),
        ("get text", "$-1\r\n"),
    ]);
}

#[test]
fn counters_stay_within_64_bits() {
    Trial::default().expect(&[
        ("incr n", ":1\r\n"),
        ("incrby n 9223372036854775806", ":9223372036854775807\r\n"),
        ("incr n", "-ERR increment or decrement would overflow\r\n"),
        ("decr n", ":9223372036854775806\r\n"),
        ("decrby n -1", ":9223372036854775807\r\n"),
        ("decrby n -9223372036854775808", "-ERR decrement would overflow\r\n"),
        ("set n -9223372036854775808", "+OK\r\n"),
        ("decr n", "-ERR increment or decrement would overflow\r\n"),
        ("incrby n 9223372036854775808", "-ERR value is not an integer or out of range\r\n"),
        ("incrby n 1.0", "-ERR value is not an integer or out of range\r\n"),
        ("get n", "$20\r\n-9223372036854775808\r\n"),
        ("set n \" 1\"", "+OK\r\n"),
        ("incr n", "-ERR value is not an integer or out of range\r\n"),
        ("set n 01", "+OK\r\n"),
        ("decrby n 1", "-ERR value is not an integer or out of range\r\n"),
        ("set n \"\"", "+OK\r\n"),
        ("incrby n 1", "-ERR value is not an integer or out of range\r\n"),
    ]);
}

#[test]
fn fractions_are_written_without_zeros_at_the_end() {
    Trial::default().expect(&[
        ("incrbyfloat n 10.50", "$4\r\n10.5\r\n"),
        ("incrbyfloat n 0.1", "$4\r\n10.6\r\n"),
        ("incrbyfloat n -5", "$3\r\n5.6\r\n"),
        ("incrbyfloat n -5.6", "$1\r\n0\r\n"),
        ("set n 5.0e3", "+OK\r\n"),
        ("incrbyfloat n 2.0e2", "$4\r\n5200\r\n"),
        ("incrbyfloat n x", "-ERR value is not a valid float\r\n"),
        ("set n x", "+OK\r\n"),
        ("incrbyfloat n 1", "-ERR value is not a valid float\r\n"),
        ("set n 3", "+OK\r\n"),
        ("incrbyfloat n inf", "-ERR increment would produce NaN or Infinity\r\n"),
        ("set n -0", "+OK\r\n"),
        ("incrbyfloat n -0", "$1\r\n0\r\n"),
        ("incrbyfloat m -0.5", "$4\r\n-0.5\r\n"),
        ("incr m", "-ERR value is not an integer or out of range\r\n"),
        ("incrbyfloat m 0.5", "$1\r\n0\r\n"),
        ("incr m", ":1\r\n"),
    ]);
}

#[test]
fn the_longest_common_subsequence_comes_as_text_as_length_or_as_places() {
    Trial::default().expect(&[
        ("mset a ohmytext b mynewtext", "+OK\r\n"),
        ("lcs a b", "$6\r\nmytext\r\n"),
        ("lcs a b LEN", ":6\r\n"),
        ("lcs a b IDX", "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n"),
        ("lcs a b IDX MINMATCHLEN 4", "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n$3\r\nlen\r\n:6\r\n"),
        ("lcs a b IDX MINMATCHLEN 4 WITHMATCHLEN", "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n$3\r\nlen\r\n:6\r\n"),
        ("lcs a b IDX MINMATCHLEN -1 WITHMATCHLEN", "*4\r\n$7\r\nmatches\r\n*2\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n*3\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n:2\r\n$3\r\nlen\r\n:6\r\n"),
        ("lcs a b IDX MINMATCHLEN 5", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:6\r\n"),
        ("lcs a a", "$8\r\nohmytext\r\n"),
        ("lcs a missing", "$0\r\n\r\n"),
        ("lcs a missing IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n"),
        ("lcs missing missing LEN", ":0\r\n"),
        ("mset a 1234 b 2254", "+OK\r\n"),
        ("lcs a b IDX WITHMATCHLEN", "*4\r\n$7\r\nmatches\r\n*2\r\n*3\r\n*2\r\n:3\r\n:3\r\n*2\r\n:3\r\n:3\r\n:1\r\n*3\r\n*2\r\n:1\r\n:1\r\n*2\r\n:0\r\n:0\r\n:1\r\n$3\r\nlen\r\n:2\r\n"),
        ("lcs a b LEN IDX", "-ERR If you want both the length and indexes, please just use IDX.\r\n"),
        ("lcs a b MINMATCHLEN", "-ERR syntax error\r\n"),
        ("lcs a b MINMATCHLEN x", "-ERR value is not an integer or out of range\r\n"),
        ("lcs a b none", "-ERR syntax error\r\n"),
    ]);
}

#[test]
fn a_table_for_a_common_subsequence_has_a_limit() {
    Trial::default().expect(&[
        ("setrange a 12000 x", ":12001\r\n"),
        ("lcs a a LEN", "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n"),
        ("lcs a a", "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n"),
        ("lcs a missing", "$0\r\n\r\n"),
    ]);
}

#[test]
fn a_hash_is_no_string_except_for_those_who_do_not_look() {
    let mut trial = Trial::default();
    let key = Key::new(b"h");
    trial.store.lock_one(key).space(0, key).set(key, New::Hash(Box::default()), trial.now_ms);
    trial.expect(&[
        ("get h", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("set h 1 GET", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("set h 1 NX GET", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("set h 1 NX", "$-1\r\n"),
        ("setnx h 1", ":0\r\n"),
        ("getset h 1", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("getdel h", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("getex h", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("getex h EX 0", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("mget h h", "*2\r\n$-1\r\n$-1\r\n"),
        ("msetnx h 1", ":0\r\n"),
        ("strlen h", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("append h 1", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("getrange h 0 1", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("getrange h x 1", "-ERR value is not an integer or out of range\r\n"),
        ("setrange h 0 \"\"", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("setrange h -1 \"\"", "-ERR offset is out of range\r\n"),
        ("incr h", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("decrby h x", "-ERR value is not an integer or out of range\r\n"),
        ("incrby h 1", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("incrbyfloat h 1", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("incrbyfloat h x", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("lcs h h", "-ERR The specified keys must contain string values\r\n"),
        ("lcs h missing none", "-ERR The specified keys must contain string values\r\n"),
        ("set h 1", "+OK\r\n"),
        ("get h", "$1\r\n1\r\n"),
    ]);
}

#[test]
fn nothing_and_maps_have_types_of_their_own_in_resp3() {
    let mut trial = Trial { version: Version::Resp3, ..Trial::default() };
    trial.expect(&[
        ("get a", "_\r\n"),
        ("getdel a", "_\r\n"),
        ("getex a", "_\r\n"),
        ("getset a 12", "_\r\n"),
        ("set a 1 NX", "_\r\n"),
        ("set a 1 NX GET", "$2\r\n12\r\n"),
        ("mget a missing", "*2\r\n$2\r\n12\r\n_\r\n"),
        ("lcs a a", "$2\r\n12\r\n"),
        ("lcs a a LEN", ":2\r\n"),
        (
            "lcs a a IDX WITHMATCHLEN",
            "%2\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:0\r\n:1\r\n*2\r\n:0\r\n:1\r\n:2\r\n$3\r\nlen\r\n:2\r\n",
        ),
    ]);
}
