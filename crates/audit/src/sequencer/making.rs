use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry as Slot;
use stanchion_core::{Event, EventId, ProducerNumber, Scope};

use super::Sequencer;
use super::pending::{Answer, Pending};
use crate::draft::{Work, content_of};
use crate::engine::{Item, count};

impl Sequencer {
    /// Makes the events of a batch and brings them into their canonical form; events of one id become one.
    pub(super) fn make(&mut self, items: Vec<Item>, batch: &mut Vec<Pending>) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut places: HashMap<(Scope, EventId), usize> = HashMap::with_capacity(items.len());
        for Item { work, number, reply } in items {
            let (chain, content) = match work {
                Work::Ready(chain, content) => (chain, content),
                Work::Late(make) => {
                    let event = self.numbered(make(), number);
                    let (chain, content, is_changed) = content_of(event, &mut buffer);
                    count(&self.shared.counters.reduced, is_changed.into());
                    (chain, Arc::new(content))
                }
            };
            let waiting = reply.map(|reply| (reply, Answer::Receipt));
            match places.entry((chain.scope, content.id)) {
                Slot::Vacant(place) => {
                    place.insert(batch.len());
                    let waiting = waiting.into_iter().collect();
                    batch.push(Pending { chain, content, accepted: 1, waiting });
                }
                Slot::Occupied(place) => match batch.get_mut(*place.get()) {
                    Some(first) if first.content.leaf == content.leaf => {
                        count(&self.shared.counters.duplicates, 1);
                        first.accepted += 1;
                        first.waiting.extend(waiting);
                    }
                    _ => {
                        let waiting = waiting.into_iter().collect();
                        let refused = Pending { chain, content, accepted: 1, waiting };
                        batch.push(self.refuse_reused(refused));
                    }
                },
            }
        }
        self.buffer = buffer;
    }

    /// Gives an event its number, if that is of its scope.
    fn numbered(&self, mut event: Event, number: Option<(Scope, ProducerNumber)>) -> Event {
        match number {
            Some((scope, number)) if event.producer.is_none() && event.scope == scope => {
                event.producer = Some(number);
            }
            // It was numbered before it was queued.
            Some((_, number)) if event.producer.as_ref() == Some(&number) => {}
            unused => self.shared.leave(unused),
        }
        event
    }
}
