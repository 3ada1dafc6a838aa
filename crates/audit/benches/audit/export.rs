//! What leaving costs: a chain in memory as a bundle, as events of OCSF, and both verified.
//!
//! The floor is one SHA-256 over the bytes of the file as they are, which the sum at its end needs: nobody writes it for less.

use std::hint::black_box;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use stanchion_audit::bundle::{BundleVerdict, Form, verify_bundle};
use stanchion_audit::tree::{Edge, Tile};
use stanchion_audit::{
    ChainId, CheckpointConfig, CheckpointSigner, Config, Growth, Head, Ledger, LedgerStore as _,
    MemoryLedgerStore, Prover, Query, RetentionClass, Sealer, Shard, Signer, TreeStore as _, Writers,
};
use stanchion_core::{Event, ManualClock, Scope, SeededRandom, SystemScope};

use super::{BATCH, NOON, access_event, content, cpu, keys};

const SYSTEM: SystemScope = SystemScope::new("benchmark");
const CHAIN: ChainId = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };

pub(crate) fn run(quick: bool) {
    let entries = if quick { 20_000 } else { 200_000 };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let prover = runtime.block_on(filled(entries));
    let signer = CheckpointSigner::new(&keys(), "audit.example.com").expect("a signer");
    let verifiers = signer.verifiers(&CHAIN);
    for (name, form) in [("export", Form::Lines), ("export_ocsf", Form::Ocsf)] {
        let (mut file, mut ours, mut floor) = (Vec::new(), f64::INFINITY, f64::INFINITY);
        for _ in 0..3 {
            file.clear();
            let start = cpu();
            runtime.block_on(async {
                let export = prover.export(Scope::Platform, Query::default(), form).await;
                let mut export = export.expect("an export");
                while let Some(part) = export.next().await.expect("a part") {
                    file.extend(part);
                }
            });
            ours = ours.min(cpu() - start);
            let start = cpu();
            black_box(Sha256::digest(&file));
            floor = floor.min(cpu() - start);
        }
        print(name, entries, ours, floor);
        println!("{name}: {} bytes an entry", file.len() / entries);
        let start = cpu();
        let verdict = verify_bundle(&*file, &verifiers, Some(&keys())).expect("a bundle");
        let spent = cpu() - start;
        assert!(matches!(verdict, BundleVerdict::Intact(_)), "{verdict:?}");
        print(&format!("verify_{name}"), entries, spent, floor);
    }
}

fn print(name: &str, entries: usize, ours: f64, floor: f64) {
    let per_second = |nanos: f64| entries as f64 / nanos * 1e9;
    let (value, peer) = (per_second(ours), per_second(floor));
    println!(
        "BENCH audit.{name} value={value:.0} unit=entries/s peer=hash_of_file peer_value={peer:.0} ratio={:.2}",
        value / peer
    );
}

/// A ledger in memory with one chain that is covered.
async fn filled(entries: usize) -> Prover {
    let store = Arc::new(MemoryLedgerStore::new(entries));
    let clock = Arc::new(ManualClock::at(NOON));
    let ids = Arc::new(SeededRandom::new(3));
    let (ledger, _) =
        Ledger::new(store.clone(), keys(), clock.clone(), clock, ids.clone(), Config::default());
    let signer = || CheckpointSigner::new(&keys(), "audit.example.com").expect("a signer");
    let (prover, _) = ledger.checkpoints(store.clone(), signer(), CheckpointConfig::default());
    let fence = store.open(SYSTEM, Shard::ONLY, Writers::Shared).await.expect("opens");
    let mut sealer = Sealer::new(Arc::new(Signer::new(&keys())));
    sealer.set_head(CHAIN, Head::EMPTY);
    let (mut edge, mut tiles): (Edge, Vec<Tile>) = (Edge::default(), Vec::new());
    for first in (0..entries).step_by(BATCH) {
        let event = |number| {
            let event = access_event(&ids, Scope::Platform, number);
            content(Event { scope: Scope::Platform, ..event })
        };
        let contents: Vec<_> = (first..entries.min(first + BATCH)).map(event).collect();
        for (_, content) in &contents {
            edge.push(content.leaf, &mut tiles);
        }
        let batch = sealer.seal(fence, NOON, contents.iter().map(|(chain, content)| (*chain, content)));
        store.append(SYSTEM, &batch).await.expect("appends");
        sealer.advance(&batch);
    }
    tiles.extend(edge.partial());
    let checkpoint = signer().sign(CHAIN, edge.size(), edge.root(), NOON);
    store.grow(SYSTEM, &Growth { from: None, tiles, checkpoint }).await.expect("grows");
    prover
}
