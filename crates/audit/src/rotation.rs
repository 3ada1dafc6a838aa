//! That one key takes another's place, signed by both.

use stanchion_core::{Detail, Event, KeyVersion, Scope, Severity, SystemScope};

use crate::checkpoint::KeyChange;
use crate::engine::Shared;
use crate::lifecycle::own;
use crate::note::{NoteError, VerifierKey};
use crate::{ChainId, CheckpointSigner, Digest, Error, Head, Prover, RetentionClass, Signer};

pub(crate) const ACTION: &str = "audit.key_rotated";

/// The first line of a note in which a checkpoint key names the one after it.
pub(crate) const NOTE: &str = "stanchion-checkpoint-rotation-v1";

/// The chain that the audit's own events stand in.
pub(crate) const OWN: ChainId = ChainId { scope: Scope::Platform, class: RetentionClass::Security };

const SYSTEM: SystemScope = SystemScope::new("see which keys the platform's ledger was signed with");

impl Prover {
    /// Finds which keys have changed since the last entry of the platform's security chain, and makes the events that say so: of the
    /// signing key, and of the key of checkpoints. Where the key before is still in its ring, it has signed for the new one.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn key_changes(&self) -> Result<Vec<Event>, Error> {
        let shared = self.ledger.shared();
        let head = shared.store.heads(SYSTEM, &[OWN]).await?.pop().unwrap_or(Head::EMPTY);
        let last = if head.seq == 0 { None } else { shared.store.seals(OWN, head.seq, 1).await?.pop() };
        let mut events = Vec::new();
        let (current, root) = (shared.signer.epoch(), shared.signer.evolves_from());
        // Where keys evolve, the steps are recorded by who takes them; what is new here is the root that they follow from.
        let to = root.unwrap_or(current);
        if let Some(last) =
            last.filter(|last| root.map_or(last.key_epoch != current, |root| last.key_epoch < root))
        {
            events.push(signing(shared, last.key_epoch, to));
        }
        if let Some(checkpoint) = self.checkpoint(OWN).await?
            && let Some(change) = self.signer.change_since(&checkpoint)
        {
            events.push(checkpoints(shared, &change));
        }
        Ok(events)
    }
}

fn signing(shared: &Shared, from: KeyVersion, to: KeyVersion) -> Event {
    let event = event(shared)
        .with_detail("key", "signing")
        .with_detail("from", i64::from(from))
        .with_detail("to", i64::from(to));
    let event = match shared.signer.commitment(to) {
        Some(commitment) => event.with_detail("commitment", commitment.to_string()),
        None => event,
    };
    match shared.signer.vouch(from, to) {
        Some(vouched) => event.with_detail("vouched", vouched.to_string()),
        None => event,
    }
}

fn checkpoints(shared: &Shared, change: &KeyChange) -> Event {
    let event = event(shared)
        .with_detail("key", "checkpoint")
        .with_detail("from", change.from.clone())
        .with_detail("to", change.to.to_string());
    event.with_detail("note", change.note.clone())
}

fn event(shared: &Shared) -> Event {
    noticed(own(shared, ACTION))
}

pub(crate) const fn noticed(mut event: Event) -> Event {
    event.severity = Severity::Notice;
    event
}

/// Tells whether a recorded rotation is what the keys that are known say of each other. What needs a key that is not known is
/// believed, as the entry itself is signed.
pub(crate) fn holds(event: &Event, signer: &Signer) -> bool {
    let text = |name: &str| match event.details.get(name) {
        Some(Detail::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let epoch = |name: &str| match event.details.get(name) {
        Some(Detail::Integer(number)) => KeyVersion::try_from(*number).ok(),
        _ => None,
    };
    match text("key") {
        Some("signing") => {
            let (Some(from), Some(to)) = (epoch("from"), epoch("to")) else { return false };
            let same = |said: Option<&str>, known: Option<Digest>| match (said, known) {
                (Some(said), Some(known)) => said.parse() == Ok(known),
                _ => true,
            };
            same(text("commitment"), signer.commitment(to)) && same(text("vouched"), signer.vouch(from, to))
        }
        Some("checkpoint") => verify_key_change(event, &[]).is_ok(),
        _ => false,
    }
}

/// Returns the checkpoint key that an `audit.key_rotated` event names, when one of `known` vouches for it; with no `known`, when the
/// key that it says was there before does, or none was at hand. Checkpoint keys sign every log of a deployment, each in the log's name;
/// the event names them for the platform's security log.
///
/// # Errors
/// [`NoteError`] when the event is no such event, its note says something else, or a signature is wrong or missing.
pub fn verify_key_change(event: &Event, known: &[VerifierKey]) -> Result<VerifierKey, NoteError> {
    let text = |name: &str| match event.details.get(name) {
        Some(Detail::Text(text)) => Ok(text.as_str()),
        _ => Err(NoteError::Malformed),
    };
    if event.action.as_str() != ACTION || text("key")? != "checkpoint" {
        return Err(NoteError::Malformed);
    }
    let (from, to, note) = (text("from")?, text("to")?, text("note")?);
    let new: VerifierKey = to.parse().map_err(|_| NoteError::Malformed)?;
    let signed = |keys: &[VerifierKey]| {
        let said = crate::note::open(note, keys)?;
        let expected = CheckpointSigner::change_text(new.name(), from, to);
        if said == expected { Ok(()) } else { Err(NoteError::Malformed) }
    };
    signed(std::slice::from_ref(&new))?;
    if known.is_empty() {
        if let Ok(old) = from.parse::<VerifierKey>() {
            signed(&[old])?;
        }
    } else {
        signed(known)?;
    }
    Ok(new)
}

#[cfg(test)]
mod tests;
