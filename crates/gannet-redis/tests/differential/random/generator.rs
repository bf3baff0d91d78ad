//! Makes commands by chance: few keys and fields, so that they meet; values where something may go wrong.

use super::Command;
use crate::chance::Chance;
use crate::reply::Sameness;

/// Commands, each as often as its number says. What stands in angle brackets is chosen by chance, and may be nothing
/// or several words.
const TEMPLATES: &[(usize, &str)] = &[
    // Strings.
    (12, "SET <key> <value>"),
    (6, "SET <key> <value> <set> <set> <set>"),
    (6, "GET <key>"),
    (2, "GETSET <key> <value>"),
    (2, "GETDEL <key>"),
    (3, "GETEX <key> <getex>"),
    (3, "APPEND <key> <value>"),
    (3, "STRLEN <key>"),
    (4, "INCR <key>"),
    (4, "DECR <key>"),
    (4, "INCRBY <key> <integer>"),
    (4, "DECRBY <key> <integer>"),
    (5, "INCRBYFLOAT <key> <float>"),
    (4, "MGET <key> <key> <key>"),
    (4, "MSET <key> <value> <key> <value>"),
    (2, "MSETNX <key> <value> <key> <value>"),
    (2, "SETNX <key> <value>"),
    (1, "SETEX <key> <seconds> <value>"),
    (1, "PSETEX <key> <milliseconds> <value>"),
    (4, "SETRANGE <key> <offset> <value>"),
    (4, "GETRANGE <key> <index> <index>"),
    (2, "SUBSTR <key> <index> <index>"),
    (2, "LCS <key> <key> <lcs>"),
    // Bits.
    (5, "SETBIT <key> <bit-offset> <bit>"),
    (4, "GETBIT <key> <bit-offset>"),
    (3, "BITCOUNT <key>"),
    (4, "BITCOUNT <key> <index> <index> <unit>"),
    (3, "BITPOS <key> <bit>"),
    (4, "BITPOS <key> <bit> <index> <index> <unit>"),
    (2, "BITPOS <key> <bit> <index>"),
    (5, "BITOP <bitop> <key> <key> <key>"),
    (2, "BITOP <bitop> <key> <key>"),
    (5, "BITFIELD <key> <field-op> <field-op> <field-op>"),
    (2, "BITFIELD_RO <key> GET <bit-type> <bit-place>"),
    // Hashes.
    (10, "HSET <hash> <field> <value>"),
    (5, "HSET <hash> <field> <value> <field> <value>"),
    (1, "HSET <hash> <many>"),
    (4, "HGET <hash> <field>"),
    (2, "HSETNX <hash> <field> <value>"),
    (1, "HMSET <hash> <field> <value> <field> <value>"),
    (3, "HMGET <hash> <field> <field>"),
    (3, "HGETALL <hash>"),
    (3, "HDEL <hash> <field>"),
    (3, "HDEL <hash> <field> <field>"),
    (2, "HEXISTS <hash> <field>"),
    (2, "HLEN <hash>"),
    (2, "HSTRLEN <hash> <field>"),
    (2, "HKEYS <hash>"),
    (2, "HVALS <hash>"),
    (5, "HINCRBY <hash> <field> <integer>"),
    (5, "HINCRBYFLOAT <hash> <field> <float>"),
    (2, "HRANDFIELD <hash> <count> <withvalues>"),
    (1, "HRANDFIELD <hash>"),
    (2, "HSCAN <hash> 0 COUNT 100000 <match>"),
    // Keys.
    (4, "DEL <key> <key>"),
    (1, "UNLINK <key>"),
    (3, "EXISTS <key> <key>"),
    (1, "TOUCH <key> <key>"),
    (3, "TYPE <key>"),
    (3, "EXPIRE <key> <seconds> <condition>"),
    (3, "PEXPIRE <key> <milliseconds> <condition>"),
    (2, "EXPIREAT <key> <at-seconds> <condition>"),
    (2, "PEXPIREAT <key> <at-milliseconds> <condition>"),
    (3, "TTL <key>"),
    (3, "PTTL <key>"),
    (2, "EXPIRETIME <key>"),
    (2, "PEXPIRETIME <key>"),
    (3, "PERSIST <key>"),
    (3, "RENAME <key> <key>"),
    (2, "RENAMENX <key> <key>"),
    (4, "COPY <key> <key> <copy> <copy>"),
    (2, "MOVE <key> <db>"),
    (1, "RANDOMKEY"),
    (2, "KEYS <pattern>"),
    (2, "SCAN 0 COUNT 100000 <match> <type>"),
    (2, "DBSIZE"),
    (3, "OBJECT ENCODING <key>"),
    (1, "OBJECT REFCOUNT <key>"),
    (1, "SWAPDB <db> <db>"),
    // The connection and the server.
    (3, "SELECT <db>"),
    (1, "FLUSHDB"),
    (1, "ECHO <value>"),
    (1, "PING"),
    (1, "PUBLISH nobody <value>"),
    // Transactions.
    (9, "MULTI"),
    (11, "EXEC"),
    (2, "DISCARD"),
    (4, "WATCH <key> <hash>"),
    (1, "UNWATCH"),
];

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "7",
    "10",
    "100",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775806",
    "9223372036854775808",
    "-9223372036854775809",
    "4294967296",
    "2147483647",
    "-2147483648",
    "2147483648",
    "+1",
    "01",
    "-0",
    "",
    "1.0",
    "abc",
    " 1",
    "1 ",
    "18446744073709551615",
    "99999999999999999999999",
];

