use ed25519_dalek::{Signer as _, SigningKey};

use super::*;

const NAME: &str = "witness.example.org";
const NOTE: &str =
    "audit.example.com/platform/security\n7\nAAAA\n\n\u{2014} audit.example.com/platform/security AAAA\n";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

/// The id of the key under a name, as C2SP has it.
fn id(name: &str) -> [u8; 4] {
    let hash = Sha256::digest([name.as_bytes(), b"\n\x04", key().verifying_key().as_bytes()].concat());
    *hash.first_chunk().unwrap()
}

fn text(name: &str, id: [u8; 4]) -> String {
    let public = [&[4], key().verifying_key().as_bytes().as_slice()].concat();
    format!("{name}+{:08x}+{}", u32::from_be_bytes(id), BASE64.encode(public))
}

/// A line of a cosignature of the note, in a name and under an id.
fn line(name: &str, id: [u8; 4], seconds: u64) -> String {
    let text = NOTE.split_once("\n\n").unwrap().0;
    let signature = key().sign(format!("cosignature/v1\ntime {seconds}\n{text}\n").as_bytes()).to_bytes();
    format!("{DASH}{name} {}", BASE64.encode([&id[..], &seconds.to_be_bytes(), &signature].concat()))
}

#[test]
fn a_cosignature_is_found_by_the_witness_its_name_and_its_id() {
    let witness: WitnessKey = text(NAME, id(NAME)).parse().unwrap();
    assert_eq!(witness.to_string(), text(NAME, id(NAME)));
    let good = line(NAME, id(NAME), 1_772_366_400);
    let lines = format!("{DASH}else AAAA\nno line\n{good}\n");
    let at = Timestamp::from_micros(1_772_366_400_000_000);
    assert_eq!(witness.verify(NOTE, &lines), Ok((good.as_str(), at)));
    let unknown = Err(NoteError::UnknownKey);
    assert_eq!(witness.verify(NOTE, &line("else.example.org", id(NAME), 1)), unknown, "another's name");
    assert_eq!(witness.verify(NOTE, &line(NAME, [1, 2, 3, 4], 1)), unknown, "another key of that name");
    assert_eq!(witness.verify(NOTE, ""), unknown);
    let wrong = Err(NoteError::WrongSignature);
    assert_eq!(witness.verify(&NOTE.replace("\n7\n", "\n8\n"), &good), wrong, "another note");
    let short = format!("{DASH}{NAME} {}", BASE64.encode(id(NAME)));
    assert_eq!(witness.verify(NOTE, &short), wrong);
    assert_eq!(witness.verify("no note", &good), Err(NoteError::Malformed));
}

#[test]
fn a_key_has_a_name_and_the_id_that_follows_from_both() {
    let is_key = |text: &str| text.parse::<WitnessKey>().is_ok();
    assert!(is_key(&text(NAME, id(NAME))));
    for name in ["", "a b", "a\tb"] {
        assert!(!is_key(&text(name, id(name))), "{name:?}");
    }
    assert!(!is_key(&text(NAME, [1, 2, 3, 4])), "the id of another key");
    assert!(!is_key(&text(NAME, id(NAME)).to_uppercase()));
    // A key that signs notes is none that cosigns them.
    let signs = BASE64.encode([&[1], key().verifying_key().as_bytes().as_slice()].concat());
    assert!(!is_key(&format!("{NAME}+{:08x}+{signs}", u32::from_be_bytes(id(NAME)))));
    for bad in ["", "a", "a+b", "a+00000000+", "a+00000000+BA=="] {
        assert!(!is_key(bad), "{bad}");
    }
}
