use crate::{
    Actor, Authorization, Category, Correlation, Event, IdGen, RequestId, Scope, Source, SubjectRef, Text,
    Timestamp,
};

/// Who makes a change, and by which request: what every write is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: Actor,
    /// Whom the author acts as.
    pub acted_as: Option<SubjectRef>,
    /// The permissions that were looked for before the change.
    pub authorization: Vec<Authorization>,
    /// The request that asked for it.
    pub request: Option<RequestId>,
    /// Where that request came from.
    pub source: Source,
}

impl Author {
    /// Names a part of Stanchion itself as the author: `"seed"`, `"sweeper"`.
    #[must_use]
    pub fn system(name: impl Into<Text>) -> Self {
        Self {
            actor: Actor::System(name.into()),
            acted_as: None,
            authorization: Vec::new(),
            request: None,
            source: Source::default(),
        }
    }

    /// Starts the administration event of a change that this author makes.
    #[must_use]
    pub fn event(&self, ids: &dyn IdGen, at: Timestamp, scope: Scope, action: impl Into<Text>) -> Event {
        let mut event =
            Event::new(ids.event_id(at), at, scope, self.actor.clone(), action, Category::Administration);
        event.acted_as.clone_from(&self.acted_as);
        event.authorization.clone_from(&self.authorization);
        event.correlation = Correlation { request: self.request, ..Correlation::default() };
        event.source = self.source.clone();
        event
    }
}
