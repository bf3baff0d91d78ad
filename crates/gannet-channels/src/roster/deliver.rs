//! Delivering: from the inbox through the lists of subscribers into the sink.

use std::sync::Arc;

use super::batch::{Batch, Frames};
use super::clients::Client;
use super::locals::Subscriber;
use super::waiting::{Waiting, Waits, newest};
use super::{Delivered, Roster};
use crate::client::ClientKey;
use crate::delivery::{Delivery, Event};
use crate::inbox::Item;
use crate::order::Ordered;
use crate::settings::SlowPolicy;
use crate::sink::{Pushed, Sink};
use crate::stats::{Deliveries, add};
use crate::subscribe::Flags;
use crate::time::Time;

/// A walk along a channel's subscribers. It may pause anywhere, and go on in a later call.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) local: u32,
    /// How many subscribers it has passed.
    pub(super) cursor: usize,
    task: Task,
}

#[derive(Debug)]
enum Task {
    Push(Arc<Delivery>),
    Batch(Frames),
    /// Tells subscribers with a position that they lost something that came before the event with this number. Then
    /// the delivery that showed it follows.
    Gap(u64, Option<Arc<Delivery>>),
}

impl<T> Roster<T> {
    /// Pushes what came, to at most `budget` subscribers, and returns early with an order for clients of this reactor.
    ///
    /// Call it when the reactor's waker was called, when [`Roster::next_due`] has come, and again while
    /// [`Delivered::more`] is set: without that, the waker is not called any more. A walk along many subscribers pauses
    /// at the budget and goes on in the next call; other calls may come between.
    pub fn deliver(&mut self, sink: &mut impl Sink<T>, now: Time, budget: usize) -> Delivered {
        self.now = now;
        self.refresh();
        let mut delivered = Delivered::default();
        let mut left = budget;
        loop {
            if self.run.is_some() {
                self.advance(sink, &mut left, &mut delivered);
                self.end_broken();
                if left == 0 {
                    delivered.more = true;
                    return delivered;
                }
                continue;
            }
            if left == 0 {
                delivered.more = true;
                return delivered;
            }
            if let Some(local) = self.dues.pop(now) {
                let due = |batch: &Batch| batch.due <= now;
                if self.locals.get(local).and_then(|local| local.batch.as_deref()).is_some_and(due) {
                    self.close_batch(local);
                }
                continue;
            }
            match self.taken.pop() {
                Some(Item::Delivery(local, delivery)) => {
                    // A delivery that nobody gets costs something, too.
                    left -= 1;
                    self.begin(local, delivery);
                }
                Some(Item::Order(issued)) => {
                    left -= 1;
                    let clients = self.targets(&issued);
                    if let Some(local) = self.pending_batch(&clients) {
                        // What was published before the order leaves before it.
                        self.taken.push(Item::Order(issued));
                        self.close_batch(local);
                    } else if !clients.is_empty() {
                        delivered.order = Some(Ordered { clients, issued });
                        delivered.more = true;
                        return delivered;
                    }
                }
                None => {
                    if let Some((local, lost)) = self.lost.pop() {
                        self.begin_lost(local, &lost);
                    } else if !self.take() {
                        return delivered;
                    }
                }
            }
        }
    }

    /// Sends what waits for a client that has room again. Call it when the client's outbox has drained.
    ///
    /// Returns whether nothing waits for it any more.
    pub fn flush(&mut self, client: ClientKey, sink: &mut impl Sink<T>) -> bool {
        self.refresh();
        let Some(there) = self.clients.get_mut(client) else { return true };
        if !there.waits {
            return true;
        }
        let mut waiting = self.waiting.take(client.index);
        let mut sent = 0;
        for waits in &waiting {
            let Some(held) = there.holds.find(waits.local) else {
                debug_assert!(false, "something waits for a subscription that is over");
                sent += 1;
                continue;
            };
            let Some(local) = self.locals.get(waits.local) else { continue };
            let subscriber = local.subscribers[held.at as usize];
            let counters = self.table.slot(local.channel.namespace()).deliveries(self.reactor);
            if there.ended {
                sent += 1;
            } else if waits.missed && subscriber.flags.has(Flags::STRICT) {
                sink.gap(client, &mut there.value, local.channel.name(), subscriber.flags.has(Flags::SERVER_SIDE));
                add(&counters.gaps, 1);
                self.broken.push((client, waits.local));
                sent += 1;
            } else if let Some(latest) = &waits.latest {
                match sink.push(client, &mut there.value, subscriber.format, latest) {
                    Pushed::Taken => {
                        add(&counters.deliveries, 1);
                        add(&counters.bytes, latest.data_bytes());
                        add(&counters.frames, 1);
                    }
                    Pushed::Full => break,
                    Pushed::Gone => there.ended = true,
                }
                sent += 1;
            } else {
                sent += 1;
            }
        }
        waiting.drain(..sent);
        there.waits = !waiting.is_empty();
        let done = !there.waits;
        self.waiting.put_back(client.index, waiting);
        self.end_broken();
        done
    }

