//! Words of protected values that were erased.

use stanchion_core::{Category, Detail, Event, IdGen as _, Scope};

use super::fixture::{Fixture, NOON, SYSTEM, prepared, standard};
use super::races::spawn;
use super::search::{found, project};
use crate::{
    BlindIndex, KeyNode, NONCE_BYTES, Query, RetentionClass, Row, Sealed, SearchRow, SubjectKeyId, Withdrawn,
};

fn word(number: u8) -> BlindIndex {
    BlindIndex::from_mac(&[number; 32])
}

fn sealed(key: SubjectKeyId, number: u8) -> Detail {
    let sealed = Sealed {
        cipher: "aes-256-gcm".into(),
        key,
        nonce: [7; NONCE_BYTES],
        ciphertext: vec![number; 48],
        index: Some(word(number)),
    };
    sealed.to_detail()
}

fn of_word(number: u8) -> Query {
    Query { text: Some(word(number).to_string().into()), ..Query::default() }
}

fn withdrawn(keys: &[SubjectKeyId]) -> Withdrawn {
    let mut withdrawn = Withdrawn::default();
    keys.iter().for_each(|key| withdrawn.insert(*key, []));
    withdrawn
}

impl Fixture {
    fn key(&self) -> SubjectKeyId {
        SubjectKeyId::from_uuid(self.ids.uuid(NOON))
    }

    /// An event whose detail `email` is protected with a key, and has a word.
    fn protected(&self, scope: Scope, key: SubjectKeyId, number: u8) -> Event {
        self.event(scope, Category::Access).with_detail("email", sealed(key, number))
    }

    async fn withdraw(&self, scope: Scope, gone: &Withdrawn) {
        self.store.withdraw(SYSTEM, scope, gone).await.expect("withdraws");
    }

    /// Checks that what is kept apart for queries, if the store does that, is what follows from the entries without some words.
    async fn assert_projected(&self, scope: Scope, rows: &[Row], gone: &Withdrawn) {
        let page = self.store.projected(standard(scope), 1, 10_000).await.expect("reads");
        let made = |row: &Row| SearchRow::of(scope, row.seq, &row.content, gone).expect("an event");
        let expected: Vec<SearchRow> = rows.iter().filter(|row| row.seq <= page.until).map(made).collect();
        assert_eq!(page.rows, expected);
    }
}

/// What was found by its word is not once that is withdrawn, and by everything else as before.
pub async fn what_is_withdrawn_is_found_by_no_word_of_it(fixture: Fixture) {
    let (scope, erased, kept) = (fixture.scope(), fixture.key(), fixture.key());
    let both = fixture.protected(scope, erased, 1).with_detail("name", sealed(kept, 2));
    let shared = fixture.protected(scope, erased, 3).with_detail("name", sealed(kept, 3));
    let events = [both, shared, fixture.protected(scope, kept, 1)];
    let rows = fixture.write(&events.map(prepared)).await;
    for is_projected in [false, true] {
        assert_eq!(found(&fixture, scope, &of_word(1)).await.len(), 2, "projected: {is_projected}");
        project(&fixture, scope).await;
    }
    let gone = withdrawn(&[erased]);
    for _ in 0..2 {
        fixture.withdraw(scope, &gone).await;
        let numbers = async |query: &Query| {
            found(&fixture, scope, query).await.iter().map(|row| row.seq).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&of_word(1)).await, [3]);
        assert_eq!(numbers(&of_word(2)).await, [1], "another value of the same entry");
        assert_eq!(numbers(&of_word(3)).await, [2], "the same word, from another key");
        assert_eq!(numbers(&Query::default()).await, [3, 2, 1]);
        fixture.assert_projected(scope, &rows, &gone).await;
    }
    assert_eq!(fixture.store.withdrawn(scope, &[kept, erased]).await.expect("reads"), gone);
    assert_eq!(fixture.store.withdrawn(scope, &[kept]).await.expect("reads"), Withdrawn::default());
    assert_eq!(fixture.all(standard(scope)).await, rows, "entries are what they were");
}

/// What was committed and not projected, and what comes with a key that a writer still had, is not found either.
pub async fn what_is_written_or_projected_later_brings_no_word_back(fixture: Fixture) {
    let (scope, erased) = (fixture.scope(), fixture.key());
    let mut rows = fixture.write(&[prepared(fixture.protected(scope, erased, 1))]).await;
    project(&fixture, scope).await;
    rows.extend(fixture.write(&[prepared(fixture.protected(scope, erased, 1))]).await);
    let gone = withdrawn(&[erased]);
    fixture.withdraw(scope, &gone).await;
    assert_eq!(found(&fixture, scope, &of_word(1)).await, []);
    rows.extend(fixture.write(&[prepared(fixture.protected(scope, erased, 1))]).await);
    for is_projected in [false, true] {
        assert_eq!(found(&fixture, scope, &of_word(1)).await, [], "projected: {is_projected}");
        project(&fixture, scope).await;
        fixture.assert_projected(scope, &rows, &gone).await;
    }
}

