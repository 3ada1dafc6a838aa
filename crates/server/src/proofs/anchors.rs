//! Checkpoints that were published, which what is verified is compared with.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use stanchion_audit::{AnchorBreak, AnchorVerdict, Anchors, Compared, Published, VerifierKey, WitnessKey};

use crate::failure::{Exit, Failure};

/// What was published of the logs.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Anchored {
    /// Compare with checkpoints that were published: the file of an anchor, a signed note, or a directory of them, such
    /// as a bucket that was downloaded. Other logs are compared with what the platform's, beside them, tells of them
    #[arg(long, value_name = "PATH", requires = "offline")]
    anchors: Vec<PathBuf>,
    /// Count only published checkpoints that this witness has cosigned, or another one that is named
    #[arg(long, value_name = "KEY", requires = "anchors")]
    witness_key: Vec<WitnessKey>,
}

impl Anchored {
    pub(crate) const fn is_asked_for(&self) -> bool {
        !self.anchors.is_empty()
    }

    pub(crate) fn witnesses(&self) -> &[WitnessKey] {
        &self.witness_key
    }

    /// Reads what was published.
    pub(crate) fn read(&self) -> Result<Published, Failure> {
        let mut published = Published::default();
        for path in &self.anchors {
            let before = published.len();
            if path.is_dir() {
                below(path, &mut published).map_err(|error| super::unreadable(path, &error))?;
            } else {
                let bytes = std::fs::read(path).map_err(|error| super::unreadable(path, &error))?;
                published.read(&path.display().to_string(), &bytes).map_err(|error| {
                    Failure::new(Exit::Input, "what was published cannot be read").because(&error)
                })?;
            }
            if published.len() == before {
                let line = format!("`{}` holds no checkpoint that was published", path.display());
                return Err(Failure::new(Exit::Input, line));
            }
        }
        Ok(published)
    }

    /// Reads and believes what was published, by these keys.
    pub(super) fn open(&self, keys: &[VerifierKey]) -> Result<Anchors, Failure> {
        self.read()?.open(keys, &self.witness_key).map_err(|found| of_a_file(&found))
    }
}

/// Reads all notes below a directory. What else lies there is somebody else's.
fn below(directory: &Path, published: &mut Published) -> io::Result<()> {
    let mut paths = std::fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            below(&path, published)?;
        } else {
            let (Ok(()) | Err(_)) = published.read(&path.display().to_string(), &std::fs::read(&path)?);
        }
    }
    Ok(())
}

/// Says of a file what does not fit.
pub(super) fn of_a_file(found: &AnchorBreak) -> Failure {
    let (exit, line) = match found.of_a_file() {
        AnchorVerdict::Tampered => (Exit::No, "the log is not what was published"),
        AnchorVerdict::Incomplete => (Exit::Input, "the log is incomplete: more was published"),
        AnchorVerdict::Unverifiable => {
            (Exit::Unverifiable, "what was published cannot be verified with these keys")
        }
    };
    Failure::new(exit, line).with_lines(lines(found))
}

/// Says where it breaks, and why.
pub(super) fn lines(found: &AnchorBreak) -> Vec<String> {
    let place = found.seq.map(|seq| format!("entry {seq} of {}", found.origin));
    let place = place.unwrap_or_else(|| found.origin.clone());
    vec![format!("{place}: {}", found.fault), format!("published in {}", found.place)]
}

/// Says how far logs are those that were published; nothing compared is no proof.
pub(super) fn describe(anchors: &Anchors, all: &[Compared]) -> Result<String, Failure> {
    let matching: u64 = all.iter().map(|one| one.matching).sum();
    if matching == 0 {
        let mut lines =
            vec!["no checkpoint that was published is of a log, and a size, that is here".to_owned()];
        if anchors.of_others() > 0 {
            lines.push(format!("{} are of logs of which no key was given", anchors.of_others()));
        }
        if anchors.uncosigned() > 0 {
            lines.push(format!("{} no witness that was named has cosigned", anchors.uncosigned()));
        }
        return Err(
            Failure::new(Exit::Input, "nothing could be compared with what was published").with_lines(lines)
        );
    }
    Ok(said(all))
}

/// Says of each log how it compares.
pub(super) fn said(all: &[Compared]) -> String {
    let one = |one: &Compared| {
        let Compared { origin, matching, latest, unshown } = one;
        let rest = if *unshown == 0 {
            String::new()
        } else {
            format!("; {unshown} others are of sizes not shown here")
        };
        match matching {
            0 => format!("\n  {origin}: nothing that was published is to be compared{rest}"),
            _ => format!(
                "\n  {origin}: as {matching} checkpoints that were published, up to entry {latest}{rest}"
            ),
        }
    };
    all.iter().map(one).collect()
}
