use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use stanchion_core::{ProblemCode, Scope, SubjectRef, Timestamp};

use crate::answer::Reply;
use crate::failure::Failure;

/// How long an answer is remembered.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// The bounds of what is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The most requests.
    pub(crate) capacity: usize,
    /// The most requests of one scope, so that no tenant leaves the others without room.
    pub(crate) share: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { capacity: 65_536, share: 16_384 }
    }
}

/// Remembers for 24 hours what requests with an `Idempotency-Key` were answered, in this process.
///
/// * A request that succeeded is answered again as it was. An answer that held a secret is not kept: its request is told that it was
///   done.
/// * A request that failed leaves nothing behind, so it may be sent again with its key.
/// * A request that broke off, or of which a store did not tell whether it was done, is not done again: its key is answered with
///   `conflict`, since nobody knows whether there is something to do.
#[derive(Debug)]
pub(crate) struct Replays {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<Key, Known>,
    by_age: BTreeMap<(Timestamp, u64), Key>,
    shares: HashMap<Scope, usize>,
    serial: u64,
}

/// Whose key it is, and the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) scope: Scope,
    pub(crate) subject: SubjectRef,
    pub(crate) key: String,
}

#[derive(Debug)]
struct Known {
    age: (Timestamp, u64),
    request: [u8; 32],
    end: End,
}

#[derive(Debug)]
enum End {
    Running,
    Unknown,
    Answered(Box<Reply>),
}

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is the first: it is done, and the ticket told how it ended.
    First(Ticket),
    /// It was done before, with this answer.
    Again(Box<Reply>),
}

/// A request under way. Dropped without a word, its end is unknown.
#[derive(Debug)]
pub(crate) struct Ticket {
    replays: Arc<Replays>,
    key: Option<Key>,
}

