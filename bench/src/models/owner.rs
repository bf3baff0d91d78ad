//! An engine whose services own what other threads ask them for, with one connection on each reactor to reach it by.

use std::io;
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use gannet::{Address, Engine, Handle, Notice, Remote, Running, SendError};

use super::task::PATIENCE;

/// Sends the number of a reactor and the handle of its connection, once the connection is open.
pub type Opened = Sender<(usize, Handle)>;

/// A running engine. Dropping it ends it.
pub struct Owners {
    running: Option<Running>,
    remote: Remote,
    /// One for each reactor.
    handles: Vec<Handle>,
    _connections: Vec<TcpStream>,
}

impl Owners {
    /// Starts so many reactors, each with a service made by `factory`, and connects to each of them.
    pub fn start<S: gannet::Service>(
        reactors: usize,
        factory: impl Fn(Opened) -> S + Send + Sync + 'static,
    ) -> io::Result<Self> {
        /// Connections after which every reactor has one, unless the kernel's hash is not what it was.
        const MOST: usize = 1_000;
        let (opened, said) = mpsc::channel();
        let engine = Engine::new().reactors(reactors);
        let engine = engine.listen("tcp://127.0.0.1:0", move || factory(opened.clone())).map_err(io::Error::other)?;
        let running = engine.start().map_err(io::Error::other)?;
        let Some(Address::Tcp(address)) = running.addresses().next().cloned() else {
            return Err(io::Error::other("the engine has no TCP address"));
        };
        let mut handles = vec![None; reactors];
        let mut connections = Vec::new();
        while handles.contains(&None) {
            if connections.len() == MOST {
                return Err(io::Error::other("a reactor got no connection"));
            }
            connections.push(TcpStream::connect(address)?);
            let (reactor, handle) = next(&said)?;
            handles[reactor] = Some(handle);
        }
        let handles = handles.into_iter().flatten().collect();
        Ok(Self { remote: running.remote(), running: Some(running), handles, _connections: connections })
    }

    /// Returns a way to the owners for another thread.
    pub fn way<S: gannet::Service>(&self) -> Way<S> {
        Way { remote: self.remote.clone(), handles: self.handles.clone().into(), service: std::marker::PhantomData }
    }
}

fn next(said: &Receiver<(usize, Handle)>) -> io::Result<(usize, Handle)> {
    said.recv_timeout(PATIENCE).map_err(io::Error::other)
}

impl Drop for Owners {
    fn drop(&mut self) {
        self.remote.stop();
        // An engine that ends with an error has ended as well.
        let _ = self.running.take().map(Running::join);
    }
}

/// Posts letters to owners from any thread.
pub struct Way<S> {
    remote: Remote,
    handles: Box<[Handle]>,
    service: std::marker::PhantomData<fn() -> S>,
}

impl<S> Way<S> {
    /// The number of owners.
    pub fn owners(&self) -> usize {
        self.handles.len()
    }

    /// Posts a letter to an owner by its number. While its mailbox is full, other threads run.
    pub fn post<T: Send + 'static>(&self, owner: usize, mut letter: T) -> io::Result<()>
    where
        S: Notice<T>,
    {
        loop {
            match self.remote.notify::<S, T>(self.handles[owner], letter) {
                Ok(()) => return Ok(()),
                Err(refused) if refused.reason == SendError::MailboxFull => {
                    letter = refused.value;
                    thread::yield_now();
                }
                Err(refused) => return Err(io::Error::other(refused.reason)),
            }
        }
    }
}
