mod admission;
mod layer;
mod observe;
mod request;
mod settings;
mod verdict;

pub use admission::LimitedBody;
pub use layer::{RateLimit, RateLimitLayer};
pub use observe::{Ended, Observe};
pub use request::CountedRequest;
pub use settings::Stages;
pub use verdict::{add_challenge, limit_problem};
