mod scope;

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::InvalidId;

pub use self::scope::PermissionScope;
use self::scope::SCOPE;

/// What may be done to what, and how far that reaches: `resource:action` or `resource:action:scope`.
///
/// Resource and action are 1 to 64 of `a-z 0-9 _ - .`, beginning with a letter or digit; a `*` may stand for either, or at the end
/// of either (`invoices.*`). `*` alone is `*:*`. Without a scope a permission reaches [`PermissionScope::Tenant`].
///
/// One text has one meaning and one meaning has one text: `document:read:organization` is read, and from then on written,
/// as `document:read`.
#[derive(Clone)]
pub struct Permission {
    text: Arc<str>,
    /// Where the first colon is.
    colon: u8,
    /// Where the action ends.
    end: u8,
    scope: PermissionScope,
    exact: bool,
    /// Of the text, so that a look-up need not read it.
    print: Fingerprint,
}

const GRAMMAR: &str = "write RESOURCE:ACTION or RESOURCE:ACTION:SCOPE";
const SEGMENT: &str = "a resource or action is 1 to 64 of a-z, 0-9, `_`, `-`, `.`, beginning with a letter or digit; \
                       `*` may stand alone or at its end";

impl Permission {
    /// Reads a permission.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks the grammar or names a scope that does not exist; it says which rule is broken.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let invalid = |rule| InvalidId::new("permission", rule, text);
        let written = if text == "*" { "*:*" } else { text };
        let (resource, rest) = written.split_once(':').ok_or_else(|| invalid(GRAMMAR))?;
        let (action, scope) = match rest.split_once(':') {
            Some((action, scope)) => (action, Some(scope)),
            None => (rest, None),
        };
        if !is_segment(resource) || !is_segment(action) {
            return Err(invalid(SEGMENT));
        }
        let scope = match scope {
            Some(name) => PermissionScope::from_name(name).ok_or_else(|| invalid(SCOPE))?,
            None => PermissionScope::Tenant,
        };
        let colon = u8::try_from(resource.len()).map_err(|_| invalid(SEGMENT))?;
        let end = u8::try_from(resource.len() + 1 + action.len()).map_err(|_| invalid(SEGMENT))?;
        let whole_tenant = scope == PermissionScope::Tenant;
        let text: Arc<str> = match (whole_tenant, written.get(..end.into())) {
            (true, Some(name)) => name.into(),
            _ => format!("{resource}:{action}:{scope}").into(),
        };
        let exact = whole_tenant && !resource.ends_with('*') && !action.ends_with('*');
        let print = Fingerprint::of(&text);
        Ok(Self { text, colon, end, scope, exact, print })
    }

    /// Permits everything in the scope it is held in: `*:*`.
    #[must_use]
    pub fn everything() -> Self {
        let text: Arc<str> = "*:*".into();
        let print = Fingerprint::of(&text);
        Self { text, colon: 1, end: 3, scope: PermissionScope::Tenant, exact: false, print }
    }

    /// Borrows the text, in its one form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Shares the text.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// Returns the resource, which may be or end with `*`.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.text.get(..self.colon.into()).unwrap_or_default()
    }

    /// Returns the action, which may be or end with `*`.
    #[must_use]
    pub fn action(&self) -> &str {
        self.text.get(usize::from(self.colon) + 1..self.end.into()).unwrap_or_default()
    }

    /// Returns how far it reaches.
    #[must_use]
    pub const fn scope(&self) -> PermissionScope {
        self.scope
    }

    /// Tells whether it names one action on one type of resource, with neither a wildcard nor a scope. That is what can be checked:
    /// how far a request reaches is derived from the request, never stated by whoever asks.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.exact
    }

    /// Tells whether everything that `other` permits is permitted by this too. A partial order.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.scope >= other.scope && self.covers_name(other)
    }

    /// As [`Permission::covers`], whatever the scopes.
    pub(crate) fn covers_name(&self, other: &Self) -> bool {
        segment_covers(self.resource(), other.resource()) && segment_covers(self.action(), other.action())
    }

    /// Returns every text of a permission that [covers](Self::covers) this one, or would if it reached as far: its name, and each name
    /// with a wildcard over it, at each reach. There are as many as the letters of resource and action multiplied, times five.
    #[must_use]
    pub fn covering(&self) -> Vec<String> {
        let over = |segment: &str| -> Vec<String> {
            let stem = segment.strip_suffix('*').unwrap_or(segment);
            // Segments are of letters of one byte.
            let wide = (0..=stem.len()).filter_map(|end| Some(format!("{}*", stem.get(..end)?)));
            wide.chain((stem.len() == segment.len()).then(|| segment.to_owned())).collect()
        };
        let (resources, actions) = (over(self.resource()), over(self.action()));
        let names =
            resources.iter().flat_map(|one| actions.iter().map(move |other| format!("{one}:{other}")));
        let reaching = |name: String| {
            PermissionScope::ALL.map(|scope| match scope {
                PermissionScope::Tenant => name.clone(),
                scope => format!("{name}:{scope}"),
            })
        };
        names.flat_map(reaching).collect()
    }

    /// The same, but reaching no further than `ceiling`.
    pub(crate) fn at_most(&self, ceiling: PermissionScope) -> Self {
        if self.scope <= ceiling {
            return self.clone();
        }
        Self::new(&format!("{}:{}", self.name(), ceiling.as_str())).unwrap_or_else(|_| self.clone())
    }

    /// Tells whether something may have a name that both cover.
    pub(crate) fn overlaps_name(&self, other: &Self) -> bool {
        let overlap = |a: &str, b: &str| match (a.strip_suffix('*'), b.strip_suffix('*')) {
            (Some(a), Some(b)) => a.starts_with(b) || b.starts_with(a),
            _ => segment_covers(a, b) || segment_covers(b, a),
        };
        overlap(self.resource(), other.resource()) && overlap(self.action(), other.action())
    }

    /// Resource and action, without the scope.
    pub(crate) fn name(&self) -> &str {
        self.text.get(..self.end.into()).unwrap_or_default()
    }

    /// What stands for the text.
    pub(crate) const fn print(&self) -> Fingerprint {
        self.print
    }

    /// As [`Permission::name`], shared where the text has no scope.
    pub(crate) fn shared_name(&self) -> Arc<str> {
        if self.text.len() == usize::from(self.end) { Arc::clone(&self.text) } else { self.name().into() }
    }
}

/// Stands for a text in this process: two SipHashes, under keys that were drawn for it and that nobody knows. No two texts are found
/// that have the same, be they chosen for it, so that texts need not be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u64; 2]);

impl Fingerprint {
    pub(crate) fn of(text: &str) -> Self {
        static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        Self(KEYS.each_ref().map(|keys| keys.hash_one(text)))
    }

    /// A hash for tables: half of it.
    pub(crate) const fn hash(self) -> u64 {
        let Self([hash, _]) = self;
        hash
    }
}

pub(crate) fn is_segment(text: &str) -> bool {
    let stem = text.strip_suffix('*').unwrap_or(text);
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    let begins_well =
        stem.bytes().next().is_none_or(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (1..=64).contains(&text.len()) && begins_well && stem.bytes().all(allowed)
}

pub(crate) fn segment_covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_suffix('*') {
        Some(prefix) => narrow.strip_suffix('*').unwrap_or(narrow).starts_with(prefix),
        None => wide == narrow,
    }
}

stanchion_core::text_schema!(Permission, "`RESOURCE:ACTION` or `RESOURCE:ACTION:SCOPE`");

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl PartialEq for Permission {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Permission {}

impl PartialOrd for Permission {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Permission {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Permission {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl FromStr for Permission {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
