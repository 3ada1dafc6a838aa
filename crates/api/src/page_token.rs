use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use stanchion_core::{KeyRing, Scope, Secret};

const DOMAIN: &[u8] = b"stanchion-page-v1";
const VERSION: usize = 4;
const MAC: usize = 16;

/// The list that a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListId {
    pub(crate) operation: &'static str,
    pub(crate) scope: Scope,
    /// The filter, by name and value.
    pub(crate) filter: Vec<(String, String)>,
}

/// Makes and reads the tokens of pages.
///
/// A token is the sort key of the last item with a MAC over it and the list it belongs to: operation, scope and filter. So it is good
/// for that list only, and nobody makes one up. It is not encrypted: what it holds, the page before has shown.
#[derive(Debug)]
pub(crate) struct PageTokens {
    keys: KeyRing,
}

impl PageTokens {
    pub(crate) const fn new(keys: KeyRing) -> Self {
        Self { keys }
    }

    pub(crate) fn seal(&self, list: &ListId, key: &str) -> String {
        let (version, secret) = self.keys.current();
        let mut token = version.to_be_bytes().to_vec();
        token
            .extend(mac(secret, list, key).map(|mac| mac.finalize().into_bytes()).iter().flatten().take(MAC));
        token.extend_from_slice(key.as_bytes());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Returns the sort key in a token; `None` when the token is none of this list.
    pub(crate) fn open(&self, list: &ListId, token: &str) -> Option<String> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (version, rest) = token.split_first_chunk::<VERSION>()?;
        let (tag, key) = rest.split_first_chunk::<MAC>()?;
        let key = std::str::from_utf8(key).ok()?;
        let secret = self.keys.get(u32::from_be_bytes(*version))?;
        mac(secret, list, key)?.verify_truncated_left(tag).ok()?;
        Some(key.to_owned())
    }
}

/// Every part is preceded by its length, so that no two lists share their bytes.
fn mac(secret: &Secret, list: &ListId, key: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).ok()?;
    let mut add = |part: &[u8]| {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    };
    add(DOMAIN);
    add(list.operation.as_bytes());
    add(list.scope.to_string().as_bytes());
    let mut filter: Vec<&(String, String)> = list.filter.iter().collect();
    filter.sort();
    add(&u64::try_from(filter.len()).unwrap_or(u64::MAX).to_be_bytes());
    for (name, value) in filter {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    add(key.as_bytes());
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(versions: &[u32]) -> PageTokens {
        let secret = |version: &u32| (*version, Secret::new([u8::try_from(*version).unwrap(); 32]));
        PageTokens::new(KeyRing::new(versions.iter().map(secret)).unwrap())
    }

    fn list(operation: &'static str, filter: &[(&str, &str)]) -> ListId {
        let filter = filter.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ListId { operation, scope: Scope::Platform, filter }
    }

    #[test]
    fn a_token_reads_back_on_its_own_list_only() {
        let tokens = tokens(&[1]);
        let roles = list("list_roles", &[]);
        let token = tokens.seal(&roles, "editor");
        assert_eq!(tokens.open(&roles, &token).as_deref(), Some("editor"));
        let tenant = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
        for other in [
            list("list_keys", &[]),
            list("list_roles", &[("a", "b")]),
            ListId { scope: Scope::Tenant(tenant), ..roles.clone() },
        ] {
            assert_eq!(tokens.open(&other, &token), None, "{other:?}");
        }
    }

    #[test]
    fn a_filter_is_the_same_in_any_order_and_never_runs_together() {
        let tokens = tokens(&[1]);
        let token = tokens.seal(&list("l", &[("a", "b"), ("c", "d")]), "k");
        assert!(tokens.open(&list("l", &[("c", "d"), ("a", "b")]), &token).is_some());
        assert!(tokens.open(&list("l", &[("a", "bc"), ("", "d")]), &token).is_none());
    }

    #[test]
    fn no_bit_of_a_token_can_be_changed() {
        let tokens = tokens(&[1]);
        let roles = list("list_roles", &[]);
        let bytes = URL_SAFE_NO_PAD.decode(tokens.seal(&roles, "editor")).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(tokens.open(&roles, &URL_SAFE_NO_PAD.encode(forged)), None, "bit {bit}");
        }
        assert_eq!(tokens.open(&roles, ""), None);
        assert_eq!(tokens.open(&roles, "not a token"), None);
    }

    #[test]
    fn tokens_outlive_the_rotation_of_their_key_while_it_is_in_the_ring() {
        let roles = list("list_roles", &[]);
        let token = tokens(&[1]).seal(&roles, "editor");
        assert_eq!(tokens(&[1, 2]).open(&roles, &token).as_deref(), Some("editor"));
        assert_eq!(tokens(&[2]).open(&roles, &token), None);
    }
}
