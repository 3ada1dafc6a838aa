use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use stanchion_core::Timestamp;

use crate::engine::{Shared, Waiting};
use crate::{Outcome, UsageEvent};

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
            let batch = shared.admit(waiting);
            if !batch.is_empty() {
                shared.append_until_kept(&batch).await;
            }
            // A store in memory never waits, and nor does a full queue: without this, other tasks of the thread would starve.
            yield_once().await;
        }
    }
}

impl Shared {
    /// Makes and checks what was not checked before.
    fn admit(&self, waiting: Vec<Waiting>) -> Vec<UsageEvent> {
        let now = self.clock.now();
        let mut batch = Vec::with_capacity(waiting.len());
        for waiting in waiting {
            let (tenant, event) = match waiting {
                Waiting::Checked(event) => {
                    batch.push(event);
                    continue;
                }
                Waiting::Placed(tenant, event) => (tenant, event),
                Waiting::Late(tenant, make) => (tenant, make()),
            };
            if self.check(&event, tenant, now).is_ok() {
                batch.push(event);
            } else {
                self.counters.rejected();
            }
        }
        batch
    }

    async fn append_until_kept(&self, batch: &[UsageEvent]) {
        let mut pause = FIRST_RETRY;
        loop {
            if let Ok(outcomes) = self.append(batch).await {
                return self.counters.came_out(outcomes.into_iter().map(Outcome::from));
            }
            let again: Timestamp = self.clock.now().plus(pause);
            self.timer.sleep_until(again).await;
            pause = pause.saturating_mul(2).min(LAST_RETRY);
        }
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
