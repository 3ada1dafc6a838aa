//! Rate-limit counters.

use std::fmt;

use async_trait::async_trait;
use redis::{Cmd, ErrorKind, FromRedisValue as _, ServerErrorKind, Value};
use stanchion_core::{StoreError, Timestamp};
use stanchion_ratelimit::{
    Algorithm, Capabilities, Charge, CounterStore, Frame, Limit, Mode, Outcome, Slot, Standing, State,
};

use crate::connection::{Failure, Servers};
use crate::{Config, InvalidConfig};

/// Counters in Redis or Valkey. One decision is one call of a script, which reads and writes the keys of one slot.
pub struct RedisCounterStore {
    servers: Servers,
    prefix: String,
    digest: String,
}

const SCRIPT: &str = include_str!("ratelimit.lua");
/// The least version: the script needs nothing newer, and older ones are out of support.
const LEAST_VERSION: (u32, u32) = (6, 2);
/// Below 2^53 doubles are exact.
const EXACT: u64 = 1 << 53;
/// A day: a counter that was charged at a time of the caller's is kept for longer than the server's clock would tell.
const SLACK_MS: &str = "86400000";

/// Why servers are not fit to count on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// They cannot be asked.
    #[error("Redis cannot be asked: {0}")]
    Unreachable(#[source] StoreError),
    /// They are too old.
    #[error("Redis {0} is too old: {least}.{minor} or later is needed", least = LEAST_VERSION.0, minor = LEAST_VERSION.1)]
    Version(String),
    /// They forget keys that are in use.
    #[error("maxmemory-policy is {0}, which forgets counters that are in use: set it to noeviction")]
    Evicts(String),
}

impl RedisCounterStore {
    /// Sets up counters on the servers of `urls`, which have commas between; nothing is connected yet. It belongs to the tokio runtime
    /// it is first used in.
    ///
    /// # Errors
    /// [`InvalidConfig`] when the URLs or settings do not fit.
    pub fn new(urls: &str, config: Config) -> Result<Self, InvalidConfig> {
        let mut digest = sha1_smol::Sha1::new();
        digest.update(SCRIPT.as_bytes());
        Ok(Self {
            servers: Servers::new(urls, &config)?,
            prefix: config.prefix,
            digest: digest.digest().to_string(),
        })
    }

    /// Looks whether the servers are fit to count on: new enough, and set never to forget what is in use.
    ///
    /// # Errors
    /// [`CheckError`] says what to change.
    pub async fn check(&self) -> Result<(), CheckError> {
        let mut info = redis::cmd("INFO");
        info.arg("server").arg("memory");
        let said = self.servers.ask(&info).await;
        let said = said.map_err(|failure| CheckError::Unreachable(failure.of("check")))?;
        for text in texts(&said) {
            judge(&text)?;
        }
        Ok(())
    }

    fn key(&self, slot: Slot, key: &[u8]) -> Vec<u8> {
        let mut name = format!("{}:rl:{{{slot}}}:", self.prefix).into_bytes();
        name.extend_from_slice(key);
        name
    }

