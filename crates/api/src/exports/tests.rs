use std::os::unix::fs::PermissionsExt as _;

use stanchion_core::{ManualClock, TenantId};

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
