use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use stanchion_core::{KeyRing, KeyVersion, Secret, StoreError, Text, Timestamp};

use crate::{Challenge, ChallengeVerifier, Challenged};

/// A challenge that costs a caller's machine work, and nobody else anything: to find a number with which SHA-256 of the token begins
/// with so many zero bits (Hashcash, Back 2002).
///
/// The token is `version.time.mac`, where the MAC binds it to the rule and the caller, so nothing is kept until it is solved. The
/// proof is `token:number`, in decimal.
#[derive(Debug)]
pub struct ProofOfWork {
    keys: KeyRing,
    bits: u32,
    lifetime_seconds: u32,
}

impl ProofOfWork {
    /// The most zero bits that are asked for: half an hour of a machine that does a million a second.
    pub const MOST_BITS: u32 = 30;

    /// Asks for work of 2^`bits` hashes on average, within so many seconds.
    ///
    /// `None` when `bits` is not 1 to [`ProofOfWork::MOST_BITS`], or there are no seconds or more than a day.
    #[must_use]
    pub fn new(keys: KeyRing, bits: u32, lifetime_seconds: u32) -> Option<Self> {
        let fits = (1..=Self::MOST_BITS).contains(&bits) && (1..=86_400).contains(&lifetime_seconds);
        fits.then_some(Self { keys, bits, lifetime_seconds })
    }

    /// Finds a number that solves a challenge: what a caller's program does.
    #[must_use]
    pub fn solve(token: &str, bits: u32) -> String {
        let numbers = (0_u64..).map(|number| format!("{token}:{number}"));
        numbers.into_iter().find(|proof| zero_bits(proof) >= bits).unwrap_or_default()
    }

    fn token(&self, version: KeyVersion, key: &Secret, whom: Challenged<'_>, at: i64) -> Option<String> {
        use std::fmt::Write as _;

        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).ok()?;
        mac.update(b"stanchion/challenge/1\0");
        for part in [whom.scope.to_string().as_bytes(), whom.rule.as_str().as_bytes(), whom.caller] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac.update(&at.to_be_bytes());
        let mut token = format!("{version}.{at}.");
        for byte in mac.finalize().into_bytes().iter().take(16) {
            // Writing to a string cannot fail.
            let _ = write!(token, "{byte:02x}");
        }
        Some(token)
    }

    fn is_solved(&self, whom: Challenged<'_>, proof: &str, now: Timestamp) -> Option<bool> {
        let (token, number) = proof.rsplit_once(':')?;
        number.parse::<u64>().ok()?;
        let mut parts = token.splitn(3, '.');
        let version: KeyVersion = parts.next()?.parse().ok()?;
        let at: i64 = parts.next()?.parse().ok()?;
        let age = now.seconds().checked_sub(at)?;
        let is_fresh = (0..=i64::from(self.lifetime_seconds)).contains(&age);
        let set = self.token(version, self.keys.get(version)?, whom, at)?;
        // A token is no secret of its caller's: how long it takes to compare tells nothing that helps.
        Some(is_fresh && set == token && zero_bits(proof) >= self.bits)
    }
}

#[async_trait]
impl ChallengeVerifier for ProofOfWork {
    fn challenge(&self, whom: Challenged<'_>, now: Timestamp) -> Challenge {
        let (version, key) = self.keys.current();
        let token = self.token(version, key, whom, now.seconds()).unwrap_or_default();
        let details = vec![
            (Text::Static("token"), token.into()),
            (Text::Static("bits"), self.bits.to_string().into()),
            (Text::Static("hash"), Text::Static("sha-256")),
        ];
        Challenge { kind: "proof_of_work".into(), details }
    }

    fn lifetime_seconds(&self) -> u32 {
        self.lifetime_seconds
    }

    async fn verify(&self, whom: Challenged<'_>, proof: &str, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.is_solved(whom, proof, now).unwrap_or(false))
    }
}

/// How many bits of the hash are zero before the first that is one.
fn zero_bits(proof: &str) -> u32 {
    let mut zeros = 0;
    for byte in Sha256::digest(proof.as_bytes()) {
        zeros += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    zeros
}

#[cfg(test)]
mod tests {
    use stanchion_core::Scope;

    use super::*;
    use crate::RuleId;

    fn work() -> ProofOfWork {
        ProofOfWork::new(KeyRing::new([(1, Secret::new([1; 32]))]).unwrap(), 8, 60).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn detail<'a>(challenge: &'a Challenge, name: &str) -> &'a str {
        challenge.details.iter().find(|(known, _)| known.as_str() == name).unwrap().1.as_str()
    }

    #[tokio::test]
    async fn only_work_on_the_callers_own_token_counts_and_only_for_a_while() {
        let (work, rule, other) = (work(), RuleId::new("a").unwrap(), RuleId::new("b").unwrap());
        let alice = Challenged { scope: Scope::Platform, rule: &rule, caller: b"alice" };
        let challenge = work.challenge(alice, at(1_000));
        let token = detail(&challenge, "token");
        assert_eq!(detail(&challenge, "bits"), "8");
        let proof = ProofOfWork::solve(token, 8);
        let verify = async |whom, proof: &str, now| work.verify(whom, proof, at(now)).await.unwrap();
        assert!(verify(alice, &proof, 1_060).await);
        assert!(!verify(alice, &proof, 1_061).await, "too late");
        assert!(!verify(alice, &proof, 999).await, "from the future");
        assert!(!verify(Challenged { caller: b"bob", ..alice }, &proof, 1_000).await);
        assert!(!verify(Challenged { rule: &other, ..alice }, &proof, 1_000).await);
        let lazy =
            (0..).map(|number| format!("{token}:{number}")).find(|proof| zero_bits(proof) < 8).unwrap();
        assert!(!verify(alice, &lazy, 1_000).await, "no work");
        let later = token.replacen("1000", "1050", 1);
        assert!(!verify(alice, &ProofOfWork::solve(&later, 8), 1_060).await, "a made-up token");
        for nonsense in ["", ":", "1.2.3", "1.x.y:0", "2.1000.00:0", "1.1000:0"] {
            assert!(!verify(alice, nonsense, 1_000).await, "{nonsense}");
        }
    }

    #[test]
    fn leading_zero_bits_are_counted_over_bytes() {
        // SHA-256("abc") is ba7816bf…: no zero bit; of "" it is e3b0c442…
        assert_eq!((zero_bits("abc"), zero_bits("")), (0, 0));
        let proof = ProofOfWork::solve("t", 12);
        assert!(zero_bits(&proof) >= 12);
    }
}
