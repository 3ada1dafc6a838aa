//! What `audit verify` says of files, without a server, and how it ends: of an export that was frozen, and of what was published of its logs.

#![expect(clippy::string_slice, clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use stanchion_audit::{ChainId, CheckpointSigner, Digest, RetentionClass};
use stanchion_core::{KeyRing, Scope, Secret, Timestamp};

/// Whole chains of the platform: three entries of class security, two of class standard.
const EXPORT: &str = include_str!("../../audit/tests/fixtures/v1/export.ocsf.jsonl");
const DEPLOYMENT: &str = "audit.example.com";

fn ring(byte: u8) -> KeyRing {
    KeyRing::new([(1, Secret::new([byte; 32]))]).unwrap()
}

fn chain(class: RetentionClass) -> ChainId {
    ChainId { scope: Scope::Platform, class }
}

fn signer(key: u8, deployment: &'static str) -> CheckpointSigner {
    CheckpointSigner::new(&ring(key), deployment).unwrap()
}

/// A checkpoint that the ledger's key signed, of whatever root.
fn forged(class: RetentionClass, size: u64) -> String {
    let root = Digest::from_bytes([1; 32]);
    signer(9, DEPLOYMENT).sign(chain(class), size, root, Timestamp::EPOCH).note.to_string()
}

/// The checkpoints that stand in the export.
fn checkpoints() -> Vec<String> {
    let lines = EXPORT.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let notes = lines
        .filter_map(|line| Some(line.pointer("/unmapped/stanchion/log/checkpoint")?.as_str()?.to_owned()));
    notes.collect()
}

struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The file of an anchor that holds these notes.
    fn anchors(&self, notes: &[String]) -> PathBuf {
        let line = |note: &String| json!({ "note": note }).to_string() + "\n";
        self.write("anchors.jsonl", &notes.iter().map(line).collect::<String>())
    }
}

/// Verifies a file with the keys of every chain of the platform, and says how that ended.
fn verify(key: u8, path: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stanchion"));
    command.args(["audit", "verify"]).arg(path).args(arguments).env_clear();
    for class in RetentionClass::ALL {
        for key in signer(key, DEPLOYMENT).verifiers(&chain(class)) {
            command.arg("--verifier-key").arg(key.to_string());
        }
    }
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn compared(site: &Site, notes: &[String]) -> (i32, String) {
    let (export, anchors) = (site.write("all.jsonl", EXPORT), site.anchors(notes));
    verify(9, &export, &["--anchors", anchors.to_str().unwrap()])
}

#[test]
fn an_export_is_proven_tampered_with_incomplete_or_unverifiable() {
    let site = Site::new();
    let check = |text: &str, key| verify(key, &site.write("all.jsonl", text), &[]);
    let (code, said) = check(EXPORT, 9);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("proven: 5 entries of platform, exported 2026-03-01T12:00:00"), "{said}");
    assert!(said.contains("/platform/security: entries 1 to 3, all of them"), "{said}");
    assert!(
        said.contains("/platform/standard: entries 1 to 2, all of them, and left out 1 newer ones"),
        "{said}"
    );
    assert!(!said.contains("signature of each entry"), "nobody looked at them: {said}");
    let (code, said) = check(&EXPORT.replacen("door.shut", "door.kept", 1), 9);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is not what was recorded"), "{said}");
    let (code, said) = check(&EXPORT[..EXPORT.len() - 1], 9);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("is incomplete"), "{said}");
    let (code, said) = check(EXPORT, 8);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("cannot be verified with these keys"), "{said}");
    assert_eq!(check("nothing", 9).0, 2);
    assert_eq!(verify(9, &site.0.path().join("absent"), &[]).0, 2);
}

#[test]
fn signatures_of_entries_are_looked_at_with_the_ledgers_secret() {
    let site = Site::new();
    let export = site.write("all.jsonl", EXPORT);
    let secret = |byte: &str| site.write("secret", &byte.repeat(32));
    let with = |keys: &str| {
        let keys = site.write("keys.toml", keys);
        verify(9, &export, &["--mac-keys", keys.to_str().unwrap()])
    };
    for (byte, expected) in [("\u{7}", 0), ("\u{8}", 1)] {
        secret(byte);
        let (code, said) = with("1 = \"file:secret\"\n");
        assert_eq!(code, expected, "{said}");
        assert_eq!(said.contains("the signature of each entry is right"), code == 0, "{said}");
    }
    secret("\u{7}");
    assert_eq!(with("2 = \"file:secret\"\n").0, 3, "the entries are of epoch 1");
    for bad in ["1 = \"file:absent\"\n", "x", "evolves = 1\n", ""] {
        let (code, said) = with(bad);
        assert_eq!(code, 2, "{bad}: {said}");
        assert!(!said.contains("\u{7}\u{7}"), "{said}");
    }
}

