use http::Method;
use serde_json::json;

use super::{Plan, Request, Segment, platform};
use crate::admin::args::Output;
use crate::admin::view::{self, View};
use crate::admin::what::{Audit, ExportFormat, Hold, Wanted};

impl Request {
    /// Asks for certain entries of the ledger only.
    fn wanting(self, wanted: Wanted) -> Self {
        self.asking("class", wanted.class)
            .asking("action", wanted.action)
            .asking("actor", wanted.actor)
            .asking("target", wanted.target)
            .asking("outcome", wanted.outcome)
            .asking("category", wanted.category)
            .asking("severity", wanted.severity)
            .asking("request", wanted.request)
            .asking("session", wanted.session)
            .asking("trace", wanted.trace)
            .asking("type", wanted.event_type)
            .asking("text", wanted.text)
            .asking("since", wanted.since)
            .asking("until", wanted.until)
    }
}

impl From<Audit> for Plan {
    fn from(command: Audit) -> Self {
        let path = |last| [Segment::Fixed("audit"), Segment::Fixed(last)];
        match command {
            Audit::Query { wanted, all_tenants: true, listed, scoped, .. } => Request::new(
                Method::GET,
                path("events/all"),
            )
            .wanting(wanted)
            .listed(platform(scoped.session), listed.limit, View::Table(view::ENTRIES)),
            Audit::Query { wanted, proofs, unseal, listed, mut scoped, .. } => {
                if proofs {
                    scoped.session.output = Output::Json;
                }
                Request::new(Method::GET, path("events"))
                    .wanting(wanted)
                    .asking("proofs", proofs.then(|| "true".to_owned()))
                    .asking("unseal", unseal.then(|| "true".to_owned()))
                    .listed(scoped, listed.limit, View::Table(view::ENTRIES))
            }
            Audit::Tail { wanted, lines, scoped, .. } => Request::new(Method::GET, path("tail"))
                .wanting(wanted)
                .asking("limit", Some(lines.to_string()))
                .shown(scoped, View::Table(view::ENTRIES)),
            Audit::Actions { scoped } => {
                Request::new(Method::GET, path("actions")).shown(scoped, View::Table(view::ACTIONS))
            }
            Audit::Find(command) => command.into(),
            Audit::Erase(command) => command.into(),
            Audit::Erasure { id, scoped } => {
                let path = [Segment::Fixed("audit"), Segment::Fixed("erasures"), Segment::Given(id)];
                Request::new(Method::GET, path).shown(scoped, View::Fields)
            }
            Audit::Exception(command) => command.into(),
            Audit::Retention { scoped } => {
                Request::new(Method::GET, path("retention")).shown(scoped, View::Table(view::RETENTION))
            }
            Audit::Archive { session } => {
                Request::new(Method::POST, path("retention")).shown(platform(session), View::Round)
            }
            Audit::Hold(hold) => hold.into(),
            Audit::Checkpoints { scoped } => {
                Request::new(Method::GET, path("checkpoints")).shown(scoped, View::Table(view::CHECKPOINTS))
            }
            Audit::Prove { event, scoped } => {
                let path = [Segment::Fixed("audit"), Segment::Fixed("proofs"), Segment::Fixed("inclusion")];
                Request::new(Method::GET, path)
                    .asking("event", Some(event))
                    .shown(scoped, View::Text("/proof"))
            }
            Audit::Export { wanted, format, scoped, .. } => Request::new(Method::GET, path("export"))
                .wanting(wanted)
                .asking("format", (format == ExportFormat::Ocsf).then(|| "ocsf".to_owned()))
                .shown(scoped, View::Fields),
            Audit::Verify { scoped, .. } => {
                Request::new(Method::GET, path("verification")).shown(scoped, View::Verification)
            }
        }
    }
}

impl From<Hold> for Plan {
    fn from(command: Hold) -> Self {
        let path = [Segment::Fixed("audit"), Segment::Fixed("holds")];
        match command {
            Hold::Put { scope, class, reason, until, session } => Request::new(Method::POST, path)
                .with(json!({ "scope": scope, "class": class, "reason": reason, "until": until }))
                .shown(platform(session), View::Fields),
            Hold::List { scope, session } => Request::new(Method::GET, path)
                .asking("scope", Some(scope))
                .shown(platform(session), View::Table(view::HOLDS)),
            Hold::Lift { id, scope, session } => Request::new(Method::DELETE, path)
                .asking("scope", Some(scope))
                .asking("id", Some(id))
                .shown(platform(session), View::Fields),
        }
    }
}
