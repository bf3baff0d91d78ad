//! What a client takes while nothing happens, and what deliveries allocate.

mod rig;

use std::sync::Mutex;

use gannet_testing::Counting;
use rig::{Rig, drivers};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// What is counted is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Clients that are held; each takes two descriptors of this process.
const CLIENTS: i64 = 4_096;

/// Bytes for each of many clients that are subscribed to so many channels.
fn each(rig: &Rig, channels: usize) -> i64 {
    use std::io::{Read as _, Write as _};

    let frame: Vec<String> = (0..channels)
        .map(|number| format!("{{\"id\":{},\"subscribe\":{{\"channel\":\"demo:{number}\"}}}}", number + 2))
        .collect();
    // A name makes the frame longer than those whose length is in one byte.
    let name = "x".repeat(100);
    let frame = format!("{{\"id\":1,\"connect\":{{\"name\":\"{name}\"}}}}\n{}", frame.join("\n"));
    let mut bytes =
        b"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\xfe"
            .to_vec();
    bytes.extend_from_slice(&u16::try_from(frame.len()).expect("it is short").to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(frame.as_bytes());
    let last = format!("\"id\":{},", channels + 1);
    let open = || {
        let mut stream = rig.tcp();
        stream.write_all(&bytes).expect("it is taken");
        let (mut all, mut buffer) = (Vec::new(), [0; 16 << 10]);
        while !String::from_utf8_lossy(&all).contains(&last) {
            let count = stream.read(&mut buffer).expect("replies");
            assert!(count > 0, "it ended");
            all.extend_from_slice(&buffer[..count]);
        }
        stream
    };
    let warm: Vec<_> = (0..64).map(|_| open()).collect();
    let mut held = Vec::with_capacity(CLIENTS as usize);
    let before = ALLOCATOR.bytes();
    held.extend((0..CLIENTS).map(|_| open()));
    let each = (ALLOCATOR.bytes() - before) / CLIENTS;
    drop((warm, held));
    each
}

#[test]
fn an_idle_client_takes_512_bytes_with_a_channel_and_1200_with_ten() {
    let _alone = ALONE.lock();
    for driver in drivers() {
        for (channels, most) in [(1, 512), (10, 1_200)] {
            let mut settings = gannet_gateway::settings::Settings::demo();
            // Joins would go to all others, who do not read.
            settings.channels.namespaces[0].options.join_leave = false;
            let rig = Rig::start(driver, settings);
            let each = each(&rig, channels);
            eprintln!("{each} bytes for each with {channels} channels on {driver:?}");
            assert!(each > 100, "nothing was counted");
            assert!(each <= most, "{each} bytes for each with {channels} channels on {driver:?}");
        }
    }
}

/// Has each of them read so many frames.
fn read(listeners: &mut [rig::Socket], count: usize) {
    for listener in listeners {
        for _ in 0..count {
            listener.socket.read().expect("a push");
        }
    }
}

#[test]
fn a_delivery_allocates_nothing() {
    let _alone = ALONE.lock();
    for driver in drivers() {
        let rig =
            Rig::of(gannet::Engine::new().driver(driver).reactors(1), 1, gannet_gateway::settings::Settings::demo());
        let mut listeners: Vec<_> = (0..200).map(|_| rig.subscribed("demo:a")).collect();
        let publish = |count: usize| {
            for _ in 0..count {
                let publish = gannet_channels::Publish::new("[1,2,3]");
                rig.gateway
                    .space()
                    .publish("demo:a", publish, gannet_channels::Time(1_700_000_000_000))
                    .expect("published");
            }
        };
        publish(20);
        read(&mut listeners, 20);
        // The best of several attempts: where the machine is busy, outboxes take what cannot be written at once.
        let attempt = |tens: usize| {
            let push = format!(r#"??{{"push":{{"channel":"demo:a","pub":{{"data":[1,2,3],"offset":{tens}0}}}}}}"#);
            // The clients of the test allocate too, but only when they read.
            let before = ALLOCATOR.allocations();
            publish(10);
            // The last of them has the last push when nothing is left to be written. It reads without a library.
            let mut bytes = [0; 1 << 10];
            let last = listeners.last_mut().expect("one").socket.get_mut();
            std::io::Read::read_exact(last, &mut bytes[..10 * push.len()]).expect("pushes");
            let allocations = ALLOCATOR.allocations() - before;
            assert_eq!(&bytes[9 * push.len() + 2..10 * push.len()], &push.as_bytes()[2..]);
            read(&mut listeners[..199], 10);
            allocations
        };
        // Four for each publication when this was written; one for each delivery would be 2,000.
        let tried: Vec<_> = (3..10).map(attempt).take_while(|allocations| *allocations > 60).collect();
        assert!(tried.len() < 7, "{tried:?} allocations for 10 publications to 200 clients on {driver:?}");
    }
}
