use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use stanchion_core::{StoreError, Text};

use crate::{Anchor, AnchorError, AnchorReceipt, Digest, Publication};

/// An anchor in memory: the reference that other adapters must equal. It ends with the process, so it anchors nothing.
#[derive(Debug, Default)]
pub struct MemoryAnchor(Mutex<BTreeMap<String, (u64, Digest, Text)>>);

#[async_trait]
impl Anchor for MemoryAnchor {
    fn name(&self) -> &str {
        "memory"
    }

    async fn publish(&self, publication: &Publication) -> Result<AnchorReceipt, AnchorError> {
        let Publication { origin, checkpoint, .. } = publication;
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get(origin) {
            Some((size, ..)) if *size > checkpoint.size => {
                return Err(AnchorError::Elsewhere { size: *size });
            }
            Some((size, root, _)) if *size == checkpoint.size && *root != checkpoint.root => {
                return Err(AnchorError::Conflict { size: *size, why: "the log has others" });
            }
            _ => {}
        }
        held.insert(origin.clone(), (checkpoint.size, checkpoint.root, checkpoint.note.clone()));
        Ok(AnchorReceipt { note: checkpoint.note.clone() })
    }

    async fn latest(&self, origin: &str) -> Result<Option<Text>, StoreError> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(held.get(origin).map(|(.., note)| note.clone()))
    }
}
