//! Connections that take their time to be made.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test panics when it fails, and ends what it spawns"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stanchion_core::SystemScope;
use stanchion_postgres::{Config, Database, SystemTx, Url, testing};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const LOOK: SystemScope = SystemScope::new("look whether anything is there");

/// Stands before the database, and lets nothing through until it is told to.
struct Gate {
    address: SocketAddr,
    opened: watch::Sender<bool>,
    accepted: Arc<AtomicU32>,
}

impl Gate {
    async fn before(database: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (opened, open) = watch::channel(false);
        let accepted = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (mut open, database) = (open.clone(), database.clone());
                tokio::spawn(async move {
                    open.wait_for(|open| *open).await.unwrap();
                    let mut far = TcpStream::connect(database).await.unwrap();
                    // Either side may end it at any time.
                    drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                });
            }
        });
        Self { address, opened, accepted }
    }
}

/// The same database through a gate.
async fn gated() -> (Url, Gate) {
    let text = testing::text(&testing::fresh_url().await);
    let (login, rest) = text.split_once('@').unwrap();
    let (database, name) = rest.split_once('/').unwrap();
    let gate = Gate::before(database.to_owned()).await;
    (format!("{login}@{}/{name}", gate.address).parse().unwrap(), gate)
}

#[tokio::test]
async fn a_connection_that_is_late_is_made_for_who_comes_next() {
    let (url, gate) = gated().await;
    let config = Config { max_connections: 1, acquire_timeout_ms: 10, ..testing::config() };
    let database = Database::new(&url, config);
    assert!(SystemTx::begin(&database, LOOK).await.is_err());
    gate.opened.send(true).unwrap();
    let mut tries = 0;
    while SystemTx::begin(&database, LOOK).await.is_err() {
        tries += 1;
        assert!(tries < 1_000, "no connection was ever had");
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.accepted.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_start_waits_for_its_first_connections() {
    let (url, gate) = gated().await;
    let config = Config { max_connections: 2, acquire_timeout_ms: 10, ..testing::config() };
    let database = Database::new(&url, config);
    let starting = tokio::spawn({
        let database = database.clone();
        async move { database.reach(4).await }
    });
    while gate.accepted.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    gate.opened.send(true).unwrap();
    starting.await.unwrap().unwrap();
    assert_eq!(gate.accepted.load(Ordering::Relaxed), 2);
    SystemTx::begin(&database, LOOK).await.unwrap();
}
