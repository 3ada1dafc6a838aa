use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use stanchion_audit::{ObjectName, ObjectStore, PutOutcome};
use stanchion_core::{StoreError, StoreErrorKind, Timestamp};

const BACKEND: &str = "files";

/// Distinguishes the files that this process is writing.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Objects as files below a directory, on a file system with hard links. They are made read-only; whoever owns the directory can still
/// delete them, so instants until which to keep one mean nothing here.
///
/// An object is written under a name that begins with a dot, brought to the disk, and then linked to its own: so it is there whole or
/// not at all, and never in another's place. What a crash leaves under such a name is never read and may be deleted.
#[derive(Clone, Debug)]
pub struct FileObjectStore {
    directory: Arc<Path>,
}

impl FileObjectStore {
    /// Keeps objects below a directory, which is made with the first of them.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into().into() }
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let directory = Arc::clone(&self.directory);
        let done = tokio::task::spawn_blocking(move || work(&directory)).await;
        done.map_err(io::Error::other).flatten().map_err(|error| {
            // A write that failed may have got to its end all the same.
            let kind = match (operation, error.kind()) {
                ("put_new", _) => StoreErrorKind::Timeout,
                _ => StoreErrorKind::Unavailable,
            };
            StoreError::new(kind, BACKEND, operation).with_source(error)
        })
    }
}

#[async_trait]
impl ObjectStore for FileObjectStore {
    async fn put_new(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        _keep_until: Option<Timestamp>,
    ) -> Result<PutOutcome, StoreError> {
        let name = name.clone();
        self.run("put_new", move |directory| put(directory, &name, &bytes)).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, StoreError> {
        let name = name.clone();
        self.run("get", move |directory| match fs::read(directory.join(name.as_str())) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_absent(&error) || error.kind() == ErrorKind::IsADirectory => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn list(
        &self,
        prefix: &ObjectName,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectName>, StoreError> {
        let (prefix, after) = (prefix.clone(), after.cloned());
        self.run("list", move |directory| {
            let mut names = Vec::new();
            walk(directory, &prefix, &mut names)?;
            names.retain(|name| after.as_ref().is_none_or(|after| name > after));
            names.sort_unstable();
            names.truncate(limit);
            Ok(names)
        })
        .await
    }
}

fn put(directory: &Path, name: &ObjectName, bytes: &[u8]) -> io::Result<PutOutcome> {
    let path = directory.join(name.as_str());
    let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    make(parent)?;
    if fs::exists(&path)? {
        // Who wrote it may not have come to bring the directory to the disk.
        sync(parent)?;
        return Ok(PutOutcome::Exists);
    }
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let part = parent.join(format!(".{}.{}.{number}", file.to_string_lossy(), std::process::id()));
    let written = write(&part, bytes).and_then(|()| match fs::hard_link(&part, &path) {
        Ok(()) => Ok(PutOutcome::Written),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(PutOutcome::Exists),
        Err(error) => Err(error),
    });
    let removed = fs::remove_file(&part);
    let outcome = written?;
    removed?;
    sync(parent)?;
    Ok(outcome)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // One that a process of this number has left behind is nobody's.
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)?;
    file.sync_all()
}

/// Makes a directory and those above it, so that they survive a crash.
fn make(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync(parent.unwrap_or(Path::new(".")))
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Gathers the names below a prefix. Files that no name can be are not ours.
fn walk(directory: &Path, prefix: &ObjectName, names: &mut Vec<ObjectName>) -> io::Result<()> {
    let entries = match fs::read_dir(directory.join(prefix.as_str())) {
        Err(error) if is_absent(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(|file| prefix.join(file).ok()) else { continue };
        if entry.file_type()?.is_dir() {
            walk(directory, &name, names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
