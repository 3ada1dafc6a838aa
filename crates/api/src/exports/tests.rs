use std::os::unix::fs::PermissionsExt as _;

use stanchion_audit::{
    CheckpointConfig, CheckpointSigner, Config, Draft, Ledger, MemoryLedgerStore, Prover, Query, Sequencer,
};
use stanchion_core::{
    Actor, Category, Event, IdGen as _, KeyRing, ManualClock, Secret, SeededRandom, TenantId,
};

use super::*;

const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

fn jobs(directory: &std::path::Path, clock: &Arc<ManualClock>) -> ExportJobs {
    let config = ExportsConfig { directory: Some(directory.to_owned()), retention_hours: 2, per_tenant: 1 };
    ExportJobs::open(config, Arc::clone(clock) as _).unwrap()
}

/// A job that an earlier process has left, with its file.
fn left(directory: &std::path::Path, id: u128, state: JobState) -> Uuid {
    let id = Uuid::from_u128(id);
    let ended_at = (state == JobState::Done).then_some(NOON);
    let job = Job { state, ended_at, ..Job::new(id, Scope::Platform, Form::Lines, BTreeMap::new(), NOON) };
    fs::write(directory.join(format!("{id}.json")), serde_json::to_vec(&job).unwrap()).unwrap();
    fs::write(directory.join(format!("{id}.jsonl")), "file").unwrap();
    id
}

#[test]
fn a_file_is_kept_as_long_as_is_said_and_then_it_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOON));
    let id = left(directory.path(), 1, JobState::Done);
    let jobs = jobs(directory.path(), &clock);
    assert_eq!(jobs.room(Scope::Platform), Err(NotMade::TooMany(1)));
    clock.advance(Duration::from_secs(2 * 3_600 - 1));
    jobs.sweep();
    assert!(jobs.get(Scope::Platform, id).is_some());
    clock.advance(Duration::from_secs(1));
    jobs.sweep();
    assert!(jobs.get(Scope::Platform, id).is_none());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert_eq!(jobs.room(Scope::Platform), Ok(()));
}

#[test]
fn what_an_earlier_process_did_not_finish_has_failed_and_is_kept_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOON));
    let ids =
        [JobState::Waiting, JobState::Running].map(|state| left(directory.path(), state as u128, state));
    fs::write(directory.path().join("x.partial"), "").unwrap();
    for _ in 0..2 {
        let jobs = jobs(directory.path(), &clock);
        for id in ids {
            let job = jobs.get(Scope::Platform, id).unwrap();
            assert_eq!((job.state, job.ended_at), (JobState::Failed, Some(NOON)));
        }
        assert!(!directory.path().join("x.partial").exists());
        clock.advance(Duration::from_secs(60));
    }
}

#[test]
fn settings_have_their_ranges() {
    let with = |retention_hours, per_tenant| {
        ExportsConfig { retention_hours, per_tenant, ..ExportsConfig::default() }.validate()
    };
    for good in [(1, 1), (8_760, 1), (24, 1_000)] {
        assert_eq!(with(good.0, good.1), Ok(()));
    }
    assert!(with(0, 1).unwrap_err().starts_with("retention_hours"));
    assert!(with(8_761, 1).unwrap_err().starts_with("retention_hours"));
    assert!(with(1, 0).unwrap_err().starts_with("per_tenant"));
}

#[test]
fn without_a_directory_none_is_made() {
    let jobs = ExportJobs::default();
    assert_eq!(jobs.room(Scope::Platform), Err(NotMade::NoDirectory));
    assert_eq!(jobs.list(Scope::Platform), []);
}

