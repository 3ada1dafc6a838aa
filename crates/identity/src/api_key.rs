use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use stanchion_core::{DisplayName, KeyId, Scope, SubjectRef, Text, Timestamp};

use crate::{Environment, Error, KeyHash, RejectionReason};

/// An API key as it is stored: everything but the key itself.
///
/// A key keeps its id while its secret is [rotated](crate::Engine::rotate). Two secrets of it work at most: the current one, and the one before
/// until its grace is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// What records and administration refer to.
    pub id: KeyId,
    /// The tenant, or the platform, that it is bound to.
    pub scope: Scope,
    /// Whom it authenticates.
    pub subject: SubjectRef,
    /// What people call it.
    pub name: DisplayName,
    /// Where it is meant to be used.
    pub environment: Environment,
    /// The instant from which it is not accepted; `None` for never. No rotation moves it.
    pub expires_at: Option<Timestamp>,
    /// Whether it was revoked.
    pub status: KeyStatus,
    /// The networks it may be used from; empty for any.
    pub cidrs: Vec<IpNet>,
    /// The secret that is handed out now.
    pub current: Generation,
    /// The secret before it, once there was a rotation.
    pub former: Option<Former>,
}

/// Whether a key was revoked. There is no way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyStatus {
    /// It was not.
    Active,
    /// It was, and so were all of its secrets.
    Revoked {
        /// When.
        at: Timestamp,
    },
}

/// One secret of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Counts a key's secrets from 1.
    pub number: u32,
    /// Its first characters, by which people and scanners tell it apart; of no use as a key.
    pub prefix: Text,
    /// What it hashes to.
    pub hash: KeyHash,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A secret that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// The secret.
    pub generation: Generation,
    /// The instant from which it is not accepted; never later than the key's own.
    pub not_after: Timestamp,
}

/// What a key is issued from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The tenant, or the platform, that it is bound to.
    pub scope: Scope,
    /// Whom it authenticates.
    pub subject: SubjectRef,
    /// What people call it.
    pub name: DisplayName,
    /// Where it is meant to be used; `None` for the engine's default.
    pub environment: Option<Environment>,
    /// The instant from which it is not accepted; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// The networks it may be used from, at most [`NewKey::MAX_CIDRS`]; empty for any.
    pub cidrs: Vec<IpNet>,
}

impl NewKey {
    /// The most networks of a key. Each is looked at with every request.
    pub const MAX_CIDRS: usize = 64;

    /// Checks what types cannot, and brings the networks into their shortest form.
    pub(crate) fn checked(self, now: Timestamp) -> Result<Self, Error> {
        if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(Error::ExpiryPassed);
        }
        if self.cidrs.len() > Self::MAX_CIDRS {
            return Err(Error::TooManyCidrs);
        }
        let mut cidrs: Vec<IpNet> = self.cidrs.into_iter().map(canonical).collect();
        cidrs.sort_unstable();
        cidrs.dedup();
        Ok(Self { cidrs, ..self })
    }
}

