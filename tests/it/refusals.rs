//! What the ledger refuses as a matter of course is no error of the database.

use serde_json::json;

use crate::harness::{PostgresServer, Site, World};

#[test]
fn an_event_that_is_sent_again_or_its_id_for_another_leaves_no_error_in_the_log_of_postgres() {
    let server = PostgresServer::start();
    let world = World::at(|routes| Site::on_own_postgres(&server, "backend = \"postgres\"", &routes));
    let report = |id: u8, rows: u8| {
        let body = json!({
            "id": format!("0192f0c1-2345-7abc-8def-0123456789{id:02}"), "occurred_at": "2026-11-22T11:00:00Z",
            "action": "data.read", "outcome": "success", "details": {"rows": rows},
        });
        let answer = world.admin("POST", &format!("/v1/audit/events?tenant={}", world.acme), &body);
        (answer.status(), answer.json())
    };
    let (status, receipt) = report(1, 7);
    assert_eq!(status, 201, "{receipt}");
    for _ in 0..3 {
        assert_eq!(report(1, 7), (201, receipt.clone()), "again");
    }
    assert_eq!(report(1, 8).0, 409, "the id of another event");
    assert_eq!(report(2, 8).0, 201);
    world.verified();
    let log = server.log();
    assert!(log.contains("ready to accept connections"), "{log}");
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR:")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}
