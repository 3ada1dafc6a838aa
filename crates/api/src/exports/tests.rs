use stanchion_core::ManualClock;

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
