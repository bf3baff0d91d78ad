//! What Redis 7.0.15 answers, exchange by exchange.

use crate::trial::Trial;

#[test]
fn keys_are_removed_and_counted_by_their_names() {
    Trial::default().expect(&[
        ("set a 1", "+OK\r\n"),
        ("set b 2", "+OK\r\n"),
        ("exists a b a none", ":3\r\n"),
        ("touch a b none", ":2\r\n"),
        ("del a a none", ":1\r\n"),
        ("unlink b a", ":1\r\n"),
        ("exists a b", ":0\r\n"),
        ("del", "-ERR wrong number of arguments for 'del' command\r\n"),
        ("unlink", "-ERR wrong number of arguments for 'unlink' command\r\n"),
        ("exists", "-ERR wrong number of arguments for 'exists' command\r\n"),
        ("touch", "-ERR wrong number of arguments for 'touch' command\r\n"),
        ("type none", "+none\r\n"),
        ("set a x", "+OK\r\n"),
        ("type a", "+string\r\n"),
        ("type", "-ERR wrong number of arguments for 'type' command\r\n"),
    ]);
}

#[test]
fn a_key_takes_its_deadline_along() {
    Trial::default().expect(&[
        ("set a 1", "+OK\r\n"),
        ("expire a 100", ":1\r\n"),
        ("set b 2", "+OK\r\n"),
        ("rename a b", "+OK\r\n"),
        ("ttl b", ":100\r\n"),
        ("ttl a", ":-2\r\n"),
        ("get b", "$1\r\n1\r\n"),
        ("rename none b", "-ERR no such key\r\n"),
        ("rename b b", "+OK\r\n"),
        ("renamenx b b", ":0\r\n"),
        ("set c 3", "+OK\r\n"),
        ("renamenx b c", ":0\r\n"),
        ("renamenx b d", ":1\r\n"),
        ("renamenx none d", "-ERR no such key\r\n"),
        ("rename none none", "-ERR no such key\r\n"),
        ("renamenx none none", "-ERR no such key\r\n"),
        ("ttl d", ":100\r\n"),
        ("get d", "$1\r\n1\r\n"),
        ("rename d", "-ERR wrong number of arguments for 'rename' command\r\n"),
        ("set d long-enough-to-be-a-string", "+OK\r\n"),
        ("rename d c", "+OK\r\n"),
        ("get c", "$26\r\nlong-enough-to-be-a-string\r\n"),
    ]);
}

#[test]
fn a_copy_is_a_key_of_its_own() {
    Trial::default().expect(&[
        ("set a 1", "+OK\r\n"),
        ("expire a 100", ":1\r\n"),
        ("copy a b", ":1\r\n"),
        ("get b", "$1\r\n1\r\n"),
        ("ttl b", ":100\r\n"),
        ("copy a b", ":0\r\n"),
        ("set a 2", "+OK\r\n"),
        ("copy a b replace", ":1\r\n"),
        ("get b", "$1\r\n2\r\n"),
        ("copy none b", ":0\r\n"),
        ("copy none b replace", ":0\r\n"),
        ("copy a a", "-ERR source and destination objects are the same\r\n"),
        ("copy none none", "-ERR source and destination objects are the same\r\n"),
        ("copy a a db 0", "-ERR source and destination objects are the same\r\n"),
        ("copy a a db 1", ":1\r\n"),
        ("copy a a db 1", ":0\r\n"),
        ("copy a a REPLACE DB 1 replace", ":1\r\n"),
        ("copy a b db 16", "-ERR DB index is out of range\r\n"),
        ("copy a b db -1", "-ERR DB index is out of range\r\n"),
        ("copy a b db x", "-ERR value is not an integer or out of range\r\n"),
        ("copy a b db", "-ERR syntax error\r\n"),
        ("copy a b db 99999999999", "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n"),
        ("copy a b other", "-ERR syntax error\r\n"),
        ("copy a", "-ERR wrong number of arguments for 'copy' command\r\n"),
    ]);
}

#[test]
fn a_key_moves_to_another_database() {
    Trial::default().expect(&[
        ("set a 1", "+OK\r\n"),
        ("expire a 100", ":1\r\n"),
        ("move a 0", "-ERR source and destination objects are the same\r\n"),
        ("move none 0", "-ERR source and destination objects are the same\r\n"),
        ("move a 1", ":1\r\n"),
        ("get a", "$-1\r\n"),
        ("set a 2", "+OK\r\n"),
        ("move a 1", ":0\r\n"),
        ("move none 1", ":0\r\n"),
        ("move a 16", "-ERR DB index is out of range\r\n"),
        ("move a -1", "-ERR DB index is out of range\r\n"),
        ("move a x", "-ERR value is not an integer or out of range\r\n"),
        ("move a 99999999999", "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n"),
        ("move a", "-ERR wrong number of arguments for 'move' command\r\n"),
    ]);
}

