use stanchion_core::{Revision, Scope, SeededRandom, StoreError};

use super::fixture::{SYSTEM, at, everything, key, puts, rotated, tenant};
use crate::{ApiKey, KeyHash, KeyStatus, KeyStore, MemoryKeyStore};

/// Runs 300 random operations on scopes of its own, on the store and on the reference.
pub(super) async fn agrees(store: &dyn KeyStore, seed: u64) {
    let random = SeededRandom::new(0x4e1d_0000 + seed);
    let pick = |bound: u64| random.next_u64() % bound;
    let reference = MemoryKeyStore::new(None);
    let scopes = [tenant(&random), tenant(&random), tenant(&random)];
    let choose = |count: usize| usize::try_from(pick(u64::try_from(count.max(1)).unwrap_or(1))).unwrap_or(0);
    let outcome = |result: Result<Revision, StoreError>| result.map_err(|error| error.kind());
    let (mut known, mut hashes): (Vec<ApiKey>, Vec<KeyHash>) = (Vec::new(), Vec::new());
    for step in 0..300_i64 {
        let scope = scopes.get(choose(3)).copied().unwrap_or(Scope::Platform);
        let mut parts: Vec<ApiKey> = Vec::new();
        for _ in 0..=pick(2) {
            let chosen = known.get(choose(known.len() + 4));
            let mut part = chosen.cloned().unwrap_or_else(|| key(&random, scope, step));
            match pick(8) {
                0..=2 => part = rotated(&random, &part, step),
                3 => part.status = KeyStatus::Revoked { at: at(step) },
                4 => {
                    part.current.hash = hashes.get(choose(hashes.len())).copied().unwrap_or(part.current.hash)
                }
                _ => part.expires_at = Some(at(step + 100)),
            }
            // Now and then a key of another scope is left in, to be refused.
            if part.scope == scope || pick(10) == 0 {
                parts.push(part);
            }
        }
        let now = reference.revision(scope).await.expect("reads").number();
        let expected = if pick(5) == 0 { now.saturating_sub(1) } else { now };
        let change = puts(expected, step, &parts.iter().collect::<Vec<_>>());
        let ours = outcome(reference.apply(scope, change.clone()).await);
        assert_eq!(outcome(store.apply(scope, change).await), ours, "seed {seed}, step {step}");
        hashes.extend(parts.iter().flat_map(ApiKey::generations).map(|generation| generation.hash));
        if ours.is_ok() {
            known.retain(|key| parts.iter().all(|part| part.id != key.id));
            known.extend(parts);
        }
        let asked: Vec<KeyHash> =
            (0..pick(4)).filter_map(|_| hashes.get(choose(hashes.len())).copied()).collect();
        let theirs = store.find(SYSTEM, &asked).await.expect("reads");
        assert_eq!(theirs, reference.find(SYSTEM, &asked).await.expect("reads"), "seed {seed}, step {step}");
    }
    for scope in scopes {
        let theirs = everything(store, scope, 7).await;
        assert_eq!(theirs, everything(&reference, scope, 1_000).await, "seed {seed}");
        let revision = store.revision(scope).await.expect("reads");
        assert_eq!(revision, reference.revision(scope).await.expect("reads"), "seed {seed}");
    }
}
