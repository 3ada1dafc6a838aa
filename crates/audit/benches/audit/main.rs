//! What a governed request pays for its record: CPU per event of the canonical form, of the signed entry, of the whole way through
//! the queue into a store in memory, and of verification, each against hashing alone.
//!
//! The floor is what nobody can do without: SHA-256 over the canonical bytes, SHA-256 over a link's 144 bytes and HMAC-SHA256 over
//! the 109 bytes that are signed. CPU time of threads; floor and figure in turns; the ratio is the median of the pairs, the figures
//! are minima.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops when it cannot run"
)]

mod export;
mod protection;
mod trees;

use std::hint::black_box;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};
use stanchion_audit::{
    AppendBatch, Chain, ChainId, Config, Content, Draft, Fence, Head, Ledger, MemoryLedgerStore,
    RetentionClass, Sealer, Signer, Verdict, canonical, leaf_hash, verify_chain,
};
use stanchion_core::{
    Actor, AuthenticationMethod, Category, Event, IdGen as _, KeyRing, ManualClock, ResourceRef, Scope,
    Secret, SeededRandom, SubjectRef, Timestamp,
};

const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);
const FENCE: Fence = Fence::from_number(1);
const BATCH: usize = 1_000;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (count, repetitions) = if quick { (20_000, 9) } else { (50_000, 31) };
    let given = Given::new(count);
    let size = given.bytes.iter().map(Vec::len).sum::<usize>() / count;
    println!("{count} events of {size} canonical bytes, {repetitions} repetitions");

    let mut figures = [
        Figure::new("canonical", "ns", "hash_leaf"),
        Figure::new("seal", "ns", "hash_alone"),
        Figure::new("append_memory", "ns", "hash_alone"),
        Figure::new("verify_vs_hash", "events/s", "hash_alone"),
    ];
    for _ in 0..repetitions {
        let leaf = given.each(&given.bytes, |bytes| leaf_hash(bytes));
        let floor = given.each(&given.bytes, |bytes| hash_alone(&given.key, bytes));
        let ours =
            [given.each(&given.events, canonical), given.seal(), given.append_memory(), given.verify()];
        for ((figure, ours), peer) in figures.iter_mut().zip(ours).zip([leaf, floor, floor, floor]) {
            figure.pairs.push((ours, peer));
        }
    }
    figures.iter().for_each(Figure::print);
    protection::run(count);
    trees::run(quick);
    export::run(quick);
}

/// What all figures work on.
struct Given {
    events: Vec<Event>,
    bytes: Vec<Vec<u8>>,
    key: Hmac<Sha256>,
    signer: Arc<Signer>,
    chain: Chain,
    /// All events in one chain.
    stored: AppendBatch,
}

impl Given {
    fn new(count: usize) -> Self {
        let ids = SeededRandom::new(1);
        let scopes: Vec<Scope> = (0..64).map(|_| Scope::Tenant(ids.tenant_id(NOON))).collect();
        let event = |(scope, number): (&Scope, usize)| access_event(&ids, *scope, number);
        let events: Vec<Event> = scopes.iter().cycle().zip(0..count).map(event).collect();
        let bytes = events.iter().map(|event| canonical(event).expect("is valid")).collect();
        let signer = Arc::new(Signer::new(&keys()));
        let id = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };
        let own = events.iter().map(|event| content(Event { scope: Scope::Platform, ..event.clone() }));
        let mut sealer = Sealer::new(Arc::clone(&signer));
        sealer.set_head(id, Head::EMPTY);
        let stored =
            sealer.seal(FENCE, NOON, own.collect::<Vec<_>>().iter().map(|(id, content)| (*id, content)));
        let head = stored.moves().first().map_or(Head::EMPTY, |moved| moved.to);
        let key = Hmac::new_from_slice(&[7; 32]).expect("any length is a key");
        Self { events, bytes, key, signer, chain: Chain { id, base: Head::EMPTY, head }, stored }
    }

    /// CPU of `work` on this thread, nanoseconds per event.
    fn measure(&self, work: impl FnOnce()) -> f64 {
        let start = cpu();
        work();
        (cpu() - start) / self.events.len() as f64
    }

    fn each<T, R>(&self, items: &[T], work: impl Fn(&T) -> R) -> f64 {
        self.measure(|| {
            for item in items {
                black_box(work(item));
            }
        })
    }

    /// From the event to the signed row, in batches, as the sequencer does it.
    fn seal(&self) -> f64 {
        let mut events = self.events.clone().into_iter().peekable();
        let mut sealer = Sealer::new(Arc::clone(&self.signer));
        for event in &self.events {
            sealer.set_head(ChainId { scope: event.scope, class: RetentionClass::Standard }, Head::EMPTY);
        }
        self.measure(|| {
            while events.peek().is_some() {
                let contents: Vec<_> = events.by_ref().take(BATCH).map(content).collect();
                let batch =
                    sealer.seal(FENCE, NOON, contents.iter().map(|(chain, content)| (*chain, content)));
                sealer.advance(black_box(&batch));
            }
        })
    }

    /// Producer and sequencer together, from `submit` to committed.
    fn append_memory(&self) -> f64 {
        let count = self.events.len();
        let clock = Arc::new(ManualClock::at(NOON));
        let config =
            Config { capacity: count, share: count, linger_ms: 0, batch: BATCH, ..Config::default() };
        let store = Arc::new(MemoryLedgerStore::new(100));
        let ids = Arc::new(SeededRandom::new(3));
        let (ledger, sequencer) = Ledger::new(store, keys(), clock.clone(), clock, ids, config);
        let sequencing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let start = cpu();
            runtime.block_on(sequencer.run()).expect("runs to the end");
            cpu() - start
        });
        let events = self.events.clone();
        let producing = self.measure(|| {
            for event in events {
                let draft = Draft::Late(Box::new(move || event));
                ledger.submit(Scope::Platform, draft).expect("there is room");
            }
        });
        ledger.close();
        let sequencing = sequencing.join().expect("the sequencer ends") / count as f64;
        assert_eq!(ledger.stats().committed, u64::try_from(count).unwrap_or_default());
        producing + sequencing
    }

    fn verify(&self) -> f64 {
        let keys = keys();
        self.measure(|| {
            let verdict = verify_chain(black_box(&self.chain), self.stored.rows(), &keys);
            assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
        })
    }
}

