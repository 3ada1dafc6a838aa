mod admission;
mod identity;
mod layer;
mod observe;
mod settings;
mod verdict;

pub use admission::LimitedBody;
pub use identity::Identity;
pub use layer::{RateLimit, RateLimitLayer};
pub use observe::{Ended, Observe};
pub use settings::Stages;
pub use verdict::limit_problem;
