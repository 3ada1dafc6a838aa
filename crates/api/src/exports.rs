//! Exports that are made beside the requests, into files.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanchion_audit::bundle::Form;
use stanchion_core::{Clock, Scope, Timer, Timestamp};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::audit::export::Sent;

/// How often what has served its time is looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// How much of a finished file is read at a time.
const PART: usize = 64 * 1024;

/// Which exports may be made into files, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ExportsConfig {
    /// Where the files are, for the server's user alone to read. Each replica needs one of its own. Left out, exports are only streamed.
    pub directory: Option<PathBuf>,
    /// How long a finished file is kept, in hours, 1 to 8,760.
    pub retention_hours: u32,
    /// The most exports of one tenant, or of the platform, that wait, run or are kept, at least 1.
    pub per_tenant: usize,
}

impl Default for ExportsConfig {
    fn default() -> Self {
        Self { directory: None, retention_hours: 24, per_tenant: 4 }
    }
}

impl ExportsConfig {
    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// The setting and its range.
    pub const fn validate(&self) -> Result<(), &'static str> {
        if self.retention_hours == 0 || self.retention_hours > 8_760 {
            Err("retention_hours: use 1 to 8760")
        } else if self.per_tenant == 0 {
            Err("per_tenant: use at least 1")
        } else {
            Ok(())
        }
    }
}

/// The exports of the audit ledger that are made into files. Clones share them.
///
/// One is made after the other, by [`run`](Self::run). They end with their process: one that it did not finish is found as failed when the
/// next one starts, and one that it did is there until its time is over.
#[derive(Clone, Debug)]
pub struct ExportJobs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: ExportsConfig,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<Uuid, Job>,
    waiting: Vec<(Uuid, Sent)>,
}

/// An export, as it is kept beside its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) scope: Scope,
    pub(crate) format: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) state: JobState,
    /// Why it failed.
    pub(crate) reason: Option<String>,
    pub(crate) entries: u64,
    /// How many entries there will be; not known of those that filters find.
    pub(crate) total: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) asked_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobState {
    Waiting,
    Running,
    Done,
    Failed,
}

impl JobState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// Why an export is not made into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotMade {
    /// There is no directory for files.
    NoDirectory,
    /// The scope has as many as it may.
    TooMany(usize),
}

impl Default for ExportJobs {
    /// Without a directory: exports are streamed only.
    fn default() -> Self {
        let clock = Arc::new(stanchion_core::SystemClock);
        let (config, state, news) = (ExportsConfig::default(), Mutex::default(), Notify::new());
        Self(Arc::new(Shared { config, clock, state, news }))
    }
}

