use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use stanchion_audit::{Anchor, AnchorError, AnchorReceipt, ObjectName, ObjectStore, Publication, PutOutcome};
use stanchion_core::{Clock, StoreError, StoreErrorKind, Text};

const BACKEND: &str = "anchor objects";
const PAGE: usize = 1_000;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Checkpoints as objects, one each, that are never overwritten: `<prefix>/<log>/<size, 20 digits>`. In a bucket with Object Lock
/// nobody can delete one before its time, so that not even who owns all our keys can take a checkpoint back.
#[derive(Debug)]
pub struct ObjectAnchor {
    name: String,
    store: Arc<dyn ObjectStore>,
    prefix: ObjectName,
    keep_days: Option<u32>,
    clock: Arc<dyn Clock>,
    /// The last object of each log that was seen, so that not all before it are listed again.
    seen: Mutex<BTreeMap<ObjectName, ObjectName>>,
}

impl ObjectAnchor {
    /// Keeps checkpoints below a prefix, each for so many days if the store can lock objects.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        store: Arc<dyn ObjectStore>,
        prefix: ObjectName,
        keep_days: Option<u32>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { name: name.into(), store, prefix, keep_days, clock, seen: Mutex::default() }
    }

    /// Names the objects of a log: bytes that no name may have stand as `=` and two hexadecimal digits.
    fn log(&self, origin: &str) -> Result<ObjectName, StoreError> {
        let mut text = String::new();
        for byte in origin.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(byte)),
                // A text cannot fail to be written to.
                _ => drop(write!(text, "={byte:02x}")),
            }
        }
        let invalid = |error| StoreError::new(StoreErrorKind::Corrupt, BACKEND, "name").with_source(error);
        self.prefix.join(&text).map_err(invalid)
    }

    async fn last(&self, log: &ObjectName) -> Result<Option<ObjectName>, StoreError> {
        let mut last = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(log).cloned();
        loop {
            let names = self.store.list(log, last.as_ref(), PAGE).await?;
            let is_all = names.len() < PAGE;
            last = names.into_iter().next_back().or(last);
            if is_all {
                if let Some(last) = &last {
                    let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.insert(log.clone(), last.clone());
                }
                return Ok(last);
            }
        }
    }
}

fn size(name: &ObjectName) -> u64 {
    name.as_str().rsplit('/').next().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Anchor for ObjectAnchor {
    fn name(&self) -> &str {
        &self.name
    }

    async fn publish(&self, publication: &Publication) -> Result<AnchorReceipt, AnchorError> {
        let log = self.log(&publication.origin)?;
        let checkpoint = &publication.checkpoint;
        if let Some(held) = self.last(&log).await?.map(|name| size(&name))
            && held > checkpoint.size
        {
            return Err(AnchorError::Elsewhere { size: held });
        }
        let invalid = |error| StoreError::new(StoreErrorKind::Corrupt, BACKEND, "name").with_source(error);
        let name = log.join(&format!("{:020}", checkpoint.size)).map_err(invalid)?;
        let keep_until = self.keep_days.map(|days| {
            let micros = i64::from(days).saturating_mul(MICROS_PER_DAY);
            stanchion_core::Timestamp::from_micros(self.clock.now().micros().saturating_add(micros))
        });
        let bytes = checkpoint.note.as_str().as_bytes().to_vec();
        if self.store.put_new(&name, bytes, keep_until).await? == PutOutcome::Exists {
            let held = self.store.get(&name).await?.unwrap_or_default();
            // Signatures may differ; what was signed must not.
            let signed = |note: &[u8]| {
                let text = String::from_utf8_lossy(note).into_owned();
                text.split_once("\n\n").map(|(signed, _)| signed.to_owned())
            };
            if signed(&held) != signed(checkpoint.note.as_str().as_bytes()) {
                return Err(AnchorError::Conflict { size: checkpoint.size, why: "the log has others" });
            }
        }
        Ok(AnchorReceipt { note: checkpoint.note.clone() })
    }

    async fn latest(&self, origin: &str) -> Result<Option<Text>, StoreError> {
        let log = self.log(origin)?;
        let Some(last) = self.last(&log).await? else { return Ok(None) };
        let Some(bytes) = self.store.get(&last).await? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|error| {
            StoreError::new(StoreErrorKind::Corrupt, BACKEND, "latest").with_source(error)
        })?;
        Ok(Some(text.into()))
    }
}
