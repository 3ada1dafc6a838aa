//! Servers and clients that others wrote, on either side of the gateway.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::{Message, Program, ask, digest, eventually, pattern, refused_port};

const SIZE: usize = 5_000_000;

/// A foreign server, killed when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says that a foreign program is missing. A newcomer's machine goes without it; in CI, which installs it, that is a failure.
#[expect(clippy::disallowed_methods, reason = "whether this is CI is known only from the environment")]
pub(crate) fn goes_without(program: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI has to install {program}");
    eprintln!("not asked, since it is not installed here: {program}");
}

/// A directory with what is served, below the path of the route.
fn files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let files = directory.path().join("files");
    fs::create_dir(&files).expect("a directory");
    fs::write(files.join("large"), pattern(SIZE)).expect("writes");
    fs::write(files.join("small"), pattern(100)).expect("writes");
    fs::write(files.join("empty"), "").expect("writes");
    directory
}

fn program(upstream: SocketAddr) -> Program {
    let config = format!(
        "[[upstreams]]\nid = \"files\"\nendpoints = [\"http://{upstream}\"]\n\
         [[routes]]\nid = \"files\"\npath = \"/files\"\nupstream = \"files\"\naccess = \"public\"\n"
    );
    Program::start("", &config)
}

/// What any file server does the same way.
fn serves_files(gateway: SocketAddr) {
    let get = |target: &str, fields: &[(&str, &str)]| ask(gateway, "GET", target, fields, b"");
    let large = get("/files/large", &[]);
    assert_eq!((large.status(), large.body.len()), (200, SIZE));
    assert_eq!(digest(&large.body), digest(&pattern(SIZE)));
    assert_eq!(get("/files/small", &[]).body, pattern(100));
    let empty = get("/files/empty", &[]);
    assert_eq!((empty.status(), empty.body.len()), (200, 0));
    assert_eq!(get("/files/missing", &[]).status(), 404);
    let head = ask(gateway, "HEAD", "/files/small", &[], b"");
    assert_eq!((head.status(), head.field("content-length")), (200, Some("100")));
    let changed = large.field("last-modified").expect("a date").to_owned();
    let unchanged = get("/files/large", &[("if-modified-since", &changed)]);
    assert_eq!((unchanged.status(), unchanged.body.len()), (304, 0));
}

#[test]
fn pythons_http_server_is_served_through_where_it_is_installed() {
    let files = files();
    let mut python = Command::new("python3");
    python.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]).current_dir(files.path());
    let python = python.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()).spawn();
    let Ok(python) = python else { return goes_without("python3") };
    let mut python = Server(python);
    let mut told = String::new();
    BufReader::new(python.0.stdout.take().expect("a pipe")).read_line(&mut told).expect("reads");
    // Serving HTTP on 127.0.0.1 port 40000 (http://127.0.0.1:40000/) ...
    let port =
        told.split("port ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|port| port.parse().ok());
    let program = program(SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_else(|| panic!("{told}")))));
    serves_files(program.gateway);
}

#[test]
fn nginx_is_served_through_where_it_is_installed() {
    let places = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx", "/usr/local/bin/nginx"];
    let Some(nginx) = places.into_iter().find(|place| Path::new(place).exists()) else {
        return goes_without("nginx");
    };
    let files = files();
    let port = refused_port();
    let root = files.path().display();
    // In one process, which is gone when it is killed.
    let config = format!(
        "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\n\
         events {{}}\nhttp {{ access_log off;\n\
         client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;\n\
         uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
         server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    );
    let path = files.path().join("nginx.conf");
    fs::write(&path, config).expect("writes");
    let mut started = Command::new(nginx);
    started.arg("-c").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _nginx = Server(started.spawn().expect("starts"));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("nginx serves", || std::net::TcpStream::connect(address).ok());
    let gateway = program(address);
    serves_files(gateway.gateway);
    let range = ask(gateway.gateway, "GET", "/files/large", &[("range", "bytes=1000-1999")], b"");
    assert_eq!((range.status(), range.body), (206, pattern(SIZE)[1_000..2_000].to_vec()));
    let tag = ask(gateway.gateway, "GET", "/files/small", &[], b"").field("etag").expect("a tag").to_owned();
    let unchanged: Message = ask(gateway.gateway, "GET", "/files/small", &[("if-none-match", &tag)], b"");
    assert_eq!(unchanged.status(), 304);
}
