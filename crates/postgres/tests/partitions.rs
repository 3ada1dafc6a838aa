//! The ledger's partitions: made when they are missed, dropped when nothing in them is kept, and filled with what was written before there
//! were any.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use stanchion_audit::{
    AppendOutcome, ChainId, Content, CutOutcome, Head, LedgerStore as _, Query, RetentionClass, Row, Sealer,
    Shard, Signer, Verdict, Writers, verify_chain,
};
use stanchion_core::{
    Actor, Category, Clock as _, Event, IdGen as _, KeyRing, Scope, Secret, SeededRandom, SystemClock,
    SystemRandom, SystemScope, Timestamp,
};
use stanchion_postgres::{Database, MigrateOptions, PgLedgerStore, migrate, self_audit, testing};

const SYSTEM: SystemScope = SystemScope::new("test partitions");
/// 2020-01-10T00:00:00Z.
const JANUARY: Timestamp = Timestamp::from_micros(1_578_614_400_000_000);
const MONTH: Duration = Duration::from_secs(31 * 24 * 60 * 60);

fn keys() -> KeyRing {
    KeyRing::new([(1, Secret::new([7; 32]))]).unwrap()
}

fn tenant(number: u64) -> Scope {
    Scope::Tenant(SeededRandom::new(number).tenant_id(Timestamp::EPOCH))
}

fn chain(scope: Scope) -> ChainId {
    ChainId { scope, class: RetentionClass::Standard }
}

fn content(scope: Scope, at: Timestamp) -> (ChainId, Arc<Content>) {
    let id = SystemRandom::default().event_id(at);
    let event = Event::new(id, at, scope, Actor::Anonymous, "test.happened", Category::Access);
    let (chain, content) = Content::new(event).unwrap();
    (chain, Arc::new(content))
}

/// Writes so many entries of each scope at an instant.
async fn write(store: &PgLedgerStore, scopes: &[Scope], count: usize, at: Timestamp) -> Vec<Row> {
    let fence = store.open(SYSTEM, Shard::ONLY, Writers::Shared).await.unwrap();
    let chains: Vec<ChainId> = scopes.iter().map(|scope| chain(*scope)).collect();
    let mut sealer = Sealer::new(Arc::new(Signer::new(&keys())));
    for (chain, head) in chains.iter().zip(store.heads(SYSTEM, &chains).await.unwrap()) {
        sealer.set_head(*chain, head);
    }
    let contents: Vec<_> = scopes.iter().flat_map(|scope| (0..count).map(|_| content(*scope, at))).collect();
    let batch = sealer.seal(fence, at, contents.iter().map(|(chain, content)| (*chain, content)));
    assert_eq!(store.append(SYSTEM, &batch).await.unwrap(), AppendOutcome::Committed);
    batch.rows().to_vec()
}

async fn verified(store: &PgLedgerStore, scope: Scope) -> u64 {
    let mut verified = 0;
    for chain in store.chains(scope).await.unwrap() {
        let rows = store.read(chain.id, 1, 10_000).await.unwrap();
        match verify_chain(&chain, &rows, &keys()) {
            Verdict::Intact { entries, .. } => verified += entries,
            Verdict::Broken(found) => panic!("{found}"),
        }
    }
    verified
}

/// Entries share rows.
const ENTRIES: &str = "SELECT coalesce(sum(octet_length(leaf) / 32), 0)::bigint FROM stanchion.audit_entry";

async fn number(admin: &mut PgConnection, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(admin).await.unwrap()
}

/// The parts of class `standard` that have a partition.
async fn parts(admin: &mut PgConnection) -> Vec<String> {
    let all = "SELECT substr(relname, 15) FROM pg_class WHERE relname ~ '^audit_entry_3_[0-9]+$' AND relkind = 'r' ORDER BY 1";
    sqlx::query_scalar(all).fetch_all(admin).await.unwrap()
}

fn head_of(row: &Row) -> Head {
    Head { seq: row.seq, link: row.link, recorded_at: row.recorded_at }
}