/// Cuts off host bits and writes IPv4 networks that are mapped into IPv6 (RFC 4291 section 2.5.5.2) as what they are.
fn canonical(net: IpNet) -> IpNet {
    let mapped = match net {
        IpNet::V6(net) => net.addr().to_ipv4_mapped().zip(net.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    let net = mapped.and_then(|(ip, prefix)| Ipv4Net::new(ip, prefix).ok()).map_or(net, IpNet::V4);
    net.trunc()
}

impl ApiKey {
    /// Returns the secrets that are stored, the current one first.
    pub fn generations(&self) -> impl Iterator<Item = &Generation> {
        std::iter::once(&self.current).chain(self.former.as_ref().map(|former| &former.generation))
    }

    /// Tells whether the key's current secret is accepted at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.status == KeyStatus::Active && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Revokes the key with all of its secrets. Nothing changes when it was revoked before.
    pub(crate) fn revoked(&self, now: Timestamp) -> Self {
        let status = match self.status {
            KeyStatus::Active => KeyStatus::Revoked { at: now },
            revoked @ KeyStatus::Revoked { .. } => revoked,
        };
        Self { status, ..self.clone() }
    }

    /// Replaces the secret. The present one is accepted for `grace` longer, but not beyond the key's expiry; the one before it is over.
    /// Refuses a key that is not live, and a grace that would let a third secret work.
    pub(crate) fn rotated(&self, secret: NewSecret, now: Timestamp, grace: Duration) -> Result<Self, Error> {
        if self.status != KeyStatus::Active {
            return Err(Error::Revoked(self.id));
        }
        if !self.is_live(now) {
            return Err(Error::Expired(self.id));
        }
        if let Some(former) = &self.former
            && now < former.not_after
            && !grace.is_zero()
        {
            return Err(Error::InGrace { key: self.id, until: former.not_after });
        }
        let not_after = self.expires_at.unwrap_or(Timestamp::MAX).min(now.plus(grace));
        let number = self.current.number.saturating_add(1);
        Ok(Self {
            current: secret.generation(number, now),
            former: Some(Former { generation: self.current.clone(), not_after }),
            ..self.clone()
        })
    }

    /// Returns the terms of the secret with this hash; `None` when the key has no such secret.
    pub(crate) fn terms(&self, hash: &KeyHash) -> Option<Terms> {
        let until = if self.current.hash == *hash {
            self.expires_at
        } else {
            let former = self.former.as_ref().filter(|former| former.generation.hash == *hash)?;
            Some(self.expires_at.map_or(former.not_after, |expires_at| expires_at.min(former.not_after)))
        };
        Some(Terms {
            revoked: self.status != KeyStatus::Active,
            until: until.unwrap_or(Timestamp::MAX),
            cidrs: self.cidrs.as_slice().into(),
        })
    }
}

/// What is stored of a secret that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewSecret {
    pub(crate) prefix: Text,
    pub(crate) hash: KeyHash,
}

impl NewSecret {
    pub(crate) fn generation(self, number: u32, created_at: Timestamp) -> Generation {
        Generation { number, prefix: self.prefix, hash: self.hash, created_at }
    }
}

/// Under what conditions a secret is accepted. They are looked at with every request, cached or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    revoked: bool,
    until: Timestamp,
    cidrs: Box<[IpNet]>,
}

impl Terms {
    pub(crate) fn check(&self, now: Timestamp, ip: Option<IpAddr>) -> Result<(), RejectionReason> {
        if self.revoked {
            Err(RejectionReason::Revoked)
        } else if self.until <= now {
            Err(RejectionReason::Expired)
        } else if self.admits(ip) {
            Ok(())
        } else {
            Err(RejectionReason::IpNotAllowed)
        }
    }

