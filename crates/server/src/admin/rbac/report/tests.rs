use serde_json::json;

use super::*;

#[test]
fn a_decision_says_why_and_what_is_missing() {
    let answer = json!({
        "allowed": false, "reason": "no_matching_role", "role": null, "path": [], "candidates": ["admin", "editor"],
        "missing": {"what": "switched_on_role", "name": "editor"}, "valid_until": "2026-12-01T00:00:00.000000Z",
    });
    insta::assert_snapshot!(Report::Decision.text(&answer), @r"
    denied: no_matching_role
    would permit it: admin, editor
    until: 2026-12-01T00:00:00Z
    missing: switched on role editor
    ");
    assert!(!Report::Decision.holds(&answer));
    assert!(!Report::Decision.holds(&json!({})), "what does not say that it is allowed is not");
}

#[test]
fn of_many_answers_one_refusal_is_a_no() {
    let items = |second: bool| json!({"items": [{"allowed": true}, {"allowed": second}]});
    assert!(Report::Decisions.holds(&items(true)) && !Report::Decisions.holds(&items(false)));
    assert!(!Report::Decisions.holds(&json!({})));
    assert!(!Report::WhoCan.holds(&json!({"items": []})));
}

#[test]
fn a_preview_shows_both_sides_or_says_that_there_are_none() {
    let difference = |conditional: bool| json!({"subject": "user:bob", "permission": "a:b", "resource": null, "conditional": conditional});
    let answer = json!({"gained": [difference(true)], "lost": [difference(false)], "complete": false});
    insta::assert_snapshot!(Report::Preview.text(&answer), @r"
    GAINS     PERMISSION  CONDITIONAL
    user:bob  a:b         true

    LOSES     PERMISSION  CONDITIONAL
    user:bob  a:b         false

    and more
    ");
    let nothing = json!({"gained": [], "lost": [], "complete": true});
    assert_eq!(Report::Preview.text(&nothing), "nobody gains or loses anything\n");
}

#[test]
fn what_a_preset_writes_or_would_write_is_told_apart() {
    let applied = |dry_run: bool| json!({"dry_run": dry_run, "written": ["a", "b"], "unchanged": ["c"]});
    assert_eq!(Report::Applied.text(&applied(false)), "written: a, b\nas they are to be: c\n");
    assert_eq!(Report::Applied.text(&applied(true)), "would be written: a, b\nas they are to be: c\n");
}

#[test]
fn who_was_not_looked_at_is_said() {
    let answer =
        json!({"items": [{"subject": "user:bob", "role": "viewer"}], "complete": false, "next": "user:bob"});
    insta::assert_snapshot!(Report::WhoCan.text(&answer), @r"
    SUBJECT   ROLE
    user:bob  viewer

    there are more subjects than were looked at: go on with --after user:bob
    ");
    assert!(
        Report::Attempts.text(&json!({"items": [], "remembered": 0})).starts_with("nothing is remembered")
    );
}
