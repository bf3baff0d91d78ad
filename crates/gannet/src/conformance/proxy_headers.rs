//! Listeners behind load balancers: a header of the PROXY protocol in front of each connection says who the client is.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::filters::{DATA, HELLO, Units, WELCOME, put, read_data, read_unit, unit};
use super::rig::{Ending, Rig, Setup};
use super::{Client, Net, on_every_driver};
use crate::driver::Driver;
use crate::proto::Lines;
use crate::proto::proxy::{Addresses, Header, Version};
use crate::quota::Quota;
use crate::{AccessRules, CloseReason, Context, Limits, ProxyProtocol, RefusalReason, Refused, Service};

/// A machine that is no load balancer.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Says to its clients who they are, and to some that there are enough of them.
#[derive(Default)]
struct Who {
    /// Reads nothing for a moment from whoever connects.
    pauses: bool,
    /// Refuses this client.
    refuses: Option<IpAddr>,
}

impl Service for Who {
    type Codec = Lines;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        if self.refuses.is_some() && cx.peer().ip() == self.refuses {
            return Err(Refused);
        }
        if self.pauses {
            cx.pause();
            cx.set_timer(Duration::from_millis(20));
        }
        Ok(())
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        let peer = cx.peer().to_string();
        cx.send(&[line, b" ", peer.as_bytes()]);
    }

    fn timer(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        cx.resume();
    }

    fn refusal(&self, why: RefusalReason) -> &'static [u8] {
        match why {
            RefusalReason::Peer | RefusalReason::ListenerPeer => b"no: there are enough of you\n",
            RefusalReason::Prefix => b"no: there are enough of yours\n",
            _ => b"",
        }
    }
}

/// A listener that trusts this machine's first address.
fn setup(who: Who) -> Setup {
    let trusted = ProxyProtocol::required(["127.0.0.1/32".parse().expect("a network")]);
    Setup::new().listen(who).quota(Quota::default().proxied(Some(trusted)))
}

fn header(version: Version, client: &str) -> Vec<u8> {
    let source: std::net::SocketAddr = client.parse().expect(client);
    let destination = if source.is_ipv4() { "192.0.2.9:443" } else { "[2001:db8::9]:443" };
    let addresses = Addresses::Ip { source, destination: destination.parse().expect("an address") };
    let mut bytes = Vec::new();
    Header::new(version, addresses).encode(&mut bytes).expect("it has a form");
    bytes
}

/// Connects as a client of the load balancer.
fn connect_as<N: Net>(rig: &mut Rig<N>, client: &str) -> N::Client {
    let mut connection = rig.connect();
    rig.write(&mut connection, &header(Version::Two, client));
    connection
}

fn the_peer_is_who_the_header_names_and_what_follows_in_the_same_segment_is_its_first_message<N: Net>(net: N) {
    let mut rig = setup(Who::default()).on(net);
    for version in [Version::One, Version::Two] {
        for peer in ["192.0.2.1:1", "[2001:db8::1]:65535"] {
            let mut client = rig.connect();
            let stream = [&header(version, peer)[..], b"one\ntwo\nth"].concat();
            rig.write(&mut client, &stream);
            assert_eq!([rig.line(&mut client), rig.line(&mut client)], [format!("one {peer}"), format!("two {peer}")]);
            assert_eq!(rig.ask(&mut client, "ree"), format!("three {peer}"));
        }
    }
    rig.until_closed(CloseReason::Peer, 4);
    rig.finish();
}

fn an_ipv4_address_that_is_mapped_to_ipv6_is_one_of_ipv4<N: Net>(net: N) {
    let mut rig = setup(Who::default()).on(net);
    let mut client = connect_as(&mut rig, "[::ffff:192.0.2.1]:7");
    assert_eq!(rig.ask(&mut client, "me"), "me 192.0.2.1:7");
    drop(client);
    rig.finish();
}