#[tokio::test]
async fn a_batch_that_finds_no_partition_has_it_made_and_is_written() {
    let url = testing::fresh_admin_url().await;
    let mut admin = testing::connect(&url).await;
    let database = Database::new(&url.with_login(testing::LOGIN), testing::config());
    let store = PgLedgerStore::new(database.clone());
    let scopes = [tenant(1), Scope::Platform];
    for month in 0..4 {
        write(&store, &scopes, 3, JANUARY.plus(MONTH * month)).await;
    }
    let made = parts(&mut admin).await;
    assert_eq!(made[..4], ["202001", "202002", "202003", "202004"]);
    assert_eq!(self_audit(&database).await.map_err(|error| error.to_string()), Ok(()));
    for scope in scopes {
        assert_eq!(verified(&store, scope).await, 12);
        let since = Query {
            since: Some(JANUARY.plus(MONTH)),
            until: Some(JANUARY.plus(MONTH * 3)),
            ..Query::default()
        };
        let found = store.query(scope, &since, None, 100).await.unwrap();
        assert_eq!(found.iter().map(|row| row.seq).collect::<Vec<_>>(), [9, 8, 7, 6, 5, 4]);
    }
    let spans = "SELECT count(*) FROM stanchion.audit_span";
    assert_eq!(number(&mut admin, spans).await, 8);
}

#[tokio::test]
async fn months_are_made_ahead() {
    let url = testing::fresh_admin_url().await;
    let mut admin = testing::connect(&url).await;
    let store = PgLedgerStore::new(Database::new(&url.with_login(testing::LOGIN), testing::config()));
    let december = JANUARY.plus(MONTH * 11);
    for _ in 0..2 {
        store.maintain(SYSTEM, december).await.unwrap();
    }
    assert_eq!(parts(&mut admin).await[..3], ["202012", "202101", "202102"]);
}

/// What is kept of a month beyond its time is little, and is carried over; of another month too much is kept for that.
#[tokio::test]
async fn a_month_is_dropped_when_what_is_kept_of_it_is_carried_over() {
    let url = testing::fresh_admin_url().await;
    let mut admin = testing::connect(&url).await;
    let store = PgLedgerStore::new(Database::new(&url.with_login(testing::LOGIN), testing::config()));
    let (held, gone) = (tenant(1), tenant(2));
    let mut rows = write(&store, &[held], 2, JANUARY).await;
    rows.extend(write(&store, &[gone], 30, JANUARY).await);
    rows.extend(write(&store, &[held, gone], 3, JANUARY.plus(MONTH)).await);
    let last = |scope: Scope| head_of(rows.iter().rev().find(|row| row.chain.scope == scope).unwrap());
    let cut = store.cut(SYSTEM, chain(gone), &Head::EMPTY, last(gone)).await.unwrap();
    assert_eq!(cut, CutOutcome::Cut);

    assert_eq!(store.reclaim(SYSTEM).await.unwrap(), 30, "of February half is kept");
    assert_eq!(store.reclaim(SYSTEM).await.unwrap(), 0);
    let kept = parts(&mut admin).await;
    assert_eq!(kept[..2], ["0", "202002"]);
    assert_eq!(number(&mut admin, ENTRIES).await, 2 + 6);
    assert_eq!(number(&mut admin, "SELECT count(*) FROM stanchion.audit_id").await, 2 + 6);
    assert_eq!((verified(&store, held).await, verified(&store, gone).await), (5, 0));
    for row in rows.iter().filter(|row| row.chain.scope == held) {
        assert_eq!(store.get(held, row.content.id).await.unwrap().as_ref(), Some(row));
    }

    // The chain without entries goes on in the month that it was in, and later ones.
    for month in [1, 2] {
        write(&store, &[held, gone], 1, JANUARY.plus(MONTH * month)).await;
    }
    assert_eq!((verified(&store, held).await, verified(&store, gone).await), (7, 2));

    // Nothing is held any longer.
    let base = store.chains(held).await.unwrap()[0].head;
    assert_eq!(store.cut(SYSTEM, chain(held), &Head::EMPTY, base).await.unwrap(), CutOutcome::Cut);
    let chain_of_gone = store.chains(gone).await.unwrap()[0];
    let cut = store.cut(SYSTEM, chain(gone), &chain_of_gone.base, chain_of_gone.head).await.unwrap();
    assert_eq!(cut, CutOutcome::Cut);
    assert_eq!(store.reclaim(SYSTEM).await.unwrap(), 2 + 6 + 2 + 2);
    for table in ["audit_entry", "audit_id"] {
        assert_eq!(number(&mut admin, &format!("SELECT count(*) FROM stanchion.{table}")).await, 0);
    }
    write(&store, &[held, gone], 2, JANUARY.plus(MONTH * 2)).await;
    write(&store, &[held, gone], 2, SystemClock.now()).await;
    assert_eq!((verified(&store, held).await, verified(&store, gone).await), (4, 4));
}