impl ExportJobs {
    /// Takes a directory for exports, and finds what an earlier process has left in it.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(config: ExportsConfig, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let mut state = State::default();
        if let Some(directory) = &config.directory {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            for entry in fs::read_dir(directory)? {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.ends_with(".partial") {
                    fs::remove_file(&path)?;
                } else if name.ends_with(".json")
                    && let Ok(job) = serde_json::from_slice::<Job>(&fs::read(&path)?)
                {
                    state.jobs.insert(job.id, job);
                }
            }
        }
        let now = clock.now();
        let jobs = Self(Arc::new(Shared { config, clock, state: Mutex::new(state), news: Notify::new() }));
        let unfinished: Vec<Uuid> =
            jobs.state().jobs.values().filter(|job| job.ended_at.is_none()).map(|job| job.id).collect();
        for id in unfinished {
            jobs.update(id, |job| {
                job.state = JobState::Failed;
                job.reason = Some("its process ended before it was made: ask again".to_owned());
                job.ended_at = Some(now);
            });
        }
        Ok(jobs)
    }

    /// Makes one export after the other, until it is dropped. What is under way then is found as failed by the next process.
    pub async fn run(self, timer: &dyn Timer) {
        loop {
            self.sweep();
            let next = {
                let mut state = self.state();
                if state.waiting.is_empty() { None } else { Some(state.waiting.remove(0)) }
            };
            match next {
                Some((id, sent)) => self.make(id, sent).await,
                None => {
                    let sweep = timer.sleep_until(self.0.clock.now().plus(SWEEP));
                    futures_util::future::select(Box::pin(self.0.news.notified()), sweep).await;
                }
            }
        }
    }

    /// Tells whether a scope may have another one.
    pub(crate) fn room(&self, scope: Scope) -> Result<(), NotMade> {
        if self.0.config.directory.is_none() {
            return Err(NotMade::NoDirectory);
        }
        let most = self.0.config.per_tenant;
        let count = self.state().jobs.values().filter(|other| other.scope == scope).count();
        if count < most { Ok(()) } else { Err(NotMade::TooMany(most)) }
    }

    /// Takes an export on.
    pub(crate) fn add(&self, job: Job, sent: Sent) -> Result<Job, NotMade> {
        self.room(job.scope)?;
        let most = self.0.config.per_tenant;
        {
            // Again, since others may have asked meanwhile.
            let mut state = self.state();
            if state.jobs.values().filter(|other| other.scope == job.scope).count() >= most {
                return Err(NotMade::TooMany(most));
            }
            state.jobs.insert(job.id, job.clone());
            state.waiting.push((job.id, sent));
        }
        self.keep(&job);
        self.0.news.notify_one();
        Ok(job)
    }

    pub(crate) fn list(&self, scope: Scope) -> Vec<Job> {
        self.state().jobs.values().filter(|job| job.scope == scope).cloned().collect()
    }

    pub(crate) fn get(&self, scope: Scope, id: Uuid) -> Option<Job> {
        self.state().jobs.get(&id).filter(|job| job.scope == scope).cloned()
    }

    /// Ends an export, wherever it is, and removes its file.
    pub(crate) fn remove(&self, scope: Scope, id: Uuid) -> Option<Job> {
        let mut state = self.state();
        let found = state.jobs.get(&id).is_some_and(|job| job.scope == scope);
        let job = if found { state.jobs.remove(&id) } else { None }?;
        state.waiting.retain(|(waiting, _)| *waiting != id);
        drop(state);
        for path in [self.path(id, "json"), self.path(id, "jsonl")].into_iter().flatten() {
            drop(fs::remove_file(path));
        }
        Some(job)
    }

    /// Opens the file of an export that is done.
    pub(crate) fn content(&self, job: &Job) -> io::Result<File> {
        File::open(self.path(job.id, "jsonl").ok_or(io::ErrorKind::NotFound)?)
    }

    async fn make(&self, id: Uuid, mut sent: Sent) {
        let made = self.write(id, &mut sent).await;
        let now = self.0.clock.now();
        let is_wanted = self.update(id, |job| {
            job.ended_at = Some(now);
            match &made {
                Ok(()) => job.state = JobState::Done,
                Err(error) => {
                    tracing::error!(%error, export = %id, "an audit export broke off");
                    job.state = JobState::Failed;
                    job.reason = Some("the ledger or the file failed it: ask again".to_owned());
                }
            }
        });
        if (made.is_err() || !is_wanted)
            && let Some(path) = self.path(id, if made.is_err() { "partial" } else { "jsonl" })
        {
            drop(fs::remove_file(path));
        }
    }

    async fn write(&self, id: Uuid, sent: &mut Sent) -> io::Result<()> {
        let (Some(partial), Some(path)) = (self.path(id, "partial"), self.path(id, "jsonl")) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        while let Some(part) = sent.export.next().await.map_err(io::Error::other)? {
            let bytes = u64::try_from(part.len()).unwrap_or(u64::MAX);
            file = apart(move || file.write_all(&part).map(|()| file)).await?;
            let entries = sent.export.counts().iter().map(|count| count.entries).sum();
            let is_wanted = self.progress(id, |job| {
                job.state = JobState::Running;
                job.entries = entries;
                job.bytes = job.bytes.saturating_add(bytes);
            });
            if !is_wanted {
                return Err(io::Error::other("it was cancelled"));
            }
        }
        apart(move || file.sync_all()).await?;
        fs::rename(partial, path)
    }

    fn sweep(&self) {
        let kept = Duration::from_secs(u64::from(self.0.config.retention_hours) * 3_600);
        let now = self.0.clock.now();
        let over = |job: &&Job| job.ended_at.is_some_and(|ended| ended.plus(kept) <= now);
        let over: Vec<(Scope, Uuid)> =
            self.state().jobs.values().filter(over).map(|job| (job.scope, job.id)).collect();
        for (scope, id) in over {
            self.remove(scope, id);
        }
    }

    /// Changes a job, if it is still wanted, and keeps it beside its file.
    fn update(&self, id: Uuid, change: impl FnOnce(&mut Job)) -> bool {
        let is_wanted = self.progress(id, change);
        let job = self.state().jobs.get(&id).cloned();
        if let Some(job) = job {
            self.keep(&job);
        }
        is_wanted
    }

    fn progress(&self, id: Uuid, change: impl FnOnce(&mut Job)) -> bool {
        self.state().jobs.get_mut(&id).map(change).is_some()
    }

    fn keep(&self, job: &Job) {
        let Some(path) = self.path(job.id, "json") else { return };
        let kept = serde_json::to_vec(job).map_err(io::Error::other).and_then(|text| {
            let next = path.with_extension("json.partial");
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
            file.write_all(&text)?;
            fs::rename(next, path)
        });
        if let Err(error) = kept {
            tracing::error!(%error, export = %job.id, "an audit export cannot be kept");
        }
    }

    fn path(&self, id: Uuid, extension: &str) -> Option<PathBuf> {
        self.0.config.directory.as_ref().map(|directory| directory.join(format!("{id}.{extension}")))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    pub(crate) fn new(
        id: Uuid,
        scope: Scope,
        form: Form,
        query: BTreeMap<String, String>,
        asked_at: Timestamp,
    ) -> Self {
        Self {
            id,
            scope,
            format: form.name().to_owned(),
            query,
            state: JobState::Waiting,
            reason: None,
            entries: 0,
            total: None,
            bytes: 0,
            asked_at,
            ended_at: None,
        }
    }
}

/// Returns the next part of a file; `None` at its end.
pub(crate) async fn part(file: File) -> io::Result<Option<(Vec<u8>, File)>> {
    apart(move || {
        let (mut file, mut part) = (file, vec![0; PART]);
        let length = io::Read::read(&mut file, &mut part)?;
        part.truncate(length);
        Ok((length > 0).then_some((part, file)))
    })
    .await
}

/// Waits for the disk beside the requests.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
