use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::{ask, eventually, refused_port};

/// An Envoy before a service, which asks for limits by the header `x-user`. It is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    child: Child,
    pub(super) address: SocketAddr,
    admin: SocketAddr,
    _directory: TempDir,
}

impl Proxy {
    /// Finds Envoy beside a Python.
    pub(super) fn binary(python: &str) -> Option<PathBuf> {
        let find = "import envoy._bin; print(envoy._bin.__path__[0])";
        let found = Command::new(python).args(["-c", find]).stderr(Stdio::null()).output().ok()?;
        let directory = String::from_utf8(found.stdout).ok()?;
        Some(Path::new(directory.trim()).join("envoy")).filter(|envoy| envoy.is_file())
    }

    pub(super) fn start(envoy: &Path, service: SocketAddr, limits: SocketAddr) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (address, admin) = (local(refused_port()), local(refused_port()));
        let path = directory.path().join("envoy.yaml");
        fs::write(&path, config(address, admin, service, limits)).expect("writes");
        let mut command = Command::new(envoy);
        command.arg("-c").arg(&path).args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "error",
        ]);
        command
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("starts");
        let proxy = Self { child, address, admin, _directory: directory };
        eventually("Envoy is live", || {
            std::net::TcpStream::connect(admin).ok()?;
            (ask(admin, "GET", "/ready", &[], b"").status() == 200).then_some(())
        });
        proxy
    }

    /// What Envoy has counted under a name.
    pub(super) fn stat(&self, name: &str) -> u64 {
        let stats = ask(self.admin, "GET", "/stats", &[], b"").body;
        let stats = String::from_utf8(stats).expect("text");
        let value = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(address: SocketAddr, admin: SocketAddr, service: SocketAddr, limits: SocketAddr) -> String {
    let socket = |address: SocketAddr| {
        format!("{{ socket_address: {{ address: {}, port_value: {} }} }}", address.ip(), address.port())
    };
    let cluster = |name: &str, address| {
        let endpoint = format!("{{ endpoint: {{ address: {} }} }}", socket(address));
        format!("load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{endpoint}] }}] }}")
    };
    let (service, limits) = (cluster("service", service), cluster("stanchion", limits));
    let (address, admin) = (socket(address), socket(admin));
    format!(
        r#"
admin: {{ address: {admin} }}
static_resources:
  listeners:
  - address: {address}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          http_filters:
          - name: envoy.filters.http.ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit
              domain: edge
              failure_mode_deny: true
              timeout: 10s
              enable_x_ratelimit_headers: DRAFT_VERSION_03
              rate_limit_service:
                transport_api_version: V3
                grpc_service: {{ envoy_grpc: {{ cluster_name: stanchion }} }}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              request_headers_to_remove: [x-user]
              routes: [{{ match: {{ prefix: / }}, route: {{ cluster: service }} }}]
              rate_limits:
              - actions: [{{ request_headers: {{ header_name: x-user, descriptor_key: user }} }}]
  clusters:
  - name: service
    {service}
  - name: stanchion
    {limits}
    health_checks:
    - timeout: 10s
      interval: 0.1s
      no_traffic_interval: 0.1s
      unhealthy_threshold: 1
      healthy_threshold: 1
      grpc_health_check: {{ service_name: envoy.service.ratelimit.v3.RateLimitService }}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
"#
    )
}