impl Replays {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default() }
    }

    /// Finds out whether a request is the first with its key.
    pub(crate) fn begin(
        self: &Arc<Self>,
        key: Key,
        request: [u8; 32],
        now: Timestamp,
    ) -> Result<Begun, Failure> {
        let mut state = self.state();
        state.forget_before(now.minus(KEPT));
        if let Some(known) = state.known.get(&key) {
            return known.answer(request);
        }
        let taken = state.shares.get(&key.scope).copied().unwrap_or(0);
        if state.known.len() >= self.bounds.capacity || taken >= self.bounds.share {
            let detail =
                "too many idempotency keys of the last 24 hours are remembered; send the request without one";
            return Err(Failure::new(ProblemCode::Overloaded, detail));
        }
        state.serial = state.serial.wrapping_add(1);
        let age = (now, state.serial);
        state.by_age.insert(age, key.clone());
        *state.shares.entry(key.scope).or_insert(0) += 1;
        state.known.insert(key.clone(), Known { age, request, end: End::Running });
        drop(state);
        Ok(Begun::First(Ticket { replays: Arc::clone(self), key: Some(key) }))
    }

    /// Returns how many requests are remembered.
    pub(crate) fn len(&self) -> usize {
        self.state().known.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_before(&mut self, oldest: Timestamp) {
        let kept = self.by_age.split_off(&(oldest, u64::MAX));
        for key in std::mem::replace(&mut self.by_age, kept).into_values() {
            self.known.remove(&key);
            self.free(key.scope);
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(known) = self.known.remove(key) {
            self.by_age.remove(&known.age);
            self.free(key.scope);
        }
    }

    fn free(&mut self, scope: Scope) {
        if let Some(taken) = self.shares.get_mut(&scope) {
            *taken -= 1;
            if *taken == 0 {
                self.shares.remove(&scope);
            }
        }
    }

    fn end(&mut self, key: &Key, end: End) {
        if let Some(known) = self.known.get_mut(key) {
            known.end = end;
        }
    }
}

impl Known {
    fn answer(&self, request: [u8; 32]) -> Result<Begun, Failure> {
        if self.request != request {
            let detail = "this idempotency key came with another request before; use a new one";
            return Err(Failure::new(ProblemCode::IdempotencyKeyReused, detail));
        }
        match &self.end {
            End::Running => {
                Err(Failure::conflict("the first request with this idempotency key is under way")
                    .retry_after(1))
            }
            End::Unknown => Err(Failure::conflict(
                "the first request with this idempotency key broke off and may have been done: look before you send it \
                 with a new one",
            )),
            End::Answered(reply) => match &reply.once {
                Some(told) => Err(told.clone().into()),
                None => Ok(Begun::Again(reply.clone())),
            },
        }
    }
}

impl Ticket {
    /// Remembers the answer, of a secret only that it was given.
    pub(crate) fn answered(mut self, reply: &Reply) {
        let mut kept = reply.clone();
        if kept.once.is_some() {
            kept.body = bytes::Bytes::new();
        }
        self.end(|state, key| state.end(key, End::Answered(Box::new(kept))));
    }

    /// Forgets the request: it was not done.
    pub(crate) fn failed(mut self) {
        self.end(State::forget);
    }

    fn end(&mut self, end: impl FnOnce(&mut State, &Key)) {
        if let Some(key) = self.key.take() {
            end(&mut self.replays.state(), &key);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end(|state, key| state.end(key, End::Unknown));
    }
}

/// Hashes what makes a request the same as another: operation, scope, path and body.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    use bytes::Bytes;
    use http::StatusCode;
    use stanchion_core::Problem;

    const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

    fn replays(capacity: usize, share: usize) -> Arc<Replays> {
        Arc::new(Replays::new(Bounds { capacity, share }))
    }

    fn key(scope: Scope, key: &str) -> Key {
        Key { scope, subject: SubjectRef::user("alice").unwrap(), key: key.to_owned() }
    }

    fn tenant(number: u8) -> Scope {
        format!("0192f0c1-2345-7abc-8def-0123456789a{number}").parse().unwrap()
    }

    fn reply(body: &'static str, once: Option<&'static str>) -> Reply {
        let once = once.map(|told| Problem::new(ProblemCode::Conflict, told));
        Reply {
            status: StatusCode::CREATED,
            headers: Vec::new(),
            body: Bytes::from_static(body.as_bytes()),
            once,
            stream: None,
        }
    }

    fn first(replays: &Arc<Replays>, scope: Scope, name: &str, now: Timestamp) -> Ticket {
        match replays.begin(key(scope, name), [1; 32], now) {
            Ok(Begun::First(ticket)) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn again(replays: &Arc<Replays>, request: u8, now: Timestamp) -> Result<String, String> {
        match replays.begin(key(Scope::Platform, "k"), [request; 32], now) {
            Ok(Begun::Again(reply)) => Ok(String::from_utf8(reply.body.to_vec()).unwrap()),
            Ok(Begun::First(_)) => Ok("first".to_owned()),
            Err(failure) => Err(failure.problem.to_string()),
        }
    }

    #[test]
    fn an_answer_is_given_again_for_a_day_and_not_a_microsecond_longer() {
        let replays = replays(10, 10);
        first(&replays, Scope::Platform, "k", NOON).answered(&reply("answer", None));
        let last = NOON.plus(KEPT).minus(Duration::from_micros(1));
        assert_eq!(again(&replays, 1, last).unwrap(), "answer");
        assert!(again(&replays, 2, last).unwrap_err().starts_with("idempotency_key_reused"));
        assert_eq!(again(&replays, 2, NOON.plus(KEPT)).unwrap(), "first");
    }

    #[test]
    fn a_secret_is_not_kept() {
        let replays = replays(10, 10);
        first(&replays, Scope::Platform, "k", NOON).answered(&reply("secret", Some("it was issued")));
        assert_eq!(again(&replays, 1, NOON).unwrap_err(), "conflict: it was issued");
        assert!(!format!("{replays:?}").contains("secret"));
    }

    #[test]
    fn a_failed_request_may_be_sent_again_and_one_that_broke_off_may_not() {
        let replays = replays(10, 10);
        first(&replays, Scope::Platform, "k", NOON).failed();
        assert_eq!(replays.len(), 0);
        let ticket = first(&replays, Scope::Platform, "k", NOON);
        assert!(again(&replays, 1, NOON).unwrap_err().contains("under way"));
        drop(ticket);
        assert!(again(&replays, 1, NOON).unwrap_err().contains("broke off"));
    }

    #[test]
    fn no_scope_takes_more_than_its_share_and_all_of_them_no_more_than_there_is() {
        let replays = replays(3, 2);
        let full = |scope, name: &str| replays.begin(key(scope, name), [1; 32], NOON).is_err();
        first(&replays, tenant(1), "a", NOON).answered(&reply("", None));
        first(&replays, tenant(1), "b", NOON).answered(&reply("", None));
        assert!(full(tenant(1), "c"));
        first(&replays, tenant(2), "a", NOON).failed();
        first(&replays, tenant(2), "a", NOON).answered(&reply("", None));
        assert!(full(tenant(2), "b"));
        let tomorrow = NOON.plus(KEPT);
        first(&replays, tenant(1), "c", tomorrow).answered(&reply("", None));
        assert_eq!((replays.len(), replays.state().shares.len()), (1, 1));
    }

    #[test]
    fn the_same_key_of_another_subject_is_another() {
        let replays = replays(10, 10);
        first(&replays, Scope::Platform, "k", NOON).answered(&reply("answer", None));
        let bob = Key { subject: SubjectRef::user("bob").unwrap(), ..key(Scope::Platform, "k") };
        assert!(matches!(replays.begin(bob, [1; 32], NOON), Ok(Begun::First(_))));
        assert!(matches!(replays.begin(key(tenant(1), "k"), [1; 32], NOON), Ok(Begun::First(_))));
    }

    #[test]
    fn parts_do_not_run_together() {
        let hash = |parts: &[&'static str]| fingerprint(parts.iter().map(|part| part.as_bytes()));
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }
}
