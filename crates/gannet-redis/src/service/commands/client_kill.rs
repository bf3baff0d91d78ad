//! CLIENT KILL: ends connections, by whatever is known of them.

use gannet::CloseMode;

use super::client_list::{Kind, address, local_address};
use crate::command::error::{Error, Outcome};
use crate::command::number;
use crate::service::clients::{Client, Mark};
use crate::service::server::Server;
use crate::service::turn::Turn;

/// Which clients are to go. All of it has to fit.
#[derive(Default)]
struct Wanted<'a> {
    id: Option<u64>,
    kind: Option<Kind>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    /// Whether the one who asks stays whatever fits.
    skip_me: bool,
}

impl Wanted<'_> {
    fn fits(&self, client: &Client, server: &Server, me: u64) -> bool {
        self.id.is_none_or(|id| id == client.id)
            && self.kind.is_none_or(|kind| kind == Kind::of(client))
            && self.address.is_none_or(|wanted| wanted == address(client, server).as_bytes())
            && self.local_address.is_none_or(|wanted| wanted == local_address(client, server).as_bytes())
            && !(self.skip_me && client.id == me)
    }
}

pub(super) fn kill(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    if let [_, _, address] = *turn.args {
        return match end(turn, &Wanted { address: Some(address), ..Wanted::default() }) {
            0 => Err(Error::new("ERR No such client")),
            _ => {
                turn.reply().ok();
                Ok(())
            }
        };
    }
    let mut wanted = Wanted { skip_me: true, ..Wanted::default() };
    for at in (2..turn.args.len()).step_by(2) {
        let value = *turn.args.get(at + 1).ok_or(Error::SYNTAX)?;
        if turn.is(at, "ID") {
            let id = number::integer(value).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
            wanted.id = Some(id.ok_or(Error::new("ERR client-id should be greater than 0"))?);
        } else if turn.is(at, "TYPE") {
            wanted.kind = Some(Kind::named(value)?);
        } else if turn.is(at, "ADDR") {
            wanted.address = Some(value);
        } else if turn.is(at, "LADDR") {
            wanted.local_address = Some(value);
        } else if turn.is(at, "USER") {
            if value != b"default" {
                return Err(Error::of(format!("ERR No such user '{}'", String::from_utf8_lossy(value))));
            }
        } else if turn.is(at, "SKIPME") {
            wanted.skip_me = turn.is(at + 1, "YES");
            if !wanted.skip_me && !turn.is(at + 1, "NO") {
                return Err(Error::SYNTAX);
            }
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let ended = end(turn, &wanted);
    turn.reply().integer(ended);
    Ok(())
}

/// Ends the connections that fit, and says how many they are. Who asks gets the reply first.
fn end(turn: &mut Turn<'_, '_, '_>, wanted: &Wanted<'_>) -> i64 {
    let me = turn.session.id();
    let candidates = match wanted.id {
        Some(id) => turn.server().clients.find(id).into_iter().collect::<Vec<_>>(),
        None => turn.server().clients.all(),
    };
    turn.count_entries(candidates.len());
    let mut ended = 0;
    for client in candidates {
        if !wanted.fits(&client, turn.server(), me) {
            continue;
        }
        if client.id == me {
            turn.session.ending = true;
        } else if turn.cx.close_other(client.handle, CloseMode::AtOnce).is_err() {
            // It is gone already, or its reactor has more to do than it can take in.
            continue;
        }
        client.mark(Mark::Closing, true);
        ended += 1;
    }
    ended
}
