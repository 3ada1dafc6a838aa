use std::collections::BTreeMap;

use stanchion_audit::archive::{ArchiveFault, ArchiveManifest, ArchiveVerdict, verify_archive_directory};
use stanchion_audit::{NoteError, ObjectName, RetentionConfig, RoundEnd};
use stanchion_core::StoreErrorKind;

use crate::support::{DAY, World, keys, standard, tenant, text, verified, verifiers};

type Archive = BTreeMap<ObjectName, Vec<u8>>;

/// Three objects of a chain, of 256 entries each, a month apart.
async fn archive() -> Archive {
    let world = World::new();
    world
        .run(async |ledger, prover| {
            for _ in 0..3 {
                world.append(ledger, prover, tenant(1), 256).await;
                world.clock.advance(32 * DAY);
                let keeper = world.keeper(prover, RetentionConfig::default());
                assert_eq!(keeper.once().await, RoundEnd::Complete);
            }
            let told = world.records(ledger, tenant(1), "audit.archived").await;
            assert_eq!(told.len(), 3);
            let archive = world.archive().await;
            for (event, (_, bytes)) in told.iter().zip(archive.iter().filter(|(name, _)| is_manifest(name))) {
                let manifest = ArchiveManifest::read(bytes).unwrap();
                assert_eq!(text(event, "object_sha256"), manifest.stored.sha256.to_string());
            }
        })
        .await;
    world.archive().await
}

fn is_manifest(name: &ObjectName) -> bool {
    name.as_str().ends_with(".json")
}

/// The name of the manifest or object of one of the three, from 0.
fn name(archive: &Archive, which: usize, manifest: bool) -> ObjectName {
    archive.keys().filter(|name| is_manifest(name) == manifest).nth(which).unwrap().clone()
}

fn found(archive: &Archive) -> (&'static str, ObjectName, Option<u64>, ArchiveFault) {
    let (kind, found) = match verified(archive, None) {
        ArchiveVerdict::Tampered(found) => ("tampered", found),
        ArchiveVerdict::Incomplete(found) => ("incomplete", found),
        ArchiveVerdict::Unverifiable(found) => ("unverifiable", found),
        ArchiveVerdict::Intact(proof) => panic!("{proof:?}"),
    };
    (kind, found.object, found.seq, found.fault)
}