const FLOATS: &[&str] = &[
    "0",
    "1",
    "-1",
    "0.1",
    "-0.1",
    "1.5",
    "3.0e3",
    "1e-7",
    "5.0e-324",
    "1e17",
    "-1e17",
    "1e300",
    "1.7976931348623157e308",
    "0.30000000000000004",
    "123456789.123456789",
    "1e4932",
    "1e-4950",
    "inf",
    "-inf",
    "nan",
    "abc",
    "",
    " 1",
    "1 ",
    "0x10",
    "1e",
    ".5",
    "5.",
    "+2.5",
    "10.50",
    "9223372036854775807",
    "-9223372036854775808",
    "3.14159265358979323846",
];

const INDEXES: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "5",
    "7",
    "8",
    "15",
    "16",
    "100",
    "1000",
    "-1",
    "-2",
    "-3",
    "-8",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "2147483648",
    "-4294967297",
    "9223372036854775808",
    "x",
    "",
];

/// How much of the reply to a command has to be the same.
pub(super) fn sameness(name: &[u8]) -> Sameness {
    match name {
        b"TTL" | b"PTTL" | b"EXPIRETIME" | b"PEXPIRETIME" => Sameness::Near,
        b"KEYS" | b"SCAN" | b"HSCAN" | b"HKEYS" | b"HVALS" => Sameness::Sorted,
        b"HGETALL" => Sameness::Pairs,
        // How values are kept is Gannet's own affair: see docs/differences.md.
        b"RANDOMKEY" | b"HRANDFIELD" | b"OBJECT" => Sameness::Shape,
        _ => Sameness::Exact,
    }
}