#[test]
fn deadlines_can_be_set_under_conditions() {
    Trial::default().expect(&[
        ("set a 1", "+OK\r\n"),
        ("ttl a", ":-1\r\n"),
        ("pttl a", ":-1\r\n"),
        ("expiretime a", ":-1\r\n"),
        ("pexpiretime a", ":-1\r\n"),
        ("ttl none", ":-2\r\n"),
        ("pttl none", ":-2\r\n"),
        ("expiretime none", ":-2\r\n"),
        ("pexpiretime none", ":-2\r\n"),
        ("expire none 10", ":0\r\n"),
        ("expire a 10 xx", ":0\r\n"),
        ("expire a 10 gt", ":0\r\n"),
        ("expire a 100 lt", ":1\r\n"),
        ("expire a 200 lt", ":0\r\n"),
        ("expire a 50 gt", ":0\r\n"),
        ("expire a 100 gt", ":0\r\n"),
        ("expire a 200 gt", ":1\r\n"),
        ("expire a 300 nx", ":0\r\n"),
        ("ttl a", ":200\r\n"),
        ("expire a 300 XX", ":1\r\n"),
        ("ttl a", ":300\r\n"),
        ("expire a 400 xx gt", ":1\r\n"),
        ("expire a 500 xx gt gt lt", "-ERR GT and LT options at the same time are not compatible\r\n"),
        ("expire a 500 nx gt", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"),
        ("expire a 500 nx xx", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"),
        ("expire a 500 nx lt", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"),
        ("expire a 500 gt lt", "-ERR GT and LT options at the same time are not compatible\r\n"),
        ("expire a 500 what", "-ERR Unsupported option what\r\n"),
        ("expire none 500 what", "-ERR Unsupported option what\r\n"),
        ("expire a x what", "-ERR Unsupported option what\r\n"),
        ("expire a x", "-ERR value is not an integer or out of range\r\n"),
        ("expire none x", "-ERR value is not an integer or out of range\r\n"),
        ("expire a 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"),
        ("expire a 9223372036854775", "-ERR invalid expire time in 'expire' command\r\n"),
        ("pexpire a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n"),
        ("pexpireat a 9223372036854775807", ":1\r\n"),
        ("pexpiretime a", ":9223372036854775807\r\n"),
        ("expireat a 9223372036854775807", "-ERR invalid expire time in 'expireat' command\r\n"),
        ("expireat a -9223372036854775808", "-ERR invalid expire time in 'expireat' command\r\n"),
        ("expireat a 9999999999", ":1\r\n"),
        ("expiretime a", ":9999999999\r\n"),
        ("pexpiretime a", ":9999999999000\r\n"),
        ("pexpireat a 9999999999501", ":1\r\n"),
        ("expiretime a", ":10000000000\r\n"),
        ("persist a", ":1\r\n"),
        ("persist a", ":0\r\n"),
        ("persist none", ":0\r\n"),
        ("ttl a", ":-1\r\n"),
        ("expire a", "-ERR wrong number of arguments for 'expire' command\r\n"),
        ("expire a 10 20", "-ERR Unsupported option 20\r\n"),
        ("persist", "-ERR wrong number of arguments for 'persist' command\r\n"),
        ("ttl", "-ERR wrong number of arguments for 'ttl' command\r\n"),
    ]);
}

#[test]
fn a_deadline_that_has_passed_removes_the_key() {
    Trial::default().expect(&[
        ("set a 1", "+OK\r\n"),
        ("expire a 0", ":1\r\n"),
        ("exists a", ":0\r\n"),
        ("set a 1", "+OK\r\n"),
        ("pexpire a -1", ":1\r\n"),
        ("exists a", ":0\r\n"),
        ("set a 1", "+OK\r\n"),
        ("expireat a 1", ":1\r\n"),
        ("exists a", ":0\r\n"),
        ("set a 1", "+OK\r\n"),
        ("pexpireat a -9223372036854775808", ":1\r\n"),
        ("exists a", ":0\r\n"),
        ("expire a -1", ":0\r\n"),
        ("set a 1", "+OK\r\n"),
        ("expire a -1 xx", ":0\r\n"),
        ("expire a -1 gt", ":0\r\n"),
        ("expire a -1 lt", ":1\r\n"),
        ("exists a", ":0\r\n"),
    ]);
}

#[test]
fn databases_are_emptied_and_counted() {
    Trial::default().expect(&[
        ("dbsize", ":0\r\n"),
        ("set a 1", "+OK\r\n"),
        ("set b 2", "+OK\r\n"),
        ("dbsize", ":2\r\n"),
        ("flushdb", "+OK\r\n"),
        ("dbsize", ":0\r\n"),
        ("set a 1", "+OK\r\n"),
        ("flushall async", "+OK\r\n"),
        ("dbsize", ":0\r\n"),
        ("flushdb sync", "+OK\r\n"),
        ("flushdb SYNC async", "-ERR syntax error\r\n"),
        ("flushall now", "-ERR syntax error\r\n"),
        ("flushdb now", "-ERR syntax error\r\n"),
        ("dbsize x", "-ERR wrong number of arguments for 'dbsize' command\r\n"),
    ]);
}

#[test]
fn databases_are_exchanged() {
    Trial::default().expect(&[
        ("set a 1", "+OK\r\n"),
        ("swapdb 0 1", "+OK\r\n"),
        ("get a", "$-1\r\n"),
        ("dbsize", ":0\r\n"),
        ("swapdb 1 0", "+OK\r\n"),
        ("get a", "$1\r\n1\r\n"),
        ("swapdb 0 0", "+OK\r\n"),
        ("get a", "$1\r\n1\r\n"),
        ("swapdb x 1", "-ERR invalid first DB index\r\n"),
        ("swapdb 1 x", "-ERR invalid second DB index\r\n"),
        ("swapdb 0 16", "-ERR DB index is out of range\r\n"),
        ("swapdb -1 0", "-ERR DB index is out of range\r\n"),
        ("swapdb 0 99999999999", "-ERR invalid second DB index\r\n"),
        ("swapdb 99999999999 0", "-ERR invalid first DB index\r\n"),
        ("swapdb 0", "-ERR wrong number of arguments for 'swapdb' command\r\n"),
    ]);
}

#[test]
fn scans_of_a_few_keys_take_one_step() {
    Trial::default().expect(&[
        ("scan 0", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("set a 1", "+OK\r\n"),
        ("set \"\" 1", "+OK\r\n"),
        ("scan 0 match a", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"),
        ("scan 0 match b", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("scan 0 match **", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"),
        ("scan 0 match a type string count 100", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"),
        ("scan 0 match a type STRING", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"),
        ("scan 0 type hash", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("scan 0 type nonsense", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("scan 0 count 0", "-ERR syntax error\r\n"),
        ("scan 0 count -1", "-ERR syntax error\r\n"),
        ("scan 0 count x", "-ERR value is not an integer or out of range\r\n"),
        ("scan 0 count 9223372036854775807 match a", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"),
        ("scan 0 count", "-ERR syntax error\r\n"),
        ("scan 0 match", "-ERR syntax error\r\n"),
        ("scan 0 what 1", "-ERR syntax error\r\n"),
        ("scan x", "-ERR invalid cursor\r\n"),
        ("scan x count 0", "-ERR invalid cursor\r\n"),
        ("scan -", "-ERR invalid cursor\r\n"),
        ("scan 1x", "-ERR invalid cursor\r\n"),
        ("scan \" 0\"", "-ERR invalid cursor\r\n"),
        ("scan +0 match a", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"),
        ("scan -0 match a", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"),
        ("scan 18446744073709551616", "-ERR invalid cursor\r\n"),
        ("scan 0 count 99999999999999999999", "-ERR value is not an integer or out of range\r\n"),
        ("scan", "-ERR wrong number of arguments for 'scan' command\r\n"),
        ("keys a", "*1\r\n$1\r\na\r\n"),
        ("keys b*", "*0\r\n"),
        ("keys **", "*1\r\n$1\r\na\r\n"),
        ("keys", "-ERR wrong number of arguments for 'keys' command\r\n"),
        ("del \"\"", ":1\r\n"),
        ("keys *", "*1\r\n$1\r\na\r\n"),
        ("randomkey", "$1\r\na\r\n"),
        ("del a", ":1\r\n"),
        ("randomkey", "$-1\r\n"),
        ("keys *", "*0\r\n"),
        ("randomkey x", "-ERR wrong number of arguments for 'randomkey' command\r\n"),
    ]);
}

#[test]
fn the_way_a_value_is_kept_can_be_asked_for() {
    Trial::default().expect(&[
        ("set a 1", "+OK\r\n"),
        ("object encoding a", "$3\r\nint\r\n"),
        ("object refcount a", ":2147483647\r\n"),
        ("object idletime a", ":0\r\n"),
        ("object freq a", "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.\r\n"),
        ("set a 10000", "+OK\r\n"),
        ("object refcount a", ":1\r\n"),
        ("set a -1", "+OK\r\n"),
        ("object refcount a", ":1\r\n"),
        ("set a \"a text\"", "+OK\r\n"),
        ("object encoding a", "$6\r\nembstr\r\n"),
        ("object refcount a", ":1\r\n"),
        ("set a aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "+OK\r\n"),
        ("object encoding a", "$3\r\nraw\r\n"),
        ("object encoding none", "$-1\r\n"),
        ("object refcount none", "$-1\r\n"),
        ("object idletime none", "$-1\r\n"),
        ("object freq none", "$-1\r\n"),
        ("object encoding", "-ERR wrong number of arguments for 'object|encoding' command\r\n"),
        ("object encoding a b", "-ERR wrong number of arguments for 'object|encoding' command\r\n"),
        ("object refcount", "-ERR wrong number of arguments for 'object|refcount' command\r\n"),
        ("object idletime", "-ERR wrong number of arguments for 'object|idletime' command\r\n"),
        ("object freq", "-ERR wrong number of arguments for 'object|freq' command\r\n"),
        ("object help a", "-ERR wrong number of arguments for 'object|help' command\r\n"),
        ("object help", "*15\r\n+OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+ENCODING <key>\r\n+    Return the kind of internal representation used in order to store the value\r\n+    associated with a <key>.\r\n+FREQ <key>\r\n+    Return the access frequency index of the <key>. The returned integer is\r\n+    proportional to the logarithm of the recent access frequency of the key.\r\n+IDLETIME <key>\r\n+    Return the idle time of the <key>, that is the approximated number of\r\n+    seconds elapsed since the last access to the key.\r\n+REFCOUNT <key>\r\n+    Return the number of references of the value associated with the specified\r\n+    <key>.\r\n+HELP\r\n+    Prints this help.\r\n"),
        ("object what", "-ERR unknown subcommand 'what'. Try OBJECT HELP.\r\n"),
        ("object what a b c", "-ERR unknown subcommand 'what'. Try OBJECT HELP.\r\n"),
        ("object", "-ERR wrong number of arguments for 'object' command\r\n"),
        ("memory usage none", "$-1\r\n"),
        ("memory usage", "-ERR wrong number of arguments for 'memory|usage' command\r\n"),
        ("memory usage a samples", "-ERR syntax error\r\n"),
        ("memory usage a samples x", "-ERR value is not an integer or out of range\r\n"),
        ("memory usage a samples -1", "-ERR syntax error\r\n"),
        ("memory usage none samples 0", "$-1\r\n"),
        ("memory usage none SAMPLES 5 samples 3", "$-1\r\n"),
        ("memory usage a what 1", "-ERR syntax error\r\n"),
        ("memory what", "-ERR unknown subcommand 'what'. Try MEMORY HELP.\r\n"),
        ("memory", "-ERR wrong number of arguments for 'memory' command\r\n"),
        ("memory help x", "-ERR wrong number of arguments for 'memory|help' command\r\n"),
    ]);
}

#[test]
fn commands_on_many_keys_count_what_they_look_at() {
    let mut trial = Trial::default();
    for key in 0..1_000 {
        trial.ask(&format!("set {key} value"));
    }
    trial.ask("setrange large 999999 x");
    let mut work = |line: &str| {
        trial.work = 0;
        trial.ask(line);
        trial.work
    };
    assert_eq!((work("get 1"), work("set 1 other"), work("dbsize"), work("del 2")), (0, 0, 0, 0));
    assert!((32_000..64_000).contains(&work("scan 0 count 2000")), "a key is some tens of bytes of work");
    assert!(work("scan 0") < 5_000, "it looks at few keys");
    assert!((32_000..64_000).contains(&work("keys *")));
    assert!((1_000_000..1_100_000).contains(&work("copy large larger")), "it is copied");
    assert!(work("copy 1 one") < 1_000);
    for (line, least) in [("randomkey", 10_000), ("swapdb 0 1", 100_000), ("flushdb", 8_000), ("flushall", 30_000)] {
        assert!((least..4 * least).contains(&work(line)), "{line}: {}", work(line));
    }
}