    async fn call(
        &self,
        verb: &str,
        slot: Slot,
        charges: &[Charge<'_>],
        now: Option<Timestamp>,
    ) -> Result<Outcome, Failure> {
        if charges.is_empty() {
            return Ok(Outcome::new(true, []));
        }
        let mut arguments: Vec<Vec<u8>> = Vec::with_capacity(5 + charges.len() * 7);
        arguments.push(charges.len().to_string().into());
        arguments.extend(charges.iter().map(|charge| self.key(slot, charge.key)));
        let time = match now {
            Some(now) => {
                let (seconds, micros) = parts(exact(now)?);
                [seconds.to_string(), micros.to_string(), SLACK_MS.to_owned()]
            }
            None => [String::new(), String::new(), "0".to_owned()],
        };
        arguments.push(verb.into());
        arguments.extend(time.map(String::into_bytes));
        for charge in charges {
            arguments.extend(limit(charge)?.map(String::into_bytes));
        }
        let answer = self.run(&arguments).await?;
        outcome(&answer, charges, verb == "decide")
    }

    /// Calls the script by its digest, and by its text where a server does not have it: after a restart, a flush or a failover.
    async fn run(&self, arguments: &[Vec<u8>]) -> Result<Value, Failure> {
        match self.servers.ask(&command("EVALSHA", &self.digest, arguments)).await {
            Err(Failure::Redis(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.servers.ask(&command("EVAL", SCRIPT, arguments)).await
            }
            answer => answer,
        }
    }
}

fn command(name: &str, script: &str, arguments: &[Vec<u8>]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script);
    for argument in arguments {
        command.arg(argument.as_slice());
    }
    command
}

/// The six arguments that tell the script of a charge.
fn limit(charge: &Charge<'_>) -> Result<[String; 6], Failure> {
    const MILLION: u64 = 1_000_000;
    let text = |number: u64| number.to_string();
    let (kind, capacity, second, third, cost) = match charge.limit {
        Limit::TokenBucket(bucket) => (
            "bucket",
            bucket.capacity().saturating_mul(MILLION),
            text(bucket.refill()),
            text(bucket.window_seconds().into()),
            charge.cost.saturating_mul(MILLION),
        ),
        Limit::FixedWindow(window) => match window.frame() {
            Frame::Every(length) if length.get() > EXACT / 4 => {
                return Err(Failure::Unsupported("a window of more than 70 years"));
            }
            Frame::Every(length) => ("every", window.capacity(), text(length.get()), text(0), charge.cost),
            Frame::Between(period) => {
                let (seconds, micros) = parts(period.end());
                ("between", window.capacity(), seconds.to_string(), micros.to_string(), charge.cost)
            }
        },
        _ => return Err(Failure::Unsupported("an algorithm that this adapter does not know")),
    };
    let refuses = if charge.mode == Mode::Enforce { "1" } else { "0" };
    // What costs more than any capacity costs too much, however much it is.
    let cost = cost.min(EXACT);
    Ok([kind.to_owned(), text(capacity), second, third, text(cost), refuses.to_owned()])
}

/// Returns whole seconds and the microseconds after them.
fn parts(at: Timestamp) -> (i64, i64) {
    (at.seconds(), at.micros().rem_euclid(1_000_000))
}

/// Refuses a time that the script could not count with.
fn exact(now: Timestamp) -> Result<Timestamp, Failure> {
    if now.micros().unsigned_abs() < EXACT / 2 {
        Ok(now)
    } else {
        Err(Failure::Unsupported("a time before 1827 or after 2112"))
    }
}

/// Reads what the script says: whether the charges were taken, when that was, and how the counters stood before.
fn outcome(answer: &Value, charges: &[Charge<'_>], takes: bool) -> Result<Outcome, Failure> {
    let unexpected = || Failure::Unexpected(format!("{answer:?}"));
    let Value::Array(values) = answer else { return Err(unexpected()) };
    let [admitted, seconds, micros, before @ ..] = values.as_slice() else { return Err(unexpected()) };
    let number = |value: &Value| i64::from_redis_value_ref(value).ok();
    let (Some(admitted), Some(seconds), Some(micros)) = (number(admitted), number(seconds), number(micros))
    else {
        return Err(unexpected());
    };
    let now = instant(seconds, micros).ok_or_else(unexpected)?;
    // A counter at the end of the list that was not there is left out of the answer.
    let mut states = Vec::with_capacity(charges.len());
    for index in 0..charges.len() {
        states.push(state(before.get(index)).ok_or_else(unexpected)?);
    }
    let admitted = admitted == 1;
    let standings =
        charges.iter().zip(states).map(|(charge, before)| standing(charge, before, now, admitted && takes));
    Ok(Outcome::new(admitted, standings))
}

/// Where nothing was taken, what would have fitted is told as it stands without the charge.
fn standing(charge: &Charge<'_>, before: Option<State>, now: Timestamp, is_taken: bool) -> Standing {
    let (_, standing) = charge.limit.charge(before, now, charge.cost);
    if standing.fits && !is_taken { charge.limit.charge(before, now, 0).1 } else { standing }
}

fn instant(seconds: i64, micros: i64) -> Option<Timestamp> {
    Some(Timestamp::from_micros(seconds.checked_mul(1_000_000)?.checked_add(micros)?))
}

/// Reads `seconds microseconds used`; `None` when it is something else.
#[expect(clippy::option_option, reason = "a counter that cannot be read is not one that is not there")]
fn state(value: Option<&Value>) -> Option<Option<State>> {
    let text = match value {
        None | Some(Value::Nil) => return Some(None),
        Some(value) => String::from_redis_value_ref(value).ok()?,
    };
    let mut words = text.split(' ');
    let at = instant(words.next()?.parse().ok()?, words.next()?.parse().ok()?)?;
    Some(Some(State { at, used: words.next()?.parse().ok()? }))
}

/// Goes through the texts of an answer, one for each node that was asked.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Map(nodes) => nodes.iter().flat_map(|(_, said)| texts(said)).collect(),
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        other => String::from_redis_value_ref(other).into_iter().collect(),
    }
}

fn judge(info: &str) -> Result<(), CheckError> {
    let find = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    if let Some(version) = find("redis_version") {
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < LEAST_VERSION {
            return Err(CheckError::Version(version.to_owned()));
        }
    }
    match find("maxmemory_policy") {
        Some(policy) if policy != "noeviction" => Err(CheckError::Evicts(policy.to_owned())),
        _ => Ok(()),
    }
}

#[async_trait]
impl CounterStore for RedisCounterStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(&[Algorithm::TokenBucket, Algorithm::FixedWindow], true)
    }

    async fn decide(
        &self,
        slot: Slot,
        charges: &[Charge<'_>],
        now: Option<Timestamp>,
    ) -> Result<Outcome, StoreError> {
        self.call("decide", slot, charges, now).await.map_err(|failure| failure.of("decide"))
    }

    async fn peek(
        &self,
        slot: Slot,
        charges: &[Charge<'_>],
        now: Option<Timestamp>,
    ) -> Result<Outcome, StoreError> {
        self.call("peek", slot, charges, now).await.map_err(|failure| failure.of("peek"))
    }

    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError> {
        let mut command = redis::cmd("DEL");
        command.arg(self.key(slot, key));
        self.servers.ask(&command).await.map(drop).map_err(|failure| failure.of("reset"))
    }
}

impl fmt::Debug for RedisCounterStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCounterStore")
            .field("servers", &self.servers)
            .field("prefix", &self.prefix)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_forgets_or_is_too_old_is_refused() {
        let info = |version: &str, policy: &str| {
            judge(&format!(
                "# Server\r\nredis_version:{version}\r\n\r\n# Memory\r\nmaxmemory_policy:{policy}\r\n"
            ))
        };
        assert!(info("6.2.0", "noeviction").is_ok() && info("8.0.1", "noeviction").is_ok());
        assert!(matches!(info("6.0.9", "noeviction"), Err(CheckError::Version(_))));
        assert!(matches!(info("7.2.4", "allkeys-lru"), Err(CheckError::Evicts(_))));
    }
}
