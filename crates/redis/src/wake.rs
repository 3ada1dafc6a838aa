use std::collections::BTreeSet;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use stanchion_core::{FeedCursor, FeedPage, StoreError, SystemScope};
use stanchion_replica::ChangeFeed;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::connection::{Failure, Servers};
use crate::{Config, InvalidConfig};

/// How long to wait after a connection was lost.
const RETRY: Duration = Duration::from_secs(1);

/// How often a connection over which nothing came is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(5);

/// Tells replicas through Redis pub/sub that something has changed, so that they need not wait until they look. Clones share it.
///
/// Only that saves time: nothing is lost when it is cut off, forgets, or is not run, since followers look twice a second by themselves.
/// After every lost connection all are woken, since anything may have been missed.
#[derive(Clone)]
pub struct Wake(Arc<Inner>);

struct Inner {
    servers: Servers,
    channel: String,
    waiting: Mutex<Vec<(&'static str, Weak<Notify>)>>,
    /// What is to be told and was not yet.
    untold: Mutex<BTreeSet<&'static str>>,
    announced: Notify,
}

/// A change feed whose followers a [`Wake`] wakes, besides whatever else does.
#[derive(Debug)]
pub struct WokenFeed {
    feed: Arc<dyn ChangeFeed>,
    news: Arc<Notify>,
}

impl Wake {
    /// Sets it up on the servers of `urls`, which have commas between; nothing is connected yet.
    ///
    /// # Errors
    /// [`InvalidConfig`] when the URLs or settings do not fit.
    pub fn new(urls: &str, config: &Config) -> Result<Self, InvalidConfig> {
        Ok(Self(Arc::new(Inner {
            servers: Servers::new(urls, config)?,
            channel: format!("{}:wake", config.prefix),
            waiting: Mutex::default(),
            untold: Mutex::default(),
            announced: Notify::new(),
        })))
    }

    /// Says that something on a topic has changed. [`run`](Self::run) tells the others; nobody waits for that.
    pub fn announce(&self, topic: &'static str) {
        lock(&self.0.untold).insert(topic);
        self.0.announced.notify_one();
    }

    /// Wakes the followers of a feed at whatever is announced on a topic.
    #[must_use]
    pub fn feed(&self, topic: &'static str, feed: Arc<dyn ChangeFeed>) -> WokenFeed {
        let news = Arc::new(Notify::new());
        let mut waiting = lock(&self.0.waiting);
        waiting.retain(|(_, reader)| reader.strong_count() > 0);
        waiting.push((topic, Arc::downgrade(&news)));
        WokenFeed { feed, news }
    }

    /// Tells what is announced here and listens for what is announced elsewhere, until it is dropped. `failed` hears when the connection
    /// was lost.
    pub async fn run(self, failed: impl Fn(&StoreError) + Send) {
        loop {
            if let Err(failure) = self.carry().await {
                failed(&failure.of("wake"));
            }
            self.wake(|_| true);
            sleep(RETRY).await;
        }
    }

    /// Carries news both ways over one connection each, until one of them breaks.
    async fn carry(&self) -> Result<(), Failure> {
        let (mut listening, mut news) = self.0.servers.subscribe(&self.0.channel).await?.split();
        self.wake(|_| true);
        loop {
            let heard = {
                let heard = pin!(timeout(QUIET, news.next()));
                let announced = pin!(self.0.announced.notified());
                match select(heard, announced).await {
                    Either::Left((heard, _)) => Some(heard),
                    Either::Right(_) => None,
                }
            };
            match heard {
                Some(Ok(Some(said))) => {
                    let said = said.get_payload_bytes();
                    self.wake(|topic| topic.as_bytes() == said);
                }
                Some(Ok(None)) => return Err(Failure::Unexpected("the subscription ended".to_owned())),
                Some(Err(_)) => {
                    let alive = timeout(QUIET, listening.ping::<redis::Value>()).await;
                    alive.map_err(|_| Failure::Late(QUIET))??;
                }
                None => self.tell().await?,
            }
        }
    }

    /// Tells what was announced. What cannot be told just now is told over the next connection.
    async fn tell(&self) -> Result<(), Failure> {
        loop {
            // In a statement of its own, so that the lock is free while the servers are asked.
            let untold = lock(&self.0.untold).pop_first();
            let Some(topic) = untold else { return Ok(()) };
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(&self.0.channel).arg(topic);
            if let Err(failure) = self.0.servers.ask(&publish).await {
                self.announce(topic);
                return Err(failure);
            }
        }
    }

    fn wake(&self, concerned: impl Fn(&str) -> bool) {
        let readers: Vec<Arc<Notify>> = {
            let waiting = lock(&self.0.waiting);
            let concerned = waiting.iter().filter(|(topic, _)| concerned(topic));
            concerned.filter_map(|(_, reader)| reader.upgrade()).collect()
        };
        readers.iter().for_each(|reader| reader.notify_one());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wake").field("servers", &self.0.servers).finish_non_exhaustive()
    }
}

#[async_trait]
impl ChangeFeed for WokenFeed {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.feed.changes(system, cursor, limit).await
    }

    async fn arrived(&self) {
        select(self.feed.arrived(), pin!(self.news.notified())).await;
    }
}
