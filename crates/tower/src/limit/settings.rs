use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Extensions, Response};
use smallvec::SmallVec;
use stanchion_core::{Clock, Principal, Problem, ProblemCode, Random, RequestId, Timer};
use stanchion_ratelimit::{Decision, Engine, Error, Stage};

use super::admission::Admission;
use crate::{
    ClientAddress, CountedRequest, Dialects, Observe, RateLimitFields, grpc_response, is_grpc, limit_problem,
    problem_response,
};

/// Which limits a [`RateLimitLayer`](crate::RateLimitLayer) asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stages {
    /// Those that need nobody's name: for a layer in front of authentication.
    Edge,
    /// All others: for a layer behind it.
    Inner,
    /// First the one, then the other. A request that the others refuse has been counted by the first.
    #[default]
    Both,
}

impl Stages {
    const fn each(self) -> &'static [Stage] {
        match self {
            Self::Edge => &[Stage::Edge],
            Self::Inner => &[Stage::Inner],
            Self::Both => &[Stage::Edge, Stage::Inner],
        }
    }
}

/// A request that is being identified.
pub(super) struct Seen<'a> {
    pub(super) head: &'a Parts,
    /// Whether a trusted proxy sent it.
    pub(super) from_proxy: bool,
}

pub(super) type FindPeer = Arc<dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync>;
pub(super) type Identify = Arc<dyn Fn(&Seen<'_>, &mut CountedRequest) + Send + Sync>;

/// What all services behind one layer share.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) engine: Arc<Engine>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timer: Option<Arc<dyn Timer>>,
    pub(super) clients: ClientAddress,
    pub(super) peer: FindPeer,
    pub(super) identify: Vec<Identify>,
    pub(super) stages: Stages,
    pub(super) dialects: Dialects,
    pub(super) spread: Option<(Arc<dyn Random>, Duration)>,
    pub(super) observer: Option<Arc<dyn Observe>>,
}

impl Settings {
    /// Asks the limits, one stage after the other.
    pub(super) async fn admit(&self, head: &Parts) -> Result<Admission, Response<bytes::Bytes>> {
        let mut admission = Admission::new(self.identified(head), &self.engine, self.observer.clone());
        for stage in self.stages.each() {
            let decided = self.decide(*stage, admission.request()).await;
            let problem = match decided {
                Ok(decision) => {
                    let problem = limit_problem(&decision.verdict);
                    if let (Some(_), Some(observer)) = (&problem, &self.observer) {
                        observer.refused(admission.request(), &decision);
                    }
                    admission.add(*stage, decision);
                    problem
                }
                Err(error) => {
                    if let Some(observer) = &self.observer {
                        observer.failed(admission.request(), &error);
                    }
                    Some(ProblemCode::BackendUnavailable.into())
                }
            };
            if let Some(problem) = problem {
                admission.withdraw();
                return Err(self.refusal(head, &problem, &admission));
            }
        }
        match &self.timer {
            Some(timer) => admission.wait(&*self.clock, &**timer).await,
            None if !admission.delay().is_zero() => {
                let problem = Problem::new(ProblemCode::RateLimited, "it is not this request's turn yet");
                let mut refusal = self.refusal(head, &problem, &admission);
                // No limit refuses it, so none of them says when to come back.
                let mut turn =
                    RateLimitFields { retry_after: Some(admission.delay()), ..RateLimitFields::default() };
                self.spread(&mut turn);
                turn.join(refusal.headers_mut(), self.clock.now());
                admission.release();
                return Err(refusal);
            }
            None => {}
        }
        Ok(admission)
    }

    async fn decide(&self, stage: Stage, counted: &CountedRequest) -> Result<Decision, Error> {
        let attributes: SmallVec<[(&str, &str); 4]> =
            counted.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = counted.as_request(&attributes);
        let kept = match stage {
            Stage::Edge => self.engine.try_decide_edge(&request),
            Stage::Inner => self.engine.try_decide(&request),
        };
        match (kept, stage) {
            (Some(decision), _) => Ok(decision),
            (None, Stage::Edge) => self.engine.decide_edge(&request).await,
            (None, Stage::Inner) => self.engine.decide(&request).await,
        }
    }

    fn identified(&self, head: &Parts) -> CountedRequest {
        let (ip, from_proxy) = match (self.peer)(&head.extensions) {
            Some(peer) => (self.clients.resolve(peer, &head.headers), self.clients.trusts(peer)),
            None => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), false),
        };
        let mut request = CountedRequest { ip: Some(ip), ..CountedRequest::default() };
        if let Some(principal) = principal(&head.extensions) {
            request.set_principal(principal);
        }
        for identify in &self.identify {
            identify(&Seen { head, from_proxy }, &mut request);
        }
        request
    }

    /// Answers instead of the service.
    fn refusal(&self, head: &Parts, problem: &Problem, admission: &Admission) -> Response<bytes::Bytes> {
        let request = head.extensions.get::<RequestId>().copied();
        let mut response = if is_grpc(&head.headers) {
            grpc_response(problem, request, &head.headers)
        } else {
            problem_response(problem, request)
        };
        self.tell(admission, &mut response);
        response
    }

    /// Writes into a response what the limits said.
    pub(super) fn tell<B>(&self, admission: &Admission, response: &mut Response<B>) {
        let mut fields = RateLimitFields::of(admission.decisions());
        fields.cost = Some(admission.request().cost);
        fields.dialects = self.dialects;
        self.spread(&mut fields);
        fields.join(response.headers_mut(), self.clock.now());
    }

    fn spread(&self, fields: &mut RateLimitFields) {
        if let Some((random, most)) = &self.spread {
            fields.spread(*most, &**random);
        }
    }
}

fn principal(extensions: &Extensions) -> Option<&Principal> {
    extensions.get::<Arc<Principal>>().map(|shared| &**shared).or_else(|| extensions.get())
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("engine", &self.engine)
            .field("clients", &self.clients)
            .field("stages", &self.stages)
            .field("dialects", &self.dialects)
            .field("spread", &self.spread.as_ref().map(|(_, most)| most))
            .field("observer", &self.observer)
            .finish_non_exhaustive()
    }
}
