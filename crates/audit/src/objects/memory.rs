use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use stanchion_core::{StoreError, Timestamp};

use super::{ObjectName, ObjectStore, PutOutcome};

/// Objects in memory: the reference that other adapters must equal. They end with the process.
#[derive(Default)]
pub struct MemoryObjectStore {
    objects: Mutex<BTreeMap<ObjectName, Vec<u8>>>,
}

impl MemoryObjectStore {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Vec<u8>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ObjectStore for MemoryObjectStore {
    async fn put_new(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        _keep_until: Option<Timestamp>,
    ) -> Result<PutOutcome, StoreError> {
        let mut objects = self.lock();
        if objects.contains_key(name) {
            return Ok(PutOutcome::Exists);
        }
        objects.insert(name.clone(), bytes);
        Ok(PutOutcome::Written)
    }

    async fn get(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().get(name).cloned())
    }

    async fn list(
        &self,
        prefix: &ObjectName,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectName>, StoreError> {
        let objects = self.lock();
        let start = Bound::Excluded(after.map_or(prefix, |after| after.max(prefix)));
        let names = objects.range::<ObjectName, _>((start, Bound::Unbounded)).map(|(name, _)| name);
        Ok(names.filter(|name| name.is_below(prefix)).take(limit).cloned().collect())
    }
}

impl fmt::Debug for MemoryObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryObjectStore").field("objects", &self.lock().len()).finish()
    }
}
