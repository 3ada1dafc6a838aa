use stanchion_core::Secret;

use super::*;
use crate::leaf_hash;

const CHAIN: &str = "platform/security";

fn signer(versions: impl IntoIterator<Item = u8>) -> CheckpointSigner {
    let keys = versions.into_iter().map(|version| (version.into(), Secret::new([version; 32])));
    CheckpointSigner::new(&KeyRing::new(keys).unwrap(), "audit.example.com").unwrap()
}

fn checkpoint(signer: &CheckpointSigner) -> Checkpoint {
    signer.sign(CHAIN.parse().unwrap(), 7, leaf_hash(b"root"), Timestamp::from_micros(1))
}

#[test]
fn a_checkpoint_reads_as_tlog_checkpoint_says() {
    let note = checkpoint(&signer([1])).note;
    let lines: Vec<&str> = note.as_str().lines().collect();
    assert_eq!(lines[..2], ["audit.example.com/platform/security", "7"]);
    assert_eq!(BASE64.decode(lines[2]).unwrap(), leaf_hash(b"root").bytes());
    assert_eq!((lines[3], lines.len()), ("", 5));
    assert!(lines[4].starts_with("\u{2014} audit.example.com/platform/security "));
}

#[test]
fn a_checkpoint_opens_with_its_key_and_no_other() {
    let signer = signer([1]);
    let checkpoint = checkpoint(&signer);
    assert_eq!(signer.verify(&checkpoint), Ok(()));
    let head = TreeHead::open(checkpoint.note.as_str(), &signer.verifiers(&checkpoint.chain)).unwrap();
    assert_eq!((head.origin.as_str(), head.size), ("audit.example.com/platform/security", 7));
    let others = [super::tests::signer([2]).verifiers(&checkpoint.chain), Vec::new()];
    for keys in others {
        assert_eq!(TreeHead::open(checkpoint.note.as_str(), &keys), Err(NoteError::UnknownKey));
    }
    let other_chain = "platform/standard".parse().unwrap();
    assert_eq!(
        TreeHead::open(checkpoint.note.as_str(), &signer.verifiers(&other_chain)),
        Err(NoteError::UnknownKey),
        "each log has keys of its own name"
    );
}

#[test]
fn whatever_is_altered_in_a_checkpoint_is_noticed() {
    let signer = signer([1]);
    let good = checkpoint(&signer);
    let keys = signer.verifiers(&good.chain);
    for (place, _) in good.note.as_str().char_indices() {
        let mut bytes = good.note.as_str().as_bytes().to_vec();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        if let Ok(note) = String::from_utf8(bytes) {
            assert!(TreeHead::open(&note, &keys).is_err(), "altered at {place}: {note}");
        }
    }
    for bad in [
        "",
        "\n",
        "\n\n",
        "text\n\n",
        "text\n\n\u{2014} name AAAA\n",
        &good.note.as_str().replace('\n', "\r\n"),
    ] {
        assert!(TreeHead::open(bad, &keys).is_err(), "{bad:?}");
    }
    for altered in [Checkpoint { size: 8, ..good.clone() }, Checkpoint { root: Digest::ZERO, ..good }] {
        assert_eq!(signer.verify(&altered), Err(NoteError::NoCheckpoint));
    }
}

#[test]
fn who_follows_the_key_before_the_current_one_can_go_on() {
    let chain = CHAIN.parse().unwrap();
    let (first, second, third) = (signer([1]), signer([1, 2]), signer([1, 2, 3]));
    let opens = |by: &CheckpointSigner, with: &CheckpointSigner| {
        TreeHead::open(checkpoint(by).note.as_str(), &with.verifiers(&chain))
    };
    assert!(opens(&second, &first).is_ok());
    assert_eq!(opens(&third, &first), Err(NoteError::UnknownKey));
    assert!(opens(&first, &third).is_ok(), "a ring keeps what verifies old checkpoints");
}

#[test]
fn a_verifier_key_reads_back_and_no_other_text_does() {
    let key = signer([1]).verifiers(&CHAIN.parse().unwrap()).remove(0);
    let text = key.to_string();
    assert_eq!(text.parse::<VerifierKey>(), Ok(key));
    let (name, rest) = text.split_once('+').unwrap();
    for bad in
        ["", name, rest, &format!("other+{rest}"), text.strip_suffix(|_| true).unwrap(), &format!("{text}A")]
    {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
    }
}

#[test]
fn a_deployment_has_to_be_a_name() {
    let keys = KeyRing::new([(1, Secret::new([1; 32]))]).unwrap();
    for bad in ["", "a b", "a+b", "a\nb", &"a".repeat(201)] {
        assert!(CheckpointSigner::new(&keys, bad.to_owned()).is_err(), "{bad:?}");
    }
}