    /// Returns when the first window of the coalescing delay ends: call [`Roster::deliver`] then.
    #[must_use]
    pub fn next_due(&self) -> Option<Time> {
        self.dues.next()
    }

    /// Takes what is in the inbox. Returns whether there was anything.
    fn take(&mut self) -> bool {
        let some = self.space.inbox(self.reactor).take(&mut self.taken, &mut self.lost);
        // Taken from the end, one by one: so the list needs no index that could be wrong.
        self.taken.reverse();
        self.drained += u64::from(!some);
        some
    }

    /// Begins to deliver an event, or to tell of a loss before it.
    fn begin(&mut self, index: u32, delivery: Arc<Delivery>) {
        let Some(local) = self.locals.get_mut(index) else { return };
        // It may be for a channel that had the index before, or for subscribers that this channel had before.
        if !Arc::ptr_eq(&local.channel, delivery.identity()) || delivery.seq() < local.first {
            return;
        }
        if delivery.top_before() > local.top {
            local.top = delivery.top_before();
            if local.positioned > 0 {
                let task = Task::Gap(delivery.seq(), Some(delivery));
                self.run = Some(Run { local: index, cursor: 0, task });
                return;
            }
        }
        local.top = delivery.top();
        let Some(delay) = self.table.slot(local.channel.namespace()).options.coalesce else {
            if local.batch.is_some() {
                // Coalescing has been turned off: what was collected goes first.
                self.taken.push(Item::Delivery(index, delivery));
                self.close_batch(index);
                return;
            }
            self.run = Some(Run { local: index, cursor: 0, task: Task::Push(delivery) });
            return;
        };
        let batch = match &mut local.batch {
            Some(batch) => batch,
            none => {
                let due = (self.now + std::time::Duration::from_millis(1)).round_up(delay);
                self.dues.push(due, index);
                none.insert(Box::new(Batch::new(due)))
            }
        };
        if batch.push(delivery, &self.space.shared().limits) {
            self.close_batch(index);
        }
    }

    /// Begins to tell of events that did not fit into the inbox, if no later event did.
    fn begin_lost(&mut self, index: u32, lost: &crate::inbox::Lost) {
        let Some(local) = self.locals.get_mut(index) else { return };
        if !Arc::ptr_eq(&local.channel, &lost.channel) || lost.seq < local.first || lost.top <= local.top {
            return;
        }
        local.top = lost.top;
        if local.positioned > 0 {
            self.run = Some(Run { local: index, cursor: 0, task: Task::Gap(lost.seq + 1, None) });
        }
    }

    fn close_batch(&mut self, index: u32) {
        let batch = self.locals.get_mut(index).and_then(|local| local.batch.take());
        if let Some(frames) = batch.and_then(|batch| batch.close()) {
            self.run = Some(Run { local: index, cursor: 0, task: Task::Batch(frames) });
        }
    }

    /// A channel of these clients with events that wait for the end of their window.
    fn pending_batch(&self, clients: &[ClientKey]) -> Option<u32> {
        let all = clients.iter().filter_map(|client| self.clients.get(*client));
        let mut channels = all.flat_map(|client| client.holds.as_slice()).map(|held| held.local);
        channels.find(|local| self.locals.get(*local).is_some_and(|local| local.batch.is_some()))
    }

    /// Goes on with the run, for at most as many subscribers as the budget has left.
    fn advance<S: Sink<T>>(&mut self, sink: &mut S, left: &mut usize, delivered: &mut Delivered) {
        let Some(mut run) = self.run.take() else { return };
        let Some(local) = self.locals.get(run.local) else { return };
        let slot = self.table.slot(local.channel.namespace());
        let end = local.subscribers.len().min(run.cursor + *left);
        let part = &local.subscribers[run.cursor..end];
        *left -= part.len();
        let mut push = Push {
            sink,
            waiting: &mut self.waiting,
            counters: slot.deliveries(self.reactor),
            policy: slot.options.slow,
            local: run.local,
            taken: 0,
            frames: 0,
            bytes: 0,
        };
        match &run.task {
            Task::Push(delivery) => {
                let about_presence = delivery.is_about_presence();
                for subscriber in part {
                    if subscriber.since > delivery.seq()
                        || about_presence && !subscriber.flags.has(Flags::WANTS_JOIN_LEAVE)
                    {
                        continue;
                    }
                    if let Some((key, client)) = self.clients.at_mut(subscriber.client) {
                        push.one(key, client, *subscriber, delivery);
                    }
                }
            }
            Task::Batch(frames) => {
                for subscriber in part {
                    if let Some((key, client)) = self.clients.at_mut(subscriber.client) {
                        push.batch(key, client, *subscriber, frames);
                    }
                }
            }
            Task::Gap(before, _) => {
                for subscriber in part {
                    if !subscriber.flags.has(Flags::POSITIONED) || subscriber.since >= *before {
                        continue;
                    }
                    let Some((key, client)) = self.clients.at_mut(subscriber.client) else { continue };
                    // One that is over gets nothing that it could miss.
                    if !client.ended {
                        let server_side = subscriber.flags.has(Flags::SERVER_SIDE);
                        push.sink.gap(key, &mut client.value, local.channel.name(), server_side);
                        add(&push.counters.gaps, 1);
                        self.broken.push((key, run.local));
                    }
                }
            }
        }
        delivered.pushed += push.frames;
        push.count();
        run.cursor = end;
        if end < local.subscribers.len() {
            self.run = Some(run);
            return;
        }
        match run.task {
            Task::Push(delivery) => sink.passed(&delivery),
            Task::Batch(frames) => sink.passed(&frames.all),
            Task::Gap(_, Some(delivery)) => self.begin(run.local, delivery),
            Task::Gap(_, None) => {}
        }
    }