fn who_is_named_by_nobody_is_the_peer_of_the_connection<N: Net>(net: N) {
    let mut rig = setup(Who::default()).on(net);
    let local = |version| {
        let mut bytes = Vec::new();
        Header::new(version, Addresses::Unnamed).encode(&mut bytes).expect("it has a form");
        bytes
    };
    for header in [local(Version::One), local(Version::Two), b"PROXY UNKNOWN whatever\r\n".to_vec()] {
        let mut client = rig.connect();
        rig.write(&mut client, &header);
        let said = rig.ask(&mut client, "me");
        assert!(said.starts_with("me 127.0.0.1:"), "{said}");
    }
    let mut paths = Vec::new();
    let unix = Addresses::Unix { source: b"/run/client", destination: b"/run/server" };
    Header::new(Version::Two, unix).encode(&mut paths).expect("it has a form");
    let mut client = rig.connect();
    rig.write(&mut client, &paths);
    assert_eq!(rig.ask(&mut client, "me"), "me unix");
    drop(client);
    rig.until_closed(CloseReason::Peer, 4);
    rig.finish();
}

fn a_header_may_come_in_two_parts_that_are_cut_anywhere<N: Net>(net: N) {
    let mut rig = setup(Who::default()).on(net);
    let mut expected = 0;
    for version in [Version::One, Version::Two] {
        let stream = [&header(version, "192.0.2.1:1234")[..], b"hello\n"].concat();
        for cut in 1..stream.len() {
            let mut client = rig.connect();
            rig.write(&mut client, &stream[..cut]);
            expected += cut as u64;
            rig.until("the first part", |rig| (rig.stats(0).bytes_in >= expected).then_some(()));
            rig.write(&mut client, &stream[cut..]);
            expected += (stream.len() - cut) as u64;
            assert_eq!(rig.line(&mut client), "hello 192.0.2.1:1234", "{version:?} cut at {cut}");
        }
    }
    rig.finish();
}

fn a_header_may_come_byte_by_byte_and_may_be_large<N: Net>(net: N) {
    let mut rig = setup(Who::default()).on(net);
    let mut client = rig.connect();
    for (sent, byte) in header(Version::One, "192.0.2.1:1").into_iter().enumerate() {
        rig.write(&mut client, &[byte]);
        rig.until("the byte", |rig| (rig.stats(0).bytes_in > sent as u64).then_some(()));
    }
    assert_eq!(rig.ask(&mut client, "me"), "me 192.0.2.1:1");
    // As large as a header may be, by a TLV that nobody knows.
    let rest = 4_096 - 16;
    let mut large = header(Version::Two, "192.0.2.1:2");
    large[14..16].copy_from_slice(&(rest as u16).to_be_bytes());
    large.push(0xe0);
    large.extend_from_slice(&(rest as u16 - 12 - 3).to_be_bytes());
    large.resize(4_096, 0x55);
    let mut other = rig.connect();
    rig.write(&mut other, &large);
    assert_eq!(rig.ask(&mut other, "me"), "me 192.0.2.1:2");
    drop((client, other));
    rig.finish();
}

fn whoever_is_not_trusted_is_reset_whatever_it_says<N: Net>(net: N) {
    let proxy = ProxyProtocol::required(["127.0.0.1/32".parse().expect("a network")]);
    let quota = Quota::default().proxied(Some(proxy.clone()));
    let mut rig = Setup::new().listen(Who::default()).quota(quota).on(net);
    for stream in [&header(Version::One, "192.0.2.1:1")[..], b"hello\n"] {
        let mut client = rig.connect_from(OTHER);
        rig.write_some(&mut client, stream);
        assert_eq!(rig.read_to_end(&mut client), (Vec::new(), Ending::Reset));
    }
    assert_eq!(rig.stats(0).refused(RefusalReason::Untrusted), 2);
    assert_eq!(rig.stats(0).accepted, 0);
    // Trust can be given to others, at any time; who is in stays.
    let mut first = connect_as(&mut rig, "192.0.2.1:1");
    assert_eq!(rig.ask(&mut first, "me"), "me 192.0.2.1:1");
    proxy.trust(["127.0.0.2/32".parse().expect("a network")]);
    let mut client = rig.connect_from(OTHER);
    rig.write(&mut client, &header(Version::One, "192.0.2.1:2"));
    assert_eq!(rig.ask(&mut client, "me"), "me 192.0.2.1:2");
    let mut refused = rig.connect();
    assert_eq!(rig.read_to_end(&mut refused).1, Ending::Reset);
    assert_eq!(rig.ask(&mut first, "me"), "me 192.0.2.1:1");
    drop((first, client));
    rig.finish();
}

