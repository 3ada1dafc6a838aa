//! That a process began and ended, and what was set otherwise.

use stanchion_audit::Draft;
use stanchion_core::{Actor, Category, Detail, Event, FieldChange, Recorded, Scope, Severity};

use crate::support::{Setup, actions, idle, tenant, text};

#[tokio::test]
async fn a_run_begins_with_its_start_and_ends_with_its_stop() {
    let setup = Setup::new();
    for _ in 0..2 {
        setup
            .run(&[1], async |ledger, _| {
                let event = setup.event(Scope::Platform);
                let event = Event { category: Category::Security, ..event };
                ledger.append(Scope::Platform, Draft::Event(event)).await.unwrap();
            })
            .await;
    }
    let events = setup.recorded(&[1]).await;
    let run = ["audit.started", "thing.done", "audit.stopped"];
    assert_eq!(actions(&events), [run, run].concat());
    assert_eq!(text(&events[0], "version"), "1.2.3");
    assert_eq!(text(&events[0], "writers"), "shared");
    assert_eq!(text(&events[0], "key_epoch"), "1");
    assert_eq!(text(&events[0], "boot"), text(&events[2], "boot"));
    assert_ne!(text(&events[0], "boot"), text(&events[3], "boot"));
}

#[tokio::test]
async fn what_a_process_did_last_is_covered_and_told_before_it_stops() {
    let setup = Setup::new();
    setup
        .run(&[1], async |ledger, _| {
            let event = setup.event(tenant(1));
            ledger.append(tenant(1), Draft::Event(event)).await.unwrap();
        })
        .await;
    let events = setup.recorded(&[1]).await;
    assert_eq!(actions(&events), ["audit.started", "audit.checkpointed", "audit.stopped"]);
    let (_, prover) = idle(&setup, &[1]);
    let covered = prover.checkpoints(Scope::Platform).await.unwrap();
    assert_eq!(covered[0].size, 3);
}

#[tokio::test]
async fn other_settings_are_recorded_with_what_they_were() {
    let setup = Setup::new();
    let change = FieldChange {
        field: "ledger.linger_ms".into(),
        before: Some(Recorded::Value(2_i64.into())),
        after: Some(Recorded::Value(5_i64.into())),
    };
    setup
        .run(&[1], async |ledger, _| {
            ledger.configured(Actor::System("operator".into()), Vec::new(), true).unwrap();
            ledger.configured(Actor::System("operator".into()), vec![change.clone()], false).unwrap();
        })
        .await;
    let events = setup.recorded(&[1]).await;
    assert_eq!(actions(&events), ["audit.started", "audit.configured", "audit.stopped"]);
    assert_eq!(events[1].changes, [change]);
    assert_eq!((&events[1].actor, events[1].severity), (&Actor::System("operator".into()), Severity::Notice));
    assert_eq!(events[1].details.get("in_force"), Some(&Detail::Bool(false)));
}