/// The month that is not over yet is nobody's to drop.
#[tokio::test]
async fn the_present_month_stays() {
    let store = PgLedgerStore::new(testing::fresh().await);
    let scope = tenant(1);
    let rows = write(&store, &[scope], 3, SystemClock.now()).await;
    let cut = store.cut(SYSTEM, chain(scope), &Head::EMPTY, head_of(&rows[2])).await.unwrap();
    assert_eq!(cut, CutOutcome::Cut);
    assert_eq!(store.reclaim(SYSTEM).await.unwrap(), 0);
    write(&store, &[scope], 1, SystemClock.now()).await;
    assert_eq!(verified(&store, scope).await, 1);
}

/// A database of the version before, with entries, comes to this one with all of them.
#[tokio::test]
async fn what_was_written_before_is_carried_over() {
    let admin_url = testing::admin_url();
    let name = testing::unused_name();
    let mut server = testing::connect(&admin_url).await;
    testing::run(&mut server, format!("CREATE DATABASE {name}")).await;
    let url = admin_url.with_database(&name);
    let options = MigrateOptions { grant_to: Some(testing::LOGIN.to_owned()), ..MigrateOptions::default() };
    // The template's login is there once any other test has run; this one may be the first.
    drop(testing::fresh_url().await);
    testing::migrate_up_to(&url, "audit", 3).await;
    let mut admin = testing::connect(&url).await;

    let (scope, signer) = (tenant(1), Arc::new(Signer::new(&keys())));
    let mut sealer = Sealer::new(signer);
    sealer.set_head(chain(scope), Head::EMPTY);
    let mut rows = Vec::new();
    for month in [0, 0, 1, 5] {
        let at = JANUARY.plus(MONTH * month);
        let contents = [content(scope, at), content(scope, at)];
        let fence = stanchion_audit::Fence::from_number(1);
        let batch = sealer.seal(fence, at, contents.iter().map(|(chain, content)| (*chain, content)));
        sealer.advance(&batch);
        rows.extend(batch.rows().to_vec());
    }
    let insert = "INSERT INTO stanchion.audit_entry (scope_id, class, seq, recorded_at, link, mac, key_epoch, event_id, leaf, \
                  canonical, occurred_at, actor_kind, action, category, outcome, severity, targets) \
                  VALUES ($1, 3, $2, $3, $4, $5, 1, $6, $7, $8, $3, 'anonymous', 'test.happened', 'access', 'success', 'info', '')";
    let id = stanchion_postgres::scope_id(scope).unwrap();
    for row in &rows {
        let query =
            sqlx::query(insert).bind(id).bind(i64::try_from(row.seq).unwrap()).bind(row.recorded_at.to_utc());
        let query = query.bind(row.link.bytes()).bind(row.mac.bytes()).bind(row.content.id.uuid());
        query.bind(row.content.leaf.bytes()).bind(&*row.content.canonical).execute(&mut admin).await.unwrap();
    }
    let head = rows.last().unwrap();
    let insert = "INSERT INTO stanchion.audit_head (scope_id, class, seq, link, recorded_at) VALUES ($1, 3, $2, $3, $4)";
    let query = sqlx::query(insert).bind(id).bind(i64::try_from(head.seq).unwrap()).bind(head.link.bytes());
    query.bind(head.recorded_at.to_utc()).execute(&mut admin).await.unwrap();

    migrate(&url, &options).await.unwrap();
    let database = Database::new(&url.with_login(testing::LOGIN), testing::config());
    assert_eq!(self_audit(&database).await.map_err(|error| error.to_string()), Ok(()));
    let store = PgLedgerStore::new(database);
    assert_eq!(store.read(chain(scope), 1, 100).await.unwrap(), rows);
    for row in &rows {
        assert_eq!(store.get(scope, row.content.id).await.unwrap().as_ref(), Some(row));
    }
    let since = Query { since: Some(JANUARY.plus(MONTH)), ..Query::default() };
    assert_eq!(store.query(scope, &since, None, 100).await.unwrap().len(), 4);
    write(&store, &[scope], 2, JANUARY.plus(MONTH * 5)).await;
    assert_eq!(verified(&store, scope).await, 10);
    assert_eq!(parts(&mut admin).await[..3], ["202001", "202002", "202006"]);
}

