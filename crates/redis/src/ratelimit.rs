//! Rate-limit counters.

mod answer;
mod check;
mod question;
mod script;

use std::fmt;

use async_trait::async_trait;
use redis::{ErrorKind, ServerErrorKind, Value};
use stanchion_core::{StoreError, Timestamp};
use stanchion_ratelimit::{Call, Capabilities, CounterStore, Kernel, Outcome, Settled, Settlement, Slot};

pub use check::CheckError;

use self::question::{Question, Take};
use self::script::Scripts;
use crate::connection::{Failure, Servers};
use crate::{Config, InvalidConfig};

/// Counters in Redis or Valkey. A decision or settlement is one call of a script, which reads and writes the keys of one slot.
///
/// The script decides and writes, and answers how the counters stood before; how they stand now is computed from that by the functions
/// every store has it from ([`Limit::charge`](stanchion_ratelimit::Limit::charge),
/// [`EntryLimit::standing`](stanchion_ratelimit::EntryLimit::standing)), so that stores cannot differ in it. All numbers are whole and
/// below 2^53, which Lua's doubles hold exactly.
pub struct RedisCounterStore {
    servers: Servers,
    prefix: String,
}

impl RedisCounterStore {
    /// Sets up counters on the servers of `urls`, which have commas between; nothing is connected yet. It belongs to the tokio runtime
    /// it is first used in.
    ///
    /// # Errors
    /// [`InvalidConfig`] when the URLs or settings do not fit.
    pub fn new(urls: &str, config: Config) -> Result<Self, InvalidConfig> {
        let servers = Servers::new(urls, &config)?;
        Ok(Self { servers, prefix: config.prefix })
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
        check::judge_all(&said)
    }

    async fn call(&self, slot: Slot, call: &Call<'_>, take: Take) -> Result<Outcome, Failure> {
        if let (true, None, Some(now)) = (call.charges.is_empty(), call.hold, call.now) {
            return Ok(Outcome::new(true, now, []));
        }
        let answer = self.run(Scripts::decide(), Question::decide(slot, call, take)).await?;
        answer::outcome(&answer, call.charges, take)
    }

    async fn correct(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<bool, Failure> {
        let question = Question::settle(slot, call, corrections, now);
        if question.is_empty() {
            return Ok(true);
        }
        match self.run(Scripts::settle(), question).await? {
            Value::Int(settled) => Ok(settled == 1),
            other => Err(Failure::Unexpected(format!("{other:?}"))),
        }
    }

    /// Calls a script by its digest, and by its text where a server does not have it: after a restart, a flush or a failover.
    async fn run(&self, scripts: &Scripts, question: Question<'_>) -> Result<Value, Failure> {
        let script = scripts.of(question.kernels());
        let command = |name, script| question.command(name, script, &self.prefix);
        match self.servers.ask(&command("EVALSHA", &script.digest)?).await {
            Err(Failure::Redis(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.servers.ask(&command("EVAL", &script.text)?).await
            }
            answer => answer,
        }
    }
}

#[async_trait]
impl CounterStore for RedisCounterStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Kernel::ALL, true)
    }

    async fn decide(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        self.call(slot, call, Take::Charges).await.map_err(|failure| failure.of("decide"))
    }

    async fn peek(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        self.call(slot, call, Take::Nothing).await.map_err(|failure| failure.of("peek"))
    }

    async fn settle(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.correct(slot, call, corrections, now).await.map_err(|failure| failure.of("settle"))
    }

    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError> {
        let mut name = question::family(&self.prefix, slot).into_bytes();
        name.extend_from_slice(key);
        let mut command = redis::cmd("UNLINK");
        command.arg(name);
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
