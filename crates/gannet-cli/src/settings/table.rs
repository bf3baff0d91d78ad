//! The table of all settings of `gannet serve`: it drives the file, the environment, the flags, the help and docs/settings.md.
//!
//! To add a setting, add a row, read it where the configuration is typed, and write the page anew:
//! `gannet config doc > docs/settings.md`. A section of its own needs a row among the sections.

use std::time::Duration;

use gannet_config::units::LONGEST;
use gannet_config::{Choice, Class, Flag, Kind, Schema, Section, Setting, Split};

use super::check;

/// What can be set.
pub(crate) static SCHEMA: Schema = Schema::new("GANNET_", SECTIONS, SETTINGS);

const SECTIONS: &[Section] = &[
    Section::array("listener", "url", "A listener: a service at an address, with limits and deadlines of its own. Without any, the defaults listen on this machine only.")
        .flag(Flag { name: "listen", value: "SERVICE=URL", heading: "" }, super::listeners::expand, LISTEN_HELP),
    Section::table("engine", "Reactors and their interface to the kernel."),
    Section::table("limits", "Limits of everything that grows."),
    Section::table("access", "Who may connect. The lists hold for all TCP and TLS listeners, operational ones included."),
    Section::table("timeouts", "Deadlines of everything that waits."),
    Section::table("drain", "What happens between a signal to stop and the end."),
    Section::table("log", "The log on standard error."),
    Section::table("traces", "Spans of HTTP requests, of calls to the application and of publications, for a collector of OpenTelemetry."),
    Section::table("admin", "The admin socket, by which operators reach a running server."),
    Section::named("tls", "Certificates of `tls://` listeners, by name. A listener without a name in `tls` uses the profile `default`, which is the one that flags set."),
    Section::table("http", "The services over HTTP."),
    Section::table("redis", "The store for Redis clients."),
    Section::table("push", "The push gateway."),
    Section::table("push.proxy", "The application that the gateway asks about events: a URL for each event. Namespaces turn the events of channels on.")
        .flag(Flag { name: "push-proxy", value: "EVENT=URL", heading: "Push" }, super::push::expand_proxy, PROXY_HELP),
    Section::table("push.calls", "How the gateway calls the application and the server of keys."),
    Section::named("push.namespace", "Options of the channels of a namespace. The empty name, `[push.namespace.\"\"]`, is for channels without a namespace.")
        .flag(
            Flag { name: "push-namespace", value: "NAME:OPTIONS", heading: "Push" },
            super::push::expand_namespaces,
            NAMESPACE_HELP,
        ),
];

const LISTEN_HELP: (&str, &str) = (
    "Service and address to listen on, then options behind commas; may be given many times",
    "In GANNET_LISTEN, separate several listeners by spaces.\n\nURLs are tcp://host:port, tls://host:port, unix:///path and \
     udp://host:port. Port 0 takes a free port and prints it. The file of a Unix socket is removed at exit. A stale file is \
     replaced; if a server still listens on it, the start fails.",
);

const PROXY_HELP: (&str, &str) = (
    "Ask the application about an event, as connect=http://127.0.0.1:3000/connect; may be given many times",
    "Events are connect, refresh, subscribe, sub_refresh, publish and rpc. Namespaces turn those of channels on.",
);

const NAMESPACE_HELP: (&str, &str) = (
    "Namespace and its options, as 'chat:presence,history_size=100,history_ttl=5m'; may be given many times",
    "An empty name is for channels without a namespace. In GANNET_PUSH_NAMESPACE, separate several by spaces. The options are \
     in docs/push-auth.md, and in the error for a word that is none.",
);

/// The largest message that can be asked for. A length that a peer names is reserved at once, so more than this would
/// let one peer take the machine's memory.
const LARGEST_FRAME_BYTES: u64 = 1 << 30;

const ANY_BYTES: u64 = isize::MAX as u64;
const ANY_COUNT: Kind = Kind::Number(0, u32::MAX as u64);
const SIZE: Kind = Kind::Size(1, ANY_BYTES);
const SIZE_OR_NONE: Kind = Kind::Size(0, ANY_BYTES);
const DEADLINE: Kind = Kind::deadline();
/// A time that has to be one.
const TIME: Kind = Kind::Time(Duration::from_millis(1), LONGEST, false);
const KEEPALIVE: Kind = Kind::Time(Duration::from_secs(1), Duration::from_secs(32_767), true);
const FRAME: Kind = Kind::Size(1, LARGEST_FRAME_BYTES);
/// The inbox of a reactor has room for two of them.
const MESSAGE: Kind = Kind::Size(1, 32 << 20);
/// The longest time of a namespace: ten years.
const CHANNEL_TIME: Kind = Kind::Time(Duration::from_millis(1), Duration::from_secs(10 * 366 * 24 * 60 * 60), false);