/// Another scope's words stay, and those of the classes and fields that are kept; until those are withdrawn as well, and then for good.
pub async fn words_are_withdrawn_in_their_scope_and_as_far_as_is_said(fixture: Fixture) {
    let (scope, other, key) = (fixture.scope(), fixture.scope(), fixture.key());
    let in_both = |scope| fixture.protected(scope, key, 1).with_detail("name", sealed(key, 2));
    let mut secret = fixture.protected(scope, key, 1);
    secret.category = Category::Security;
    let events = [in_both(scope), in_both(other), secret];
    fixture.write(&events.map(prepared)).await;
    project(&fixture, scope).await;
    project(&fixture, other).await;
    let keeps = [
        KeyNode::Class(RetentionClass::Security),
        KeyNode::Field(RetentionClass::Standard, "details.name".into()),
    ];
    let mut gone = Withdrawn::default();
    gone.insert(key, keeps.clone());
    let left = async |scope, gone: &Withdrawn| fixture.store.unfinished(scope, gone).await.expect("reads");
    assert_eq!((left(scope, &gone).await, left(scope, &Withdrawn::default()).await), (1, 0));
    fixture.withdraw(scope, &gone).await;
    assert_eq!((left(scope, &gone).await, left(other, &gone).await), (0, 1));
    assert_eq!(left(scope, &withdrawn(&[key, fixture.key()])).await, 2, "so much was not withdrawn");
    let count = async |scope, number| found(&fixture, scope, &of_word(number)).await.len();
    assert_eq!((count(scope, 1).await, count(scope, 2).await), (1, 1));
    assert_eq!((count(other, 1).await, count(other, 2).await), (1, 1));
    assert_eq!(fixture.store.withdrawn(scope, &[key]).await.expect("reads"), gone);
    assert_eq!(fixture.store.withdrawn(other, &[key]).await.expect("reads"), Withdrawn::default());
    fixture.withdraw(scope, &withdrawn(&[key])).await;
    assert_eq!((count(scope, 1).await, count(scope, 2).await), (0, 0));
    assert_eq!((left(scope, &gone).await, left(scope, &withdrawn(&[key])).await), (0, 0));
    fixture.withdraw(scope, &gone).await;
    assert_eq!((count(scope, 1).await, count(scope, 2).await), (0, 0), "one that comes late");
    assert_eq!((count(other, 1).await, count(other, 2).await), (1, 1));
}

/// Whoever destroyed the keys may have ended before the words were withdrawn: the record of the erasure has them withdrawn. A store that
/// keeps nothing apart has nothing to finish.
pub async fn the_record_of_an_erasure_withdraws_when_it_is_projected(fixture: Fixture) {
    let (scope, erased) = (fixture.scope(), fixture.key());
    let rows = fixture.write(&[prepared(fixture.protected(scope, erased, 1))]).await;
    project(&fixture, scope).await;
    let record = |reported| {
        let mut event = fixture.event(scope, Category::Administration);
        event.action = "audit.subject_erased".into();
        event.reported = reported;
        prepared(event.with_detail("key_ids", vec![Detail::from(erased.to_string())]))
    };
    fixture.write(&[record(true)]).await;
    project(&fixture, scope).await;
    assert_eq!(found(&fixture, scope, &of_word(1)).await.len(), 1, "what others report is not believed");
    fixture.write(&[record(false)]).await;
    project(&fixture, scope).await;
    let page = fixture.store.projected(standard(scope), 1, 10).await.expect("reads");
    if page.until > 0 {
        assert_eq!(found(&fixture, scope, &of_word(1)).await, []);
        fixture.assert_projected(scope, &rows, &withdrawn(&[erased])).await;
        assert_eq!(fixture.store.unprojected(SYSTEM, None, 10).await.expect("reads"), []);
    }
}

/// Projectors that are at work while words are withdrawn leave none of them.
pub async fn racing_projectors_leave_no_withdrawn_word(fixture: Fixture) {
    let (scope, erased) = (fixture.scope(), fixture.key());
    let mut rows = Vec::new();
    for _ in 0..6 {
        let events = (0..200).map(|_| prepared(fixture.protected(scope, erased, 1)));
        rows.extend(fixture.write(&events.collect::<Vec<_>>()).await);
    }
    let projectors: Vec<_> = (0..3)
        .map(|_| {
            let fixture = fixture.clone();
            spawn(async move { project(&fixture, scope).await })
        })
        .collect();
    let gone = withdrawn(&[erased]);
    fixture.withdraw(scope, &gone).await;
    for projector in projectors {
        projector.await.expect("ends");
    }
    project(&fixture, scope).await;
    fixture.assert_projected(scope, &rows, &gone).await;
    assert_eq!(found(&fixture, scope, &of_word(1)).await, []);
}