/// Entries of a chain that one batch brings are in few rows; reading from the middle of a row and cutting there go by the entry.
#[tokio::test]
async fn entries_share_rows_and_are_read_and_cut_one_by_one() {
    let url = testing::fresh_admin_url().await;
    let mut admin = testing::connect(&url).await;
    let store = PgLedgerStore::new(Database::new(&url.with_login(testing::LOGIN), testing::config()));
    let (scope, other) = (tenant(1), tenant(2));
    let rows: Vec<Row> = write(&store, &[scope, other], 40, JANUARY)
        .await
        .into_iter()
        .filter(|row| row.chain.scope == scope)
        .collect();
    let shared = number(&mut admin, "SELECT count(*) FROM stanchion.audit_entry").await;
    assert!(shared < 40, "{shared} rows for 80 entries");
    assert_eq!(number(&mut admin, ENTRIES).await, 80);
    let beside = "SELECT coalesce(sum(pg_relation_size(c.reltoastrelid)), 0)::bigint FROM pg_class AS c WHERE c.relname ~ '^audit_entry_'";
    assert_eq!(number(&mut admin, beside).await, 0, "a row fits into a page");

    for from in [1, 2, 7, 13, 39, 40, 41] {
        let wanted: Vec<Row> = rows.iter().filter(|row| row.seq >= from).take(5).cloned().collect();
        assert_eq!(store.read(chain(scope), from, 5).await.unwrap(), wanted, "from {from}");
    }
    let newest = store.query(scope, &Query::default(), None, 7).await.unwrap();
    assert_eq!(newest.iter().map(|row| row.seq).collect::<Vec<_>>(), [40, 39, 38, 37, 36, 35, 34]);
    for row in &rows {
        assert_eq!(store.get(scope, row.content.id).await.unwrap().as_ref(), Some(row));
    }

    let cut = store.cut(SYSTEM, chain(scope), &Head::EMPTY, head_of(&rows[12])).await.unwrap();
    assert_eq!(cut, CutOutcome::Cut);
    assert_eq!(store.read(chain(scope), 1, 100).await.unwrap(), rows[13..]);
    assert_eq!(store.get(scope, rows[12].content.id).await.unwrap(), None);
    assert_eq!(store.query(scope, &Query::default(), None, 100).await.unwrap().len(), 27);
    assert_eq!(verified(&store, scope).await, 27);

    // One row for each entry is as good: that is how they were written before.
    testing::run(
        &mut admin,
        "WITH gone AS (DELETE FROM stanchion.audit_entry AS packed WHERE more IS NOT NULL RETURNING packed)
         INSERT INTO stanchion.audit_entry SELECT e.* FROM gone CROSS JOIN LATERAL stanchion.audit_unpack(gone.packed) AS e",
    )
    .await;
    assert_eq!(number(&mut admin, "SELECT count(*) FROM stanchion.audit_entry").await, 80);
    assert_eq!(store.read(chain(scope), 1, 100).await.unwrap(), rows[13..]);
    write(&store, &[scope], 20, JANUARY.plus(MONTH)).await;
    assert_eq!((verified(&store, scope).await, verified(&store, other).await), (47, 40));
}