#[tokio::test]
async fn an_archive_is_verified_with_keys_alone_from_a_directory_too() {
    let archive = archive().await;
    assert_eq!(archive.len(), 6);
    let ArchiveVerdict::Intact(proof) = verified(&archive, Some(&keys(1))) else { panic!("{archive:?}") };
    assert_eq!((proof.chains.len(), proof.entries(), proof.are_macs_checked), (1, 768, true));
    assert_eq!((proof.chains[0].chain, proof.chains[0].tree.size), (standard(tenant(1)), 768));

    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in &archive {
        let path = directory.path().join("copied").join(name.as_str());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    std::fs::write(directory.path().join("README.txt"), b"ours").unwrap();
    let verdict = verify_archive_directory(directory.path(), &verifiers(), None).unwrap();
    assert!(matches!(verdict, ArchiveVerdict::Intact(proof) if proof.entries() == 768));

    // Any object with its manifest verifies alone.
    let mut alone = archive.clone();
    for which in [0, 2] {
        alone.remove(&name(&archive, which, true));
        alone.remove(&name(&archive, which, false));
    }
    assert!(matches!(verified(&alone, None), ArchiveVerdict::Intact(proof) if proof.chains[0].first == 257));

    // What a crash leaves is told, and no harm.
    let mut crashed = archive.clone();
    crashed.remove(&name(&archive, 2, true));
    let ArchiveVerdict::Intact(proof) = verified(&crashed, None) else { panic!("{:?}", found(&crashed)) };
    assert_eq!((proof.entries(), proof.unclaimed), (512, vec![name(&archive, 2, false)]));
}

#[tokio::test]
async fn whoever_has_not_the_keys_proves_nothing_and_is_told_so() {
    let archive = archive().await;
    let read = |name: &ObjectName| Ok(archive.get(name).cloned());
    let verdict = stanchion_audit::archive::verify_archive(archive.keys().cloned(), read, &[], None).unwrap();
    let ArchiveVerdict::Unverifiable(found) = verdict else { panic!("{verdict:?}") };
    assert_eq!(found.fault, ArchiveFault::Checkpoint(NoteError::UnknownKey));
    let ArchiveVerdict::Tampered(found) = verified(&archive, Some(&keys(2))) else {
        panic!("signed by others")
    };
    assert_eq!((found.seq, found.fault), (Some(1), ArchiveFault::Mac));
}

#[tokio::test]
async fn every_flipped_byte_is_found_in_its_object() {
    let whole = archive().await;
    for which in 0..3 {
        // Alone, since a look at all of it takes its time.
        let both = [true, false].map(|manifest| name(&whole, which, manifest));
        let archive: Archive = both.iter().map(|name| (name.clone(), whole[name].clone())).collect();
        let name = |manifest: bool| both[usize::from(!manifest)].clone();
        let object = name(false);
        let bytes = &archive[&object];
        for place in (0..bytes.len()).step_by(397).chain([1, 5, bytes.len() - 1]) {
            let mut flipped = archive.clone();
            flipped.get_mut(&object).unwrap()[place] ^= 1;
            let (kind, at, seq, _) = found(&flipped);
            assert_eq!((kind, &at), ("tampered", &object), "byte {place}");
            let first = u64::try_from(which).unwrap() * 256 + 1;
            assert!(seq.is_none_or(|seq| (first..first + 256).contains(&seq)), "byte {place}: {seq:?}");
        }
        let manifest = name(true);
        let text = String::from_utf8(archive[&manifest].clone()).unwrap();
        // Nobody signs when it was written.
        let unsigned = text.find("archived_at").unwrap();
        let unsigned = unsigned..unsigned + 42;
        // Nor, of what stands before the first entry that is there, when that was recorded.
        let base = text.find("\"recorded_at\":").map_or(0..0, |base| base..base + 43);
        let is_signed = |place: &usize| !unsigned.contains(place) && !base.contains(place);
        for place in (which..text.len()).step_by(3).filter(is_signed) {
            let mut flipped = archive.clone();
            flipped.get_mut(&manifest).unwrap()[place] ^= 1;
            let (_, at, ..) = found(&flipped);
            let of = |name: &ObjectName| {
                // The number of the first entry.
                let (_, file) = name.as_str().rsplit_once('/').unwrap();
                file.chars().take(16).collect::<String>()
            };
            assert_eq!(of(&at), of(&manifest), "byte {place}");
        }
    }
}

#[tokio::test]
async fn altered_entries_are_told_by_their_number() {
    let archive = archive().await;
    let object = name(&archive, 1, false);
    let content = zstd::bulk::decompress(&archive[&object], 10_000_000).unwrap();
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let altered = |lines: &[&[u8]]| {
        let mut altered = archive.clone();
        altered.insert(object.clone(), zstd::bulk::compress(&lines.concat(), 3).unwrap());
        found(&altered)
    };
    let replaced = String::from_utf8(lines[9].to_vec()).unwrap().replace("thing.done", "thing.gone");
    let mut one = lines.clone();
    one[9] = replaced.as_bytes();
    let is = |seq, fault| ("tampered", object.clone(), Some(seq), fault);
    assert_eq!(altered(&one), is(266, ArchiveFault::Link));
    let mut swapped = lines.clone();
    swapped.swap(20, 21);
    assert_eq!(altered(&swapped), is(277, ArchiveFault::Misplaced));
    let mut removed = lines.clone();
    removed.remove(100);
    assert_eq!(altered(&removed), is(357, ArchiveFault::Misplaced));
    let mut doubled = lines.clone();
    doubled.insert(3, lines[2]);
    assert_eq!(altered(&doubled), is(260, ArchiveFault::Misplaced));
    let mut longer = lines.clone();
    longer.push(lines[255]);
    assert_eq!(altered(&longer), is(513, ArchiveFault::Misplaced));
    let (kind, at, seq, _) = altered(&lines[..200]);
    assert_eq!((at, seq), (object.clone(), Some(457)), "{kind}");
}

#[tokio::test]
async fn missing_truncated_and_swapped_objects_are_told_with_the_first_entry_that_is_wrong() {
    let archive = archive().await;
    let object = name(&archive, 1, false);
    let mut missing = archive.clone();
    missing.remove(&object);
    assert_eq!(found(&missing), ("incomplete", object.clone(), Some(257), ArchiveFault::Missing));

    let mut gap = archive.clone();
    gap.remove(&name(&archive, 1, true));
    gap.remove(&object);
    assert_eq!(found(&gap), ("incomplete", name(&archive, 2, true), Some(257), ArchiveFault::Missing));

    for keep in [0, 1, archive[&object].len() / 2, archive[&object].len() - 1] {
        let mut truncated = archive.clone();
        truncated.get_mut(&object).unwrap().truncate(keep);
        let (kind, at, seq, fault) = found(&truncated);
        assert_eq!(
            (kind, at, fault),
            ("incomplete", object.clone(), ArchiveFault::Truncated),
            "{keep} bytes"
        );
        assert!(seq.is_none_or(|seq| (257..=513).contains(&seq)), "{keep} bytes: {seq:?}");
    }

    let mut swapped = archive.clone();
    let other = name(&archive, 2, false);
    swapped.insert(object.clone(), archive[&other].clone());
    swapped.insert(other, archive[&object].clone());
    assert_eq!(found(&swapped), ("tampered", object, Some(257), ArchiveFault::Misplaced));

    let mut manifests = archive.clone();
    manifests.insert(name(&archive, 0, true), archive[&name(&archive, 1, true)].clone());
    assert_eq!(found(&manifests), ("tampered", name(&archive, 0, true), None, ArchiveFault::Misnamed));
}

#[tokio::test]
async fn an_archive_of_another_ledger_stops_the_keeper_loudly() {
    let (one, other) = (World::new(), World::new());
    let archive_of = async |world: &World, entries| {
        world
            .run(async |ledger, prover| {
                world.append(ledger, prover, tenant(1), entries).await;
                world.clock.advance(400 * DAY);
                world.keeper(prover, RetentionConfig::default()).once().await
            })
            .await
    };
    assert_eq!(archive_of(&one, 300).await, RoundEnd::Complete);
    for (name, bytes) in one.archive().await {
        stanchion_audit::ObjectStore::put_new(&other.stores.objects, &name, bytes, None).await.unwrap();
    }
    // The same seed would make the same events.
    other.ids.next_u64();
    let failed = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    other
        .run(async |ledger, prover| {
            other.append(ledger, prover, tenant(1), 300).await;
            other.clock.advance(400 * DAY);
            let told = failed.clone();
            let keeper = stanchion_audit::Keeper::new(
                prover.clone(),
                other.stores.clone(),
                Some(other.stores.clone()),
                RetentionConfig::default(),
            );
            let keeper = keeper.on_failure(move |chain, error| {
                let stanchion_audit::Error::Store(error) = error else { panic!("{error}") };
                told.lock().unwrap().push((chain, error.kind()));
            });
            assert_eq!(keeper.once().await, RoundEnd::Partial);
            assert_eq!(keeper.stats().failures, 1);
        })
        .await;
    assert_eq!(*failed.lock().unwrap(), [(Some(standard(tenant(1))), StoreErrorKind::Corrupt)]);
    assert_eq!(other.chain(standard(tenant(1))).await.base.seq, 0, "nothing is cut that is not archived");
}