fn a_connection_without_a_header_is_closed_and_its_service_hears_nothing<N: Net>(net: N) {
    let mut rig = setup(Who::default()).on(net);
    let streams: [&[u8]; 6] = [
        b"hello\n",
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\nhello\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c0123456789ab",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        &[b'P'; 200],
    ];
    for (count, stream) in (1..).zip(streams) {
        let mut client = rig.connect();
        rig.write_some(&mut client, stream);
        assert_eq!(rig.read_to_end(&mut client).0, b"");
        rig.until_closed(CloseReason::ProxyHeader, count);
    }
    assert_eq!(rig.stats(0).messages_in, 0);
    rig.finish();
}

fn half_a_header_and_then_silence_ends_after_a_while_and_so_does_one_that_dribbles<N: Net>(net: N) {
    let mut rig = setup(Who::default()).on(net);
    assert_eq!(rig.reactor.header_ms, 5_000);
    // The other drivers wait for real.
    let ms = if N::TIME_IS_FREE { 5_000 } else { 100 };
    rig.reactor.header_ms = ms;
    let began = rig.reactor.driver().now();
    let (mut silent, mut half) = (rig.connect(), rig.connect());
    let stream = header(Version::Two, "192.0.2.1:1");
    rig.write(&mut half, &stream[..20]);
    assert_eq!([rig.read_to_end(&mut silent).0, rig.read_to_end(&mut half).0], [b"", b""]);
    let took = rig.reactor.driver().now() - began;
    // A tick is a millisecond.
    assert!(took >= Duration::from_millis(u64::from(ms) - 1), "{took:?}");
    let mut slow = rig.connect();
    let mut bytes = header(Version::One, "192.0.2.1:1").into_iter();
    let mut last = rig.reactor.driver().now();
    rig.until("its end", |rig| {
        let now = rig.reactor.driver().now();
        if now - last > Duration::from_millis(u64::from(ms) / 5)
            && let Some(byte) = bytes.next()
        {
            last = now;
            let _ = slow.write(&[byte]);
        }
        (rig.stats(0).closed(CloseReason::OpeningTimeout) == 3).then_some(())
    });
    assert!(bytes.next().is_some(), "it was in the middle of its header");
    drop((silent, half, slow));
    rig.finish();
}

fn a_load_balancer_that_leaves_within_a_header_leaves_nothing<N: Net>(net: N) {
    let mut rig = setup(Who::default()).on(net);
    let stream = header(Version::Two, "192.0.2.1:1");
    for cut in [0, 1, 15, 20, stream.len() - 1] {
        let mut client = rig.connect();
        rig.write(&mut client, &stream[..cut]);
        client.shutdown();
        assert_eq!(rig.read_to_end(&mut client), (Vec::new(), Ending::Finished), "cut at {cut}");
    }
    // One that says everything before it leaves gets its answer.
    let mut client = rig.connect();
    rig.write(&mut client, &[&stream[..], b"hello\n"].concat());
    client.shutdown();
    assert_eq!(rig.read_to_end(&mut client), (b"hello 192.0.2.1:1\n".to_vec(), Ending::Finished));
    rig.until_closed(CloseReason::Peer, 6);
    rig.finish();
}