/// Each has its own, and nobody's room is taken, looked into or cleared by another.
#[test]
fn exports_are_kept_apart_by_scope() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOON));
    let id = left(directory.path(), 1, JobState::Done);
    let jobs = jobs(directory.path(), &clock);
    let other = Scope::Tenant(TenantId::from_uuid(Uuid::from_u128(7)));
    assert_eq!((jobs.room(Scope::Platform), jobs.room(other)), (Err(NotMade::TooMany(1)), Ok(())));
    assert_eq!((jobs.list(Scope::Platform).len(), jobs.list(other).len()), (1, 0));
    assert!(jobs.get(other, id).is_none() && jobs.remove(other, id).is_none());
    assert!(jobs.get(Scope::Platform, Uuid::from_u128(2)).is_none());
    let job = jobs.get(Scope::Platform, id).unwrap();
    let mut text = String::new();
    io::Read::read_to_string(&mut jobs.content(&job).unwrap(), &mut text).unwrap();
    assert_eq!(text, "file");
    assert_eq!(jobs.remove(Scope::Platform, id), Some(job.clone()));
    assert!(jobs.content(&job).is_err(), "its file went with it");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert_eq!(jobs.room(Scope::Platform), Ok(()));
}

#[test]
fn what_is_kept_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let within = directory.path().join("a").join("b");
    let clock = Arc::new(ManualClock::at(NOON));
    let jobs = jobs(&within, &clock);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&within), 0o700);
    let id = Uuid::from_u128(3);
    let job = Job::new(id, Scope::Platform, Form::Ocsf, BTreeMap::new(), NOON);
    jobs.keep(&job);
    let path = within.join(format!("{id}.json"));
    assert_eq!(mode(&path), 0o600);
    assert_eq!(serde_json::from_slice::<Job>(&fs::read(path).unwrap()).unwrap(), job);
    assert_eq!(job.format, "stanchion.audit.ocsf/v2");
}

#[tokio::test]
async fn a_file_is_read_in_parts_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let bytes: Vec<u8> = (0..PART + 7).map(|place| u8::try_from(place % 251).unwrap()).collect();
    fs::write(&path, &bytes).unwrap();
    let (mut file, mut read, mut parts) = (File::open(&path).unwrap(), Vec::new(), 0);
    while let Some((part, rest)) = part(file).await.unwrap() {
        assert!(!part.is_empty() && part.len() <= PART);
        read.extend(part);
        (file, parts) = (rest, parts + 1);
    }
    assert_eq!((read == bytes, parts), (true, 2));
}

/// A ledger of which something is exported.
struct Exported {
    clock: Arc<ManualClock>,
    ids: Arc<SeededRandom>,
    ledger: Ledger,
    prover: Prover,
}

impl Exported {
    /// With so many entries of the platform, all covered.
    async fn new(entries: u64) -> Self {
        let (clock, ids) = (Arc::new(ManualClock::at(NOON)), Arc::new(SeededRandom::new(7)));
        let store = Arc::new(MemoryLedgerStore::new(10_000));
        let ring = || KeyRing::new([(1, Secret::new([7; 32]))]).unwrap();
        let config = Config { linger_ms: 0, ..Config::default() };
        let (ledger, sequencer): (Ledger, Sequencer) =
            Ledger::new(store.clone(), ring(), clock.clone(), clock.clone(), ids.clone(), config);
        let signer = CheckpointSigner::new(&ring(), "audit.example.com").unwrap();
        let (prover, checkpointer) = ledger.checkpoints(store, signer, CheckpointConfig::default());
        let work = async {
            for _ in 0..entries {
                let event = Event::new(
                    ids.event_id(NOON),
                    NOON,
                    Scope::Platform,
                    Actor::Anonymous,
                    "a.b",
                    Category::Access,
                );
                ledger.append(Scope::Platform, Draft::Event(event)).await.unwrap();
            }
            ledger.settle().await;
        };
        let running = std::pin::pin!(futures_util::future::join(sequencer.run(), checkpointer.run()));
        futures_util::future::select(std::pin::pin!(work), running).await;
        Self { clock, ids, ledger, prover }
    }

    async fn sent(&self) -> Sent {
        let export = self.prover.export(Scope::Platform, Query::default(), Form::Lines).await.unwrap();
        Sent::of(export, Scope::Platform, self.clock.clone(), self.ids.clone())
    }

    fn jobs(&self, directory: &std::path::Path, per_tenant: usize) -> ExportJobs {
        let config = ExportsConfig { directory: Some(directory.to_owned()), retention_hours: 2, per_tenant };
        ExportJobs::open(config, Arc::clone(&self.clock) as _).unwrap()
    }

