//! The whole path inside an axum application, without the gateway: `cargo run -p stanchion-pipeline --example axum`.
//!
//! The pipeline is a gate of `stanchion-tower`, so it governs any tower service. Handlers find the principal in the request's
//! extensions.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Extension, Request};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use stanchion_core::Principal;
use stanchion_tower::{GovernLayer, PeerAddress};

#[path = "support/memory.rs"]
mod memory;

async fn whoami(Extension(principal): Extension<Arc<Principal>>) -> Json<Value> {
    Json(json!({ "scope": principal.scope, "subject": principal.subject }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (pipeline, key, workers) = memory::pipeline().await?;
    let application = Router::new()
        .route("/whoami", get(whoami))
        .layer(GovernLayer::new(Arc::new(pipeline)))
        // Outermost, so that the gate knows who is connected.
        .layer(from_fn(|ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request, next: Next| {
            request.extensions_mut().insert(PeerAddress(peer.ip()));
            next.run(request)
        }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8090").await?;
    println!("curl -i -H 'x-api-key: {key}' http://127.0.0.1:8090/whoami");
    let serve = axum::serve(listener, application.into_make_service_with_connect_info::<SocketAddr>());
    tokio::select! {
        served = serve => served?,
        () = workers => {}
    }
    Ok(())
}
