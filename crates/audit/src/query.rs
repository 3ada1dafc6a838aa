use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use stanchion_core::{Actor, Category, Outcome, RequestId, ResourceRef, Scope, Severity, Text, Timestamp};

use crate::search::{Facet, term, words, words_of};
use crate::{BlindIndex, Error, RetentionClass, Row, Withdrawn, parse};

/// Which entries to return. Everything that is set must hold; the default is every entry of the scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The action, `role.put`; or with `.*` at the end every action below it, `role.*`.
    pub action: Option<Text>,
    /// The actor as its text: `user:alice`, `service:etl`, `system:sweeper`, `anonymous`.
    pub actor: Option<Text>,
    /// One of the targets.
    pub target: Option<ResourceRef>,
    /// The outcome.
    pub outcome: Option<Outcome>,
    /// The category.
    pub category: Option<Category>,
    /// The class of the chain.
    pub class: Option<RetentionClass>,
    /// The least severity.
    pub severity: Option<Severity>,
    /// What the action counts as in reports.
    pub event_type: Option<EventType>,
    /// The request that caused it.
    pub request: Option<RequestId>,
    /// The session it happened in.
    pub session: Option<Text>,
    /// The trace that it belongs to.
    pub trace: Option<Text>,
    /// Words that all have to be among those of its texts; see [`words`].
    pub text: Option<Text>,
    /// Recorded at this instant or later.
    pub since: Option<Timestamp>,
    /// Recorded before this instant.
    pub until: Option<Timestamp>,
}

/// A type of events: what it is called, and the actions that count as it ([`Actions::event_type`](crate::Actions::event_type)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    /// The name.
    pub name: Text,
    /// The actions.
    pub actions: BTreeSet<Text>,
}

impl Query {
    /// Tells whether an entry is one of those asked for.
    #[must_use]
    pub fn matches(&self, row: &Row) -> bool {
        self.matches_without(row, &Withdrawn::default())
    }

    /// Tells whether an entry is one of those asked for, without the words that are withdrawn.
    #[must_use]
    pub fn matches_without(&self, row: &Row, withdrawn: &Withdrawn) -> bool {
        let entry = &row.content.projection;
        self.since.is_none_or(|since| row.recorded_at >= since)
            && self.until.is_none_or(|until| row.recorded_at < until)
            && self.severity.is_none_or(|least| entry.severity >= least)
            && self.outcome.is_none_or(|outcome| entry.outcome == outcome)
            && self.category.is_none_or(|category| entry.category == category)
            && self.class.is_none_or(|class| row.chain.class == class)
            && self.request.is_none_or(|request| entry.request == Some(request))
            && self.action.as_ref().is_none_or(|action| is_action(action.as_str(), entry.action.as_str()))
            && self.actor.as_ref().is_none_or(|actor| is_actor(actor.as_str(), &entry.actor))
            && self.target.as_ref().is_none_or(|target| entry.targets.contains(target))
            && self.event_type.as_ref().is_none_or(|wanted| wanted.actions.contains(&entry.action))
            && self.matches_event(&row.content.canonical, withdrawn)
    }

    /// Looks at what only the bytes have.
    fn matches_event(&self, canonical: &[u8], withdrawn: &Withdrawn) -> bool {
        let Self { session, trace, text, .. } = self;
        if session.is_none() && trace.is_none() && text.is_none() {
            return true;
        }
        let Ok(mut event) = parse(canonical) else { return false };
        withdrawn.clear(&mut event);
        let correlation = &event.correlation;
        session.as_ref().is_none_or(|session| correlation.session.as_ref() == Some(session))
            && trace.as_ref().is_none_or(|trace| correlation.trace.as_ref() == Some(trace))
            && text.as_ref().is_none_or(|text| {
                let known = words(&event);
                words_of(text.as_str()).all(|word| known.contains(&word))
            })
    }

    /// Tells whether it asks for a word that may be that of a protected value, and thus withdrawn.
    #[must_use]
    pub fn asks_for_protected(&self) -> bool {
        self.text.iter().any(|text| words_of(text.as_str()).any(|word| BlindIndex::is_one(&word)))
    }

    /// Returns the [`term`]s that every entry asked for has, for a store that looks by them.
    #[must_use]
    pub fn terms(&self, scope: Scope) -> Vec<i64> {
        let mut terms = Vec::new();
        let mut add = |facet, value: Cow<'_, str>| terms.push(term(scope, facet, &value));
        let as_text = |text: &Text| text.as_str().to_owned();
        if let Some(action) = self.action.as_ref().filter(|action| !action.as_str().ends_with(".*")) {
            add(Facet::Action, action.as_str().into());
        }
        self.actor.iter().for_each(|actor| add(Facet::Actor, as_text(actor).into()));
        self.target.iter().for_each(|target| add(Facet::Target, target.to_string().into()));
        self.request.iter().for_each(|request| add(Facet::Request, request.to_string().into()));
        self.session.iter().for_each(|session| add(Facet::Session, as_text(session).into()));
        self.trace.iter().for_each(|trace| add(Facet::Trace, as_text(trace).into()));
        let words = self.text.iter().flat_map(|text| words_of(text.as_str()));
        words.for_each(|word| add(Facet::Word, word.into()));
        terms.sort_unstable();
        terms.dedup();
        terms
    }

