//! What others' chains in databases broke on: each of these made an honest log look forged, or forked it.

use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{Category, Detail, Details, Timestamp};

use super::fixture::{Fixture, NOON, prepared, standard};
use crate::{AppendOutcome, Place, Query, Row};

/// A store that keeps times more coarsely than they were hashed, or hashes nanoseconds and keeps microseconds, verifies nothing.
pub async fn times_keep_their_last_microsecond(fixture: Fixture) {
    let scope = fixture.scope();
    let at = Timestamp::from_micros(NOON.micros() + 999_999);
    let before_1970 = Timestamp::from_micros(-1);
    for occurred_at in [at, before_1970] {
        let mut event = fixture.event(scope, Category::Access);
        event.occurred_at = occurred_at;
        let [row]: [Row; 1] = fixture.write_at(at, &[prepared(event)]).await.try_into().expect("one row");
        assert_eq!(row.recorded_at, at);
        let kept = fixture.get(scope, row.content.id).await.expect("is there");
        assert_eq!(kept, row);
        assert_eq!(kept.content.projection.occurred_at, occurred_at);
    }
    assert_eq!(fixture.verified(scope).await, 2);
}

/// A store that parses JSON and writes it anew changes bytes, and with them the hash: names are sorted in another order, escapes and
/// white space are another's, what is nested is dropped.
pub async fn bytes_that_a_json_column_would_write_anew_stay_as_they_are(fixture: Fixture) {
    let scope = fixture.scope();
    let inner: Details = [("\u{e000}", "private"), ("\u{1f600}", "astral"), ("b", "2"), ("aa", "1")]
        .into_iter()
        .map(|(name, value)| (name, Detail::from(value)))
        .collect();
    let event = fixture
        .event(scope, Category::Access)
        .with_detail("nested", Detail::List(vec![Detail::Null, Detail::Map(inner), Detail::List(vec![])]))
        .with_detail("largest", (1_i64 << 53) - 1)
        .with_detail("escapes", "\u{0}\u{8}\u{1f}\"\\/\u{7f}\u{2028}")
        .with_detail("", "");
    let [row]: [Row; 1] = fixture.write(&[prepared(event)]).await.try_into().expect("one row");
    let kept = fixture.all(standard(scope)).await;
    assert_eq!(kept.first().map(|kept| &kept.content.canonical), Some(&row.content.canonical));
    assert_eq!(fixture.verified(scope).await, 1);
}

/// Locking the last row does not keep two writers from following it both. What decides is where the head stands.
pub async fn a_batch_that_follows_a_head_of_long_ago_forks_nothing(fixture: Fixture) {
    let scope = fixture.scope();
    let fence = fixture.open().await;
    let stale = fixture.seal(fence, &fixture.some(scope, 1)).await;
    let first = fixture.write(&fixture.some(scope, 3)).await;
    assert!(matches!(fixture.append(&stale).await, AppendOutcome::HeadsMoved(_)));
    let rows = fixture.all(standard(scope)).await;
    assert_eq!(rows, first);
    assert_eq!(fixture.verified(scope).await, 3);
}

/// Entries verify in the order of their numbers. Ordered by when things happened, or by ids, they do not.
pub async fn the_order_is_that_of_numbers_whatever_times_and_ids_say(fixture: Fixture) {
    let scope = fixture.scope();
    let mut events: Vec<_> = (0_u32..6)
        .map(|step| {
            let mut event = fixture.event(scope, Category::Access);
            event.occurred_at = NOON.plus(Duration::from_secs(u64::from(step)));
            event
        })
        .collect();
    events.reverse();
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    fixture.write(&events.into_iter().map(prepared).collect::<Vec<_>>()).await;
    let rows = fixture.all(standard(scope)).await;
    assert_eq!(rows.iter().map(|row| row.content.id).collect::<Vec<_>>(), ids);
    let found = fixture.store.query(scope, &Query::default(), None, 10).await.expect("reads");
    assert_eq!(found, rows.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(fixture.verified(scope).await, 6);
}

/// A clock that was set back, on this replica or between two of them, must not reorder entries, or hide them from pages.
pub async fn a_clock_that_was_set_back_hides_nothing(fixture: Fixture) {
    let scope = fixture.scope();
    for seconds in [0, 3_600, 10, 3_599] {
        fixture.write_at(NOON.plus(Duration::from_secs(seconds)), &fixture.some(scope, 2)).await;
    }
    let rows = fixture.all(standard(scope)).await;
    assert!(
        rows.is_sorted_by_key(|row| row.recorded_at),
        "an entry is never recorded before the one it follows"
    );
    let (mut pages, mut before): (Vec<Arc<_>>, Option<Place>) = (Vec::new(), None);
    loop {
        let page = fixture.store.query(scope, &Query::default(), before, 3).await.expect("reads");
        let Some(last) = page.last() else { break };
        before = Some(Place::from(last));
        pages.extend(page.iter().map(|row| Arc::clone(&row.content)));
    }
    assert_eq!(pages, rows.iter().rev().map(|row| Arc::clone(&row.content)).collect::<Vec<_>>());
    assert_eq!(fixture.verified(scope).await, 8);
}
