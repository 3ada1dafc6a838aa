use std::fmt;

use async_trait::async_trait;
use stanchion_core::{Scope, StoreError, Text, Timestamp};

use crate::RuleId;

/// Whom a challenge is for: a proof for one caller is none for another.
#[derive(Clone, Copy, Debug)]
pub struct Challenged<'a> {
    /// Whose rule asks.
    pub scope: Scope,
    /// Which rule asks.
    pub rule: &'a RuleId,
    /// The caller, as the bytes of the rule's counter.
    pub caller: &'a [u8],
}

/// What a caller has to do before it is let through again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// What kind of challenge it is, such as `proof_of_work` or `captcha`.
    pub kind: Text,
    /// What the caller's program needs to solve it, by name: a site key, a token, a difficulty.
    pub details: Vec<(Text, Text)>,
}

/// Sets challenges for rules with the action `captcha`, and tells whether they were solved.
///
/// The engine accepts a proof once: a verifier need not remember them, only bind them to the caller and let them expire within
/// [`lifetime_seconds`](ChallengeVerifier::lifetime_seconds).
#[async_trait]
pub trait ChallengeVerifier: fmt::Debug + Send + Sync {
    /// Sets a challenge.
    fn challenge(&self, whom: Challenged<'_>, now: Timestamp) -> Challenge;

    /// Tells for how many seconds a solved challenge is accepted, at least 1.
    fn lifetime_seconds(&self) -> u32;

    /// Tells whether a proof solves a challenge that was set for this caller.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when whoever knows cannot be asked; the caller is then not let through.
    async fn verify(&self, whom: Challenged<'_>, proof: &str, now: Timestamp) -> Result<bool, StoreError>;
}