    async fn add(&self, jobs: &ExportJobs, id: u128) -> Uuid {
        let job = Job::new(Uuid::from_u128(id), Scope::Platform, Form::Lines, BTreeMap::new(), NOON);
        jobs.add(job, self.sent().await).unwrap().id
    }

    /// Runs the jobs until one of them is over.
    async fn run_until(&self, jobs: &ExportJobs, is_over: impl Fn() -> bool) {
        let waits = async {
            while !is_over() {
                tokio::task::yield_now().await;
            }
        };
        let run = std::pin::pin!(jobs.clone().run(&*self.clock));
        futures_util::future::select(std::pin::pin!(waits), run).await;
    }
}

fn files(directory: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_export_becomes_a_file_that_says_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let exported = Exported::new(30).await;
    let jobs = exported.jobs(directory.path(), 4);
    let id = exported.add(&jobs, 1).await;
    assert_eq!(files(directory.path()), [format!("{id}.json")], "it is kept before it is made");
    let get = || jobs.get(Scope::Platform, id).unwrap();
    assert_eq!((get().state, get().ended_at), (JobState::Waiting, None));
    exported.clock.advance(Duration::from_secs(60));
    exported.run_until(&jobs, || get().ended_at.is_some()).await;
    let bytes = fs::read(directory.path().join(format!("{id}.jsonl"))).unwrap();
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let done = get();
    assert_eq!((done.state, done.ended_at), (JobState::Done, Some(NOON.plus(Duration::from_secs(60)))));
    assert_eq!(done.bytes, u64::try_from(bytes.len()).unwrap());
    assert!(done.entries >= 30 && u64::try_from(lines).unwrap() > done.entries, "{done:?}");
    assert_eq!(files(directory.path()), [format!("{id}.json"), format!("{id}.jsonl")]);
    // The next process finds it as it is, and keeps it as long.
    assert_eq!(exported.jobs(directory.path(), 4).get(Scope::Platform, id), Some(done));
    exported.ledger.close();
}

#[tokio::test]
async fn exports_are_made_in_the_order_they_were_asked_for_and_no_more_than_may_be() {
    let directory = tempfile::tempdir().unwrap();
    let exported = Exported::new(3).await;
    let jobs = exported.jobs(directory.path(), 3);
    let ids = [exported.add(&jobs, 9).await, exported.add(&jobs, 5).await, exported.add(&jobs, 7).await];
    let more = Job::new(Uuid::from_u128(8), Scope::Platform, Form::Lines, BTreeMap::new(), NOON);
    assert_eq!(jobs.add(more, exported.sent().await), Err(NotMade::TooMany(3)));
    let ended = |id: Uuid| jobs.get(Scope::Platform, id).is_none_or(|job| job.ended_at.is_some());
    // One that is taken away while it waits is never begun.
    assert!(jobs.remove(Scope::Platform, ids[1]).is_some());
    let first = std::cell::Cell::new(None);
    let one_is_over = || {
        let over = [ids[0], ids[2]].map(ended);
        if first.get().is_none() && over.contains(&true) {
            first.set(Some(over));
        }
        over == [true, true]
    };
    exported.run_until(&jobs, one_is_over).await;
    assert_eq!(first.get(), Some([true, false]), "the first one first");
    let expected: Vec<String> = [7, 9]
        .iter()
        .flat_map(|id| ["json", "jsonl"].map(|end| format!("{}.{end}", Uuid::from_u128(*id))))
        .collect();
    assert_eq!(files(directory.path()), expected);
}

#[tokio::test]
async fn an_export_that_cannot_be_written_has_failed_and_leaves_nothing_half() {
    let directory = tempfile::tempdir().unwrap();
    let exported = Exported::new(3).await;
    let jobs = exported.jobs(directory.path(), 4);
    let id = exported.add(&jobs, 1).await;
    // Its name is taken by a directory.
    fs::create_dir(directory.path().join(format!("{id}.jsonl"))).unwrap();
    exported.run_until(&jobs, || jobs.get(Scope::Platform, id).unwrap().ended_at.is_some()).await;
    let failed = jobs.get(Scope::Platform, id).unwrap();
    assert_eq!(failed.state, JobState::Failed);
    assert!(failed.reason.unwrap().contains("ask again"));
    assert!(!directory.path().join(format!("{id}.partial")).exists());
}
