//! What the platform's log tells of other logs, and that it was published.

use super::*;
use crate::bundle::BundleProof;

const TENANT: Scope = Scope::Tenant(TenantId::from_uuid(uuid::Uuid::from_u128(7)));
const THEIRS: ChainId = ChainId { scope: TENANT, class: RetentionClass::Security };

/// A store with the platform's log and a tenant's.
struct Site {
    store: Arc<MemoryLedgerStore>,
    prover: Prover,
    sealer: Sealer,
    trees: BTreeMap<ChainId, (Edge, Option<(u64, Digest)>)>,
}

fn all_keys() -> Vec<VerifierKey> {
    [CHAIN, THEIRS].iter().flat_map(|chain| signer(9).verifiers(chain)).collect()
}

fn event(number: u64, chain: ChainId, said: &'static str) -> Event {
    let id = SeededRandom::new(number).event_id(NOON);
    let event = Event::new(id, NOON, chain.scope, Actor::Anonymous, "a.b", Category::Security);
    event.with_detail("said", said)
}

/// What a checkpointer records.
fn told(number: u64, checkpoints: &[Checkpoint]) -> Event {
    let one = |checkpoint: &Checkpoint| {
        let Checkpoint { chain, size, root, .. } = checkpoint;
        let size = i64::try_from(*size).unwrap();
        let details = [
            ("chain", stanchion_core::Detail::from(chain.to_string())),
            ("root", root.to_string().into()),
            ("size", size.into()),
        ];
        stanchion_core::Detail::from(details.into_iter().collect::<stanchion_core::Details>())
    };
    let id = SeededRandom::new(1_000 + number).event_id(NOON);
    let actor = Actor::System("audit".into());
    let event = Event::new(id, NOON, Scope::Platform, actor, "audit.checkpointed", Category::Security);
    event.with_detail("checkpoints", checkpoints.iter().map(one).collect::<Vec<_>>())
}

impl Site {
    fn new() -> Self {
        let store = Arc::new(MemoryLedgerStore::new(10_000));
        let clock = Arc::new(ManualClock::at(NOON));
        let ids = Arc::new(SeededRandom::new(7));
        let (ledger, _) = Ledger::new(store.clone(), ring(7), clock.clone(), clock, ids, Config::default());
        let (prover, _) = ledger.checkpoints(store.clone(), signer(9), CheckpointConfig::default());
        let sealer = Sealer::new(Arc::new(Signer::new(&ring(7))));
        Self { store, prover, sealer, trees: BTreeMap::new() }
    }

    async fn write(&mut self, chain: ChainId, events: impl IntoIterator<Item = Event>) {
        let contents: Vec<_> =
            events.into_iter().map(|event| Arc::new(Content::new(event).unwrap().1)).collect();
        self.sealer.set_head(chain, self.store.heads(SYSTEM, &[chain]).await.unwrap()[0]);
        let fence = self.store.open(SYSTEM, Shard::ONLY, Writers::Shared).await.unwrap();
        let batch = self.sealer.seal(fence, NOON, contents.iter().map(|content| (chain, content)));
        self.store.append(SYSTEM, &batch).await.unwrap();
        let (edge, _) = self.trees.entry(chain).or_default();
        contents.iter().for_each(|content| edge.push(content.leaf, &mut Vec::new()));
    }

    async fn cover(&mut self, chain: ChainId) -> Checkpoint {
        let (edge, at) = self.trees.get_mut(&chain).unwrap();
        let checkpoint = signer(9).sign(chain, edge.size(), edge.root(), NOON);
        let from = at.replace((edge.size(), edge.root()));
        let growth = Growth { from, tiles: edge.partial().collect(), checkpoint: checkpoint.clone() };
        self.store.grow(SYSTEM, &growth).await.unwrap();
        checkpoint
    }