    /// Ends the subscriptions whose clients were told of a loss.
    fn end_broken(&mut self) {
        while let Some((client, local)) = self.broken.pop() {
            self.end(client, local);
        }
    }
}

/// Pushes to one subscriber after the other.
struct Push<'a, S> {
    sink: &'a mut S,
    waiting: &'a mut Waiting,
    counters: &'a Deliveries,
    policy: SlowPolicy,
    local: u32,
    taken: u64,
    frames: usize,
    bytes: u64,
}

impl<S> Push<'_, S> {
    fn one<T>(&mut self, key: ClientKey, client: &mut Client<T>, subscriber: Subscriber, delivery: &Arc<Delivery>)
    where
        S: Sink<T>,
    {
        if client.ended {
            return;
        }
        if client.waits && self.wait_on(key, subscriber, delivery) {
            return;
        }
        match self.sink.push(key, &mut client.value, subscriber.format, delivery) {
            Pushed::Taken => {
                self.frames += 1;
                self.taken += delivery.events();
                self.bytes += delivery.data_bytes();
            }
            Pushed::Full => self.full(key, client, subscriber, delivery),
            Pushed::Gone => client.ended = true,
        }
    }

    fn batch<T>(&mut self, key: ClientKey, client: &mut Client<T>, subscriber: Subscriber, frames: &Frames)
    where
        S: Sink<T>,
    {
        let wants_all = subscriber.flags.has(Flags::WANTS_JOIN_LEAVE);
        if subscriber.since <= frames.all.seq() {
            let frame = if wants_all { Some(&frames.all) } else { frames.plain.as_ref() };
            if let Some(frame) = frame {
                self.one(key, client, subscriber, frame);
            }
        } else if let Event::Batch(all) = frames.all.event() {
            // It came in the middle of the window: its position has the events before.
            for delivery in all {
                if delivery.seq() >= subscriber.since && (wants_all || !delivery.is_about_presence()) {
                    self.one(key, client, subscriber, delivery);
                }
            }
        }
    }

    /// Puts a delivery behind what waits already. Returns whether something did.
    #[cold]
    fn wait_on(&mut self, key: ClientKey, subscriber: Subscriber, delivery: &Arc<Delivery>) -> bool {
        let Some(waits) = self.waiting.find(key.index, self.local) else { return false };
        let (newest, publications) = newest(delivery);
        if waits.latest.is_none() {
            // Dropped, and it will be told.
            return true;
        }
        if let Some(newest) = newest {
            waits.latest = Some(Arc::clone(newest));
            waits.missed = true;
            if !subscriber.flags.has(Flags::STRICT) {
                add(&self.counters.replaced, publications);
            }
        }
        add(&self.counters.dropped, delivery.events() - publications);
        true
    }

    /// Does what the policy says about a delivery that a client had no room for.
    #[cold]
    fn full<T>(&mut self, key: ClientKey, client: &mut Client<T>, subscriber: Subscriber, delivery: &Arc<Delivery>)
    where
        S: Sink<T>,
    {
        let (newest, publications) = newest(delivery);
        let strict = subscriber.flags.has(Flags::STRICT);
        match self.policy {
            SlowPolicy::Close => {
                self.sink.slow(key, &mut client.value);
                client.ended = true;
                add(&self.counters.slow, 1);
            }
            SlowPolicy::Drop if strict && publications > 0 => {
                self.waiting.push(key.index, Waits { local: self.local, latest: None, missed: true });
                client.waits = true;
            }
            SlowPolicy::LatestOnly if publications > 0 => {
                let waits = Waits { local: self.local, latest: newest.cloned(), missed: publications > 1 };
                self.waiting.push(key.index, waits);
                client.waits = true;
                if !strict {
                    add(&self.counters.replaced, publications - 1);
                }
                add(&self.counters.dropped, delivery.events() - publications);
            }
            SlowPolicy::Drop | SlowPolicy::LatestOnly => add(&self.counters.dropped, delivery.events()),
        }
    }

    /// Adds up what was pushed, once for all subscribers.
    fn count(&self) {
        if self.frames > 0 {
            add(&self.counters.deliveries, self.taken);
            add(&self.counters.frames, self.frames as u64);
            add(&self.counters.bytes, self.bytes);
        }
    }
}
