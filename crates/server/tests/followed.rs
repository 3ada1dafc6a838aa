//! What `audit verify` says of a tenant's file beside the platform's, of which alone something was published.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use serde_json::json;
use stanchion_audit::bundle::Form;
use stanchion_audit::{
    ChainId, CheckpointConfig, CheckpointSigner, Config, Draft, Ledger, MemoryLedgerStore, Prover, Query,
    RetentionClass,
};
use stanchion_core::{
    Actor, Category, Clock as _, Event, IdGen as _, KeyRing, ManualClock, Scope, Secret, SeededRandom,
    Timestamp,
};

const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);
const PLATFORM: ChainId = ChainId { scope: Scope::Platform, class: RetentionClass::Security };

fn theirs() -> ChainId {
    let scope = "0192f0c1-2345-7abc-8def-000000000001".parse().unwrap();
    ChainId { scope, class: RetentionClass::Standard }
}

fn ring() -> KeyRing {
    KeyRing::new([(1, Secret::new([7; 32]))]).unwrap()
}

fn signer() -> CheckpointSigner {
    CheckpointSigner::new(&ring(), "audit.example.com").unwrap()
}

/// What a ledger gives away: the platform's log, a tenant's, and what was published.
struct Files {
    platform: Vec<u8>,
    theirs: Vec<u8>,
    published: String,
}

async fn export(prover: &Prover, scope: Scope) -> Vec<u8> {
    let mut export = prover.export(scope, Query::default(), Form::Lines).await.unwrap();
    let mut file = Vec::new();
    while let Some(part) = export.next().await.unwrap() {
        file.extend(part);
    }
    file
}

/// A ledger in which a tenant has so many entries that say this.
async fn ledger(said: &'static str, count: u64) -> Files {
    let clock = Arc::new(ManualClock::at(NOON));
    let (store, ids) = (Arc::new(MemoryLedgerStore::new(10_000)), Arc::new(SeededRandom::new(1)));
    let config = Config { linger_ms: 0, ..Config::default() };
    let (ledger, sequencer) =
        Ledger::new(store.clone(), ring(), clock.clone(), clock.clone(), ids.clone(), config);
    let (prover, checkpointer) = ledger.checkpoints(store, signer(), CheckpointConfig::default());
    let body = async {
        let scope = theirs().scope;
        for _ in 0..count {
            let id = ids.event_id(NOON);
            let event = Event::new(id, NOON, scope, Actor::Anonymous, "thing.done", Category::Access);
            ledger.append(scope, Draft::Event(event.with_detail("said", said))).await.unwrap();
        }
        // Once to cover and to tell it, and once to cover what tells it.
        ledger.settle().await;
        ledger.settle().await;
        let published = prover.checkpoint(PLATFORM).await.unwrap().unwrap().note.to_string();
        let platform = export(&prover, Scope::Platform).await;
        let files = Files { platform, theirs: export(&prover, scope).await, published };
        ledger.close();
        files
    };
    let mut work = pin!(join(body, join(sequencer.run(), checkpointer.run())));
    loop {
        match select(work, pin!(tokio::task::yield_now())).await {
            Either::Left(((files, (run, ())), _)) => {
                run.unwrap();
                return files;
            }
            Either::Right(((), rest)) => work = rest,
        }
        if clock.sleepers() > 0 {
            clock.advance(Duration::from_millis(1));
        }
        assert!(clock.now() < NOON.plus(Duration::from_secs(3_600)), "it hangs");
    }
}

struct Site(tempfile::TempDir);

impl Site {
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn verify(&self, published: &str, files: &[&Path]) -> (i32, String) {
        let anchors = self.write("anchors.jsonl", json!({ "note": published }).to_string() + "\n");
        let mut command = Command::new(env!("CARGO_BIN_EXE_stanchion"));
        command.args(["audit", "verify"]).args(files).arg("--anchors").arg(anchors).env_clear();
        for chain in [PLATFORM, theirs()] {
            for key in signer().verifiers(&chain) {
                command.arg("--verifier-key").arg(key.to_string());
            }
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }
}

#[tokio::test]
async fn a_tenant_s_file_is_compared_with_what_the_published_log_of_the_platform_tells_of_it() {
    let (good, forked, shorter) = (ledger("a", 5).await, ledger("b", 8).await, ledger("a", 3).await);
    let site = Site(tempfile::tempdir().unwrap());
    let platform = site.write("platform.jsonl", &good.platform);
    let theirs_of = |name: &str, files: &Files| site.write(name, &files.theirs);
    let log = signer().origin(&theirs());

    let theirs = theirs_of("theirs.jsonl", &good);
    for order in [[platform.as_path(), &theirs], [&theirs, &platform]] {
        let (code, said) = site.verify(&good.published, &order);
        assert_eq!(code, 0, "{said}");
        assert_eq!(said.matches("proven: ").count(), 2, "{said}");
        assert!(
            said.contains(&format!("{log}: as 1 checkpoints that were published, up to entry 5")),
            "{said}"
        );
        let told = "the platform's log, as far as it was published, tells of 1 checkpoints of others";
        assert!(said.contains(told) && !said.contains("not here"), "{said}");
    }

    let (code, said) = site.verify(&good.published, &[&platform, &theirs_of("forked.jsonl", &forked)]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the log is not what was published"), "{said}");
    assert!(
        said.contains(&format!("entry 1 of {log}: forked: the entries after 0, up to 5, are others")),
        "{said}"
    );
    let place = format!("published in entry 1 of {}, and that in ", signer().origin(&PLATFORM));
    assert!(said.contains(&place) && said.contains("anchors.jsonl, line 1"), "{said}");

    let (code, said) = site.verify(&good.published, &[&theirs_of("shorter.jsonl", &shorter), &platform]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains(&format!("entry 4 of {log}: rolled back: it ends at entry 3, and 5 were published")),
        "{said}"
    );

    let (code, said) = site.verify(&good.published, &[&platform]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 log of which something was published is not here"), "{said}");
    let (code, said) = site.verify(&good.published, &[&theirs]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("nothing could be compared with what was published"), "{said}");
    // Another platform's log tells nothing that this anchor proves.
    let other = site.write("other.jsonl", &forked.platform);
    let (code, said) = site.verify(&good.published, &[&other, &theirs]);
    assert_eq!(code, 1, "{said}");
}