    /// Writes a tenant's log up to these sizes; from its third entry on it tells what it says.
    async fn theirs(&mut self, said: &'static str, sizes: &[u64]) -> Vec<Checkpoint> {
        let (mut made, mut at) = (Vec::new(), 0);
        for size in sizes {
            let said = |number| if number < 3 { "the same" } else { said };
            let events = (at + 1..=*size).map(|number| event(100 + number, THEIRS, said(number)));
            self.write(THEIRS, events.collect::<Vec<_>>()).await;
            made.push(self.cover(THEIRS).await);
            at = *size;
        }
        made
    }

    /// Writes the platform's log: an entry of something else, and one for each of these checkpoints.
    async fn tell(&mut self, checkpoints: &[Checkpoint]) -> Checkpoint {
        let each = checkpoints.iter().zip(1_u64..);
        let events: Vec<Event> =
            each.map(|(checkpoint, number)| told(number, std::slice::from_ref(checkpoint))).collect();
        self.write(CHAIN, [event(1, CHAIN, "something")].into_iter().chain(events)).await;
        self.cover(CHAIN).await
    }

    async fn bundle(&self, scope: Scope, query: Query, anchors: &Anchors) -> BundleProof {
        let mut export = self.prover.export(scope, query, Form::Lines).await.unwrap();
        let mut file = Vec::new();
        while let Some(part) = export.next().await.unwrap() {
            file.extend(part);
        }
        let verdict = verify_bundle_with(&file[..], &all_keys(), None, anchors).unwrap();
        let BundleVerdict::Intact(proof) = verdict else { panic!("{verdict:?}") };
        proof
    }

    async fn tiles(&self, chain: ChainId, anchors: &Anchors) -> crate::LogProof {
        let checkpoint = self.prover.checkpoint(chain).await.unwrap().unwrap();
        let mut files = BTreeMap::from([("checkpoint".to_owned(), checkpoint.note.to_string().into_bytes())]);
        for file in log_files(checkpoint.size) {
            let bytes = self.prover.log_file(chain, &file).await;
            files.extend(bytes.map(|bytes| (file, bytes)));
        }
        let verdict = verify_log_with(|path| Ok(files.get(path).cloned()), &all_keys(), anchors).unwrap();
        let LogVerdict::Intact(proof) = verdict else { panic!("{verdict:?}") };
        proof
    }

    async fn stored(&self, note: &Checkpoint) -> Result<Vec<Compared>, AnchorBreak> {
        self.prover.verify_published(&published(note), &[], None).await.unwrap()
    }
}

fn published(checkpoint: &Checkpoint) -> Published {
    read(&(serde_json::json!({ "note": checkpoint.note }).to_string() + "\n"))
}

fn anchors(checkpoint: &Checkpoint) -> Anchors {
    published(checkpoint).open(&all_keys(), &[]).unwrap()
}

fn as_told(matching: u64, latest: u64) -> Compared {
    Compared { origin: signer(9).origin(&THEIRS), matching, latest, unshown: 0 }
}

/// A site, a tenant's log of nine entries in it, whose checkpoints at 5 and 9 were told, and what was published.
async fn good() -> (Site, Vec<Checkpoint>, Checkpoint) {
    let mut site = Site::new();
    let theirs = site.theirs("a", &[2, 5, 9]).await;
    let published = site.tell(&theirs[1..]).await;
    (site, theirs, published)
}

/// The same platform with another log of the tenant: whoever has the database and the keys can make it.
async fn attacked(theirs: &[Checkpoint], said: &'static str, sizes: &[u64]) -> Site {
    let mut site = Site::new();
    site.theirs(said, sizes).await;
    site.tell(&theirs[1..]).await;
    site
}

