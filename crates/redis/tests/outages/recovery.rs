//! What a server has lost is made good, or said.

use stanchion_redis::Config;

use crate::server::Server;
use crate::{CAPACITY, patient, round, take};

#[tokio::test]
async fn a_restart_between_two_calls_costs_at_most_one() {
    let mut server = Server::start(&[]);
    let store = patient(&server.url(), Config::default());
    assert_eq!(take(&store).await.unwrap(), CAPACITY - 1);
    server.kill();
    server.start_again();
    let left = match take(&store).await {
        Err(error) => {
            assert!(error.is_retryable(), "{error:?}");
            take(&store).await.unwrap()
        }
        Ok(left) => left,
    };
    assert_eq!(left, CAPACITY - 1, "limits start over");
}

#[tokio::test]
async fn a_flush_starts_limits_over_and_fails_nobody() {
    let server = Server::start(&[]);
    let store = patient(&server.url(), Config::default());
    for used in 1..=3 {
        assert_eq!(take(&store).await.unwrap(), CAPACITY - used);
    }
    let _: () = server.ask(&["FLUSHALL"]);
    assert_eq!(take(&store).await.unwrap(), CAPACITY - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_are_flushed_while_many_count_cost_no_charge_and_no_error() {
    let server = Server::start(&[]);
    let store = patient(&server.url(), Config::default());
    let mut counted = 0;
    for _ in 0..20 {
        let calls = round(&store, 64);
        let flush = async { server.ask::<()>(&["SCRIPT", "FLUSH"]) };
        let (calls, ()) = tokio::join!(calls, flush);
        counted += calls.results.into_iter().map(Result::unwrap).count() as u64;
    }
    assert_eq!(take(&store).await.unwrap(), CAPACITY - counted - 1);
}
