use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;

/// The channel on which every change and event is announced. The payload is the [`Topic`]'s name.
const CHANNEL: &str = "stanchion";

/// What may have news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// The change feed of a domain.
    Changes(&'static str),
    /// The outbox.
    Outbox,
}

impl Topic {
    fn is(self, payload: &str) -> bool {
        match self {
            Self::Changes(domain) => payload == domain,
            Self::Outbox => payload == "outbox",
        }
    }
}

/// Wakes who waits for news of other processes. It only saves time: whoever waits also looks by itself.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    waiting: Mutex<Vec<(Topic, Weak<Notify>)>>,
}

/// What one reader waits on. News that come while it does not wait are kept for when it does.
#[derive(Debug)]
pub(crate) struct News(Arc<Notify>);

impl News {
    pub(crate) async fn arrived(&self) {
        self.0.notified().await;
    }
}

const RETRY: Duration = Duration::from_secs(1);

impl Bus {
    pub(crate) fn subscribe(&self, topic: Topic) -> News {
        let notify = Arc::new(Notify::new());
        let mut waiting = self.lock();
        waiting.retain(|(_, reader)| reader.strong_count() > 0);
        waiting.push((topic, Arc::downgrade(&notify)));
        News(notify)
    }

    /// Listens until it is dropped. After every lost connection all are woken, since anything may have been missed.
    pub(crate) async fn listen(&self, pool: &PgPool, failed: impl Fn(&sqlx::Error) + Send) {
        loop {
            if let Err(error) = self.listen_once(pool).await {
                failed(&error);
            }
            self.wake(|_| true);
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn listen_once(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        self.wake(|_| true);
        while let Some(news) = listener.try_recv().await? {
            self.wake(|topic| topic.is(news.payload()));
        }
        Ok(())
    }

    fn wake(&self, concerned: impl Fn(Topic) -> bool) {
        let readers: Vec<_> = {
            let waiting = self.lock();
            let concerned = waiting.iter().filter(|(topic, _)| concerned(*topic));
            concerned.filter_map(|(_, reader)| reader.upgrade()).collect()
        };
        readers.iter().for_each(|reader| reader.notify_one());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Topic, Weak<Notify>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
