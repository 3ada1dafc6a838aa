use std::hash::BuildHasher;
use std::sync::Mutex;

use hashbrown::{DefaultHashBuilder, HashMap};

use crate::workload::name;

/// The least that can count by name: one hash, one lock and one add in a map in 64 parts, as every store in memory needs them.
#[derive(Debug)]
pub(crate) struct Bare {
    shards: Vec<Mutex<HashMap<Vec<u8>, u64>>>,
    hasher: DefaultHashBuilder,
}

impl Bare {
    pub(crate) fn new(keys: usize) -> Self {
        let shards = (0..64).map(|_| Mutex::new(HashMap::new())).collect();
        let bare = Self { shards, hasher: DefaultHashBuilder::default() };
        for key in (0..keys).map(|user| name(user).into_bytes()) {
            bare.shard(&key).lock().unwrap().insert(key, 0);
        }
        bare
    }

    fn shard(&self, key: &[u8]) -> &Mutex<HashMap<Vec<u8>, u64>> {
        &self.shards[(self.hasher.hash_one(key) >> 48) as usize % self.shards.len()]
    }

    pub(crate) fn add(&self, key: &[u8]) -> u64 {
        let mut shard = self.shard(key).lock().unwrap();
        let count = shard.get_mut(key).unwrap();
        *count += 1;
        *count
    }
}