#[tokio::test]
async fn what_the_published_log_tells_of_others_counts_as_published() {
    let (site, _, published) = good().await;
    let mut followed = anchors(&published);
    let platform = site.bundle(Scope::Platform, Query::default(), &followed).await;
    assert_eq!(followed.follow_bundle(&platform), Ok(2));
    assert_eq!(followed.follow_bundle(&platform), Ok(0), "nothing new");
    let mut by_tiles = anchors(&published);
    let log = site.tiles(CHAIN, &by_tiles).await;
    assert_eq!(by_tiles.follow_log(&log), Ok(2));
    assert_eq!(by_tiles, followed);
    assert!(followed.knows(&signer(9).origin(&THEIRS)));
    let theirs = site.bundle(TENANT, Query::default(), &followed).await;
    assert_eq!(followed.compare_bundle(&theirs), Ok(vec![as_told(2, 9)]));
    let tiles = site.tiles(THEIRS, &followed).await;
    assert_eq!(followed.compare_log(&tiles), Ok(as_told(2, 9)));
    assert_eq!(site.stored(&published).await, Ok(vec![as_told(2, 9), compared(1, 3, 0)]));
    assert_eq!(followed.not_compared(&[as_told(2, 9)]), 1, "the platform's");
    assert_eq!(followed.not_compared(&[as_told(2, 9), compared(1, 3, 0)]), 0);
}

#[tokio::test]
async fn a_query_for_what_was_told_is_enough_where_its_checkpoint_was_published() {
    let (mut site, _, published) = good().await;
    let query = Query { action: Some("audit.checkpointed".into()), ..Query::default() };
    let mut followed = anchors(&published);
    let told = site.bundle(Scope::Platform, query.clone(), &followed).await;
    assert_eq!(followed.follow_bundle(&told), Ok(2));
    // The log has grown, and nobody published how far.
    site.write(CHAIN, [event(2, CHAIN, "more")]).await;
    site.cover(CHAIN).await;
    let mut followed = anchors(&published);
    let told = site.bundle(Scope::Platform, query, &followed).await;
    assert_eq!(followed.follow_bundle(&told), Ok(0));
}

#[tokio::test]
async fn what_is_told_after_what_was_published_does_not_count() {
    let mut site = Site::new();
    let theirs = site.theirs("a", &[2, 5]).await;
    let published = site.tell(&theirs[1..]).await;
    let forged = signer(9).sign(THEIRS, 4, Digest::from_bytes([1; 32]), NOON);
    site.write(CHAIN, [told(2, &[forged])]).await;
    site.cover(CHAIN).await;
    let mut followed = anchors(&published);
    let platform = site.bundle(Scope::Platform, Query::default(), &followed).await;
    assert_eq!(followed.follow_bundle(&platform), Ok(1));
    assert_eq!(site.stored(&published).await, Ok(vec![as_told(1, 5), compared(1, 2, 0)]));
}

#[tokio::test]
async fn only_what_the_audit_itself_records_tells_of_checkpoints() {
    let mut site = Site::new();
    let theirs = site.theirs("a", &[2]).await;
    let wrong = |size| signer(9).sign(THEIRS, size, Digest::ZERO, NOON);
    let mut by_somebody = told(2, &[wrong(1)]);
    by_somebody.actor = Actor::Anonymous;
    let mut reported = told(7, &[wrong(1)]);
    reported.reported = true;
    let mut another = told(3, &[wrong(1)]);
    another.action = "audit.uncheckpointed".into();
    let named: stanchion_core::Details = [("action", "audit.checkpointed")].into_iter().collect();
    let mut nested = told(8, &[wrong(1)]).with_detail("like", stanchion_core::Detail::from(named));
    nested.action = "audit.told".into();
    let quoted = event(3, CHAIN, "x").with_detail("event", "\"action\":\"audit.checkpointed\"");
    let none = told(4, &[]).with_detail("checkpoints", "none");
    let own = told(5, &[signer(9).sign(CHAIN, 1, Digest::ZERO, NOON)]);
    site.write(CHAIN, [by_somebody, reported, another, nested, quoted, none, own, told(6, &theirs)]).await;
    let published = site.cover(CHAIN).await;
    let mut followed = anchors(&published);
    let platform = site.bundle(Scope::Platform, Query::default(), &followed).await;
    assert_eq!(followed.follow_bundle(&platform), Ok(1));
    assert_eq!(site.stored(&published).await, Ok(vec![as_told(1, 2), compared(1, 8, 0)]));
}