fn limits_count_the_clients_and_not_their_load_balancer<N: Net>(net: N) {
    let limit = |limits: &mut Limits| (limits.connections_per_peer, limits.connections) = (1, 3);
    let mut rig = setup(Who::default()).limits(limit).on(net);
    let (mut one, mut two) = (connect_as(&mut rig, "192.0.2.1:1"), connect_as(&mut rig, "192.0.2.2:1"));
    assert_eq!(rig.ask(&mut one, "me"), "me 192.0.2.1:1");
    assert_eq!(rig.ask(&mut two, "me"), "me 192.0.2.2:1");
    for count in 1..=3 {
        let mut more = connect_as(&mut rig, "192.0.2.1:2");
        let expected = (b"no: there are enough of you\n".to_vec(), Ending::Finished);
        assert_eq!(rig.read_to_end(&mut more), expected);
        drop(more);
        assert_eq!(rig.stats(0).refused(RefusalReason::Peer), count);
        rig.until_closed(CloseReason::Refused, count);
        rig.until("its place", |rig| (rig.reactor.core().slab.len() == 2).then_some(()));
    }
    // Who has not said anything takes a place of all, and none of a client's.
    let waiting = rig.connect();
    rig.until("it to be in", |rig| (rig.stats(0).connections == 3).then_some(()));
    let mut refused = rig.connect();
    assert_eq!(rig.read_to_end(&mut refused), (Vec::new(), Ending::Reset));
    assert_eq!(rig.stats(0).refused(RefusalReason::Connections), 1);
    drop((one, waiting));
    rig.until("their places", |rig| (rig.reactor.core().slab.len() == 1).then_some(()));
    let mut again = connect_as(&mut rig, "192.0.2.1:3");
    assert_eq!(rig.ask(&mut again, "me"), "me 192.0.2.1:3");
    drop((two, again));
    rig.finish();
}

fn rules_hold_for_the_clients_and_not_for_their_load_balancer<N: Net>(net: N) {
    let rules = AccessRules {
        allow: vec!["192.0.2.0/24".parse().expect("a network")],
        deny: ["127.0.0.0/8", "192.0.2.128/25"].map(|network| network.parse().expect("a network")).to_vec(),
        connections_per_prefix: 1,
        ..AccessRules::default()
    };
    let mut rig = setup(Who::default()).access(&rules).on(net);
    let mut client = connect_as(&mut rig, "192.0.2.1:1");
    assert_eq!(rig.ask(&mut client, "me"), "me 192.0.2.1:1");
    for denied in ["192.0.2.129:1", "198.51.100.1:1", "[2001:db8::1]:1"] {
        let mut client = connect_as(&mut rig, denied);
        assert_eq!(rig.read_to_end(&mut client), (Vec::new(), Ending::Reset), "{denied}");
    }
    // A load balancer that speaks for itself is a client like all others.
    let mut itself = rig.connect();
    rig.write(&mut itself, b"PROXY UNKNOWN\r\n");
    assert_eq!(rig.read_to_end(&mut itself).1, Ending::Reset);
    let mut second = connect_as(&mut rig, "192.0.2.1:2");
    assert_eq!(rig.read_to_end(&mut second), (b"no: there are enough of yours\n".to_vec(), Ending::Finished));
    drop(second);
    let stats = rig.stats(0);
    assert_eq!((stats.refused(RefusalReason::Denied), stats.refused(RefusalReason::Prefix)), (4, 1));
    drop(client);
    rig.finish();
}

