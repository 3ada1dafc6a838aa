use sha2::{Digest as _, Sha256};

use super::*;
use crate::bundle::ocsf::Carried;

/// Seals a file of OCSF events anew, as somebody does who knows the format but no key.
fn resealed_as_ocsf(file: &[u8], alter: impl Fn(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut lines = lines(file);
    let end = lines.pop().unwrap();
    alter(&mut lines);
    let mut carried = Carried::default();
    carried.begin(&Form::Ocsf.read(&lines[0]).unwrap());
    let Some(Line::End(mut end)) = Form::Ocsf.read(&end) else { panic!("no end") };
    let mut file = lines.concat();
    end.sha256 = Digest::from_bytes(Sha256::digest(&file).into());
    Form::Ocsf.write(&Line::End(end), &mut carried, &mut file).unwrap();
    file.push(b'\n');
    file
}

#[tokio::test]
async fn events_of_ocsf_prove_themselves_and_what_was_done_to_them_is_told() {
    let world = small().await;
    let whole = world.export_as(Query::default(), Form::Ocsf).await;
    assert_eq!(proof(&whole), proof(&world.export(Query::default()).await));
    assert_eq!(proof(&world.export_as(opened(), Form::Ocsf).await), proof(&world.export(opened()).await));
    let altered = |from: &'static str, to: &'static str| {
        verdict(&resealed_as_ocsf(&whole, |lines| {
            let text = String::from_utf8(lines[3].clone()).unwrap();
            assert!(text.contains(from), "{text}");
            lines[3] = text.replacen(from, to, 1).into_bytes();
        }))
    };
    // The event that a reader of OCSF sees is the one of the entry, although the entry itself is untouched.
    let other_event = altered("\"severity_id\":1", "\"severity_id\":2");
    assert!(
        matches!(other_event, BundleVerdict::Tampered(found)
        if (found.line, found.fault) == (4, Fault::Malformed)),
        "{other_event:?}"
    );
    let both = verdict(&resealed_as_ocsf(&whole, |lines| {
        let mut carried = Carried::default();
        for (place, line) in lines.iter_mut().enumerate() {
            let mut told = Form::Ocsf.read(line).unwrap();
            if let (3, Line::Entry(entry)) = (place, &mut told) {
                entry.canonical = entry.canonical.replace("door.shut", "door.kept");
            }
            line.clear();
            Form::Ocsf.write(&told, &mut carried, line).unwrap();
            line.push(b'\n');
        }
    }));
    assert!(
        matches!(both, BundleVerdict::Tampered(found)
        if (found.seq, found.fault) == (Some(2), Fault::Link)),
        "{both:?}"
    );
    let missing = verdict(&resealed_as_ocsf(&whole, |lines| drop(lines.remove(3))));
    assert!(matches!(missing, BundleVerdict::Incomplete(found) if found.seq == Some(2)), "{missing:?}");
    for (told, fault) in [("prev_event", Fault::Before), ("signatures", Fault::Malformed)] {
        let other_told = verdict(&resealed_as_ocsf(&whole, |lines| {
            let mut event: serde_json::Value = serde_json::from_slice(&lines[3]).unwrap();
            let told = &mut event["unmapped"]["attestation"][told];
            let digest =
                told.pointer_mut(if told.is_array() { "/0/digest/value" } else { "/fingerprint/value" });
            *digest.unwrap() = Digest::ZERO.to_string().into();
            lines[3] = [serde_json::to_vec(&event).unwrap(), b"\n".to_vec()].concat();
        }));
        assert!(
            matches!(other_told, BundleVerdict::Tampered(found)
            if (found.line, found.fault) == (4, fault)),
            "{told}: {other_told:?}"
        );
    }
    let untold = verdict(&resealed_as_ocsf(&whole, |lines| {
        let mut event: serde_json::Value = serde_json::from_slice(&lines[3]).unwrap();
        event["unmapped"]["attestation"].as_object_mut().unwrap().remove("prev_event").unwrap();
        lines[3] = [serde_json::to_vec(&event).unwrap(), b"\n".to_vec()].concat();
    }));
    assert!(matches!(untold, BundleVerdict::Tampered(found) if found.fault == Fault::Before), "{untold:?}");
    let cut = verdict(&whole[..whole.len() - 1]);
    assert!(matches!(cut, BundleVerdict::Incomplete(found) if found.fault == Fault::CutOff), "{cut:?}");
    let other = verify_bundle(&*whole, &keys(1), None).unwrap();
    assert!(matches!(other, BundleVerdict::Unverifiable(_)), "{other:?}");
}

#[tokio::test]
async fn what_was_exported_before_events_told_of_each_other_still_verifies() {
    let world = small().await;
    let frozen = include_bytes!("../../../tests/fixtures/v1/export.ocsf.jsonl");
    assert_eq!(world.export_as(Query::default(), Form::Ocsf1).await, frozen, "what was written then");
    assert_eq!(proof(frozen), proof(&world.export(Query::default()).await));
    // Whoever calls the one version the other has written another event.
    for (from, to, file) in [
        ("ocsf/v1", "ocsf/v2", frozen.to_vec()),
        ("ocsf/v2", "ocsf/v1", world.export_as(Query::default(), Form::Ocsf).await),
    ] {
        let mut lines = lines(&file);
        let first = String::from_utf8(lines[0].clone()).unwrap();
        assert!(first.contains(from), "{first}");
        lines[0] = first.replace(from, to).into_bytes();
        let found = verdict(&lines.concat());
        assert!(
            matches!(found, BundleVerdict::Tampered(found) if (found.line, found.fault) == (3, Fault::Malformed)),
            "{found:?}"
        );
    }
}