    /// Tells whether every entry of a class is asked for, or none of it.
    #[must_use]
    pub fn is_whole_chains(&self) -> bool {
        *self == Self { class: self.class, ..Self::default() }
    }

    /// Tells whether every entry that was recorded within its times is asked for.
    #[must_use]
    pub fn is_range(&self) -> bool {
        *self == Self { class: self.class, since: self.since, until: self.until, ..Self::default() }
    }

    /// Returns what is set, by name.
    #[must_use]
    pub fn filters(&self) -> BTreeMap<String, String> {
        let text = |value: Option<&dyn fmt::Display>| value.map(ToString::to_string);
        let Self { action, actor, target, outcome, category, class, severity, .. } = self;
        let Self { event_type, request, session, trace, text: words, since, until, .. } = self;
        let filters: [(&str, Option<&dyn fmt::Display>); 14] = [
            ("action", action.as_ref().map(|value| value as _)),
            ("actor", actor.as_ref().map(|value| value as _)),
            ("target", target.as_ref().map(|value| value as _)),
            ("outcome", outcome.as_ref().map(|value| value as _)),
            ("category", category.as_ref().map(|value| value as _)),
            ("class", class.as_ref().map(|value| value as _)),
            ("severity", severity.as_ref().map(|value| value as _)),
            ("type", event_type.as_ref().map(|value| &value.name as _)),
            ("request", request.as_ref().map(|value| value as _)),
            ("session", session.as_ref().map(|value| value as _)),
            ("trace", trace.as_ref().map(|value| value as _)),
            ("text", words.as_ref().map(|value| value as _)),
            ("since", since.as_ref().map(|value| value as _)),
            ("until", until.as_ref().map(|value| value as _)),
        ];
        filters.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value)?))).collect()
    }

    /// Tells whether entries of a class can be among those asked for.
    #[must_use]
    pub fn may_match(&self, class: RetentionClass) -> bool {
        self.class.is_none_or(|wanted| wanted == class)
            && self.category.is_none_or(|category| RetentionClass::of(category) == class)
    }
}

fn is_action(wanted: &str, action: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) if prefix.ends_with('.') => action.starts_with(prefix),
        _ => action == wanted,
    }
}

fn is_actor(wanted: &str, actor: &Actor) -> bool {
    match (actor, wanted.split_once(':')) {
        (Actor::Subject { subject, .. }, Some((kind, id))) => {
            kind == subject.kind().as_str() && id == subject.id().as_str()
        }
        (Actor::System(name), Some((kind, id))) => kind == "system" && id == name.as_str(),
        (Actor::Anonymous, None) => wanted == "anonymous",
        _ => false,
    }
}

/// The place of an entry among all of its scope's: by the time of recording, then class, then number. Queries return the greatest
/// first, so entries that come meanwhile do not move a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When the entry was recorded.
    pub recorded_at: Timestamp,
    /// The class of its chain.
    pub class: RetentionClass,
    /// Its number in the chain.
    pub seq: u64,
}

impl From<&Row> for Place {
    fn from(row: &Row) -> Self {
        Self { recorded_at: row.recorded_at, class: row.chain.class, seq: row.seq }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.recorded_at.micros(), self.class, self.seq)
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(Error::InvalidPageKey);
        let micros = part()?.parse().map_err(|_| Error::InvalidPageKey)?;
        let class = RetentionClass::from_name(part()?).ok_or(Error::InvalidPageKey)?;
        let seq = part()?.parse().map_err(|_| Error::InvalidPageKey)?;
        let place = Self { recorded_at: Timestamp::from_micros(micros), class, seq };
        if place.to_string() == text { Ok(place) } else { Err(Error::InvalidPageKey) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use stanchion_core::{AuthenticationMethod, SubjectRef};

    #[test]
    fn actions_match_whole_or_below_a_dot() {
        let check = |wanted, action| is_action(wanted, action);
        assert!(check("role.put", "role.put") && check("role.*", "role.put") && check("role.*", "role.a.b"));
        assert!(!check("role.*", "role") && !check("role.*", "roles.put") && !check("role.", "role.put"));
        assert!(!check("rol*", "role.put"), "a star stands only after a dot");
    }

    #[test]
    fn actors_match_by_their_text() {
        let subject = SubjectRef::service("etl:nightly").unwrap();
        let service = Actor::Subject { subject, method: AuthenticationMethod::ApiKey, key: None };
        for (actor, text) in [
            (service, "service:etl:nightly"),
            (Actor::System("sweeper".into()), "system:sweeper"),
            (Actor::Anonymous, "anonymous"),
        ] {
            assert_eq!(actor.to_string(), text);
            assert!(is_actor(text, &actor), "{text}");
            assert!(!is_actor("user:etl:nightly", &actor), "{text}");
            assert!(!is_actor("system", &actor), "{text}");
        }
    }

    #[test]
    fn a_place_reads_back_and_has_one_text() {
        let place =
            Place { recorded_at: Timestamp::from_micros(-5), class: RetentionClass::DataAccess, seq: 7 };
        assert_eq!(place.to_string(), "-5.data_access.7");
        assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        for bad in ["", "1", "1.standard", "1.standard.+7", "1.default.7", "1.standard.7.8", "x.standard.7"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
