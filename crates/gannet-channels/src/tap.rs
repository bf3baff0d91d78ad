//! The tap: how something outside the space sees its publications.

use bytes::Bytes;

/// Sees each publication of the namespaces with the option `redis`: the name of its channel, and its data.
///
/// It is called under the lock of the channel's shard, on the thread that publishes. So it sees the publications of a
/// channel in the order of their offsets. It must not call the space, which would wait for that lock for ever, and it must
/// not wait: every other channel of the shard waits meanwhile.
pub type Tap = Box<dyn Fn(&str, &Bytes) + Send + Sync>;
