//! Files that show logs, compared with what was published, and with what the platform's log among them tells of the others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stanchion_audit::archive::ArchiveProof;
use stanchion_audit::bundle::BundleProof;
use stanchion_audit::{AnchorBreak, Anchors, Compared, LogProof};

use super::Given;
use super::anchors::{describe, of_a_file};
use crate::failure::Failure;

/// What a file or a directory was found to prove.
pub(super) enum Proof {
    Archive(ArchiveProof),
    Bundle(BundleProof),
    Tiles(Vec<LogProof>),
}

impl Proof {
    fn compare(&self, anchors: &Anchors) -> Result<Vec<Compared>, AnchorBreak> {
        match self {
            Self::Archive(proof) => anchors.compare_archive(proof),
            Self::Bundle(proof) => anchors.compare_bundle(proof),
            Self::Tiles(logs) => logs.iter().map(|log| anchors.compare_log(log)).collect(),
        }
    }

    fn follow(&self, anchors: &mut Anchors) -> Result<u64, AnchorBreak> {
        match self {
            Self::Archive(proof) => anchors.follow_archive(proof),
            Self::Bundle(proof) => anchors.follow_bundle(proof),
            Self::Tiles(logs) => logs.iter().map(|log| anchors.follow_log(log)).sum(),
        }
    }

    /// Tells whether one of its logs is such a one.
    fn has(&self, is_one: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Archive(proof) => proof.chains.iter().any(|chain| is_one(&chain.tree.origin)),
            Self::Bundle(proof) => proof.chains.iter().any(|chain| is_one(&chain.tree.origin)),
            Self::Tiles(logs) => logs.iter().any(|log| is_one(&log.tree.origin)),
        }
    }
}

/// All that was found, in the order it was given.
pub(super) struct Followed {
    /// What anchors hold.
    published: Anchors,
    /// And what entries tell that they prove.
    told: Anchors,
    new: u64,
    files: Vec<(PathBuf, Given, Proof)>,
}

impl Followed {
    pub(super) fn new(published: Anchors) -> Self {
        Self { told: published.clone(), published, new: 0, files: Vec::new() }
    }

    pub(super) const fn anchors(&self) -> &Anchors {
        &self.published
    }

    /// Takes what a file proves, and what it tells of others.
    pub(super) fn add(&mut self, path: &Path, given: Given, proof: Proof) -> Result<(), Failure> {
        proof.compare(&self.published).map_err(|found| of_a_file(&found))?;
        self.new = self.new.saturating_add(proof.follow(&mut self.told).map_err(|found| of_a_file(&found))?);
        self.files.push((path.to_owned(), given, proof));
        Ok(())
    }

    /// Compares all of it, and says how far it is what was published. What more is known of by now is verified again, for its roots then.
    pub(super) fn compare(
        &self,
        verify: impl Fn(&Path, Given, &Anchors) -> Result<(String, Proof), Failure>,
    ) -> Result<String, Failure> {
        let mut all: BTreeMap<(usize, String), Compared> = BTreeMap::new();
        for (place, (path, given, proof)) in self.files.iter().enumerate() {
            let again = if self.new > 0 && proof.has(|origin| self.told.knows(origin)) {
                Some(verify(path, *given, &self.told)?.1)
            } else {
                None
            };
            let compared = again.as_ref().unwrap_or(proof).compare(&self.told);
            let compared = compared.map_err(|found| of_a_file(&found))?;
            all.extend(compared.into_iter().map(|one| ((place, one.origin.clone()), one)));
        }
        let all: Vec<Compared> = all.into_values().collect();
        let mut said = describe(&self.told, &all)?;
        if self.new > 0 {
            said.push_str(&format!(
                "\n  the platform's log, as far as it was published, tells of {} checkpoints of others",
                self.new
            ));
        }
        match self.told.not_compared(&all) {
            0 => {}
            1 => said.push_str("\n  1 log of which something was published is not here"),
            some => said.push_str(&format!("\n  {some} logs of which something was published are not here")),
        }
        Ok(said)
    }
}
