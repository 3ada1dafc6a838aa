//! The suite of [`ObjectStore`].

use std::sync::Arc;

use super::fixture::NOON;
use super::races::spawn;
use crate::{ObjectName, ObjectStore, PutOutcome};

type Store = Arc<dyn ObjectStore>;

fn name(text: &str) -> ObjectName {
    text.parse().expect("a name")
}

async fn put(store: &Store, at: &str, bytes: &[u8]) -> PutOutcome {
    store.put_new(&name(at), bytes.to_vec(), None).await.expect("answers")
}

async fn get(store: &Store, at: &str) -> Option<Vec<u8>> {
    store.get(&name(at)).await.expect("answers")
}

async fn list(store: &Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let after = after.map(name);
    let found = store.list(&name(prefix), after.as_ref(), limit).await.expect("answers");
    found.iter().map(ToString::to_string).collect()
}

macro_rules! suite {
    ($dollar:tt $($(#[$doc:meta])* $case:ident: $store:pat => $body:block)+) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];

        $($(#[$doc])* pub async fn $case($store: Arc<dyn ObjectStore>) $body)+

        /// Runs the suite of `ObjectStore`: `object_store_conformance!(mod memory_object_store, factory());`, where the factory is an
        /// expression that returns a future of an empty `Arc<dyn ObjectStore>`.
        #[macro_export]
        macro_rules! object_store_conformance {
            (mod $dollar name:ident, $dollar factory:expr) => {
                mod $dollar name {
                    use super::*;
                    $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() {
                        $crate::conformance::object_store::$case($dollar factory.await).await;
                    })+
                }
            };
        }
    };
}

suite! { $
    /// A store without objects has none, under any name.
    an_empty_store_has_no_objects: store => {
        assert_eq!(get(&store, "a").await, None);
        assert_eq!(get(&store, "a/b/c.json").await, None);
        assert_eq!(list(&store, "a", None, 10).await, [""; 0]);
        assert_eq!(list(&store, "a/b", Some("a/b/c"), 10).await, [""; 0]);
    }

    /// Every byte comes back, of no byte at all and of more than one packet has.
    objects_read_back_as_written: store => {
        let every: Vec<u8> = (0..=255).collect();
        let large: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[(number % 3) as usize]).collect();
        for (at, bytes) in [("x/empty", &[][..]), ("x/every", &every), ("x/deep/er/large.zst", &large)] {
            assert_eq!(put(&store, at, bytes).await, PutOutcome::Written);
            assert_eq!(get(&store, at).await.as_deref(), Some(bytes), "{at}");
        }
    }

    /// What is there stays as it is, whatever is put under its name.
    an_object_is_never_overwritten: store => {
        assert_eq!(put(&store, "a/b", b"first").await, PutOutcome::Written);
        for bytes in [&b"second"[..], b"first", b""] {
            assert_eq!(put(&store, "a/b", bytes).await, PutOutcome::Exists);
            assert_eq!(get(&store, "a/b").await.as_deref(), Some(&b"first"[..]));
        }
        assert_eq!(list(&store, "a", None, 10).await, ["a/b"]);
    }

    /// An object that is to be kept for a time is one like all others.
    an_object_may_be_kept_until_an_instant: store => {
        let until = Some(NOON.plus(std::time::Duration::from_secs(40 * 365 * 86_400)));
        let at = name("kept/one");
        let put = async |bytes: &[u8]| store.put_new(&at, bytes.to_vec(), until).await.expect("answers");
        assert_eq!(put(b"kept").await, PutOutcome::Written);
        assert_eq!(put(b"other").await, PutOutcome::Exists);
        assert_eq!(get(&store, "kept/one").await.as_deref(), Some(&b"kept"[..]));
    }

    /// Names come in the order of their bytes, in pages, and only those below the prefix.
    names_are_listed_in_order_and_in_pages: store => {
        let names = ["a/0", "a/1/x", "a/1-x", "a/1.json", "a/1=x", "a/10", "a/2/y/z", "a_/3", "ab/4", "b/5"];
        for at in names {
            put(&store, at, at.as_bytes()).await;
        }
        let mut below: Vec<&str> = names.into_iter().filter(|at| at.starts_with("a/")).collect();
        below.sort_unstable();
        assert_eq!(list(&store, "a", None, 100).await, below);
        assert_eq!(list(&store, "a/1", None, 100).await, ["a/1/x"]);
        assert_eq!(list(&store, "b", None, 100).await, ["b/5"]);
        assert_eq!(list(&store, "a", None, 0).await, [""; 0]);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = list(&store, "a", after.as_deref(), 2).await;
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            found.extend(page);
        }
        assert_eq!(found, below);
        assert_eq!(list(&store, "a", Some("a/1.zst"), 2).await, ["a/1/x", "a/10"], "after a name that has no object");
    }

    /// Of eight who put one name at once one writes it, and everybody reads that one's bytes whole.
    racing_puts_have_one_winner: store => {
        for round in 0..10_u8 {
            let racers: Vec<_> = (0..8_u8)
                .map(|racer| {
                    let store = Arc::clone(&store);
                    spawn(async move {
                        let bytes = vec![racer; 100_000];
                        let at = format!("race/{round}");
                        let outcome = put(&store, &at, &bytes).await;
                        let read = get(&store, &at).await.expect("is there");
                        (racer, outcome, read)
                    })
                })
                .collect();
            let (mut won, mut read) = (Vec::new(), Vec::new());
            for racer in racers {
                let (racer, outcome, bytes) = racer.await.expect("ends");
                if outcome == PutOutcome::Written {
                    won.push(racer);
                }
                read.push(bytes);
            }
            assert_eq!(won.len(), 1, "round {round}: {won:?}");
            assert!(read.iter().all(|bytes| *bytes == [won[0]; 100_000]), "round {round}");
        }
    }
}