/// Cut off, and signed anew: what the database and the keys say of it is right.
#[tokio::test]
async fn a_log_that_was_signed_anew_is_found_by_what_was_published_of_the_platform_alone() {
    let (good, theirs, published) = good().await;
    let mut followed = anchors(&published);
    let platform = good.bundle(Scope::Platform, Query::default(), &followed).await;
    followed.follow_bundle(&platform).unwrap();
    for sizes in [&[9][..], &[12], &[4, 12]] {
        let forked = attacked(&theirs, "b", sizes).await;
        let fault = AnchorFault::Forked { after: 0, size: 5 };
        let proof = forked.bundle(TENANT, Query::default(), &followed).await;
        let found = followed.compare_bundle(&proof).unwrap_err();
        assert_eq!((found.seq, found.fault, found.of_a_file()), (Some(1), fault, AnchorVerdict::Tampered));
        let own = signer(9).origin(&CHAIN);
        assert_eq!(found.place, format!("entry 2 of {own}, and that in anchors.jsonl, line 1"));
        let proof = forked.tiles(THEIRS, &followed).await;
        assert_eq!(followed.compare_log(&proof).unwrap_err(), found);
        let stored = forked.stored(&published).await.unwrap_err();
        assert_eq!(stored, found);
        assert_eq!(stored.of_a_store(), AnchorVerdict::Tampered);
        // Other tenants' logs are no matter of who asks for one.
        let other = Some(Scope::Tenant(TenantId::from_uuid(uuid::Uuid::from_u128(8))));
        let anchored = self::published(&published);
        assert!(forked.prover.verify_published(&anchored, &[], other).await.unwrap().is_ok());
        assert!(forked.prover.verify_published(&anchored, &[], Some(TENANT)).await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_log_that_was_cut_off_or_taken_away_is_missed() {
    let (good, theirs, published) = good().await;
    let mut followed = anchors(&published);
    let platform = good.bundle(Scope::Platform, Query::default(), &followed).await;
    followed.follow_bundle(&platform).unwrap();
    let cut = attacked(&theirs, "a", &[7]).await;
    let proof = cut.bundle(TENANT, Query::default(), &followed).await;
    let found = followed.compare_bundle(&proof).unwrap_err();
    let fault = AnchorFault::RolledBack { size: 7, published: 9 };
    assert_eq!((found.seq, found.fault, found.of_a_file()), (Some(8), fault, AnchorVerdict::Incomplete));
    let stored = cut.stored(&published).await.unwrap_err();
    assert_eq!((stored.fault, stored.of_a_store()), (fault, AnchorVerdict::Tampered));

    let gone = attacked(&theirs, "a", &[]).await;
    let proof = gone.bundle(TENANT, Query::default(), &followed).await;
    let found = followed.compare_bundle(&proof).unwrap_err();
    let fault = AnchorFault::Absent { published: 9 };
    assert_eq!((found.seq, found.fault, found.of_a_file()), (Some(1), fault, AnchorVerdict::Incomplete));
    let stored = gone.stored(&published).await.unwrap_err();
    let fault = AnchorFault::Absent { published: 5 };
    assert_eq!((stored.fault, stored.of_a_store()), (fault, AnchorVerdict::Tampered));
    assert_eq!(stored.origin, signer(9).origin(&THEIRS));
}

#[tokio::test]
async fn a_platform_that_tells_two_roots_of_one_size_has_signed_for_two_logs() {
    let mut site = Site::new();
    let theirs = site.theirs("a", &[2, 5]).await;
    let other = signer(9).sign(THEIRS, 5, Digest::from_bytes([1; 32]), NOON);
    let published = site.tell(&[theirs[1].clone(), other]).await;
    let mut followed = anchors(&published);
    let platform = site.bundle(Scope::Platform, Query::default(), &followed).await;
    let found = followed.follow_bundle(&platform).unwrap_err();
    assert_eq!((found.seq, found.fault), (Some(5), AnchorFault::TwoLogs));
    assert!(found.place.starts_with("entry 3 of "), "{found}");
    assert_eq!(site.stored(&published).await.unwrap_err(), found);
}
