use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use stanchion_core::Timestamp;
use tokio::sync::oneshot;

use crate::engine::{Shared, Waiting};
use crate::{Outcome, UsageEvent};

type Reply = oneshot::Sender<Outcome>;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// Carries submitted events to the store, in batches.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
}

impl Recorder {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs until the engine is closed and everything taken before is in the store.
    ///
    /// While the store fails, the same batch is appended again, after 50 ms and then ever longer up to 5 s; events that were kept
    /// all the same are duplicates by then. So nothing that was taken is lost while this runs, and the queue fills meanwhile. When the
    /// future is dropped, what waits and the batch under way are lost; [`Stats`](crate::Stats) tells how many that is.
    pub async fn run(self) {
        let Self { shared } = self;
        while let Some(waiting) = shared.queue.next_batch(&*shared.clock, &*shared.timer).await {
            let (batch, replies) = shared.admit(waiting);
            if !batch.is_empty() {
                shared.append_until_kept(&batch, replies).await;
            }
            // A store in memory never waits, and nor does a full queue: without this, other tasks of the thread would starve.
            yield_once().await;
        }
    }
}

impl Shared {
    /// Makes and checks what was not checked before, and returns it with those who wait for it, each beside its event.
    fn admit(&self, waiting: Vec<Waiting>) -> (Vec<UsageEvent>, Vec<Option<Reply>>) {
        let now = self.clock.now();
        let (mut batch, mut replies) = (Vec::with_capacity(waiting.len()), Vec::with_capacity(waiting.len()));
        for waiting in waiting {
            let (tenant, event, reply) = match waiting {
                Waiting::Checked(event) => {
                    batch.push(event);
                    replies.push(None);
                    continue;
                }
                Waiting::Placed(tenant, event) => (tenant, event, None),
                Waiting::Awaited(tenant, event, reply) => (tenant, event, Some(reply)),
                Waiting::Late(tenant, make) => (tenant, make(), None),
            };
            match self.check(&event, tenant, now) {
                Ok(()) => {
                    batch.push(event);
                    replies.push(reply);
                }
                Err(reason) => {
                    self.counters.rejected();
                    tell(reply, Outcome::Rejected { reason });
                }
            }
        }
        (batch, replies)
    }

    async fn append_until_kept(&self, batch: &[UsageEvent], replies: Vec<Option<Reply>>) {
        let mut pause = FIRST_RETRY;
        loop {
            if let Ok(outcomes) = self.append(batch).await {
                let outcomes: Vec<Outcome> = outcomes.into_iter().map(Outcome::from).collect();
                self.counters.came_out(outcomes.iter().copied());
                replies.into_iter().zip(outcomes).for_each(|(reply, outcome)| tell(reply, outcome));
                return;
            }
            let again: Timestamp = self.clock.now().plus(pause);
            self.timer.sleep_until(again).await;
            pause = pause.saturating_mul(2).min(LAST_RETRY);
        }
    }
}

fn tell(reply: Option<Reply>, outcome: Outcome) {
    if let Some(reply) = reply {
        // Whoever no longer waits need not be told.
        let _ = reply.send(outcome);
    }
}

fn yield_once() -> impl Future<Output = ()> {
    let mut yielded = false;
    std::future::poll_fn(move |context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
