//! What a protected field costs on the way into the ledger, with its key in memory, and what a batch's look for it costs without any.
//!
//! The floor is what nobody can do without: one AES-256-GCM of the value and one HMAC-SHA256 for the nonce, over the same bytes.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use stanchion_audit::{
    Aes256GcmCipher, CipherKey, FieldCipher as _, Mark, Marked, MemorySubjectKeyStore, ProtectConfig,
    Protection, canonical,
};
use stanchion_core::{Event, IdGen as _, ManualClock, Scope, SeededRandom};

use super::{Figure, NOON, access_event, cpu, keys};

const REPETITIONS: usize = 9;
const VALUE: &str = "alice.liddell@example.org";

pub(crate) fn run(count: usize) {
    let (clock, ids) = (Arc::new(ManualClock::at(NOON)), Arc::new(SeededRandom::new(1)));
    let store = Arc::new(MemorySubjectKeyStore::new(None));
    let cipher = Arc::new(Aes256GcmCipher);
    let config = ProtectConfig::default();
    let protection =
        Protection::new(store, cipher, keys(), clock.clone(), clock, ids.clone(), ids.clone(), config);
    let scope = Scope::Tenant(ids.tenant_id(NOON));
    let event = |number| access_event(&ids, scope, number).with_detail("email", VALUE);
    let events: Vec<Event> = (0..count).map(event).collect();
    let mark = || Mark::new("details.email".parse().expect("is a field"));
    let mut figures = [
        Figure::new("protect_field", "ns", "cipher_alone"),
        Figure::new("protect_field_searchable", "ns", "cipher_alone"),
    ];
    for _ in 0..REPETITIONS {
        let floor = each(&events, |_| alone());
        let plain = each(&events, |event| drop(black_box(canonical(event))));
        for (figure, searchable) in figures.iter_mut().zip([false, true]) {
            let ours = each(&events, |event| {
                let mark = if searchable { mark().searchable() } else { mark() };
                let sealed =
                    now(protection.seal(Marked::new(event.clone(), [mark]))).expect("its key is in memory");
                drop(black_box(canonical(&sealed)));
            });
            figure.pairs.push((ours - plain, floor));
        }
    }
    figures.iter().for_each(Figure::print);
}

fn each(events: &[Event], mut work: impl FnMut(&Event)) -> f64 {
    let start = cpu();
    events.iter().for_each(&mut work);
    (cpu() - start) / events.len() as f64
}

fn alone() {
    let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("any length is a key");
    mac.update(&[1; 224]);
    let nonce = mac.finalize().into_bytes();
    let nonce = nonce.first_chunk::<12>().expect("32 bytes");
    black_box(Aes256GcmCipher.seal(&CipherKey::new([7; 32]), nonce, &[1; 192], &[2; 32]));
}

/// The result of what waits for nothing.
fn now<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a store in memory answers at once"),
    }
}
