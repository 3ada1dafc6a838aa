use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

/// What runs beside the requests. While the process serves, none of it may end: a process without its ledger, say, would go on
/// answering and record nothing.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    tasks: JoinSet<()>,
    names: Vec<(Id, &'static str, AbortHandle)>,
}

/// A worker that ended before it was told to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Death {
    pub(crate) name: &'static str,
    pub(crate) why: String,
}

impl Workers {
    pub(crate) fn spawn(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(work);
        self.names.push((handle.id(), name, handle));
    }

    /// Waits until a worker ends, which none should. With no worker it waits for ever.
    pub(crate) async fn death(&mut self) -> Death {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => Death { name: self.forget(id), why: "it ended by itself".to_owned() },
            Some(Err(error)) => Death { name: self.forget(error.id()), why: reason(error) },
            None => pending().await,
        }
    }

    /// Ends a worker that would go on for ever.
    pub(crate) fn stop(&mut self, name: &str) {
        self.names.iter().filter(|(_, known, _)| *known == name).for_each(|(_, _, handle)| handle.abort());
    }

    /// Waits until the workers of these names have ended, in whatever way; at most so long.
    pub(crate) async fn ended(&mut self, names: &[&str], patience: Duration) -> Result<(), Death> {
        let all = async {
            while self.names.iter().any(|(_, name, _)| names.contains(name)) {
                match self.tasks.join_next_with_id().await {
                    Some(Ok((id, ()))) => drop(self.forget(id)),
                    Some(Err(error)) if error.is_cancelled() => drop(self.forget(error.id())),
                    Some(Err(error)) => {
                        return Err(Death { name: self.forget(error.id()), why: reason(error) });
                    }
                    None => break,
                }
            }
            Ok(())
        };
        let late =
            |_| Err(Death { name: "shutdown", why: format!("it took longer than {} s", patience.as_secs()) });
        tokio::time::timeout(patience, all).await.unwrap_or_else(late)
    }

    fn forget(&mut self, id: Id) -> &'static str {
        let place = self.names.iter().position(|(known, ..)| *known == id);
        place.map_or("worker", |place| self.names.swap_remove(place).1)
    }
}

fn reason(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("it panicked: {}", text.unwrap_or_default())
        }
        Err(_) => "it was stopped".to_owned(),
    }
}

/// Tells many at once that it is time to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::channel(false).0)
    }
}

impl Stop {
    pub(crate) fn now(&self) {
        self.0.send_replace(true);
    }

    /// Completes once it is time.
    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut asked = self.0.subscribe();
        async move {
            // The sender outlives the wait, or nobody is left to be told.
            let _ = asked.wait_for(|stop| *stop).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_ends_or_panics_is_named_with_the_reason() {
        let mut workers = Workers::default();
        workers.spawn("endless", pending());
        workers.spawn("short", async {});
        assert_eq!(workers.death().await, Death { name: "short", why: "it ended by itself".to_owned() });
        workers.spawn("broken", async { panic!("no more {}", 7) });
        assert_eq!(workers.death().await, Death { name: "broken", why: "it panicked: no more 7".to_owned() });
        workers.stop("endless");
        assert_eq!(workers.ended(&["endless"], Duration::from_secs(60)).await, Ok(()));
    }

    #[tokio::test]
    async fn everybody_hears_of_the_stop() {
        let stop = Stop::default();
        let (one, other) = (stop.wait(), stop.wait());
        stop.now();
        tokio::join!(one, other, stop.wait());
    }
}
