//! What is just not to be archived or cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use stanchion_audit::{
    CheckpointConfig, CheckpointSigner, Hold, HoldStore, Keeper, LedgerStore as _, ObjectStore,
    RetentionConfig, RoundEnd, TreeStore,
};
use stanchion_core::{Category, Scope, StoreError, Text, Timestamp};
use uuid::Uuid;

use crate::support::{DAY, NOON, World, keys, number, standard, tenant, text};

fn quiet(
    world: &World,
    prover: &stanchion_audit::Prover,
    has_archive: bool,
    config: RetentionConfig,
) -> Keeper {
    let objects = has_archive.then(|| Arc::clone(&world.stores) as Arc<dyn ObjectStore>);
    Keeper::new(prover.clone(), world.stores.clone(), objects, config)
        .on_failure(|chain, error| panic!("{chain:?}: {error}"))
}

#[tokio::test]
async fn what_is_not_archived_yet_is_not_cut_however_short_it_is_to_stay() {
    let world = World::new();
    let (scope, chain) = (tenant(1), standard(tenant(1)));
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, scope, 300).await;
            world.clock.advance(10 * DAY);
            let config = RetentionConfig { online_days: Some(5), ..RetentionConfig::default() };
            let keeper = quiet(&world, prover, true, config);
            assert_eq!(keeper.once().await, RoundEnd::Complete);
            assert_eq!(
                (keeper.stats().archived, world.chain(chain).await.base.seq),
                (0, 0),
                "within its month"
            );
            world.clock.advance(32 * DAY);
            assert_eq!(keeper.once().await, RoundEnd::Complete);
            assert_eq!((keeper.stats().archived, world.chain(chain).await.base.seq), (256, 256));
            let cut = world.records(ledger, scope, "audit.retention_applied").await;
            assert_eq!((number(&cut[0], "kept_days"), number(&cut[0], "online_days")), (366, 5));
        })
        .await;
}

#[tokio::test]
async fn a_full_object_waits_for_no_month_to_end() {
    let world = World::new();
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, tenant(1), 4_096).await;
            let keeper = quiet(&world, prover, true, RetentionConfig::default());
            assert_eq!(keeper.once().await, RoundEnd::Complete);
            assert_eq!((keeper.stats().objects, keeper.stats().archived), (1, 4_096));
        })
        .await;
}

#[tokio::test]
async fn what_no_checkpoint_covers_is_neither_archived_nor_cut() {
    for has_archive in [false, true] {
        let world = World::new();
        let (scope, chain) = (tenant(1), standard(tenant(1)));
        world.run(async |ledger, prover| world.append(ledger, prover, scope, 300).await).await;
        world
            .run_uncovered(async |ledger, prover| {
                world.record(ledger, scope, 300, Category::Access).await;
                world.clock.advance(400 * DAY);
                let keeper = quiet(&world, prover, has_archive, RetentionConfig::default());
                assert_eq!(keeper.once().await, RoundEnd::Complete);
                assert_eq!(world.chain(chain).await.base.seq, 256);
            })
            .await;
    }
}

#[tokio::test]
async fn an_entry_goes_after_the_last_instant_of_its_time_and_not_at_it() {
    let world = World::new();
    let (scope, chain) = (tenant(1), standard(tenant(1)));
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, scope, 300).await;
            let keeper = quiet(&world, prover, false, RetentionConfig::default());
            let last = world.stores.ledger.seals(chain, 256, 1).await.unwrap()[0].recorded_at;
            world.clock.set(last.plus(366 * DAY));
            assert_eq!(keeper.once().await, RoundEnd::Complete);
            assert_eq!(world.chain(chain).await.base.seq, 0);
            world.clock.set(last.plus(366 * DAY).plus(std::time::Duration::from_micros(1)));
            assert_eq!(keeper.once().await, RoundEnd::Complete);
            assert_eq!(world.chain(chain).await.base.seq, 256);
        })
        .await;
}

/// Holds of which the only one is placed between the first look and the second.
#[derive(Debug, Default)]
struct Late(AtomicUsize);

#[async_trait]
impl HoldStore for Late {
    async fn put(&self, hold: &Hold) -> Result<Hold, StoreError> {
        Ok(hold.clone())
    }

    async fn list(&self, scope: Scope) -> Result<Vec<Hold>, StoreError> {
        let hold = Hold {
            id: Uuid::from_u128(1),
            scope,
            class: None,
            reason: "Smith v. Acme".into(),
            placed_by: "user:counsel".into(),
            placed_at: NOON,
            until: None,
            lifted_by: None,
            lifted_at: None,
        };
        let is_placed = self.0.fetch_add(1, Ordering::SeqCst) > 0;
        Ok(is_placed.then_some(hold).into_iter().collect())
    }

    async fn lift(&self, _: Scope, _: Uuid, _: &Text, _: Timestamp) -> Result<Option<Hold>, StoreError> {
        Ok(None)
    }
}

#[tokio::test]
async fn a_hold_that_is_placed_while_a_cut_is_recorded_stops_it() {
    let world = World::new();
    let (scope, chain) = (tenant(1), standard(tenant(1)));
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, scope, 300).await;
            world.clock.advance(400 * DAY);
            let holds = Arc::new(Late::default());
            let keeper = Keeper::new(prover.clone(), holds, None, RetentionConfig::default());
            assert_eq!(keeper.once().await, RoundEnd::Complete);
            assert_eq!((world.chain(chain).await.base.seq, keeper.stats().held), (0, 1));
            let applied = world.records(ledger, scope, "audit.retention_applied").await;
            let phases: Vec<String> = applied.iter().map(|event| text(event, "phase")).collect();
            assert_eq!(phases, ["begun"]);
        })
        .await;
}

#[tokio::test]
async fn a_checkpoint_that_no_key_of_ours_signed_or_of_another_tree_is_not_kept_by() {
    let (world, other) = (World::new(), World::new());
    let (scope, chain) = (tenant(1), standard(tenant(1)));
    // The same seed would make the same events.
    other.ids.next_u64();
    other.run(async |ledger, prover| other.append(ledger, prover, scope, 300).await).await;
    world
        .run(async |ledger, prover| {
            world.append(ledger, prover, scope, 300).await;
            world.clock.advance(400 * DAY);
            let signer = |version| CheckpointSigner::new(&keys(version), "audit.example.com").unwrap();
            let ours: Arc<dyn TreeStore> = world.stores.ledger.clone();
            for (trees, version) in [(ours, 8), (other.stores.ledger.clone(), 9)] {
                let (prover, _checkpointer) =
                    ledger.checkpoints(trees, signer(version), CheckpointConfig::default());
                let objects = Arc::clone(&world.stores) as _;
                let config = RetentionConfig::default();
                let keeper = Keeper::new(prover, world.stores.clone(), Some(objects), config);
                assert_eq!(keeper.once().await, RoundEnd::Partial);
                assert_eq!(world.archive().await.len(), 0);
                assert_eq!(world.chain(chain).await.base.seq, 0);
            }
        })
        .await;
}
