use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use uuid::{Builder, Uuid};

use crate::{EventId, KeyId, RequestId, SessionId, TenantId, Timestamp};

/// A source of random bytes.
pub trait Random: fmt::Debug + Send + Sync {
    /// Fills the whole of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// A shared source is a source, so that it makes ids too.
impl<R: Random + ?Sized> Random for Arc<R> {
    fn fill(&self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}

/// The random source of the operating system, for secrets and ids.
///
/// Bytes are drawn 4 KiB at a time, since a system call per id would cost more than the rest of a decision; bytes handed out are
/// wiped from the pool.
#[derive(Default)]
pub struct SystemRandom {
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    bytes: Vec<u8>,
}

const POOL_BYTES: usize = 4096;

impl fmt::Debug for SystemRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemRandom")
    }
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > POOL_BYTES / 16 {
            return system_bytes(bytes);
        }
        let mut pool = self.pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if pool.bytes.len() < bytes.len() {
            pool.bytes.resize(POOL_BYTES, 0);
            system_bytes(&mut pool.bytes);
        }
        let rest = pool.bytes.len() - bytes.len();
        if let Some(taken) = pool.bytes.get_mut(rest..) {
            bytes.copy_from_slice(taken);
            taken.fill(0);
        }
        pool.bytes.truncate(rest);
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the system's randomness is read")]
#[expect(clippy::panic, reason = "without randomness no secret is secret: stopping is the only safe answer")]
fn system_bytes(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        panic!("the operating system gives no random bytes: {error}");
    }
}

/// A reproducible random source for tests and simulations: SplitMix64 from a seed. Never for secrets.
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// Starts the sequence of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Returns the next 64 bits.
    pub fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            for (byte, random) in chunk.iter_mut().zip(word) {
                *byte = random;
            }
        }
    }
}

/// Makes ids: UUID version 7, so ids sort by the millisecond they were made in (RFC 9562 §5.7).
pub trait IdGen: fmt::Debug + Send + Sync {
    /// Returns a new UUID for something that happens at `now`.
    fn uuid(&self, now: Timestamp) -> Uuid;

    /// Returns a new tenant id.
    fn tenant_id(&self, now: Timestamp) -> TenantId {
        TenantId::from_uuid(self.uuid(now))
    }

    /// Returns a new key id.
    fn key_id(&self, now: Timestamp) -> KeyId {
        KeyId::from_uuid(self.uuid(now))
    }

    /// Returns a new request id.
    fn request_id(&self, now: Timestamp) -> RequestId {
        RequestId::from_uuid(self.uuid(now))
    }

    /// Returns a new session id.
    fn session_id(&self, now: Timestamp) -> SessionId {
        SessionId::from_uuid(self.uuid(now))
    }

    /// Returns a new event id.
    fn event_id(&self, now: Timestamp) -> EventId {
        EventId::from_uuid(self.uuid(now))
    }
}

impl<R: Random> IdGen for R {
    fn uuid(&self, now: Timestamp) -> Uuid {
        let mut random = [0; 10];
        self.fill(&mut random);
        let millis = u64::try_from(now.micros().div_euclid(1000)).unwrap_or(0);
        Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_matches_its_published_sequence() {
        // First outputs of SplitMix64 for seed 1234567, from the reference implementation's test vectors.
        let random = SeededRandom::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn ids_are_version_7_and_sort_by_time() {
        let random = SeededRandom::new(7);
        let early = random.uuid(Timestamp::from_micros(1_000_000));
        let late = random.uuid(Timestamp::from_micros(1_001_000));
        assert_eq!(early.get_version_num(), 7);
        assert!(early < late);
    }

    #[test]
    fn system_randomness_does_not_repeat_across_refills() {
        let random = SystemRandom::default();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            assert!(seen.insert(random.uuid(Timestamp::EPOCH)));
        }
    }
}