fn a_header_comes_before_the_handshake_of_a_filter<N: Net>(net: N) {
    let setup = setup(Who::default()).filtered(std::sync::Arc::new(Units::default()));
    let mut rig = setup.limits(|limits| limits.connections_per_peer = 1).on(net);
    let hello = unit(HELLO, b"it is me");
    let mut all_at_once = header(Version::Two, "192.0.2.1:1");
    all_at_once.extend_from_slice(&hello);
    put(DATA, b"me\n", &mut all_at_once);
    for (peer, cut) in
        [("192.0.2.1:1", all_at_once.len()), ("192.0.2.1:1", 20), ("192.0.2.1:1", 28), ("192.0.2.1:1", 30)]
    {
        let mut client = rig.connect();
        let before = rig.stats(0).bytes_in;
        rig.write(&mut client, &all_at_once[..cut]);
        rig.until("the first part", |rig| (rig.stats(0).bytes_in >= before + cut as u64).then_some(()));
        rig.write(&mut client, &all_at_once[cut..]);
        assert_eq!(read_unit(&mut rig, &mut client).0, WELCOME, "cut at {cut}");
        let expected = format!("me {peer}\n");
        assert_eq!(read_data(&mut rig, &mut client, expected.len()), expected.as_bytes());
        // What its service says would mean nothing before the handshake.
        let mut more = connect_as(&mut rig, peer);
        assert_eq!(rig.read_to_end(&mut more), (Vec::new(), Ending::Reset));
        drop((client, more));
        rig.until("their slots", |rig| rig.reactor.core().slab.is_empty().then_some(()));
    }
    // After the header, the handshake has a time of its own.
    let mut client = rig.connect();
    rig.write(&mut client, &header(Version::Two, "192.0.2.1:1"));
    rig.until("the handshake to begin", |rig| {
        let core = rig.reactor.core();
        let mut tokens: Vec<_> = core.slab.iter_indices().collect();
        tokens.pop().and_then(|token| core.slab.get(token)?.filter.as_ref().map(|_| ()))
    });
    rig.write(&mut client, &unit(DATA, b"too early"));
    rig.until_closed(CloseReason::Filter, 1);
    drop(client);
    rig.finish();
}

fn what_follows_a_header_waits_for_a_service_that_pauses<N: Net>(net: N) {
    let mut rig = setup(Who { pauses: true, ..Who::default() }).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, &[&header(Version::One, "192.0.2.1:1")[..], b"one\ntwo\n"].concat());
    assert_eq!([rig.line(&mut client), rig.line(&mut client)], ["one 192.0.2.1:1", "two 192.0.2.1:1"]);
    drop(client);
    rig.finish();
}

fn a_service_refuses_a_client_by_the_address_in_the_header<N: Net>(net: N) {
    let refuses = Some("192.0.2.7".parse().expect("an address"));
    let mut rig = setup(Who { refuses, ..Who::default() }).on(net);
    let mut refused = rig.connect();
    rig.write_some(&mut refused, &[&header(Version::One, "192.0.2.7:1")[..], b"me\n"].concat());
    assert_eq!(rig.read_to_end(&mut refused), (Vec::new(), Ending::Reset));
    let mut client = connect_as(&mut rig, "192.0.2.8:1");
    assert_eq!(rig.ask(&mut client, "me"), "me 192.0.2.8:1");
    assert_eq!(rig.stats(0).refused(RefusalReason::Service), 1);
    drop((refused, client));
    rig.finish();
}

fn a_shutdown_does_not_wait_for_headers<N: Net>(net: N) {
    let mut rig = setup(Who::default()).on(net);
    let mut waiting = rig.connect();
    rig.write(&mut waiting, b"PROXY TCP4");
    rig.until("it to be in", |rig| (rig.stats(0).bytes_in == 10).then_some(()));
    rig.remote.stop();
    rig.read_to_end(&mut waiting);
    rig.until_closed(CloseReason::Shutdown, 1);
    rig.finish();
}

on_every_driver!(
    the_peer_is_who_the_header_names_and_what_follows_in_the_same_segment_is_its_first_message,
    an_ipv4_address_that_is_mapped_to_ipv6_is_one_of_ipv4,
    who_is_named_by_nobody_is_the_peer_of_the_connection,
    a_header_may_come_in_two_parts_that_are_cut_anywhere,
    a_header_may_come_byte_by_byte_and_may_be_large,
    whoever_is_not_trusted_is_reset_whatever_it_says,
    a_connection_without_a_header_is_closed_and_its_service_hears_nothing,
    half_a_header_and_then_silence_ends_after_a_while_and_so_does_one_that_dribbles,
    a_load_balancer_that_leaves_within_a_header_leaves_nothing,
    limits_count_the_clients_and_not_their_load_balancer,
    rules_hold_for_the_clients_and_not_for_their_load_balancer,
    a_header_comes_before_the_handshake_of_a_filter,
    what_follows_a_header_waits_for_a_service_that_pauses,
    a_service_refuses_a_client_by_the_address_in_the_header,
    a_shutdown_does_not_wait_for_headers,
);
