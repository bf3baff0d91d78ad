//! Outbound connections of sessions.

use super::super::rig::{Ending as StreamEnding, Setup};
use super::super::{Client, Net, on_every_driver};
use super::dialogues;
use crate::driver::sim::Answer;
use crate::proto::Lines;
use crate::session::{Either, Error, Upstreams, connect, first};
use crate::{Address, Connect, Outbound};

fn a_session_reads_and_writes_an_outbound_connection_beside_its_own<N: Net>(mut net: N) {
    let address = net.remote(Answer::Accept);
    let mut setup = dialogues(Setup::new(), move |mut connection| async move {
        let to = Connect::to(Address::Tcp(address));
        let mut upstream = connect(Lines::new(), &to).await?;
        upstream.send([b"hello from here"]).await?;
        loop {
            match first(connection.next(), upstream.next()).await {
                Either::Left(line) => match line? {
                    Some(line) => upstream.send([b"> ", &line]).await?,
                    None => upstream.shutdown_write(),
                },
                Either::Right(line) => match line? {
                    Some(line) => connection.send([b"< ", &line]).await?,
                    None => return connection.send([b"over"]).await,
                },
            }
            if connection.ending().is_some() {
                while let Some(line) = upstream.next().await? {
                    connection.send([b"< ", &line]).await?;
                }
                return connection.send([b"over"]).await;
            }
        }
    });
    let _: Outbound<Upstreams> = setup.outbound(Upstreams);
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    let (mut server, _) = rig.until("the session to connect", |rig| rig.net.accept(address));
    assert_eq!(rig.line(&mut server), "hello from here");
    for index in 0..200 {
        rig.write(&mut client, format!("{index}\n").as_bytes());
        assert_eq!(rig.line(&mut server), format!("> {index}"));
        rig.write(&mut server, format!("{index}\n{index}\n").as_bytes());
        assert_eq!(rig.line(&mut client), format!("< {index}"));
        assert_eq!(rig.line(&mut client), format!("< {index}"));
    }
    client.shutdown();
    assert_eq!(rig.read_to_end(&mut server), (Vec::new(), StreamEnding::Finished));
    rig.write(&mut server, b"last\nwithout an end");
    server.shutdown();
    assert_eq!(rig.read_to_end(&mut client).0, b"< last\n< without an end\nover\n");
    drop((client, server));
    rig.finish();
}

fn a_session_hears_that_its_outbound_connection_was_refused<N: Net>(mut net: N) {
    let address = net.remote(Answer::Refuse);
    let mut setup = dialogues(Setup::new(), move |mut connection| async move {
        let to = Connect::to(Address::Tcp(address));
        match connect(Lines::new(), &to).await {
            Err(Error::Io(error)) => connection.send([format!("{:?}", error.kind()).as_bytes()]).await,
            other => panic!("{other:?}"),
        }
    });
    let _: Outbound<Upstreams> = setup.outbound(Upstreams);
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    assert_eq!(rig.read_to_end(&mut client).0, b"ConnectionRefused\n");
    drop(client);
    rig.finish();
}

on_every_driver!(
    a_session_reads_and_writes_an_outbound_connection_beside_its_own,
    a_session_hears_that_its_outbound_connection_was_refused,
);
