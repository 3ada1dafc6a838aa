//! The formats do not change: frozen fixtures made by another implementation (`fixtures/v1/make.py`), and the JCS of another crate.

#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod fixtures;
mod properties;

use stanchion_audit::{Digest, Error, MAX_DEPTH, Signer, canonical, leaf_hash, link_hash, parse};
use stanchion_core::{Detail, Details, Event, FieldChange, Recorded, Timestamp};

use self::fixtures::{FIXTURES, TENANT, event, events, keys};

#[test]
fn events_have_the_bytes_of_the_fixtures() {
    for ((name, expected), event) in FIXTURES.iter().zip(events()) {
        let written = canonical(&event).unwrap();
        assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(expected), "{name}");
    }
}

#[test]
fn fixtures_read_back_as_the_events() {
    for ((name, bytes), event) in FIXTURES.iter().zip(events()) {
        let read = parse(bytes).unwrap();
        assert_eq!(canonical(&read).unwrap(), *bytes, "{name}");
        assert_eq!(Event { details: event.details.clone(), ..read.clone() }, event, "{name}");
        assert_eq!(read.details.len(), event.details.len(), "{name}");
    }
}

#[test]
fn hashes_are_those_that_python_computed() {
    let chain = format!("{TENANT}/standard").parse().unwrap();
    let signer = Signer::new(&keys());
    let mut link = Digest::ZERO;
    let lines = include_str!("../fixtures/v1/hashes.tsv").lines();
    for ((line, (name, bytes)), seq) in lines.zip(FIXTURES).zip(1..) {
        let columns: Vec<&str> = line.split('\t').collect();
        assert_eq!(columns[0], name);
        let recorded_at = Timestamp::from_micros(1_772_366_400_000_000 + i64::try_from(seq).unwrap());
        let leaf = leaf_hash(bytes);
        link = link_hash(&chain, seq, recorded_at, &link, &leaf);
        let mac = signer.mac(7, &chain, seq, &link).unwrap();
        assert_eq!([leaf, link, mac].map(|digest| digest.to_string()), columns[1..], "{name}");
    }
    assert_eq!(signer.mac(8, &chain, 1, &link), None);
}

