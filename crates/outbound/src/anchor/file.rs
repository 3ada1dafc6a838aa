use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use stanchion_audit::{Anchor, AnchorError, AnchorReceipt, Publication};
use stanchion_core::{StoreError, StoreErrorKind, Text};
use tokio::sync::Mutex;

const BACKEND: &str = "anchor file";

/// Checkpoints in a file that is only appended to: one JSON object a line, with the log, its size, its root in hexadecimal, and the
/// signed note. It anchors as much as its place is out of reach: a disk of another machine, or one that keeps what was written.
#[derive(Debug)]
pub struct FileAnchor {
    path: Arc<Path>,
    name: String,
    /// One writer at a time, so that lines stay whole and in order.
    turn: Mutex<()>,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    origin: String,
    size: u64,
    root: String,
    note: String,
}

impl FileAnchor {
    /// Appends to a file, which is made with the first checkpoint.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = format!("file {}", path.display());
        Self { path: path.into(), name, turn: Mutex::new(()) }
    }

    /// Returns all notes of a log in the file, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn notes(path: &Path, origin: &str) -> io::Result<Vec<String>> {
        let lines = lines(path)?;
        Ok(lines.into_iter().filter(|line| line.origin == origin).map(|line| line.note).collect())
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let path = Arc::clone(&self.path);
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        done.map_err(io::Error::other).flatten().map_err(|error| {
            let kind = match error.kind() {
                ErrorKind::InvalidData => StoreErrorKind::Corrupt,
                _ => StoreErrorKind::Unavailable,
            };
            StoreError::new(kind, BACKEND, operation).with_source(error)
        })
    }
}

#[async_trait]
impl Anchor for FileAnchor {
    fn name(&self) -> &str {
        &self.name
    }

    async fn publish(&self, publication: &Publication) -> Result<AnchorReceipt, AnchorError> {
        let _turn = self.turn.lock().await;
        let checkpoint = &publication.checkpoint;
        let line = Line {
            origin: publication.origin.clone(),
            size: checkpoint.size,
            root: checkpoint.root.to_string(),
            note: checkpoint.note.to_string(),
        };
        let held = self.run("publish", move |path| append(path, &line)).await?;
        match held {
            Some(size) if size > checkpoint.size => Err(AnchorError::Elsewhere { size }),
            Some(size) => Err(AnchorError::Conflict { size, why: "the log has others" }),
            None => Ok(AnchorReceipt { note: checkpoint.note.clone() }),
        }
    }

    async fn latest(&self, origin: &str) -> Result<Option<Text>, StoreError> {
        let origin = origin.to_owned();
        let last = self.run("latest", move |path| Ok(last(path, &origin)?.map(|line| line.note)));
        Ok(last.await?.map(Into::into))
    }
}

/// Appends a line, or returns the size of what stands against it.
fn append(path: &Path, line: &Line) -> io::Result<Option<u64>> {
    match last(path, &line.origin)? {
        Some(held) if held.size > line.size => return Ok(Some(held.size)),
        Some(held) if held.size == line.size => return Ok((held.root != line.root).then_some(held.size)),
        _ => {}
    }
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    if !ends_a_line(path)? {
        text.insert(0, '\n');
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // A file that is new is not there after a crash unless its directory is written, too.
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(None)
}

/// Tells whether a file is empty or ends with a line break. What a crash cut off in the middle does not.
fn ends_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

fn last(path: &Path, origin: &str) -> io::Result<Option<Line>> {
    /// So much of the end has the last checkpoint of a log, if others do not fill it.
    const END: u64 = 65_536;
    let is_of_log = |line: &Line| line.origin == origin;
    let mut end = Vec::new();
    match File::open(path) {
        Ok(mut file) => {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
            file.read_to_end(&mut end)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut lines_of_end = end.rsplit(|byte| *byte == b'\n');
    let found = lines_of_end.find_map(|line| serde_json::from_slice::<Line>(line).ok().filter(is_of_log));
    match found {
        Some(line) => Ok(Some(line)),
        None => Ok(lines(path)?.into_iter().rfind(is_of_log)),
    }
}

/// Reads all lines. One that a crash cut off is passed over, as what it was to say was never acknowledged; whoever could spoil a line
/// could also take it out.
fn lines(path: &Path) -> io::Result<Vec<Line>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::new(file);
    let mut found = Vec::new();
    let mut text = String::new();
    while reader.read_line(&mut text)? > 0 {
        found.extend(serde_json::from_str::<Line>(&text).ok());
        text.clear();
    }
    Ok(found)
}
