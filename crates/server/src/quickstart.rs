mod demo;
mod proof;
mod scene;
mod seed;
mod story;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::config::{Config, Secrets};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::listener::{Listener, Protocol};
use crate::log::{Log, LogConfig};
use crate::quickstart::proof::Proof;
use crate::quickstart::story::Places;
use crate::serve;
use crate::server::{Listeners, Server, Taken};
use crate::signals::Signals;
use crate::terminal::Paint;
use crate::timer::this_month;
use crate::workers::Stop;

const CONFIG: &str = include_str!("quickstart/stanchion.toml");
const DEFAULT_PORT: u16 = 8080;

/// What `stanchion quickstart` is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The gateway's port; the admin API has the one above.
    pub(crate) port: Option<u16>,
    /// Whether to ask for everything, check it and end.
    pub(crate) once: bool,
}

/// Shows what Stanchion does, in one process and in memory.
pub(crate) async fn run(options: Options, environment: &Environment) -> Result<(), Failure> {
    let quiet = LogConfig { level: "warn".to_owned(), ..LogConfig::default() };
    Log::start(&quiet)
        .map_err(|why| Failure::new(Exit::No, "the log cannot be started").with_lines([why]))?;
    let path = Path::new("quickstart.toml");
    // The story is the same everywhere, so it has no overrides.
    let mut config = Config::parse(path, CONFIG, &Environment::default(), Secrets::Required)
        .map_err(|problems| serve::not_valid(path, &problems))?;
    (config.gateway.listen, config.admin.listen) = options.addresses()?;

    let service = Listener::bind(loopback(0), Protocol::Http1).await.map_err(|error| no_port(0, &error))?;
    let address = service.address().map_err(|error| no_port(0, &error))?;
    for upstream in &mut config.upstreams {
        upstream.endpoints = vec![format!("http://{address}")];
    }
    let listeners = Listeners::bind(&config).await.map_err(|taken| port_taken(&taken))?;
    let stop = Stop::default();
    let mut server = Server::start(config, path, environment, listeners).await?;
    server.run_beside("demo service", service.serve(|_, request| demo::echo(request), stop.wait()));
    let people = seed::people(server.platform.pipeline.engines()).await?;
    server.open();

    let places = Places { gateway: server.gateway, admin: server.admin };
    let paint = Paint::of_stdout(environment);
    let month = this_month();
    let mut out = io::stdout();
    let unwritten =
        |error: io::Error| Failure::new(Exit::No, "cannot write to standard output").because(&error);
    if options.once {
        let catalog = server.platform.pipeline.engines().metering.catalog();
        let proof = Proof::new(places, &people, &catalog, &month, paint, &mut out).run();
        let kept = tokio::select! {
            kept = proof => kept.map_err(unwritten)?,
            failure = server.death() => return Err(failure),
        };
        server.shutdown().await?;
        return if kept { Ok(()) } else { Err(Failure::new(Exit::No, "a promise was not kept")) };
    }
    let mut signals = Signals::listen()
        .map_err(|error| Failure::new(Exit::No, "signals cannot be listened to").because(&error))?;
    story::tell(&mut out, paint, places, &people, &month).map_err(unwritten)?;
    tokio::select! {
        () = signals.stop() => {}
        failure = server.death() => return Err(failure),
    }
    tokio::select! {
        ended = server.shutdown() => ended,
        () = signals.stop() => Ok(()),
    }
}

impl Options {
    /// Returns where the gateway and the admin API listen.
    fn addresses(self) -> Result<(SocketAddr, SocketAddr), Failure> {
        let port = match (self.port, self.once) {
            (Some(port), _) => port,
            (None, true) => 0,
            (None, false) => DEFAULT_PORT,
        };
        let above = if port == 0 { Some(0) } else { port.checked_add(1) };
        let above = above.ok_or_else(|| {
            Failure::new(
                Exit::Input,
                "the admin API has the port above the gateway's: choose at most --port 65534",
            )
        })?;
        Ok((loopback(port), loopback(above)))
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

fn port_taken(taken: &Taken) -> Failure {
    no_port(taken.address.port(), &taken.error)
}

fn no_port(port: u16, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AddrInUse {
        let way_out = "choose another with --port; the admin API has the one above it";
        return Failure::new(Exit::Input, format!("port {port} is taken")).with_lines([way_out]);
    }
    Failure::new(Exit::Input, format!("cannot listen on port {port} of the loopback")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_api_has_the_port_above() {
        let addresses =
            |port, once| Options { port, once }.addresses().map(|(one, other)| (one.port(), other.port()));
        assert_eq!(addresses(None, false).unwrap(), (8080, 8081));
        assert_eq!(addresses(Some(9000), true).unwrap(), (9000, 9001));
        assert_eq!(addresses(None, true).unwrap(), (0, 0));
        assert!(addresses(Some(65_535), false).is_err());
    }
}
