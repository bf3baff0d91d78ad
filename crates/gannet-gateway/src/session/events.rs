//! Sessions of an `EventSource`: one channel, and only its publications.

use gannet_proto::centrifuge::{ConnectRequest, SubscribeRequest};

use super::codes::ErrorReply;
use super::subscribe::Wanted;
use super::{Link, Place};
use crate::hub::Hub;
use crate::rules::Verdict;
use crate::wire::event_with_id;

impl Hub {
    /// Connects and subscribes a client in one; gives the events that it gets first.
    ///
    /// Where the client cannot be told what it missed, an event `unrecovered` says so. A position without data follows, so
    /// that a client which is cut off before the first publication recovers too.
    pub(crate) fn begin_events(
        &mut self,
        place: Place,
        link: &mut Link,
        request: &ConnectRequest<'_>,
        channel: &str,
        since: Option<(u64, String)>,
    ) -> Result<Vec<u8>, ErrorReply> {
        self.out.clear();
        let gateway = self.gateway.clone();
        let mut credentials = match gateway.admit(self, place, request, None) {
            Verdict::Yes(credentials) => credentials,
            Verdict::No(error) => return Err(error),
            Verdict::Close(_) => return Err(ErrorReply::UNAUTHORIZED),
            // There is no way to go on later.
            Verdict::Ask(_) => return Err(ErrorReply::NOT_AVAILABLE),
        };
        // The ids of events are positions in one channel.
        credentials.subscriptions.clear();
        self.establish(place, link, 0, request, credentials).map_err(|_| ErrorReply::LIMIT_EXCEEDED)?;
        let begun = self.begin_channel(place, link, channel, since);
        if begun.is_err() {
            self.closed(place, link);
        }
        begun
    }

    fn begin_channel(
        &mut self,
        place: Place,
        link: &Link,
        channel: &str,
        since: Option<(u64, String)>,
    ) -> Result<Vec<u8>, ErrorReply> {
        let Link::Up(key) = *link else { return Err(ErrorReply::INTERNAL) };
        self.known(channel)?;
        let subscribe = SubscribeRequest { channel: channel.into(), ..SubscribeRequest::default() };
        let gateway = self.gateway.clone();
        let grant = match gateway.may_subscribe(self, key, place.wire, &subscribe, None) {
            Verdict::Yes(grant) => grant,
            Verdict::No(error) => return Err(error),
            Verdict::Close(_) => return Err(ErrorReply::PERMISSION_DENIED),
            Verdict::Ask(_) => return Err(ErrorReply::NOT_AVAILABLE),
        };
        let wanted = Wanted {
            recover: since.as_ref().map(|(offset, epoch)| (*offset, &**epoch)),
            positioned: true,
            recoverable: true,
            join_leave: false,
            server_side: false,
            recover_bytes: None,
        };
        let held = self.enter(key, channel, &wanted, &grant)?;
        let result = held.result(place.wire);
        let mut events = Vec::new();
        if since.is_some() && !result.recovered {
            events.extend_from_slice(b"event: unrecovered\ndata: {}\n\n");
        }
        if result.publications.is_empty() && result.recoverable {
            events.extend_from_slice(format!("id: {}:{}\n\n", result.epoch, result.offset).as_bytes());
        }
        for missed in held.publications() {
            event_with_id(&result.epoch, missed, &mut events);
        }
        Ok(events)
    }
}
