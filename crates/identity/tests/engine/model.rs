//! Random lives of keys, on two engines over one store, against the plainest description of what they should say.

use std::net::IpAddr;
use std::time::Duration;

use stanchion_core::{Clock, KeyId, SeededRandom, Timestamp};
use stanchion_identity::{Config, Error, NewKey, PlainKey};

use crate::world::{EXPIRED, REVOKED, UNKNOWN, World, word};

struct Key {
    id: KeyId,
    /// Every secret it ever had, with the instant it is over.
    secrets: Vec<(PlainKey, Timestamp)>,
    expires_at: Timestamp,
    revoked: bool,
    bound: bool,
}

impl Key {
    fn expected(&self, secret: usize, now: Timestamp, inside: bool) -> &'static str {
        let (_, over_at) = self.secrets[secret];
        if secret + 2 < self.secrets.len() {
            UNKNOWN
        } else if self.revoked {
            REVOKED
        } else if now >= over_at.min(self.expires_at) {
            EXPIRED
        } else if self.bound && !inside {
            "ip_not_allowed"
        } else {
            "authenticated"
        }
    }
}

#[tokio::test]
async fn engines_say_what_the_plain_description_says() {
    let mut said = std::collections::BTreeMap::new();
    for seed in 0..40 {
        live(seed, &mut said).await;
    }
    assert!(
        ["authenticated", REVOKED, EXPIRED, UNKNOWN, "ip_not_allowed"].iter().all(|word| said[word] > 100),
        "{said:?}"
    );
}

async fn live(seed: u64, said: &mut std::collections::BTreeMap<&'static str, u32>) {
    let world = World::new();
    let random = SeededRandom::new(seed);
    let pick = |bound: u64| usize::try_from(random.next_u64() % bound.max(1)).unwrap();
    let config = Config { cached_keys: 16, cached_unknown: 16, ..Config::default() };
    let engines = [
        world.engine_with(seed + 1_000, &[1], config.clone()),
        world.engine_with(seed + 2_000, &[1], config),
    ];
    let mut followers = [world.follower(&engines[0]), world.follower(&engines[1])];
    let mut keys: Vec<Key> = Vec::new();
    for step in 0..400 {
        let now = world.clock.now();
        let engine = &engines[pick(2)];
        let chosen = pick(keys.len() as u64);
        match (pick(20), keys.get_mut(chosen)) {
            (0..=1, _) => {
                let expires_at = now.plus(Duration::from_secs(1 + pick(600) as u64));
                let bound = pick(3) == 0;
                let new = NewKey {
                    expires_at: Some(expires_at),
                    cidrs: if bound { vec!["192.0.2.0/24".parse().unwrap()] } else { Vec::new() },
                    ..world.new_key()
                };
                let (key, plain) = engine.issue(&world.author, new).await.unwrap();
                let secrets = vec![(plain, Timestamp::MAX)];
                keys.push(Key { id: key.value.id, secrets, expires_at, revoked: false, bound });
            }
            (2, Some(key)) if pick(3) == 0 => {
                engine.revoke(&world.author, world.tenant, key.id).await.unwrap();
                key.revoked = true;
            }
            (3..=4, Some(key)) => {
                let grace = Duration::from_secs(pick(3) as u64 * 20);
                let former =
                    key.secrets.len().checked_sub(2).map(|former| key.secrets[former].1.min(key.expires_at));
                match engine.rotate(&world.author, world.tenant, key.id, grace).await {
                    Ok((_, plain)) => {
                        assert!(!key.revoked && now < key.expires_at);
                        assert!(grace.is_zero() || former.is_none_or(|former| former <= now));
                        key.secrets.last_mut().unwrap().1 = now.plus(grace);
                        key.secrets.push((plain, Timestamp::MAX));
                    }
                    Err(Error::Revoked(_)) => assert!(key.revoked),
                    Err(Error::Expired(_)) => assert!(now >= key.expires_at),
                    Err(Error::InGrace { until, .. }) => {
                        assert_eq!((Some(until), now < until), (former, true))
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            (5..=6, _) => world.clock.advance(Duration::from_secs(pick(15) as u64)),
            (_, Some(key)) => {
                let secret = pick(key.secrets.len() as u64);
                let inside = pick(2) == 0;
                let ip: IpAddr = if inside { "192.0.2.1" } else { "198.51.100.1" }.parse().unwrap();
                let plain = key.secrets[secret].0.expose();
                let expected = key.expected(secret, now, inside);
                *said.entry(expected).or_insert(0) += 1;
                for (engine, follower) in engines.iter().zip(&mut followers) {
                    follower.catch_up().await.unwrap();
                    let place = format!("seed {seed}, step {step}");
                    if let Some(outcome) = engine.try_authenticate(plain, Some(ip)) {
                        assert_eq!(word(&outcome), expected, "{place}, from memory");
                    }
                    let outcome = engine.authenticate(plain, Some(ip)).await.unwrap();
                    assert_eq!(word(&outcome), expected, "{place}");
                }
            }
            _ => {}
        }
    }
}
