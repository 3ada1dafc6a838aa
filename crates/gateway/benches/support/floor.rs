use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;

/// Answers every request with 100 bytes.
pub(crate) async fn upstream() {
    static BODY: [u8; 100] = [b'x'; 100];
    let listener = listen().await;
    loop {
        let stream = accept(&listener).await;
        let answer = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&BODY))))
        });
        spawn(async move {
            // Ends with its connection.
            let _ = http1::Builder::new().serve_connection(stream, answer).await;
        });
    }
}

/// The least a proxy can be made of: hyper on both sides, with the client, timeouts and runtime the gateway has.
pub(crate) async fn proxy(upstream: &str) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(4))
        .build(connector);
    let authority: http::uri::Authority = upstream.parse().expect("an address is an authority");
    let listener = listen().await;
    loop {
        let stream = accept(&listener).await;
        let (client, authority) = (client.clone(), authority.clone());
        let forward = service_fn(move |mut request: Request<Incoming>| {
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            parts.scheme = Some(http::uri::Scheme::HTTP);
            parts.authority = Some(authority.clone());
            *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
            let client = client.clone();
            async move { client.request(request).await }
        });
        spawn(async move {
            let serve = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(stream, forward);
            // Ends with its connection.
            let _ = serve.await;
        });
    }
}

async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    println!("{}", listener.local_addr().expect("it has an address"));
    listener
}

async fn accept(listener: &TcpListener) -> TokioIo<tokio::net::TcpStream> {
    let (stream, _) = listener.accept().await.expect("a connection comes");
    stream.set_nodelay(true).expect("the option is known");
    TokioIo::new(stream)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark's process ends with its tasks")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