/// See the module.
pub(super) struct Generator {
    chance: Chance,
    total: usize,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed), total: TEMPLATES.iter().map(|(weight, _)| weight).sum() }
    }

    pub(super) fn command(&mut self) -> Command {
        let mut at = self.chance.below(self.total);
        let template = TEMPLATES.iter().find(|(weight, _)| {
            let found = at < *weight;
            at = at.wrapping_sub(*weight);
            found
        });
        let template = template.expect("one of them").1;
        let mut words = Vec::new();
        for word in template.split(' ') {
            match word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
                Some(kind) => self.fill(kind, &mut words),
                None => words.push(word.as_bytes().to_vec()),
            }
        }
        // A word too many or too few now and then.
        if self.chance.one_in(60) {
            words.pop();
        } else if self.chance.one_in(60) {
            self.fill("value", &mut words);
        }
        if words.is_empty() {
            words.push(b"PING".to_vec());
        }
        if self.chance.one_in(10) {
            words[0].make_ascii_lowercase();
        }
        Command { connection: self.chance.one_of(&[0, 0, 0, 1]), words }
    }

    fn fill(&mut self, kind: &str, words: &mut Vec<Vec<u8>>) {
        let text: String = match kind {
            "value" => return words.push(self.value()),
            "many" => {
                let fields = self.chance.one_of(&[10, 128, 129, 300]);
                for field in 0..fields {
                    words.push(format!("f{field}").into_bytes());
                    words.push(field.to_string().into_bytes());
                }
                return;
            }
            // Strings and hashes are in different keys mostly.
            "key" => self.chance.one_of(&["k", "k", "k2", "k2", "k3", "k3", "k4", "h", "h2", "", "m"]).to_owned(),
            "hash" => self.chance.one_of(&["h", "h", "h", "h2", "h2", "h3", "h3", "k", "k2"]).to_owned(),
            "field" => self.chance.one_of(&["f", "f", "f1", "f2", "f3", "f100", "", "n", "n2", "x"]).to_owned(),
            "integer" => self.number(INTEGERS),
            "float" => self.number(FLOATS),
            "index" => self.number(INDEXES),
            "seconds" => {
                self.chance.one_of(&["1000", "5000", "100000", "0", "-1", "x", "9223372036854775807"]).to_owned()
            }
            "milliseconds" => {
                let times = ["1000000", "5000000", "100000000", "0", "-1", "x", "9223372036854775807"];
                self.chance.one_of(&times).to_owned()
            }
            "at-seconds" => {
                self.chance.one_of(&["1", "0", "-1", "4000000000", "5000000000", "9223372036854775807"]).to_owned()
            }
            "at-milliseconds" => self
                .chance
                .one_of(&["1", "0", "-1", "4000000000000", "5000000000000", "9223372036854775807"])
                .to_owned(),
            "db" => self.chance.one_of(&["0", "0", "0", "0", "1", "1", "15", "16", "-1", "x"]).to_owned(),
            "offset" => self.chance.one_of(&["0", "1", "5", "40", "2000", "-1", "536870912", "x"]).to_owned(),
            "bit-offset" => self
                .chance
                .one_of(&["0", "1", "7", "8", "9", "31", "64", "100", "20000", "4294967296", "-1", "x"])
                .to_owned(),
            "bit" => self.chance.one_of(&["0", "1", "0", "1", "0", "1", "2", "-1", "x"]).to_owned(),
            "bitop" => self.chance.one_of(&["AND", "OR", "XOR", "NOT", "and", "NAND"]).to_owned(),
            "bit-type" => self
                .chance
                .one_of(&["u1", "u8", "i8", "u63", "i64", "i16", "u5", "i3", "u64", "i65", "u0", "x"])
                .to_owned(),
            "bit-place" => self.chance.one_of(&["0", "1", "7", "#0", "#1", "#3", "100", "-1", "#x"]).to_owned(),
            "pattern" => {
                self.chance.one_of(&["*", "k*", "?", "[a-k]", "h[^2]", "\\k", "", "*2", "[", "k[2-3]"]).to_owned()
            }
            "count" => {
                self.chance.one_of(&["0", "1", "2", "-3", "5", "200", "-200", "x", "-9223372036854775808"]).to_owned()
            }
            _ => return self.option(kind, words),
        };
        words.push(text.into_bytes());
    }

    /// What may be left out.
    fn option(&mut self, kind: &str, words: &mut Vec<Vec<u8>>) {
        let options: &[&str] = match kind {
            "set" => &[
                "",
                "",
                "",
                "NX",
                "XX",
                "GET",
                "KEEPTTL",
                "EX 1000",
                "PX 2000000",
                "EXAT 4000000000",
                "PXAT 4000000000000",
                "EX 0",
                "PX x",
                "nx",
                "get",
                "EX",
                "FOO",
            ],
            "getex" => &["", "PERSIST", "EX 1000", "PX 2000000", "EXAT 4000000000", "PXAT 1", "EX -1", "FOO", "EX"],
            "lcs" => {
                &["", "LEN", "IDX", "IDX WITHMATCHLEN", "IDX MINMATCHLEN 2", "LEN IDX", "MINMATCHLEN -1 IDX", "FOO"]
            }
            "unit" => &["", "", "BYTE", "BIT", "bit", "x"],
            "withvalues" => &["", "", "WITHVALUES", "withvalues", "x"],
            "match" => &["", "MATCH *", "MATCH f*", "MATCH *1*", "MATCH k?", "COUNT 0", "COUNT x", "MATCH"],
            "type" => &["", "", "TYPE string", "TYPE hash", "TYPE list", "TYPE"],
            "condition" => &["", "", "", "NX", "XX", "GT", "LT", "gt", "XX GT", "NX XX", "GT LT", "FOO"],
            "copy" => &["", "", "REPLACE", "DB 0", "DB 1", "DB 16", "DB x", "DB", "FOO"],
            "field-op" => {
                let op =
                    self.chance.one_of(&["GET", "SET", "INCRBY", "OVERFLOW", "GET", "SET", "INCRBY", "get", "FOO"]);
                words.push(op.as_bytes().to_vec());
                if op == "OVERFLOW" {
                    // Not FAIL, after which Redis may not tell of a string that has grown: see docs/differences.md.
                    let way = self.chance.one_of(&["WRAP", "SAT", "sat", "x"]);
                    return words.push(way.as_bytes().to_vec());
                }
                self.fill("bit-type", words);
                self.fill("bit-place", words);
                match op {
                    // Not the lowest number, with which Redis saturates to the highest one: see docs/differences.md.
                    "SET" => words.push(self.chance.one_of(&["0", "1", "-1", "200", "-300", "x"]).into()),
                    "INCRBY" => self.fill("integer", words),
                    _ => {}
                }
                return;
            }
            kind => panic!("what is <{kind}>?"),
        };
        let option = self.chance.one_of(options);
        words.extend(option.split_ascii_whitespace().map(|word| word.as_bytes().to_vec()));
    }

    /// A number, often a small one.
    fn number(&mut self, edges: &[&str]) -> String {
        match self.chance.below(3) {
            0 => (self.chance.below(20) as i64 - 5).to_string(),
            _ => self.chance.one_of(edges).to_owned(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.chance.below(12) {
            0 => self.number(FLOATS).into_bytes(),
            1..=4 => self.number(INTEGERS).into_bytes(),
            5 => Vec::new(),
            6 => b"x".repeat(self.chance.one_of(&[43, 44, 45, 64, 65, 600])),
            7 => (0..self.chance.below(12)).map(|_| self.chance.next() as u8).collect(),
            8 => b"two words\r\n\0".to_vec(),
            _ => self
                .chance
                .one_of(&["a", "b", "abc", "hello world", "\u{fc}ber", "foobar", "ohmytext", "mynewtext"])
                .into(),
        }
    }
}
