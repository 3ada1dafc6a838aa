use serde::Deserialize;

use super::{AnchorBreak, AnchorFault, Anchors, Place};
use crate::{NoteError, TreeHead, VerifierKey, WitnessKey};

/// Checkpoints as anchors hold them, read but not believed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published(pub(super) Vec<Note>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    place: String,
    /// The log that it says it is of.
    pub(super) origin: String,
    text: String,
}

/// The bytes hold no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} holds no checkpoint: expected a signed note, or lines of JSON with one in `note`")]
pub struct NotPublished {
    /// Where.
    pub place: String,
}

/// A line of an anchor's file. What else stands in it the note has, too, and signed.
#[derive(Deserialize)]
struct Line {
    note: String,
}

impl Published {
    /// Reads a file of an anchor, which is called `place` when something is wrong with it: a signed note, as buckets hold them, with the
    /// cosignatures of a witness or without; or one in each line, as a file does that is only appended to. A line that a crash cut off is
    /// passed over, as the anchor itself does.
    ///
    /// # Errors
    /// [`NotPublished`] when there is no note.
    pub fn read(&mut self, place: &str, bytes: &[u8]) -> Result<(), NotPublished> {
        let none = |place: &str| NotPublished { place: place.to_owned() };
        let text = std::str::from_utf8(bytes).map_err(|_| none(place))?;
        if !text.trim_start().starts_with('{') {
            return self.note(place, text);
        }
        let before = self.0.len();
        for (line, number) in text.lines().zip(1_u64..) {
            if let Ok(Line { note }) = serde_json::from_str(line) {
                self.note(&format!("{place}, line {number}"), &note)?;
            }
        }
        if self.0.len() == before { Err(none(place)) } else { Ok(()) }
    }

    fn note(&mut self, place: &str, text: &str) -> Result<(), NotPublished> {
        let place = place.to_owned();
        let origin = text.lines().next().filter(|origin| !origin.is_empty() && text.contains("\n\n"));
        let Some(origin) = origin.map(str::to_owned) else { return Err(NotPublished { place }) };
        self.0.push(Note { place, origin, text: text.to_owned() });
        Ok(())
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Believes those that these keys signed. With witnesses, only those count that one of them has cosigned.
    ///
    /// # Errors
    /// [`AnchorBreak`] for the first one in the name of a known log that its keys did not sign, for a cosignature that is wrong, and for two
    /// of one log and size with different roots: somebody with the key has signed for two logs.
    pub fn open(&self, keys: &[VerifierKey], witnesses: &[WitnessKey]) -> Result<Anchors, AnchorBreak> {
        let mut anchors = Anchors::default();
        for Note { place, origin, text } in &self.0 {
            if !keys.iter().any(|key| key.name() == origin) {
                anchors.of_others += 1;
                continue;
            }
            let found = |fault| AnchorBreak::new(origin, place, None, fault);
            let head = TreeHead::open(text, keys).map_err(|error| found(AnchorFault::Checkpoint(error)))?;
            if !is_cosigned(text, witnesses).map_err(|error| found(AnchorFault::Cosignature(error)))? {
                anchors.uncosigned += 1;
                continue;
            }
            anchors.add(head.origin, head.size, head.root, Place::Anchor(place.clone()))?;
        }
        Ok(anchors)
    }
}

fn is_cosigned(note: &str, witnesses: &[WitnessKey]) -> Result<bool, NoteError> {
    let mut is_cosigned = witnesses.is_empty();
    let (_, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
    for witness in witnesses {
        match witness.verify(note, signatures) {
            Ok(_) => is_cosigned = true,
            Err(NoteError::UnknownKey) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(is_cosigned)
}