    fn admits(&self, ip: Option<IpAddr>) -> bool {
        // An IPv4 client on a socket that takes both comes as ::ffff:a.b.c.d.
        let within = |ip: IpAddr| self.cidrs.iter().any(|net| net.contains(&ip.to_canonical()));
        self.cidrs.is_empty() || ip.is_some_and(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_000_000);

    fn after(seconds: u64) -> Timestamp {
        NOON.plus(Duration::from_secs(seconds))
    }

    fn hash(number: u8) -> KeyHash {
        KeyHash::from_parts(1, [number; 32])
    }

    fn secret(number: u8) -> NewSecret {
        NewSecret { prefix: format!("stn_live_000{number}").into(), hash: hash(number) }
    }

    fn key(expires_at: Option<Timestamp>) -> ApiKey {
        ApiKey {
            id: "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap(),
            scope: Scope::Platform,
            subject: SubjectRef::service("etl").unwrap(),
            name: "nightly".parse().unwrap(),
            environment: Environment::default(),
            expires_at,
            status: KeyStatus::Active,
            cidrs: Vec::new(),
            current: secret(1).generation(1, NOON),
            former: None,
        }
    }

    fn check(key: &ApiKey, number: u8, now: Timestamp) -> Result<(), RejectionReason> {
        key.terms(&hash(number)).ok_or(RejectionReason::Unknown)?.check(now, None)
    }

    fn admits(cidrs: &[&str], ip: Option<&str>) -> bool {
        let new = NewKey {
            scope: Scope::Platform,
            subject: SubjectRef::service("etl").unwrap(),
            name: "nightly".parse().unwrap(),
            environment: None,
            expires_at: None,
            cidrs: cidrs.iter().map(|net| net.parse().unwrap()).collect(),
        };
        let terms = Terms {
            revoked: false,
            until: Timestamp::MAX,
            cidrs: new.checked(NOON).unwrap().cidrs.into_boxed_slice(),
        };
        terms.check(NOON, ip.map(|ip| ip.parse().unwrap())).is_ok()
    }

    #[test]
    fn a_rotated_secret_works_until_its_grace_is_over() {
        let key = key(None).rotated(secret(2), NOON, Duration::from_secs(10)).unwrap();
        assert_eq!((key.current.number, key.current.created_at), (2, NOON));
        assert_eq!(check(&key, 2, after(1_000)), Ok(()));
        assert_eq!(check(&key, 1, NOON.plus(Duration::from_micros(9_999_999))), Ok(()));
        assert_eq!(check(&key, 1, after(10)), Err(RejectionReason::Expired));
        assert_eq!(check(&key, 3, NOON), Err(RejectionReason::Unknown));
    }

    #[test]
    fn no_rotation_extends_the_expiry() {
        let key = key(Some(after(5))).rotated(secret(2), NOON, Duration::MAX).unwrap();
        assert_eq!(key.expires_at, Some(after(5)));
        assert_eq!(key.former.as_ref().unwrap().not_after, after(5));
        // Whatever a store says of the former secret.
        let former = key.former.clone().map(|former| Former { not_after: after(99), ..former });
        for key in [ApiKey { former, ..key.clone() }, key] {
            for number in [1, 2] {
                assert_eq!(check(&key, number, after(4)), Ok(()));
                assert_eq!(check(&key, number, after(5)), Err(RejectionReason::Expired));
            }
        }
    }

    #[test]
    fn a_third_secret_never_works_beside_two() {
        let grace = Duration::from_secs(10);
        let twice = key(None).rotated(secret(2), NOON, grace).unwrap();
        let refused = twice.rotated(secret(3), after(9), grace);
        assert!(matches!(refused, Err(Error::InGrace { until, .. }) if until == after(10)));
        let later = twice.rotated(secret(3), after(10), grace).unwrap();
        assert_eq!(later.generations().map(|generation| generation.number).collect::<Vec<_>>(), [3, 2]);
        // Without grace everything older is over at once: that is the way out when a secret has leaked.
        let at_once = twice.rotated(secret(3), after(1), Duration::ZERO).unwrap();
        assert_eq!(check(&at_once, 1, after(1)), Err(RejectionReason::Unknown));
        assert_eq!(check(&at_once, 2, after(1)), Err(RejectionReason::Expired));
        assert_eq!(check(&at_once, 3, after(1)), Ok(()));
    }

    #[test]
    fn a_key_that_is_over_is_not_rotated() {
        let revoked = key(None).revoked(NOON).rotated(secret(2), NOON, Duration::ZERO);
        assert!(matches!(revoked, Err(Error::Revoked(_))));
        let expired = key(Some(after(5))).rotated(secret(2), after(5), Duration::ZERO);
        assert!(matches!(expired, Err(Error::Expired(_))));
    }

    #[test]
    fn revoking_ends_every_secret_and_keeps_its_first_time() {
        let key = key(None).rotated(secret(2), NOON, Duration::from_secs(10)).unwrap().revoked(after(1));
        assert_eq!(key.revoked(after(9)).status, KeyStatus::Revoked { at: after(1) });
        for number in [1, 2] {
            assert_eq!(check(&key, number, after(1)), Err(RejectionReason::Revoked));
        }
    }

    #[test]
    fn addresses_are_matched_by_network() {
        assert!(admits(&[], None) && admits(&[], Some("192.0.2.1")));
        assert!(!admits(&["192.0.2.0/24"], None), "an address that is not known is in no network");
        assert!(admits(&["192.0.2.0/24", "2001:db8::/32"], Some("2001:db8::1")));
        assert!(admits(&["192.0.2.77/24"], Some("192.0.2.1")), "host bits do not matter");
        assert!(!admits(&["192.0.2.0/24"], Some("192.0.3.1")));
        assert!(admits(&["192.0.2.0/24"], Some("::ffff:192.0.2.1")));
        assert!(admits(&["::ffff:192.0.2.0/120"], Some("192.0.2.1")));
        assert!(!admits(&["::ffff:192.0.2.0/120"], Some("192.0.3.1")));
        assert!(!admits(&["0.0.0.0/0"], Some("2001:db8::1")));
    }
}
