use std::fmt;
use std::sync::Arc;

use stanchion_core::{Actor, Authorization, Detail, Details, Event, FieldChange, Recorded, Text};

use crate::canonical::MAX_INTEGER;
use crate::{ChainId, Content, Error};

/// An event on its way into the ledger.
#[expect(clippy::large_enum_variant, reason = "a draft is taken apart at once, never kept")]
pub enum Draft {
    /// An event that is complete.
    Event(Event),
    /// An event that is made when the sequencer takes it, so that what became known until then is in it: the outcome of a short
    /// request in its one record. It runs on the sequencer, so it must be quick, must not block and must not panic.
    ///
    /// The event it makes is recorded in any case: numbers too large for JSON become text, and what still has no canonical form is
    /// cut down to what identifies it, with a detail `reduced` that says why.
    Late(Box<dyn FnOnce() -> Event + Send>),
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
            Self::Late(_) => f.write_str("Late"),
        }
    }
}

/// A draft in the queue, as far as it could be prepared by its producer.
pub(crate) enum Work {
    Ready(ChainId, Arc<Content>),
    Late(Box<dyn FnOnce() -> Event + Send>),
}

impl Work {
    pub(crate) fn new(draft: Draft) -> Result<Self, Error> {
        Ok(match draft {
            Draft::Event(event) => {
                let (chain, content) = Content::new(event)?;
                Self::Ready(chain, Arc::new(content))
            }
            Draft::Late(make) => Self::Late(make),
        })
    }
}

/// Makes the content of an event that was accepted already, whatever is in it. Also tells whether it had to be changed.
pub(crate) fn content_of(event: Event, buffer: &mut Vec<u8>) -> (ChainId, Content, bool) {
    let mut attempt = Content::with_buffer(event, buffer);
    let mut is_changed = false;
    for change in [with_textual_numbers, without_changes, reduced] {
        let Err(refused) = attempt else { break };
        is_changed = true;
        attempt = Content::with_buffer(change(*refused.event, &refused.error), buffer);
    }
    #[expect(clippy::expect_used, reason = "every part of a reduced event is bounded, far below the limit")]
    let (chain, content) = attempt.expect("a reduced event has a canonical form");
    (chain, content, is_changed)
}

/// Numbers as `Detail::Integer` documents them for JSON: beyond ±(2^53 − 1) as text.
fn with_textual_numbers(event: Event, _: &Error) -> Event {
    let changes = event.changes.iter().map(textual_change).collect();
    Event { details: textual(&event.details), changes, ..event }
}

fn textual(details: &Details) -> Details {
    details.iter().map(|(name, detail)| (name.clone(), textual_detail(detail))).collect()
}

fn textual_change(change: &FieldChange) -> FieldChange {
    let textual = |recorded: &Recorded| match recorded {
        Recorded::Value(detail) => Recorded::Value(textual_detail(detail)),
        Recorded::Redacted => Recorded::Redacted,
    };
    FieldChange {
        field: change.field.clone(),
        before: change.before.as_ref().map(textual),
        after: change.after.as_ref().map(textual),
    }
}

fn textual_detail(detail: &Detail) -> Detail {
    match detail {
        Detail::Integer(value) if value.unsigned_abs() > MAX_INTEGER.unsigned_abs() => {
            value.to_string().into()
        }
        Detail::List(items) => Detail::List(items.iter().map(textual_detail).collect()),
        Detail::Map(details) => Detail::Map(textual(details)),
        other => other.clone(),
    }
}

/// An event without what it changed still says what was done, to what, and by whom.
fn without_changes(mut event: Event, error: &Error) -> Event {
    if !event.changes.is_empty() {
        event.changes.clear();
        event.details.push("reduced", cut(&error.to_string().into()));
    }
    event
}

/// What identifies an event, each part bounded.
fn reduced(event: Event, error: &Error) -> Event {
    const NAMED: usize = 8;
    let actor = match event.actor {
        Actor::System(name) => Actor::System(cut(&name)),
        other => other,
    };
    let mut kept =
        Event::new(event.id, event.occurred_at, event.scope, actor, cut(&event.action), event.category);
    kept.acted_as = event.acted_as;
    let evaluated = event.authorization.into_iter().take(NAMED);
    kept.authorization =
        evaluated.map(|one| Authorization { permission: cut(&one.permission), ..one }).collect();
    kept.targets = event.targets.into_iter().take(NAMED).collect();
    kept.outcome = event.outcome;
    kept.producer = event.producer;
    kept.reported = event.reported;
    kept.reason = event.reason.as_ref().map(cut);
    kept.severity = event.severity;
    kept.correlation.request = event.correlation.request;
    kept.correlation.parent = event.correlation.parent;
    kept.source.ip = event.source.ip;
    kept.with_detail("reduced", cut(&error.to_string().into()))
}

