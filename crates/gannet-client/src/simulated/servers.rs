//! Servers that answer late, twice, in part or not at all, as chance and their mood have it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use gannet::Random;
use gannet::sim::{Answer, SimulatedClient, Simulation};

use super::speech::{Asked, Speech};

/// How a server treats what it is asked, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// It answers within 2 ms.
    Prompt,
    /// It answers within this time.
    Late(Duration),
    /// It takes requests and never answers them.
    BlackHole,
    /// It breaks the connection in the middle of a reply.
    Cuts,
    /// It answers twice, if the protocol tells such replies apart.
    Twice,
    /// It refuses connections.
    Refuses,
    /// Nothing comes back from its address.
    Silent,
}

/// One connection of a server.
struct Served<S: Speech> {
    /// None where it has ended.
    end: Option<SimulatedClient>,
    received: Vec<u8>,
    state: S::ServerState,
    /// Replies and when they leave; with `true`, the connection breaks after them.
    due: VecDeque<(Duration, Vec<u8>, bool)>,
    /// It will answer nothing more.
    is_hole: bool,
}

/// A server at an address of one reactor's network.
pub(super) struct Server<S: Speech> {
    pub(super) reactor: usize,
    pub(super) address: SocketAddr,
    mood: Mood,
    random: Random,
    connections: Vec<Served<S>>,
    /// Requests that were answered, without pings and handshakes.
    pub(super) answered: u64,
    /// Replies that it sent a second time.
    pub(super) repeated: u64,
    /// Connections that it broke in the middle of a reply.
    pub(super) cut: u64,
}

impl<S: Speech> Server<S> {
    pub(super) fn new(simulation: &mut Simulation, reactor: usize, address: SocketAddr, seed: u64) -> Self {
        simulation.answer(reactor, address, Answer::Accept);
        let (random, connections) = (Random::new(seed), Vec::new());
        Self { reactor, address, mood: Mood::Prompt, random, connections, answered: 0, repeated: 0, cut: 0 }
    }

    pub(super) fn set_mood(&mut self, simulation: &mut Simulation, mood: Mood) {
        self.mood = mood;
        let answer = match mood {
            Mood::Refuses => Answer::Refuse,
            Mood::Silent => Answer::Silence,
            _ => Answer::Accept,
        };
        simulation.answer(self.reactor, self.address, answer);
    }

    /// Does what is to be done by `now`, on the clock of its reactor.
    pub(super) fn step(&mut self, simulation: &mut Simulation, now: Duration) {
        while let Some(end) = simulation.accept(self.reactor, self.address) {
            self.connections.push(Served {
                end: Some(end),
                received: Vec::new(),
                state: S::ServerState::default(),
                due: VecDeque::new(),
                is_hole: false,
            });
        }
        for at in 0..self.connections.len() {
            self.receive(at, now);
            self.send(at, now);
        }
        self.connections.retain(|served| served.end.is_some());
    }

    fn receive(&mut self, at: usize, now: Duration) {
        let served = &mut self.connections[at];
        let mut buffer = [0; 4_096];
        while let Some(end) = &mut served.end {
            match end.read(&mut buffer) {
                Ok(0) => served.end = None,
                Ok(count) => served.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => served.end = None,
            }
        }
        loop {
            let Served { state, received, .. } = &mut self.connections[at];
            let Some(asked) = S::hear(state, received) else { return };
            self.answer(at, now, &asked);
        }
    }

    fn answer(&mut self, at: usize, now: Duration, asked: &Asked) {
        let served = &mut self.connections[at];
        if served.is_hole {
            return;
        }
        let ms = Duration::from_millis;
        let (delay, mut reply) = (self.random.up_to(ms(2)), S::reply(asked));
        let (mut delay, mut breaks) = (delay, false);
        match self.mood {
            Mood::Late(longest) => delay = self.random.up_to(longest),
            Mood::BlackHole => return served.is_hole = true,
            Mood::Cuts if self.random.below(4) == 0 => {
                reply.truncate(self.random.below(reply.len()));
                (breaks, self.cut) = (true, self.cut + 1);
            }
            Mood::Twice if S::TELLS_REPLIES_APART && !asked.is_own => {
                self.repeated += 1;
                let again = now + self.random.up_to(ms(20));
                served.due.push_back((again, reply.clone(), false));
            }
            _ => {}
        }
        self.answered += u64::from(!asked.is_own && !breaks);
        let mut when = now + delay;
        if !S::TELLS_REPLIES_APART {
            // In the order of the requests.
            when = served.due.back().map_or(when, |(before, ..)| when.max(*before));
        }
        served.due.push_back((when, reply, breaks));
    }

    fn send(&mut self, at: usize, now: Duration) {
        let served = &mut self.connections[at];
        while let Some(end) = &mut served.end
            && let Some(index) = served.due.iter().position(|(when, ..)| *when <= now)
        {
            // A reply that has begun goes on before any other.
            let (_, bytes, breaks) = &mut served.due[index];
            if !bytes.is_empty() {
                match end.write(bytes) {
                    Ok(count) => drop(bytes.drain(..count)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        let begun = served.due.remove(index).expect("it is there");
                        return served.due.push_front((Duration::ZERO, begun.1, begun.2));
                    }
                    Err(_) => return served.end = None,
                }
            }
            if bytes.is_empty() {
                if *breaks && let Some(end) = served.end.take() {
                    return end.reset();
                }
                served.due.remove(index);
            } else {
                let begun = served.due.remove(index).expect("it is there");
                served.due.push_front((Duration::ZERO, begun.1, begun.2));
            }
        }
    }
}