#[test]
fn a_log_that_is_the_one_that_was_published_is_told_so() {
    let site = Site::new();
    let (code, said) = compared(&site, &checkpoints());
    assert_eq!(code, 0, "{said}");
    let security =
        format!("{DEPLOYMENT}/platform/security: as 1 checkpoints that were published, up to entry 3");
    assert!(said.contains("compared with what was published") && said.contains(&security), "{said}");
    // As a bucket that was downloaded has them, with what else lies there.
    let notes = checkpoints();
    site.write("bucket/anchors/security/00000000000000000003", &notes[0]);
    site.write("bucket/anchors/standard/00000000000000000002", &notes[1]);
    site.write("bucket/README.md", "ours");
    let bucket = site.0.path().join("bucket");
    let export = site.write("all.jsonl", EXPORT);
    let (code, said) = verify(9, &export, &["--anchors", bucket.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("/platform/standard: as 1 checkpoints that were published, up to entry 2"),
        "{said}"
    );
}

#[test]
fn what_does_not_lead_to_what_was_published_is_told_with_its_place_and_kind() {
    let site = Site::new();
    let with = |note: String| compared(&site, &[checkpoints(), vec![note]].concat());
    let (code, said) = with(forged(RetentionClass::Security, 2));
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("entry 1 of audit.example.com/platform/security: forked: the entries after 0, up to 2"),
        "{said}"
    );
    assert!(said.contains("anchors.jsonl, line 3"), "{said}");
    let (code, said) = with(forged(RetentionClass::Security, 9));
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains(
            "entry 4 of audit.example.com/platform/security: rolled back: it ends at entry 3, and 9"
        ),
        "{said}"
    );
    let (code, said) = with(forged(RetentionClass::DataAccess, 4));
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("entry 1 of audit.example.com/platform/data_access: absent: 4 entries were published"),
        "{said}"
    );
    let (code, said) = with(forged(RetentionClass::Security, 3));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("two logs of one size were signed for"), "{said}");
    let altered = checkpoints()[0].replacen("\n3\n", "\n4\n", 1);
    assert_eq!(with(altered).0, 1, "somebody wrote into what was published");
    let stranger =
        signer(8, DEPLOYMENT).sign(chain(RetentionClass::Security), 3, Digest::ZERO, Timestamp::EPOCH);
    let (code, said) = with(stranger.note.to_string());
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("what was published cannot be verified with these keys"), "{said}");
}

#[test]
fn where_nothing_can_be_compared_nothing_is_proven() {
    let site = Site::new();
    let other = signer(9, "other.example.com");
    let other =
        other.sign(chain(RetentionClass::Security), 3, Digest::ZERO, Timestamp::EPOCH).note.to_string();
    let (code, said) = compared(&site, std::slice::from_ref(&other));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("nothing could be compared with what was published"), "{said}");
    assert!(said.contains("1 are of logs of which no key was given"), "{said}");
    // With a witness only what it cosigned counts.
    let witness = "witness.example.org+8a9b8c1e+BA==";
    let export = site.write("all.jsonl", EXPORT);
    let anchors = site.anchors(&checkpoints());
    let anchors = anchors.to_str().unwrap();
    assert_eq!(verify(9, &export, &["--anchors", anchors, "--witness-key", witness]).0, 2, "no key");
    let key = "witness.example.com/w1+13d1d3a4+BP";
    assert_eq!(verify(9, &export, &["--anchors", anchors, "--witness-key", key]).0, 2, "no key");
    assert_eq!(verify(9, &export, &["--witness-key", witness]).0, 2, "of nothing that was published");
    for (name, text) in [("empty", ""), ("prose.txt", "published"), ("lines", "{}\n{}\n")] {
        let (code, said) = verify(9, &export, &["--anchors", site.write(name, text).to_str().unwrap()]);
        assert_eq!(code, 2, "{name}: {said}");
    }
    let nothing = site.write("nothing/README.md", "ours");
    let directory = nothing.parent().unwrap().to_str().unwrap();
    let (code, said) = verify(9, &export, &["--anchors", directory]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("holds no checkpoint"), "{said}");
    // A proof of one entry shows no log.
    let proof = site.write("event.tlog-proof", "c2sp.org/tlog-proof@v1\n");
    let (code, said) = verify(9, &proof, &["--anchors", anchors]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("leave out --anchors"), "{said}");
}
