//! Where the ledger protects what is configured: on the way into its queue nothing has to be waited for, and once for each batch that
//! comes out of it.

use std::sync::atomic::AtomicU64;

use stanchion_core::{Detail, Event};

use super::engine::wanted;
use super::keyring::DataKeys;
use super::{Mark, Protection};
use crate::draft::Work;
use crate::engine::{Item, Shared, count};
use crate::{Draft, Error, Ledger, canonical};

impl Ledger {
    /// Has every event protected as it is configured, whoever records it, before it is hashed. To be called before anything is
    /// recorded; a second call changes nothing.
    pub fn protect(&self, protection: Protection) {
        drop(self.shared().protection.set(protection));
    }
}

impl Shared {
    /// Takes a draft into the form in which it waits.
    pub(crate) fn work(&self, draft: Draft) -> Result<Work, Error> {
        let (Some(protection), Draft::Event(event)) = (self.protection.get(), &draft) else {
            return Work::new(draft);
        };
        let marks = protection.configured(event);
        if marks.is_empty() {
            return Work::new(draft);
        }
        // What is wrong with the rest its producer hears now, and nothing of what is to be protected.
        let mut rest = event.clone();
        for mark in &marks {
            let (Ok(_) | Err(_)) =
                mark.field.replace(&mut rest, &mut |_, _| Ok::<_, std::convert::Infallible>(Detail::Null));
        }
        canonical(&rest)?;
        let Draft::Event(event) = draft else { return Work::new(draft) };
        Ok(Work::Late(Box::new(move || event)))
    }

    /// Protects what a batch has to protect. The keys are looked for once for all of it, and waited for as long as is configured.
    pub(crate) async fn protected(&self, items: Vec<Item>) -> Vec<Item> {
        let Some(protection) = self.protection.get() else { return items };
        let mut accepted = Accepted { lost: &self.counters.lost, items: items.len() };
        let mut names = Vec::new();
        let step = |Item { work, number, reply }: Item| match work {
            Work::Late(make) => {
                let event = make();
                let marks = protection.configured(&event);
                names.extend(wanted(&event, &marks));
                (Step::Made(Box::new(event), marks), number, reply)
            }
            ready @ Work::Ready(..) => (Step::Ready(ready), number, reply),
        };
        let steps: Vec<_> = items.into_iter().map(step).collect();
        let keys =
            if names.is_empty() { DataKeys::new() } else { protection.keys(names).await.unwrap_or_default() };
        accepted.items = 0;
        let finish = |(step, number, reply)| match step {
            Step::Ready(work) => Item { work, number, reply },
            Step::Made(mut event, marks) => {
                for mark in &marks {
                    protection.seal_or_withhold(&mut event, mark, &keys);
                }
                Item { work: Work::Late(Box::new(move || *event)), number, reply }
            }
        };
        steps.into_iter().map(finish).collect()
    }
}

enum Step {
    Ready(Work),
    Made(Box<Event>, Vec<Mark>),
}

/// Events that were taken out of the queue, and are lost if the sequencer is dropped while it waits for their keys.
struct Accepted<'a> {
    lost: &'a AtomicU64,
    items: usize,
}

impl Drop for Accepted<'_> {
    fn drop(&mut self) {
        count(self.lost, u64::try_from(self.items).unwrap_or(u64::MAX));
    }
}
