use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// How long anybody waits for a connection, apart from how long one may take to be made.
///
/// Where that takes longer than anybody waits, giving it up with each wait would mean to never have one, and to keep the database busy with
/// beginnings. So a connection that is late is made all the same, for who comes next.
#[derive(Debug)]
pub(crate) struct Patience {
    wait: Duration,
    /// How many are finished at once that nobody waits for any more. It is less than there may be connections, so that a database
    /// that comes back is found at once by who asks, and not only by those that have asked for long.
    room: Arc<Semaphore>,
}

impl Patience {
    pub(crate) fn new(wait: Duration, connections: u32) -> Self {
        let room = usize::try_from(connections / 4).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Self { wait, room: Arc::new(Semaphore::new(room)) }
    }

    /// Waits for what is being made. What is made too late goes to `keep`.
    ///
    /// # Errors
    /// `PoolTimedOut` when it is late; whatever `making` returns.
    pub(crate) async fn wait<T: Send + 'static>(
        &self,
        making: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
        keep: impl FnOnce(T) + Send + 'static,
    ) -> Result<T, sqlx::Error> {
        let mut making = Box::pin(making);
        if let Ok(made) = tokio::time::timeout(self.wait, &mut making).await {
            return made;
        }
        if let Ok(place) = Arc::clone(&self.room).try_acquire_owned() {
            #[expect(
                clippy::disallowed_methods,
                reason = "it makes a connection as the pool's own tasks do, within seconds, and owes nobody anything"
            )]
            tokio::spawn(async move {
                if let Ok(made) = making.await {
                    keep(made);
                }
                drop(place);
            });
        }
        Err(sqlx::Error::PoolTimedOut)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_late_is_kept_for_who_comes_next() {
        let patience = Patience::new(Duration::from_millis(100), 16);
        let (make, making) = oneshot::channel();
        let (keep, kept) = oneshot::channel();
        let making = async { making.await.map_err(|_| sqlx::Error::PoolClosed) };
        let late = patience.wait(making, move |made: u32| keep.send(made).unwrap()).await;
        assert!(matches!(late, Err(sqlx::Error::PoolTimedOut)));
        make.send(7).unwrap();
        assert_eq!(kept.await.unwrap(), 7);
        assert_eq!(patience.wait(async { Ok(8) }, drop).await.unwrap(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_a_quarter_is_finished_at_once() {
        let patience = Patience::new(Duration::from_millis(100), 8);
        let under_way = Arc::new(Mutex::new(()));
        let count = || Arc::strong_count(&under_way) - 1;
        for _ in 0..5 {
            let held = Arc::clone(&under_way);
            let never = async move {
                let _held = held;
                std::future::pending::<Result<(), _>>().await
            };
            assert!(patience.wait(never, drop).await.is_err());
        }
        assert_eq!(count(), 2);
    }
}