/// What the gateway records of a typical request.
fn access_event(ids: &SeededRandom, scope: Scope, number: usize) -> Event {
    let at = NOON.plus(std::time::Duration::from_micros(u64::try_from(number).unwrap_or_default()));
    let subject = SubjectRef::user("alice").expect("a subject");
    let actor = Actor::Subject { subject, method: AuthenticationMethod::ApiKey, key: Some(ids.key_id(at)) };
    let mut event = Event::new(ids.event_id(at), at, scope, actor, "request.decided", Category::Access)
        .with_target(ResourceRef::new("route", "orders.list").expect("a resource"))
        .with_detail("bytes_in", 312_i64)
        .with_detail("bytes_out", 48_211_i64)
        .with_detail("duration_us", 1_834_i64)
        .with_detail("method", "GET")
        .with_detail("status", 200_i64)
        .with_detail("upstream", "orders-7f9c");
    event.correlation.request = Some(ids.request_id(at));
    event.source.ip = Some([203, 0, 113, 7].into());
    event.source.user_agent = Some("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/137.0".into());
    event
}

/// The hashing that one entry needs, with nothing around it.
fn hash_alone(key: &Hmac<Sha256>, canonical: &[u8]) -> [u8; 32] {
    let leaf = Sha256::new_with_prefix([0]).chain_update(canonical).finalize();
    let link = Sha256::new_with_prefix([1; 64]).chain_update([2; 48]).chain_update(leaf).finalize();
    key.clone().chain_update([3; 77]).chain_update(link).finalize().into_bytes().into()
}

fn content(event: Event) -> (ChainId, Arc<Content>) {
    let (chain, content) = Content::new(event).expect("is valid");
    (chain, Arc::new(content))
}

fn keys() -> KeyRing {
    KeyRing::new([(1, Secret::new([7; 32]))]).expect("32 bytes are a key")
}

/// CPU time of this thread, nanoseconds.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    (time.tv_sec * 1_000_000_000 + time.tv_nsec) as f64
}

struct Figure {
    name: &'static str,
    unit: &'static str,
    peer: &'static str,
    /// Nanoseconds per event: ours, the peer's.
    pairs: Vec<(f64, f64)>,
}

impl Figure {
    const fn new(name: &'static str, unit: &'static str, peer: &'static str) -> Self {
        Self { name, unit, peer, pairs: Vec::new() }
    }

    /// Prints costs as they are, and speeds as their inverse.
    fn print(&self) {
        let Self { name, unit, peer, pairs } = self;
        let in_unit = |nanos: f64| if *unit == "ns" { nanos } else { 1e9 / nanos };
        let least = |values: &mut dyn Iterator<Item = f64>| in_unit(values.fold(f64::INFINITY, f64::min));
        let value = least(&mut pairs.iter().map(|pair| pair.0));
        let peer_value = least(&mut pairs.iter().map(|pair| pair.1));
        let mut ratios: Vec<f64> = pairs.iter().map(|(ours, peer)| in_unit(*ours) / in_unit(*peer)).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
        println!(
            "BENCH audit.{name} value={value:.0} unit={unit} peer={peer} peer_value={peer_value:.0} ratio={ratio:.2}"
        );
    }
}
