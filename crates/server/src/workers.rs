use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

const BY_ITSELF: &str = "it ended by itself";

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
            Some(Ok((id, ()))) => Death { name: self.forget(id), why: BY_ITSELF.to_owned() },
            Some(Err(error)) => Death { name: self.forget(error.id()), why: reason(error) },
            None => pending().await,
        }
    }

    /// Ends a worker that would go on for ever.
    pub(crate) fn stop(&mut self, name: &str) {
        self.names.iter().filter(|(_, known, _)| *known == name).for_each(|(_, _, handle)| handle.abort());
    }

    /// Waits, at most so long, until the workers of these names have ended or were stopped. One that was to go on must still not end.
    pub(crate) async fn ended(&mut self, names: &[&str], patience: Duration) -> Result<(), Death> {
        let all = async {
            while self.names.iter().any(|(_, name, _)| names.contains(name)) {
                let Some(ended) = self.tasks.join_next_with_id().await else { break };
                let id = match &ended {
                    Ok((id, ())) => *id,
                    Err(error) => error.id(),
                };
                let name = self.forget(id);
                match ended {
                    Ok(_) if names.contains(&name) => {}
                    Err(error) if error.is_cancelled() => {}
                    Ok(_) => return Err(Death { name, why: BY_ITSELF.to_owned() }),
                    Err(error) => return Err(Death { name, why: reason(error) }),
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

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_worker_that_ends_or_panics_is_named_with_the_reason() {
        let mut workers = Workers::default();
        workers.spawn("endless", pending());
        workers.spawn("short", async {});
        assert_eq!(workers.death().await, Death { name: "short", why: "it ended by itself".to_owned() });
        workers.spawn("broken", async { panic!("no more {}", 7) });
        assert_eq!(workers.death().await, Death { name: "broken", why: "it panicked: no more 7".to_owned() });
        workers.stop("endless");
        assert_eq!(workers.ended(&["endless"], PATIENCE).await, Ok(()));
    }

    #[tokio::test]
    async fn what_was_to_go_on_must_not_end_while_others_are_waited_for() {
        let stop = Stop::default();
        let mut workers = Workers::default();
        workers.spawn("listener", stop.wait());
        workers.spawn("ledger", async {});
        let death = workers.ended(&["listener"], PATIENCE).await.unwrap_err();
        assert_eq!(death, Death { name: "ledger", why: "it ended by itself".to_owned() });
        stop.now();
        assert_eq!(workers.ended(&["listener"], PATIENCE).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_does_not_come_is_not_waited_for_for_ever() {
        let mut workers = Workers::default();
        workers.spawn("stuck", pending());
        let death = workers.ended(&["stuck"], PATIENCE).await.unwrap_err();
        assert_eq!(death, Death { name: "shutdown", why: "it took longer than 60 s".to_owned() });
    }

    #[tokio::test]
    async fn everybody_hears_of_the_stop() {
        let stop = Stop::default();
        let (one, other) = (stop.wait(), stop.wait());
        stop.now();
        tokio::join!(one, other, stop.wait());
    }
}
