//! What COMMAND DOCS says of each command.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::service::table::Command;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Docs {
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    /// The version of Redis that had it first.
    pub(super) since: &'static str,
    pub(super) summary: &'static str,
}

/// What is said of a command.
pub(super) fn of(command: &Command) -> Option<Docs> {
    static ALL: LazyLock<HashMap<&str, Docs>> = LazyLock::new(|| rows().map(|docs| (docs.name, docs)).collect());
    ALL.get(command.name).copied()
}

/// The group that a command is in, or the command it belongs to.
pub(super) fn group(command: &Command) -> &'static str {
    of(command).map_or("", |docs| docs.group)
}

fn rows() -> impl Iterator<Item = Docs> {
    GROUPS.iter().flat_map(|(group, text)| {
        text.lines().filter_map(move |line| {
            let (name, rest) = line.trim().split_once(' ')?;
            let (since, summary) = rest.split_once(' ')?;
            Some(Docs { name, group, since, summary })
        })
    })
}

/// By group, a line for each command: its name, since when, and what it does.
static GROUPS: &[(&str, &str)] = &[
    (
        "connection",
        "ping 1.0.0 Says that the server answers
        echo 1.0.0 Returns its argument
        hello 6.0.0 Chooses the protocol, and may log in and name the connection
        auth 1.0.0 Says the password
        select 1.0.0 Chooses the database of the connection
        quit 1.0.0 Closes the connection
        reset 6.2.0 Puts the connection into the state it began in
        client 2.4.0 Commands on connections
        client|id 5.0.0 Returns the number of the connection
        client|info 6.2.0 Returns what is known of the connection
        client|list 2.4.0 Returns what is known of all connections
        client|getname 2.6.9 Returns the name of the connection
        client|setname 2.6.9 Names the connection
        client|setinfo 7.2.0 Says which library made the connection
        client|kill 2.4.0 Closes connections
        client|maint_notifications 8.4.0 Says whether the connection is told before the server ends it
        client|no-evict 7.0.0 Notes whether the connection may be closed to free memory
        client|no-touch 7.2.0 Notes whether the connection's reads count as use
        client|reply 3.2.0 Says which replies the connection gets
        client|help 5.0.0 Says what there is",
    ),
    (
        "server",
        "info 1.0.0 Returns what there is to know of the server
        time 2.6.0 Returns the time of the server
        role 2.8.12 Returns the role in replication, which is always master
        dbsize 1.0.0 Returns the number of keys in the database
        flushdb 1.0.0 Removes all keys of the database
        flushall 1.0.0 Removes all keys of all databases
        swapdb 4.0.0 Exchanges two databases
        debug 1.0.0 Has DEBUG SLEEP for tests
        memory 4.0.0 Commands on memory
        memory|usage 4.0.0 Returns how many bytes a key with its value takes
        memory|help 4.0.0 Returns what can be asked of MEMORY
        command 2.8.13 Commands on commands
        command|info 2.8.13 Returns what is known of commands
        command|count 2.8.13 Returns the number of commands
        command|list 7.0.0 Returns the names of commands
        command|docs 7.0.0 Returns what commands do
        command|getkeys 2.8.13 Returns the keys of a whole command
        command|getkeysandflags 7.0.0 Returns the keys of a whole command, and what is done with each
        command|help 5.0.0 Says what there is
        config 2.0.0 Commands on the configuration
        config|get 2.0.0 Returns parameters
        config|set 2.0.0 Sets parameters
        config|resetstat 2.0.0 Lets the statistics of INFO begin anew
        config|rewrite 2.8.0 Refused: there is no configuration file
        config|help 5.0.0 Says what there is
        acl 6.0.0 Commands on users
        acl|whoami 6.0.0 Returns the only user
        acl|help 6.0.0 Says what there is
        save 1.0.0 Refused: nothing is saved
        bgsave 1.0.0 Refused: nothing is saved
        bgrewriteaof 1.0.0 Refused: nothing is saved
        lastsave 1.0.0 Refused: nothing is saved
        shutdown 1.0.0 Refused: the operator stops the server
        replicaof 5.0.0 Refused, except to be nobody's replica
        slaveof 1.0.0 Refused, except to be nobody's replica",
    ),
    (
        "scripting",
        "function 7.0.0 Commands on functions, of which there are none
        function|flush 7.0.0 Removes all functions
        function|help 7.0.0 Says what there is",
    ),
    (
        "transactions",
        "multi 1.2.0 Queues the commands that follow
        exec 1.2.0 Runs what is queued at once
        discard 2.0.0 Forgets what is queued
        watch 2.2.0 Makes the next EXEC depend on keys that do not change
        unwatch 2.2.0 Forgets which keys are watched",
    ),
    (
        "pubsub",
        "publish 2.0.0 Sends a message to a channel
        subscribe 2.0.0 Subscribes to channels
        unsubscribe 2.0.0 Ends subscriptions to channels
        psubscribe 2.0.0 Subscribes to all channels that fit patterns
        punsubscribe 2.0.0 Ends subscriptions to patterns
        pubsub 2.8.0 Commands on subscriptions
        pubsub|channels 2.8.0 Lists the channels that have subscribers
        pubsub|numsub 2.8.0 Counts the subscribers of channels
        pubsub|numpat 2.8.0 Counts the patterns that have subscribers
        pubsub|shardchannels 7.0.0 Lists the shard channels that have subscribers
        pubsub|shardnumsub 7.0.0 Counts the subscribers of shard channels
        pubsub|help 6.2.0 Says what there is
        spublish 7.0.0 Sends a message to a shard channel
        ssubscribe 7.0.0 Subscribes to shard channels
        sunsubscribe 7.0.0 Ends subscriptions to shard channels",
    ),
    (
        "string",
        "get 1.0.0 Returns the string of a key
        set 1.0.0 Sets the string of a key
        setnx 1.0.0 Sets the string of a key that is not there
        setex 2.0.0 Sets the string of a key and the seconds it stays
        psetex 2.6.0 Sets the string of a key and the milliseconds it stays
        mget 1.0.0 Returns the strings of keys
        mset 1.0.1 Sets the strings of keys
        msetnx 1.0.1 Sets the strings of keys if none of them is there
        getset 1.0.0 Sets the string of a key and returns the old one
        getdel 6.2.0 Returns the string of a key and removes it
        getex 6.2.0 Returns the string of a key and sets when it expires
        append 2.0.0 Adds to the end of the string of a key
        strlen 2.2.0 Returns the length of the string of a key
        getrange 2.4.0 Returns a part of the string of a key
        substr 1.0.0 Returns a part of the string of a key
        setrange 2.2.0 Sets a part of the string of a key
        incr 1.0.0 Adds one to the number of a key
        decr 1.0.0 Subtracts one from the number of a key
        incrby 1.0.0 Adds to the number of a key
        decrby 1.0.0 Subtracts from the number of a key
        incrbyfloat 2.6.0 Adds a decimal fraction to the number of a key
        lcs 7.0.0 Returns the longest common subsequence of two strings",
    ),
    (
        "bitmap",
        "getbit 2.2.0 Returns a bit of the string of a key
        setbit 2.2.0 Sets a bit of the string of a key
        bitcount 2.6.0 Returns how many bits of a string are 1
        bitpos 2.8.7 Returns the first bit of a string that is 1, or 0
        bitop 2.6.0 Combines the bits of strings",
    ),
    (
        "hash",
        "hset 2.0.0 Sets fields of a hash
        hsetnx 2.0.0 Sets a field of a hash that is not there
        hmset 2.0.0 Sets fields of a hash
        hget 2.0.0 Returns a field of a hash
        hmget 2.0.0 Returns fields of a hash
        hgetall 2.0.0 Returns all fields of a hash
        hdel 2.0.0 Removes fields of a hash
        hexists 2.0.0 Returns whether a hash has a field
        hlen 2.0.0 Returns how many fields a hash has
        hkeys 2.0.0 Returns the names of all fields of a hash
        hvals 2.0.0 Returns the values of all fields of a hash
        hstrlen 3.2.0 Returns the length of a field of a hash
        hincrby 2.0.0 Adds to the number in a field of a hash
        hincrbyfloat 2.6.0 Adds a decimal fraction to the number in a field of a hash
        hrandfield 6.2.0 Returns fields of a hash by chance
        hscan 2.8.0 Walks through the fields of a hash",
    ),
    (
        "generic",
        "del 1.0.0 Removes keys
        unlink 4.0.0 Removes keys
        exists 1.0.0 Returns how many of the keys are there
        touch 3.2.1 Marks keys as used
        type 1.0.0 Returns the kind of value that a key has
        keys 1.0.0 Returns all keys that fit a pattern
        scan 2.8.0 Walks through the keys of the database
        randomkey 1.0.0 Returns a key by chance
        rename 1.0.0 Renames a key
        renamenx 1.0.0 Renames a key if the new name is free
        copy 6.2.0 Copies a key
        move 1.0.0 Moves a key to another database
        object 2.2.3 Commands on how values are kept
        object|encoding 2.2.3 Returns how a value is kept
        object|freq 4.0.0 Returns how often a key is used, where that is counted
        object|idletime 2.2.3 Returns how long ago a key was used
        object|refcount 2.2.3 Returns how many refer to a value
        object|help 6.2.0 Returns what can be asked of OBJECT
        expire 1.0.0 Sets in how many seconds a key expires
        pexpire 2.6.0 Sets in how many milliseconds a key expires
        expireat 1.2.0 Sets at which second a key expires
        pexpireat 2.6.0 Sets at which millisecond a key expires
        expiretime 7.0.0 Returns at which second a key expires
        pexpiretime 7.0.0 Returns at which millisecond a key expires
        ttl 1.0.0 Returns in how many seconds a key expires
        pttl 2.6.0 Returns in how many milliseconds a key expires
        persist 2.2.0 Lets a key stay for ever
        wait 3.0.0 Waits for replicas, of which there are none",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::table::with_subcommands;

    #[test]
    fn every_line_says_something_of_another_command() {
        let mut names = std::collections::HashSet::new();
        for docs in rows() {
            assert!(names.insert(docs.name), "{} twice", docs.name);
            assert!(docs.since.split('.').all(|part| part.parse::<u8>().is_ok()), "{docs:?}");
        }
        let lines: usize = GROUPS.iter().map(|(_, text)| text.lines().count()).sum();
        assert_eq!(names.len(), lines);
    }

    #[test]
    fn something_is_said_of_every_command_on_connections_and_the_server() {
        for command in
            with_subcommands().filter(|command| matches!(command.run, crate::service::table::Run::Connection(_)))
        {
            assert!(of(command).is_some(), "{}", command.name);
        }
    }
}
