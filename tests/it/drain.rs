//! The end in good order: what runs may end, nothing new begins, everything is recorded.

use std::net::TcpStream;

use crate::harness::{Client, World, eventually};

/// A request that the service holds until it is released.
fn held(world: &World) -> Client {
    let mut client = Client::connect(world.gateway());
    client.send_head("GET", "/any/hold", &[("x-api-key", world.alice.secret.as_str())]);
    eventually("the service is asked", || world.upstream.was_asked("/any/hold").then_some(()));
    client
}

#[test]
fn a_running_exchange_ends_and_nothing_new_begins() {
    let mut world = World::start();
    let mut idle = Client::connect(world.gateway());
    assert_eq!(idle.ask("GET", "/open/echo", &[], b"").status(), 200);
    let mut running = held(&world);
    world.program.terminate();
    eventually("it is not ready", || (world.program.readiness() == 503).then_some(()));
    eventually("no connection is taken", || TcpStream::connect(world.gateway()).err());
    assert!(idle.rest().is_empty(), "a connection that is idle is closed");
    world.upstream.release();
    let answer = running.answer("GET");
    assert_eq!((answer.status(), answer.body.as_slice()), (200, b"held".as_slice()));
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(world.program.ended().code(), Some(0));
    assert!(world.program.logged("everything is recorded").is_some(), "{:#?}", world.program.log());
}

#[test]
fn it_says_that_it_is_not_ready_before_it_stops_serving() {
    let mut world = World::with("", "[shutdown]\ndelay_ms = 600000\n");
    world.program.terminate();
    eventually("it is not ready", || (world.program.readiness() == 503).then_some(()));
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    // Whoever asks again means at once.
    world.program.terminate();
    assert_eq!(world.program.ended().code(), Some(1));
}

#[test]
fn what_takes_longer_than_the_drain_is_cut_off() {
    let mut world = World::with("drain_timeout_ms = 100", "");
    let running = held(&world);
    world.program.terminate();
    assert_eq!(world.program.ended().code(), Some(0));
    assert!(running.rest().is_empty());
    assert!(world.program.log().iter().any(|line| line.contains("cut off")), "{:#?}", world.program.log());
}
