//! The HTTP data plane: accepts connections, asks the [pipeline](stanchion_pipeline), forwards what it admits.
//!
//! The gateway is thin. What may pass is decided by `stanchion-pipeline`; how a refusal, a client address or a header looks is written
//! by `stanchion-tower`; here are only sockets, timeouts and bodies:
//!
//! * [`Listener`]: an accept loop with bounds on connections, heads and time, and a drain that lets running exchanges end;
//! * [`Proxy`]: a service that forwards a governed request to its route's upstream, streaming both ways;
//! * [`Upstreams::load`]: how loaded they are, for limits that shrink with it;
//! * [`GatewayConfig`], [`UpstreamConfig`]: what an operator sets, with safe defaults.
//!
//! Only HTTP/1.1 is spoken on either side, and only plain text; TLS is terminated in front.

mod answer;
mod body;
mod config;
mod flushed;
mod framing;
mod guarded;
mod listener;
mod load;
mod proxy;
mod upstream;

pub use body::{ProxiedRequestBody, ProxiedResponseBody, StreamError};
pub use config::{GatewayConfig, UpstreamConfig};
pub use listener::{Listener, ListenerStats};
pub use load::UpstreamLoad;
pub use proxy::Proxy;
pub use upstream::Upstreams;