const fn names<const N: usize>(names: [&'static str; N]) -> [Choice; N] {
    let mut choices = [Choice { name: "", doc: "" }; N];
    let mut at = 0;
    while at < N {
        choices[at].name = names[at];
        at += 1;
    }
    choices
}

const DRIVERS: &[Choice] = &names(["auto", "uring", "poll"]);
const BALANCES: &[Choice] = &[
    Choice { name: "reuseport", doc: "The kernel chooses, by a hash of both addresses" },
    Choice { name: "round-robin", doc: "Each reactor in turn" },
    Choice { name: "least-connections", doc: "The reactor with the fewest connections" },
    Choice { name: "source-hash", doc: "By the source's address: a client always meets the same reactor" },
];
const OVERFLOWS: &[Choice] = &names(["close", "drop-oldest", "latest-only"]);
const POLICIES: &[Choice] = &[
    Choice { name: "noeviction", doc: "Refuse commands that may need memory" },
    Choice { name: "allkeys-lru", doc: "Remove keys that were not used for a long time" },
    Choice { name: "volatile-ttl", doc: "Remove keys that expire, soonest first" },
];
const API_LISTENERS: &[Choice] = &[
    Choice { name: "shared", doc: "The services push and push-api" },
    Choice { name: "own", doc: "The service push-api only: push answers 404" },
];
const CLOSE_CODES: &[Choice] = &names(["1012", "1001"]);
const LOG_FORMATS: &[Choice] = &names(["text", "json"]);
const LOG_LEVELS: &[Choice] = &names(["error", "warn", "info", "debug", "trace"]);
const CLIENT_AUTH: &[Choice] = &names(["optional", "required"]);
const TLS_VERSIONS: &[Choice] = &names(["1.2", "1.3"]);
const RECOVERY_MODES: &[Choice] = &names(["stream", "cache"]);
const SLOW: &[Choice] = &names(["close", "drop", "latest_only"]);

const AUDIT: Kind = Kind::Text("path, log, or off", "/var/log/gannet/audit.log", check::audit);
const COLLECTOR: Kind = Kind::Sensitive("URL", "http://127.0.0.1:4318", check::endpoint, check::has_secret);
const SHARE: Kind = Kind::Text("number from 0 to 1", "0.01", check::share);
const ADMIN: Kind = Kind::Text("path, tcp://host:port, or off", "/run/gannet/admin.sock", check::admin);
const SERVICE: Kind = Kind::Text("service", "http", check::service);
const URL: Kind = Kind::Text("URL to listen on", "tcp://0.0.0.0:8080", check::url);
const MODE: Kind = Kind::Text("mode in octal", "0660", check::mode);
const GROUP: Kind = Kind::Text("group's name or number", "www-data", check::group);
const NAME: Kind = Kind::Text("name", "main", check::any);
const WORD: Kind = Kind::Text("name", "main", check::word);
const ALLOWED: Kind = Kind::Text("network", "10.0.0.0/8", check::network);
const DENIED: Kind = Kind::Text("network", "192.0.2.0/24", check::network);
const BALANCER: Kind = Kind::Text("network", "10.0.0.0/24", check::balancer);
const ORIGIN: Kind = Kind::Text("origin", "https://example.com", check::origin);
const HEADER: Kind = Kind::Text("header", "Cookie", check::header);
const REGEX: Kind = Kind::Text("regular expression", "^[a-z]+$", check::any);
const ENDPOINT: Kind = Kind::Sensitive("URL", "http://127.0.0.1:3000/path", check::endpoint, check::has_secret);

/// A setting that changes at a reload.
const fn live(key: &'static str, kind: Kind, doc: &'static str) -> Setting {
    Setting::new(key, kind, doc).class(Class::Live)
}

/// A setting that needs a restart.
const fn fixed(key: &'static str, kind: Kind, doc: &'static str) -> Setting {
    Setting::new(key, kind, doc)
}

/// A permission or another switch of a namespace.
const fn channels(key: &'static str, doc: &'static str) -> Setting {
    live(key, Kind::Switch, doc).otherwise("off")
}

const INHERITED: &str = "as for all listeners";

const SETTINGS: &[Setting] = &[
    live("listener.*.service", SERVICE, "Service: echo, lines, frames, discard, redis, push, push-stream, push-api or http").otherwise("required"),
    live("listener.*.url", URL, "Address: tcp://host:port, tls://host:port, unix:///path or udp://host:port").otherwise("required"),
    live("listener.*.tls", WORD, "Profile of `[tls.NAME]` that a tls:// listener is served with").otherwise("`default`"),
    live("listener.*.operational", Kind::Switch, "Whether it may exceed limits by limits.operational_reserve: for health checks and metrics").otherwise("false"),
    live("listener.*.proxy", Kind::List(&BALANCER, Split::Words), "Load balancers whose PROXY protocol is required; a Unix socket, which trusts whom its mode lets in, has `unix`").otherwise("no PROXY protocol"),
    live("listener.*.keepalive", KEEPALIVE, "Silence after which the kernel probes a TCP peer").otherwise(INHERITED),
    live("listener.*.mode", MODE, "Mode of a Unix socket's file").otherwise("what the umask leaves"),
    live("listener.*.group", GROUP, "Group of a Unix socket's file, by name or number").otherwise("the process's"),
    live("listener.*.limits.connections", ANY_COUNT, "Most connections at a time; 0 is no limit. That of all listeners applies, too").otherwise("0"),
    live("listener.*.limits.connections_per_peer", ANY_COUNT, "Most connections at a time from one IP address; 0 is no limit").otherwise("0"),
    live("listener.*.limits.frame", FRAME, "Largest line, frame or WebSocket message of echo services").otherwise(INHERITED),
    live("listener.*.timeouts.idle", DEADLINE, "Time without traffic in either direction, after which a connection is closed").otherwise(INHERITED),
    live("listener.*.timeouts.read_idle", DEADLINE, "Time without received bytes, after which a connection is closed").otherwise(INHERITED),
    live("listener.*.timeouts.write_idle", DEADLINE, "Time without sent bytes, after which a connection is closed").otherwise(INHERITED),
    live("listener.*.timeouts.heartbeat", DEADLINE, "Silence after which services with a heartbeat ping the peer").otherwise(INHERITED),
    live("listener.*.timeouts.heartbeats_missed", Kind::Number(0, 255), "Pings that may go unanswered").otherwise(INHERITED),
    live("listener.*.timeouts.first_message", DEADLINE, "Time for the first complete message of a connection").otherwise(INHERITED),
    live("listener.*.timeouts.handshake", TIME, "Time for the TLS handshake").otherwise(INHERITED),
    live("listener.*.timeouts.slow_write", DEADLINE, "Time for the kernel to take some bytes of a waiting outbox").otherwise(INHERITED),
    live("listener.*.timeouts.linger", DEADLINE, "Time for the peer to end its side after the server ended its own").otherwise(INHERITED),
    live("listener.*.timeouts.half_close", DEADLINE, "Time for replies to a peer that half-closed its connection").otherwise(INHERITED),
    fixed("engine.reactors", Kind::Number(1, 1_024), "Number of reactors: threads, each with its own connections")
        .more("It needs a restart, because a connection stays with the reactor that accepted it.")
        .otherwise("one for each processor")
        .flag("reactors", "N", ""),
    fixed("engine.driver", Kind::Choice(DRIVERS), "Kernel interface; auto takes io_uring if this machine allows it, and epoll or kqueue otherwise")
        .more("It needs a restart, because a connection stays with the driver that accepted it.")
        .default("auto")
        .flag("driver", "DRIVER", ""),
    fixed("engine.pin", Kind::Switch, "Pin each reactor to a processor")
        .more("It needs a restart, because a reactor takes its memory near the processor that it starts on.")
        .default("false")
        .flag("pin", "", ""),
    fixed("engine.balance", Kind::Choice(BALANCES), "How TCP connections are spread over reactors")
        .more("It needs a restart, because it decides which sockets are bound.")
        .default(BALANCE)
        .flag("balance", "BALANCE", ""),
    live("limits.connections", ANY_COUNT, "Most connections at a time, over all listeners; 0 is no limit. Further ones are refused by a reset, or an error of redis")
        .default("0")
        .flag("max-connections", "N", "Limits"),
    live("limits.connections_per_peer", ANY_COUNT, "Most connections at a time from one IP address; 0 is no limit. Further ones are refused by a reset, or an error of redis")
        .default("0")
        .flag("max-connections-per-peer", "N", "Limits"),
    live("limits.operational_reserve", ANY_COUNT, "Connections beyond both limits that operational listeners may have, and descriptors kept for them")
        .more("So /healthz and /metrics answer while the server is full: --listen http=tcp://127.0.0.1:9090,operational")
        .default("32")
        .flag("operational-reserve", "N", "Limits"),
    live("limits.accepts", Kind::Rate, "Most connections accepted per second, as 1000/s; 0 is no limit. Further ones wait in the kernel's backlog")
        .default("0")
        .flag("max-accepts", "RATE", "Limits"),
    live("limits.frame", FRAME, "Largest line, frame or WebSocket message, as 64KiB; at most 1GiB. A larger one closes its connection")
        .default("1MiB")
        .flag("max-frame", "SIZE", "Limits"),
    live("limits.outbox_high", SIZE, "Unsent bytes of a connection above which the server stops reading from it")
        .default("256KiB")
        .flag("outbox-high", "SIZE", "Limits"),
    live("limits.outbox_hard", SIZE, "Unsent bytes of a connection above which --overflow decides")
        .otherwise("4MiB, or what a frame needs")
        .flag("outbox-hard", "SIZE", "Limits"),
    live("limits.overflow", Kind::Choice(OVERFLOWS), "Action on a connection over --outbox-hard: close it, or drop unsent messages")
        .default("close")
        .flag("overflow", "OVERFLOW", "Limits"),
    live("limits.incomplete", SIZE_OR_NONE, "Bytes of incomplete messages that all connections may hold together; 0 is no limit").default("1GiB"),
    fixed("limits.mailbox", Kind::Number(1, 1 << 24), "Letters that may wait for one reactor")
        .more("It needs a restart, because memory for all of them is taken at the start.")
        .default("16384"),
    fixed("limits.compute_threads", Kind::Number(0, 1_024), "Threads for work that takes CPU time; 0 is one for each processor")
        .more("It needs a restart, because the pool's threads are made at the start.")
        .default("0"),
    fixed("limits.blocking_threads", Kind::Number(1, 4_096), "Most threads for work that waits, such as calls to the application")
        .more("It needs a restart, because the pool's size is fixed at the start.")
        .default("64"),
    live("access.allow", Kind::List(&ALLOWED, Split::Words), "Network or address that may connect, as 10.0.0.0/8; may be given many times. All others may not then")
        .more("Of all networks of --allow and --deny, the one with the longest prefix decides. An address that is in none of them may connect if there is no --allow. To allow a part of what --deny names, allow 0.0.0.0/0 and ::/0 too.")
        .otherwise("all")
        .flag("allow", "CIDR", "Access"),
    live("access.deny", Kind::List(&DENIED, Split::Words), "Network or address that may not connect, as 192.0.2.0/24; may be given many times")
        .otherwise("none")
        .flag("deny", "CIDR", "Access"),
    live("access.connections_per_prefix", ANY_COUNT, "Most connections at a time from one IPv4 address, or one IPv6 network of 64 bits; 0 is no limit")
        .more("One address of a carrier's NAT may stand for thousands of people.")
        .default("0")
        .flag("max-connections-per-prefix", "N", "Access"),
    live("access.connections_per_network", ANY_COUNT, "Most connections at a time from one IPv4 network of 24 bits, or one IPv6 network of 48 bits; 0 is no limit")
        .default("0")
        .flag("max-connections-per-network", "N", "Access"),
    live("access.connection_rate", Kind::Rate, "Most connections per second from one IPv4 address, or one IPv6 network of 64 bits, as 10/s; 0 is no limit")
        .more("Further ones are refused. An address may save up the connections of one second. Operational listeners have no such limit.")
        .default("0")
        .flag("max-connection-rate-per-peer", "RATE", "Access"),
    live("timeouts.idle", DEADLINE, "Close a connection after this time without traffic in either direction, as 30s; off is never. Redis subscribers stay")
        .default("off")
        .flag("idle-timeout", "TIME", "Time"),
    live("timeouts.read_idle", DEADLINE, "Close a connection after this time without received bytes").default("off"),
    live("timeouts.write_idle", DEADLINE, "Close a connection after this time without sent bytes").default("off"),
    live("timeouts.heartbeat", DEADLINE, "Silence after which frames and /ws/echo ping the peer; after two pings without a reply they close. off is never")
        .default("30s")
        .flag("heartbeat", "TIME", "Time"),
    live("timeouts.heartbeats_missed", Kind::Number(0, 255), "Pings that may go unanswered").default("2"),
    live("timeouts.first_message", DEADLINE, "Time for the first complete message of a connection").default("off"),
    live("timeouts.handshake", TIME, "Time for the TLS handshake").default("10s"),
    live("timeouts.slow_write", DEADLINE, "Time for the kernel to take some bytes of a waiting outbox; then its connection is reset").default("30s"),
    live("timeouts.linger", DEADLINE, "Time for the peer to end its side after the server ended its own").default("2s"),
    live("timeouts.half_close", DEADLINE, "Time for replies to a peer that half-closed its connection").default("30s"),
    live("timeouts.keepalive", KEEPALIVE, "Silence after which the kernel probes a TCP peer, as 300s; off is never")
        .more("The kernel probes three times, a third of that time apart. So a peer that lost power or network is noticed after twice the time. At most 32767s (9h).")
        .default("300s")
        .flag("tcp-keepalive", "TIME", "Time"),
    live("drain.delay", DEADLINE, "Time between SIGTERM and the shutdown; meanwhile only /readyz changes: it answers 503 for load balancers")
        .default("off")
        .flag("drain-delay", "TIME", "Time"),
    live(
        "drain.spread",
        DEADLINE,
        "Time over which a shutdown tells the clients to leave, at an even pace, as 2m; off tells all at once",
    )
    .default("off")
    .flag("drain-spread", "TIME", "Time"),
    live("drain.timeout", DEADLINE, "Time for a shutdown, after --drain-spread; then the connections that are left are closed. off closes them at once")
        .default("30s")
        .flag("drain-timeout", "TIME", "Time"),
    live("redis.password", Kind::Secret, "Password of Redis clients; set it in the environment, where other users cannot see it")
        .otherwise("none")
        .flag("redis-password", "TEXT", "Redis"),
    live("redis.protected_mode", Kind::Switch, "Refuse clients of other machines while there is no password, as Redis does")
        .default("yes")
        .flag("redis-protected-mode", "YES_NO", "Redis"),
    live("redis.max_memory", SIZE_OR_NONE, "Most memory for all keys and values, as 4GiB; 0 is no limit")
        .default("0")
        .flag("redis-max-memory", "SIZE", "Redis"),
    live("redis.max_memory_policy", Kind::Choice(POLICIES), "Action over --redis-max-memory: refuse writes, or remove keys")
        .default("noeviction")
        .flag("redis-max-memory-policy", "POLICY", "Redis"),
    live("redis.max_value", Kind::Size(1 << 20, 512 << 20), "Largest string, and largest argument of a command, from 1MiB to 512MiB")
        .more("After a reload, clients that are connected keep the largest argument that they came with.")
        .default("512MiB")
        .flag("redis-max-value", "SIZE", "Redis"),
    live(
        "drain.websocket_code",
        Kind::Choice(CLOSE_CODES),
        "Close code for WebSocket clients at a shutdown: 1012, or 1001 for clients that reject it",
    )
    .default("1012")
    .flag("drain-websocket-code", "CODE", "HTTP"),
    live("http.websocket_deflate", Kind::Switch, "Compress the messages of /ws/echo with clients that ask for it (permessage-deflate, RFC 7692)")
        .more("Every message is compressed by itself, and sent uncompressed if that is not longer. Compression costs CPU time and saves bytes on the network. Decompression takes 48KiB of a connection while a message is under way. Compression takes 320KiB of a reactor for each of the seven window sizes that clients ask for.")
        .default("false")
        .flag("websocket-deflate", "", "HTTP"),
    live("push.api_keys", Kind::Secrets, "Key of the server API; may be given many times. Without one, the API answers this machine only")
        .more("Set it in the environment, where other users cannot see it; there, separate several keys by line breaks.")
        .otherwise("none")
        .flag("push-api-key", "KEY", "Push"),
    live("push.api", Kind::Choice(API_LISTENERS), "Listeners that serve the server API: those of push and push-api, or those of push-api alone; push then answers 404")
        .default("shared")
        .flag("push-api", "LISTENERS", "Push"),
    live("push.token_secrets", Kind::Secrets, "Secret for the tokens of clients (HS256, HS384, HS512); may be given many times, to rotate it")
        .more("Set it in the environment, where other users cannot see it; there, separate several secrets by line breaks.")
        .otherwise("none")
        .flag("push-token-secret", "SECRET", "Push"),
    live("push.token_key_files", Kind::List(&Kind::Path, Split::Lines), "Public key for the tokens of clients as PEM: RSA, P-256, P-384, P-521 or Ed25519; may be given many times")
        .otherwise("none")
        .flag("push-token-key", "FILE", "Push"),
    live("push.jwks", ENDPOINT, "URL of public keys for the tokens of clients (JWK set); fetched every 10m, and for a token of an unknown key")
        .otherwise("none")
        .flag("push-jwks", "URL", "Push"),
    live("push.token_audiences", Kind::List(&NAME, Split::Words), "Audience (aud) that a token has to be for; may be given many times, and one is enough")
        .otherwise("not looked at")
        .flag("push-token-audience", "NAME", "Push"),
    live("push.token_issuers", Kind::List(&NAME, Split::Words), "Issuer (iss) that a token has to come from; may be given many times, and one is enough")
        .otherwise("not looked at")
        .flag("push-token-issuer", "NAME", "Push"),
    live("push.origins", Kind::List(&ORIGIN, Split::Words), "Origin of pages that may connect, as https://example.com, https://*.example.com or *; may be given many times")
        .otherwise("none")
        .flag("push-origin", "ORIGIN", "Push"),
    live("push.anonymous", Kind::Switch, "Let clients connect without a token, as anonymous ones")
        .default("false")
        .flag("push-anonymous", "", "Push"),
    live("push.insecure", Kind::Switch, "Let every client connect, subscribe, publish and read: for development only")
        .default("false")
        .flag("push-insecure", "", "Push"),
    live("push.personal_channels", Kind::Switch, "Subscribe each user to the channel #user when a client of theirs connects")
        .default("false")
        .flag("push-personal-channels", "", "Push"),
    live("push.admin_password", Kind::Secret, "Password of the admin page; set it in the environment")
        .otherwise("made at each start, and printed; at a reload, the one that is there stays, and a first push listener gets one that nobody knows")
        .flag("push-admin-password", "TEXT", "Push"),
    live("push.ping", DEADLINE, "Time between two pings to a client").default("25s").flag("push-ping", "TIME", "Push"),
    live("push.pong", DEADLINE, "Time for a client's answer to a ping; then its connection is closed")
        .default("8s")
        .flag("push-pong", "TIME", "Push"),
    live("push.connect_timeout", TIME, "Time for a new connection to send its connect command").default("10s"),
    live("push.refresh_grace", DEADLINE, "Time for the refresh of a connection or subscription that has expired").default("25s"),
    live("push.max_message", MESSAGE, "Largest publication, as 64KiB; at most 32MiB")
        .more("After a reload, clients that are connected keep the largest frame that they came with.")
        .default("64KiB")
        .flag("push-max-message", "SIZE", "Push"),
    live("push.max_history", SIZE, "Most memory for all histories, as 1GiB; beyond it, the oldest publications of a channel make room for its new ones")
        .default("1GiB")
        .flag("push-max-history", "SIZE", "Push"),
    live("push.max_user_connections", ANY_COUNT, "Most connections of one user; 0 is no limit. Further ones are closed with 3504")
        .default("0")
        .flag("push-max-user-connections", "N", "Push"),
    live("push.max_commands", Kind::Rate, "Most commands of a client per second; twice as many at once. 0 is no limit. Beyond it, the error is 111").default("200"),
    live("push.max_publications", Kind::Rate, "Most publications of a client per second; twice as many at once. 0 is no limit").default("50"),
    live("push.proxy.connect", ENDPOINT, "Asked when a client without a token connects").otherwise("not asked"),
    live("push.proxy.refresh", ENDPOINT, "Asked when a connection expires").otherwise("not asked"),
    live("push.proxy.subscribe", ENDPOINT, "Asked when a client subscribes").otherwise("not asked"),
    live("push.proxy.sub_refresh", ENDPOINT, "Asked when a subscription expires").otherwise("not asked"),
    live("push.proxy.publish", ENDPOINT, "Asked when a client publishes").otherwise("not asked"),
    live("push.proxy.rpc", ENDPOINT, "Asked when a client calls a procedure").otherwise("not asked"),
    live("push.calls.headers", Kind::List(&HEADER, Split::Words), "Header of a client's request that goes along to the application; may be given many times")
        .otherwise("none")
        .flag("push-proxy-header", "NAME", "Push"),
    live("push.calls.timeout", TIME, "Time for an answer of the application; then the client gets the temporary error 100")
        .default("1s")
        .flag("push-proxy-timeout", "TIME", "Push"),
    live("push.calls.requests", Kind::Number(1, 4_096), "Most requests to the application at a time; beyond it, clients get the temporary error 100")
        .default("64")
        .flag("push-proxy-requests", "N", "Push"),
    live("push.calls.ca", Kind::Path, "CAs to trust instead of the system's where the application or the keys are behind https, as PEM")
        .otherwise("the system's")
        .flag("push-ca", "FILE", "Push"),
    channels("push.namespace.*.presence", "Keeps who is subscribed"),
    channels("push.namespace.*.join_leave", "Tells subscribers that ask for it who subscribes and leaves"),
    channels("push.namespace.*.force_push_join_leave", "Sends join and leave events to all subscribers"),
    live("push.namespace.*.history_size", Kind::Number(1, 1 << 20), "Publications that a channel keeps").otherwise("none"),
    live("push.namespace.*.history_ttl", CHANNEL_TIME, "How long a channel keeps a publication").otherwise("none"),
    live("push.namespace.*.history_meta_ttl", CHANNEL_TIME, "How long a channel without subscribers remembers where its stream stands").otherwise("720h"),
    channels("push.namespace.*.force_positioning", "Gives every subscriber a position, so that it is told of a loss"),
    channels("push.namespace.*.allow_positioning", "Gives subscribers that ask for it a position"),
    channels("push.namespace.*.force_recovery", "Lets every subscriber recover what it missed"),
    channels("push.namespace.*.allow_recovery", "Lets subscribers that ask for it recover what they missed"),
    live("push.namespace.*.force_recovery_mode", Kind::Choice(RECOVERY_MODES), "What recovery returns: all that was missed, or the newest publication").otherwise("stream"),
    live("push.namespace.*.slow", Kind::Choice(SLOW), "What happens to a subscriber that cannot take a publication").otherwise("close"),
    live("push.namespace.*.coalesce", CHANNEL_TIME, "Collects the events of this long into one frame").otherwise("sends each at once"),
    channels("push.namespace.*.allow_subscribe_for_client", "Any client with a user may subscribe"),
    channels("push.namespace.*.allow_subscribe_for_anonymous", "So may clients without a user"),
    channels("push.namespace.*.allow_publish_for_client", "Any client with a user may publish"),
    channels("push.namespace.*.allow_publish_for_subscriber", "Subscribers may publish"),
    channels("push.namespace.*.allow_publish_for_anonymous", "So may clients without a user"),
    channels("push.namespace.*.allow_history_for_client", "Any client with a user may read the history"),
    channels("push.namespace.*.allow_history_for_subscriber", "Subscribers may read the history"),
    channels("push.namespace.*.allow_history_for_anonymous", "So may clients without a user"),
    channels("push.namespace.*.allow_presence_for_client", "Any client with a user may read the presence"),
    channels("push.namespace.*.allow_presence_for_subscriber", "Subscribers may read the presence"),
    channels("push.namespace.*.allow_presence_for_anonymous", "So may clients without a user"),
    channels("push.namespace.*.allow_user_limited_channels", "Lets the users that a name lists after # subscribe"),
    channels("push.namespace.*.subscribe_proxy_enabled", "Asks the application before a client subscribes"),
    channels("push.namespace.*.publish_proxy_enabled", "Asks the application before a client publishes"),
    channels("push.namespace.*.sub_refresh_proxy_enabled", "Asks the application whether a subscription that ends may go on"),
    channels("push.namespace.*.redis", "Opens the channels to Redis clients"),
    live("push.namespace.*.channel_regex", REGEX, "What the rest of a name has to match for clients to use the channel").otherwise("any"),
    live("tls.*.certificates", Kind::List(&Kind::Path, Split::Lines), "Certificate chain of tls:// listeners as PEM; may be given many times, each with a --tls-key")
        .more("The server sends the chain that has the name the client asks for (SNI), and otherwise the first one. It reads the files again when they change, and at a reload.")
        .otherwise("none")
        .flag("tls-cert", "FILE", "TLS"),
    live("tls.*.private_keys", Kind::List(&Kind::Path, Split::Lines), "Private key of each --tls-cert as PEM, in the same order; may be the same file")
        .otherwise("none")
        .flag("tls-key", "FILE", "TLS"),
    live("tls.*.client_ca", Kind::Path, "Ask clients for a certificate issued by one of these authorities (PEM)")
        .otherwise("clients are not asked")
        .flag("tls-client-ca", "FILE", "TLS"),
    live("tls.*.client_auth", Kind::Choice(CLIENT_AUTH), "Whether a client without a certificate is refused, with --tls-client-ca")
        .otherwise("required")
        .flag("tls-client-auth", "TLS_CLIENT_AUTH", "TLS"),
    live("tls.*.crls", Kind::List(&Kind::Path, Split::Lines), "Revocation list for client certificates, as PEM or DER; may be given many times, one for each authority")
        .otherwise("none")
        .flag("tls-crl", "FILE", "TLS"),
    live("tls.*.min_version", Kind::Choice(TLS_VERSIONS), "Oldest version of TLS that is accepted")
        .otherwise("1.2")
        .flag("tls-min-version", "TLS_MIN_VERSION", "TLS"),
    live("tls.*.self_signed", Kind::Switch, "Make a certificate for development, which no client trusts: for localhost, and the hosts of tls:// listeners")
        .otherwise("false")
        .flag("tls-self-signed", "", "TLS"),
    live("tls.*.accept_expired", Kind::Switch, "Let an expired certificate or revocation list replace a valid one at a reload")
        .more("This also allows a certificate that is not valid yet. Without this option, such a file changes nothing at a reload, and the log says so. At the start, such a file is used in any case.")
        .otherwise("false")
        .flag("tls-accept-expired", "", "TLS"),
    live("traces.collector", COLLECTOR, "Collector that takes spans by OTLP over HTTP, as JSON")
        .more("A URL without a path gets /v1/traces. A URL with a password or a query is a secret.")
        .otherwise("no spans are made")
        .flag("traces-collector", "URL", "Traces"),
    live("traces.sample", SHARE, "Share of the traces that begin here which is recorded; 0 makes no spans at all")
        .default("0.01")
        .flag("traces-sample", "SHARE", "Traces"),
    live("traces.follow_callers", Kind::Switch, "Whether a request's traceparent decides if it is recorded; otherwise traces.sample decides about all")
        .more("Set it to false where clients are not trusted: each of them can otherwise have everything recorded that it does.")
        .default("true"),
    live("traces.queue", Kind::Number(1, 1 << 20), "Spans that may wait for the collector. Further ones are dropped, and counted").default("8192"),
    live("traces.timeout", TIME, "Time for an answer of the collector").default("10s"),
    live("traces.headers", Kind::Secrets, "Headers of requests to the collector, as 'Authorization: Bearer abc', one a line").otherwise("none"),
    live("traces.ca", Kind::Path, "CAs to trust instead of the system's where the collector is behind https, as PEM").otherwise("the system's"),
    live("traces.service", WORD, "Name of the service in spans (service.name)").default("gannet"),
    fixed("admin.listen", ADMIN, "Admin socket: a path, tcp://host:port, or off")
        .more("It needs a restart, because a wrong one would leave no way to order another reload.")
        .otherwise("/run/gannet/admin.sock, or in XDG_RUNTIME_DIR unless root")
        .flag("admin", "PATH", "Admin"),
    live(
        "admin.token",
        Kind::Secret,
        "Token of the admin socket over TCP; set it in the environment, where other users cannot see it",
    )
    .otherwise("none")
    .flag("admin-token", "TEXT", "Admin"),
    live("admin.token_file", Kind::Path, "File with the token of the admin socket over TCP")
        .otherwise("none")
        .flag("admin-token-file", "FILE", "Admin"),
    live("log.stats", DEADLINE, "Log the counters at this interval, as 5s, whatever the log level")
        .default("off")
        .flag("stats", "TIME", "Logs"),
    live("log.access", Kind::Switch, "Log each request of http listeners, whatever the log level")
        .default("false")
        .flag("access-log", "", "Logs"),
    live("log.audit", AUDIT, "Audit log of operators' orders and failed logins: a file, log (as lines of the log), or off")
        .more("The file is opened for each line, so it may be moved away at any time. If a reload moves the log, the last line of the old one says so.")
        .default("off")
        .flag("audit-log", "PATH", "Logs"),
    live("log.format", Kind::Choice(LOG_FORMATS), "Format of the log on standard error")
        .default("text")
        .flag("log", "LOG", "Logs"),
    live("log.level", Kind::Choice(LOG_LEVELS), "Lowest level that is logged").default("info").flag("log-level", "LOG_LEVEL", "Logs"),
];

/// What the engine does where nothing else is asked for: the kernel spreads connections only where it does that well.
const BALANCE: &str = if cfg!(target_os = "linux") { "reuseport" } else { "round-robin" };

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::ValueEnum;
    use gannet_config::{Form, SecretSource};

    use super::*;
    use crate::names::{BalanceName, DriverName, LogFormat, LogLevel, OverflowName, PolicyName};

    #[test]
    fn the_table_has_each_setting_once_in_a_section_and_with_a_default_that_can_be_read() {
        let mut keys = BTreeSet::new();
        for setting in SETTINGS {
            assert!(keys.insert(setting.key), "{} is there twice", setting.key);
            let section = SCHEMA.section_of(setting).unwrap_or_else(|| panic!("{} is in no section", setting.key));
            assert_eq!(setting.key.contains('*'), section.form != Form::Table, "{}", setting.key);
            assert_eq!(
                setting.default.is_some(),
                setting.otherwise.is_empty(),
                "{}: what is it by default?",
                setting.key
            );
            assert!(!setting.doc.is_empty() && !setting.doc.ends_with('.'), "{}", setting.key);
            if let Some(default) = setting.default {
                setting
                    .kind
                    .read(default, &SecretSource::Unnamed)
                    .unwrap_or_else(|why| panic!("{}: {why}", setting.key));
            }
            let is_switch = matches!(setting.kind, Kind::Switch) && setting.key != "redis.protected_mode";
            assert!(setting.flag.is_none_or(|flag| flag.value.is_empty() == is_switch), "{}", setting.key);
        }
    }

    #[test]
    fn a_setting_that_needs_a_restart_says_why() {
        for setting in SETTINGS {
            let needs = setting.class == Class::Restart;
            assert_eq!(setting.more.contains("needs a restart, because"), needs, "{}", setting.key);
        }
    }

    #[test]
    fn no_variable_of_the_environment_sets_two_settings() {
        let all = SCHEMA.variables();
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!(all.len(), distinct.len(), "{all:#?}");
        assert!(distinct.iter().all(|name| name.starts_with("GANNET_")));
    }

    #[test]
    fn namespaces_have_every_option_of_the_gateway() {
        let words = gannet_gateway::settings::namespace::help();
        let words = words.split(", ").filter_map(|word| word.split('=').next()).collect::<BTreeSet<_>>();
        let rows = SETTINGS.iter().filter(|setting| setting.key.starts_with("push.namespace."));
        assert_eq!(rows.map(Setting::name).collect::<BTreeSet<_>>(), words);
    }

    #[test]
    fn choices_have_the_names_of_their_types() {
        fn same<T: ValueEnum>(key: &str) {
            let Kind::Choice(choices) = SCHEMA.setting(key).expect(key).kind else { panic!("{key} is no choice") };
            let names =
                T::value_variants().iter().filter_map(|one| Some(one.to_possible_value()?.get_name().to_owned()));
            assert_eq!(
                names.collect::<Vec<_>>(),
                choices.iter().map(|choice| choice.name).collect::<Vec<_>>(),
                "{key}"
            );
        }
        same::<DriverName>("engine.driver");
        same::<BalanceName>("engine.balance");
        same::<OverflowName>("limits.overflow");
        same::<PolicyName>("redis.max_memory_policy");
        same::<LogFormat>("log.format");
        same::<LogLevel>("log.level");
    }

    #[test]
    fn listeners_have_every_deadline_of_all() {
        let below = |prefix: &str| -> BTreeSet<&str> {
            SETTINGS.iter().filter_map(|setting| setting.key.strip_prefix(prefix)).collect()
        };
        let mut all = below("timeouts.");
        assert!(all.remove("keepalive") && below("listener.*.").contains("keepalive"));
        assert_eq!(below("listener.*.timeouts."), all);
    }
}