fn cut(text: &Text) -> Text {
    const BYTES: usize = 256;
    if text.as_str().len() <= BYTES {
        return text.clone();
    }
    let end = text.as_str().floor_char_boundary(BYTES);
    text.as_str().get(..end).unwrap_or_default().to_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    use stanchion_core::{Category, EventId, Scope, Timestamp};

    use crate::parse;

    fn event() -> Event {
        let id: EventId = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
        Event::new(id, Timestamp::EPOCH, Scope::Platform, Actor::Anonymous, "a.b", Category::System)
    }

    fn recorded(event: Event) -> (Event, bool) {
        let (_, content, is_changed) = content_of(event, &mut Vec::new());
        (parse(&content.canonical).unwrap(), is_changed)
    }

    #[test]
    fn an_event_with_a_canonical_form_is_left_alone() {
        let given = event().with_detail("bytes", 7_i64);
        assert_eq!(recorded(given.clone()), (given, false));
    }

    #[test]
    fn a_number_too_large_becomes_text_and_the_rest_stays() {
        let nested: Details = [("size", Detail::Integer(i64::MIN))].into_iter().collect();
        let mut given = event().with_detail("a", nested).with_detail("b", 7_i64);
        let after = Some(Recorded::Value(Detail::Integer(i64::MAX)));
        given.changes = vec![FieldChange { field: "size".into(), before: None, after }];
        let (event, is_changed) = recorded(given);
        assert!(is_changed);
        let after = Some(Recorded::Value("9223372036854775807".into()));
        assert_eq!(event.changes, [FieldChange { field: "size".into(), before: None, after }]);
        let expected: Details = [("size", "-9223372036854775808")].into_iter().collect();
        assert_eq!(event.details.get("a"), Some(&Detail::Map(expected)));
        assert_eq!(event.details.get("b"), Some(&Detail::Integer(7)));
    }

    #[test]
    fn an_event_that_is_too_large_keeps_what_identifies_it() {
        let long = || "ä".repeat(40_000);
        let mut given = event().with_detail("body", long());
        (given.action, given.reason) = (long().into(), Some(long().into()));
        given.source.user_agent = Some(long().into());
        let (kept, is_changed) = recorded(given.clone());
        assert!(is_changed);
        assert_eq!((kept.id, kept.outcome, &kept.actor), (given.id, given.outcome, &given.actor));
        assert_eq!(kept.action.as_str(), "ä".repeat(128));
        let Some(Detail::Text(why)) = kept.details.get("reduced") else { panic!("{kept:?}") };
        assert!(why.as_str().ends_with("bytes, more than 65535"), "{why}");
    }

    #[test]
    fn an_event_with_too_many_targets_keeps_the_first() {
        let name = "x".repeat(128);
        let mut given = event();
        given.actor = Actor::System("y".repeat(70_000).into());
        given.targets = vec![stanchion_core::ResourceRef::new(name.clone(), name).unwrap(); 1_000];
        let (kept, _) = recorded(given.clone());
        assert_eq!(kept.targets, given.targets[..8]);
        assert_eq!(kept.actor, Actor::System("y".repeat(256).into()));
    }

    #[test]
    fn changes_that_are_too_large_go_before_anything_else() {
        let after = Some(Recorded::Value("x".repeat(70_000).into()));
        let mut given = event().with_detail("kept", 1_i64);
        given.changes = vec![FieldChange { field: "body".into(), before: None, after }];
        let (kept, is_changed) = recorded(given);
        assert!(is_changed && kept.changes.is_empty());
        assert_eq!(kept.details.get("kept"), Some(&Detail::Integer(1)));
        assert!(kept.details.get("reduced").is_some());
    }

    #[test]
    fn an_event_nested_too_deep_keeps_what_identifies_it() {
        let deep = (0..20).fold(Detail::Null, |inner, _| Detail::List(vec![inner]));
        let (kept, _) = recorded(event().with_detail("deep", deep));
        let Some(Detail::Text(why)) = kept.details.get("reduced") else { panic!("{kept:?}") };
        assert!(
            why.as_str().starts_with("`details.deep[0][0]") && why.as_str().ends_with("levels deep"),
            "{why}"
        );
    }
}
