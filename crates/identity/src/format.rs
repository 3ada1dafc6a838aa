use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::{InvalidId, Random, Text};
use zeroize::Zeroizing;

/// What every key begins with, so that scanners find keys that leaked.
const SCHEME: &str = "stn_";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of the secret: log2(62^30) is 178 bits.
const SECRET_CHARS: usize = 30;
const CHECKSUM_CHARS: usize = 6;
/// Characters of the secret in the prefix by which people tell keys apart. They leave 154 bits unknown.
const PREFIX_CHARS: usize = 4;

/// Where a key is meant to be used, such as `live` or `test`: 1 to 16 of `a-z 0-9`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Environment(Text);

impl Environment {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks the rule.
    pub fn new(text: impl Into<Text>) -> Result<Self, InvalidId> {
        let text = text.into();
        if is_environment(text.as_str()) {
            Ok(Self(text))
        } else {
            Err(InvalidId::new("environment", "use 1 to 16 of a-z, 0-9", text.as_str()))
        }
    }

    /// Borrows the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self(Text::Static("live"))
    }
}

stanchion_core::text_schema!(Environment, "1 to 16 of `a-z 0-9`");

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Environment {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text.to_owned())
    }
}

impl Serialize for Environment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Text::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn is_environment(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=16).contains(&text.len()) && text.bytes().all(allowed)
}

/// A text that has the form of a key and whose checksum is right: worth looking up. It is never printed.
///
/// The form is `stn_<environment>_<30 of 0-9A-Za-z>_<6 of 0-9A-Za-z>`, as a regular expression
/// `stn_[a-z0-9]{1,16}_[0-9A-Za-z]{30}_[0-9A-Za-z]{6}`. The last six characters are the CRC-32 (IEEE 802.3) of everything before them,
/// written in base 62 with the most significant digit first. The checksum keeps typing errors and most junk from the store, and lets
/// scanners tell a key from a look-alike; it proves nothing.
#[derive(Clone, Copy)]
pub struct PresentedKey<'a>(&'a str);

impl<'a> PresentedKey<'a> {
    /// Reads a key from the right. `None` when the text has not the form of one, or the checksum is wrong.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (body, checksum) = text.split_at_checked(text.len().checked_sub(CHECKSUM_CHARS)?)?;
        let (head, secret) = split_secret(body)?;
        let environment = head.strip_prefix(SCHEME)?.strip_suffix('_')?;
        let alphanumeric = secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if alphanumeric && is_environment(environment) && checksum.as_bytes() == checksum_of(body) {
            Some(Self(text))
        } else {
            None
        }
    }

    /// Returns the environment that the key names.
    #[must_use]
    pub fn environment(&self) -> &'a str {
        self.0.get(SCHEME.len()..).and_then(|rest| rest.split('_').next()).unwrap_or_default()
    }

    /// Returns the first characters, by which people tell keys apart; they are of no use as a key.
    #[must_use]
    pub fn prefix(&self) -> &'a str {
        let end = SCHEME.len() + self.environment().len() + 1 + PREFIX_CHARS;
        self.0.get(..end).unwrap_or_default()
    }

    pub(crate) const fn as_bytes(&self) -> &'a [u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PresentedKey({}…)", self.prefix())
    }
}

/// Splits `stn_live_<secret>_` into `stn_live_` and the secret.
fn split_secret(body: &str) -> Option<(&str, &str)> {
    let body = body.strip_suffix('_')?;
    body.split_at_checked(body.len().checked_sub(SECRET_CHARS)?)
}

fn checksum_of(body: &str) -> [u8; CHECKSUM_CHARS] {
    let mut rest = u64::from(crc32fast::hash(body.as_bytes()));
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = base62(rest % 62);
        rest /= 62;
    }
    digits
}

fn base62(value: u64) -> u8 {
    usize::try_from(value).ok().and_then(|index| BASE62.get(index)).copied().unwrap_or(b'0')
}

/// A new key in plain text: shown once to whoever asked for it, and kept nowhere. It is wiped when dropped and never printed.
pub struct PlainKey(Zeroizing<String>);

impl PlainKey {
    /// Makes a key from 178 random bits.
    #[must_use]
    pub fn generate(environment: &Environment, random: &dyn Random) -> Self {
        // Room for all of it from the start: growing would leave a copy behind that is not wiped.
        let mut text = Zeroizing::new(String::with_capacity(64));
        text.push_str(SCHEME);
        text.push_str(environment.as_str());
        text.push('_');
        let end = text.len() + SECRET_CHARS;
        let mut bytes = Zeroizing::new([0; 32]);
        while text.len() < end {
            random.fill(&mut *bytes);
            // 248 is the greatest multiple of 62 in a byte: what lies above would make some digits likelier than others.
            let digits = bytes
                .iter()
                .filter(|byte| **byte < 248)
                .map(|byte| char::from(base62(u64::from(*byte) % 62)));
            let missing = end - text.len();
            text.extend(digits.take(missing));
        }
        text.push('_');
        let checksum = checksum_of(&text);
        text.extend(checksum.map(char::from));
        Self(text)
    }

    /// Shows the key to the code that hands it over.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Borrows the key as it will be presented.
    #[must_use]
    pub fn presented(&self) -> PresentedKey<'_> {
        PresentedKey(&self.0)
    }
}