#[test]
fn addresses_are_written_as_rfc_5952_says() {
    for (given, expected) in [
        ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("::", "::"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::ffff:192.0.2.128", "::ffff:192.0.2.128"),
        ("0.0.0.0", "0.0.0.0"),
        ("255.255.255.255", "255.255.255.255"),
    ] {
        let mut event = event(1);
        event.source.ip = Some(given.parse().unwrap());
        let bytes = canonical(&event).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains(&format!(r#""source":{{"ip":"{expected}"}}"#)), "{text}");
        assert_eq!(parse(&bytes).unwrap(), event);
    }
}

#[test]
fn what_json_readers_would_round_is_refused_with_its_path() {
    let nested: Details =
        [("sizes", vec![Detail::Integer(1), Detail::Integer(1 << 53)])].into_iter().collect();
    let refused = canonical(&event(1).with_detail("upload", nested)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`details.upload.sizes[1]` is 9007199254740992, beyond ±(2^53 − 1): give it as text"
    );
    let mut changed = event(1);
    let after = Some(Recorded::Value(Detail::List(vec![Detail::Integer(i64::MAX)])));
    changed.changes = vec![FieldChange { field: "size".into(), before: None, after }];
    let refused = canonical(&changed).unwrap_err();
    assert!(
        matches!(&refused, Error::IntegerTooLarge { path, .. } if path == "changes[0].after[0]"),
        "{refused}"
    );
    assert!(canonical(&event(1).with_detail("n", i64::MIN)).is_err());
    assert!(canonical(&event(1).with_detail("n", u64::MAX)).is_ok(), "core makes it text");
}

#[test]
fn details_have_a_bounded_depth_and_events_a_bounded_size() {
    let nested = |levels| (0..levels).fold(Detail::Null, |inner, _| Detail::List(vec![inner]));
    assert!(canonical(&event(1).with_detail("d", nested(MAX_DEPTH - 1))).is_ok());
    let refused = canonical(&event(1).with_detail("d", nested(MAX_DEPTH))).unwrap_err();
    assert!(matches!(refused, Error::TooDeep { path } if path.starts_with("details.d[0][0]")));
    let refused = canonical(&event(1).with_detail("d", "x".repeat(70_000))).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { bytes } if bytes > 70_000));
}

/// Every text below says the same as a fixture to a lenient reader, or is damaged; each is refused where it differs.
#[test]
fn what_is_not_canonical_is_refused() {
    let text = |index: usize| std::str::from_utf8(FIXTURES[index].1).unwrap().to_owned();
    let (access, odd, details) = (text(1), text(2), text(3));
    let (acted_as, authorized, changed) = (text(6), text(7), text(8));
    let cases = [
        (format!(" {access}"), "the field `action`"),
        (format!("{access}\n"), "nothing more"),
        (access.replacen(':', ": ", 1), "a string"),
        (access.replace("\"severity\":\"notice\"", "\"severity\":\"loud\""), "a severity"),
        (access.replace("stanchion.audit/v1", "stanchion.audit/v2"), "stanchion.audit/v1"),
        (access.replace(".000001Z", ".000001000Z"), "a UTC time with six fraction digits"),
        (access.replace(".000001Z", ".000001+00:00"), "a UTC time with six fraction digits"),
        (access.replace("2026-03-01", "2026-02-30"), "a UTC time with six fraction digits"),
        (access.replace("0000000000aa", "0000000000AA"), "a UUID in lower case"),
        (access.replace("203.0.113.7", "203.0.113.07"), "an IP address"),
        (access.replace("48211", "48211.0"), "the next name"),
        (access.replace("48211", "048211"), "a value"),
        (access.replace("48211", "4.8211e4"), "the next name"),
        (access.replace("48211", "-0"), "a value"),
        (access.replace("48211", "9007199254740992"), "a value"),
        (
            access.replace("\"method\":\"GET\",\"status\":429", "\"status\":429,\"method\":\"GET\""),
            "a later name",
        ),
        (access.replace("\"method\":\"GET\",", "\"method\":\"GET\",\"method\":\"GET\","), "a later name"),
        (access.replace("\"targets\":[", "\"targets\":[ "), "a string"),
        (access.replace("\"targets\"", "\"tagets\""), "the end of the event"),
        (access.replace("\"GET\"", "\"\\u0047ET\""), "the shortest escape"),
        (odd.replace("\\u000b", "\\u000B"), "the shortest escape"),
        (odd.replace("\\n", "\\u000a"), "the shortest escape"),
        (odd.replace("slash /", "slash \\/"), "the shortest escape"),
        (details.replace("[]]]]", "[[]]]]]"), "no deeper nesting"),
        (text(0).replace(",\"id\"", ",\"details\":{},\"id\""), "a detail"),
        (text(0).replace(",\"id\"", ",\"correlation\":{},\"id\""), "a field of the correlation"),
        (text(0).replace("\"info\"}", "\"info\",\"targets\":[]}"), "a string"),
        (text(0).replace("anonymous", "nobody"), "the field `method`"),
        (acted_as.replace("user:b", "admin:b"), "a subject"),
        (acted_as.replace("\"action\"", "\"action_\""), "the field `action`"),
        (acted_as.replace("{\"acted_as\"", "{\"acted_as\":\"user:a\",\"acted_as\""), "the field `action`"),
        (access.replace("{\"action\"", "{\"acted_by\":\"user:a\",\"action\""), "the field `action`"),
        (text(0).replace(",\"category\"", ",\"authorization\":[],\"category\""), "an authorization"),
        (authorized.replace("\"granted\":true", "\"granted\":1"), "the field `granted`"),
        (authorized.replace("\"by\":\"role/", "\"by\":\"role"), "a resource"),
        (authorized.replace("\"permission\":\"document:read\",", ""), "the field `permission`"),
        (authorized.replace("write\"}", "write\",\"scope\":\"all\"}"), "the end of an authorization"),
        (changed.replace("\"redacted\"", "\"hidden\""), "a value or `redacted`"),
        (
            changed.replace("{\"before\":{\"value\":null},", "{\"before\":{\"value\":null},\"by\":1,"),
            "the field `field`",
        ),
        (changed.replace("\"secret\"}", "\"secret\",\"hash\":\"x\"}"), "the end of a change"),
        (text(0).replace(",\"id\"", ",\"changes\":[],\"id\""), "a change"),
        (text(9).replace("\"reported\":true", "\"reported\":false"), "the field `schema`"),
        (access.chars().take(access.len() - 1).collect(), "the end of the event"),
    ];
    for (text, what) in cases {
        match parse(text.as_bytes()) {
            Err(Error::NotCanonical { expected, .. }) => assert_eq!(expected, what, "{text}"),
            other => panic!("{what}: {other:?} for {text}"),
        }
    }
    let mut broken = FIXTURES[1].1.to_vec();
    broken[20] = 0xff;
    assert!(matches!(parse(&broken), Err(Error::NotCanonical { offset: 20, expected: "UTF-8" })));
    assert!(matches!(parse(&vec![b' '; 70_000]), Err(Error::TooLarge { .. })));
}
