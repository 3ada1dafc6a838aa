//! The quickstart, which checks itself.

use crate::harness::command;

#[test]
fn every_promise_is_kept() {
    let output = command(["quickstart", "--once"]).output().expect("runs");
    let stdout = String::from_utf8(output.stdout).expect("text");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{stderr}");
    assert_eq!(stderr, "", "{stdout}");
    for promise in 1..=7 {
        assert!(stdout.contains(&format!("✓ {promise}. ")), "{promise}: {stdout}");
    }
    assert!(stdout.ends_with("7 of 7 promises kept\n") && !stdout.contains('✗'), "{stdout}");
    let status = |status: &str| stdout.matches(&format!("→ {status}")).count();
    assert_eq!((status("401"), status("403"), status("429")), (1, 2, 1), "{stdout}");
    assert!(stdout.contains("intact: true"), "{stdout}");
    assert!(stdout.contains("4 × 0.25 USD per call = 1.00 USD"), "{stdout}");
}