impl fmt::Debug for PlainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainKey({}…)", self.presented().prefix())
    }
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use stanchion_core::SeededRandom;

    /// Checksums by another implementation: CRC-32 of zlib, its digits by hand.
    const LIVE: &str = "stn_live_0123456789ABCDEFGHIJKLMNOPQRST_3Qc0QU";
    const TEST: &str = "stn_t1_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz_4Rlxp0";

    #[test]
    fn a_key_reads_as_its_format_says() {
        for (text, environment, prefix) in [(LIVE, "live", "stn_live_0123"), (TEST, "t1", "stn_t1_zzzz")] {
            let key = PresentedKey::parse(text).unwrap();
            assert_eq!((key.environment(), key.prefix()), (environment, prefix));
            assert_eq!(format!("{key:?}"), format!("PresentedKey({prefix}…)"));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let secret = "0123456789ABCDEFGHIJKLMNOPQRST";
        let with_checksum = |body: &str| {
            let checksum = String::from_utf8(checksum_of(body).to_vec()).unwrap();
            format!("{body}{checksum}")
        };
        assert!(PresentedKey::parse(&with_checksum(&format!("stn_live_{secret}_"))).is_some());
        for body in [
            format!("stn__{secret}_"),
            format!("stn_Live_{secret}_"),
            format!("stn_li-ve_{secret}_"),
            format!("stn_li_ve_{secret}_"),
            format!("stn_live{secret}_"),
            format!("stn_live_{secret}"),
            format!("stn_live_{secret}x_"),
            format!("stn_live_{}_", &secret[1..]),
            format!("stn_live_{}-_", &secret[1..]),
            format!("stn_live_{}ä_", &secret[2..]),
            format!("xtn_live_{secret}_"),
            format!(" stn_live_{secret}_"),
            format!("stn_{}_{secret}_", "a".repeat(17)),
            format!("live_{secret}_"),
            String::new(),
        ] {
            assert!(PresentedKey::parse(&with_checksum(&body)).is_none(), "{body}");
        }
        for bad in
            ["", "_", "stn_", "stn_live_", &LIVE[..LIVE.len() - 1], &format!("{LIVE} "), &LIVE.to_uppercase()]
        {
            assert!(PresentedKey::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn every_digit_is_equally_likely() {
        let random = SeededRandom::new(1);
        let mut counts = [0_u32; 128];
        let environment = Environment::default();
        for _ in 0..20_000 {
            let key = PlainKey::generate(&environment, &random);
            for byte in key.expose()[9..39].bytes() {
                counts[usize::from(byte)] += 1;
            }
        }
        // 600,000 digits: 9,677 of each are expected, with a deviation of 98. Taking the rest of every byte would give eight digits 11,719.
        for byte in BASE62 {
            let count = counts[usize::from(*byte)];
            assert!((9_187..=10_167).contains(&count), "{} came {count} times", char::from(*byte));
        }
        assert_eq!(counts.iter().sum::<u32>(), 600_000);
    }

    #[test]
    fn a_new_key_is_never_printed() {
        let key = PlainKey::generate(&Environment::default(), &SeededRandom::new(1));
        let printed = format!("{key:?}");
        assert_eq!(printed, format!("PlainKey({}…)", &key.expose()[..13]));
        assert_eq!(key.expose().len(), 46);
    }

    #[test]
    fn an_environment_is_short_and_plain() {
        for good in ["live", "test", "0", "abcdefghijklmnop"] {
            assert_eq!(good.parse::<Environment>().unwrap().as_str(), good);
        }
        for bad in ["", "Live", "a_b", "a-b", "ä", "abcdefghijklmnopq"] {
            assert!(bad.parse::<Environment>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_generated_parses(seed: u64, environment in "[a-z0-9]{1,16}") {
            let environment: Environment = environment.parse().unwrap();
            let key = PlainKey::generate(&environment, &SeededRandom::new(seed));
            let presented = PresentedKey::parse(key.expose()).unwrap();
            prop_assert_eq!(presented.environment(), environment.as_str());
            prop_assert!(key.expose().len() == environment.as_str().len() + 42);
        }

        #[test]
        fn one_wrong_character_is_noticed(seed: u64, at: prop::sample::Index, to in any::<char>()) {
            let key = PlainKey::generate(&Environment::default(), &SeededRandom::new(seed));
            let mut changed: Vec<char> = key.expose().chars().collect();
            let at = at.index(changed.len());
            prop_assume!(changed[at] != to);
            changed[at] = to;
            let changed: String = changed.into_iter().collect();
            prop_assert!(PresentedKey::parse(&changed).is_none());
        }

        #[test]
        fn two_swapped_neighbours_are_noticed(seed: u64, at in 0_usize..45) {
            let key = PlainKey::generate(&Environment::default(), &SeededRandom::new(seed));
            let mut changed = key.expose().as_bytes().to_vec();
            prop_assume!(changed[at] != changed[at + 1]);
            changed.swap(at, at + 1);
            prop_assert!(PresentedKey::parse(&String::from_utf8(changed).unwrap()).is_none());
        }

        #[test]
        fn no_text_upsets_the_parser(text in any::<String>()) {
            prop_assert!(PresentedKey::parse(&text).is_none());
        }

        #[test]
        fn nothing_like_a_key_upsets_the_parser(text in "(stn_)?[a-z0-9_ä]{0,20}_?[0-9A-Za-z_ß]{0,40}_?[0-9A-Za-z]{0,7}") {
            if let Some(key) = PresentedKey::parse(&text) {
                prop_assert!((43..=58).contains(&text.len()));
                prop_assert!(text.starts_with(key.prefix()));
            }
        }
    }
}
