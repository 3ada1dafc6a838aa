use std::fmt::Write as _;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Message;

/// A service that does what the second segment of a path says, be it wrong:
///
/// * `echo`: says as JSON what it was asked; `mirror`: gives the body back, framed as it came
/// * `bytes/N`, `chunks/N`: N bytes of the pattern, with a length or in chunks; `status/N`: a status without a body
/// * `hold`: answers when it is released; `never`: does not answer; `stall`: stops within a body; `endless`: has one that never ends
/// * `drop`: closes before a head; `cut`, `cut-chunks`: closes within a body; `garbage`: is no HTTP; `odd`: odd fields
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The heads of all requests, in the order they came.
    seen: Mutex<Vec<Message>>,
    released: Mutex<bool>,
    release: Condvar,
    left: AtomicUsize,
    stopping: AtomicBool,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.stopping.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A connection that fails is the gateway's doing, and what a test looks at.
                thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Self { address, shared }
    }

    /// The heads of the requests that came, in their order.
    pub(crate) fn seen(&self) -> Vec<Message> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells whether a request for a path came.
    pub(crate) fn was_asked(&self, path: &str) -> bool {
        self.seen().iter().any(|request| request.target() == path)
    }

    /// How many requests for `never`, `stall` and `endless` were given up by the other side.
    pub(crate) fn left(&self) -> usize {
        self.shared.left.load(Ordering::Relaxed)
    }

    /// Lets those that are held be answered.
    pub(crate) fn release(&self) {
        *self.shared.released.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.release.notify_all();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.release();
        self.shared.stopping.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

/// The bytes of bodies: no two stretches near each other are alike.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()
    });
    let mut bytes: Vec<u8> = words.take(count.div_ceil(4)).flatten().collect();
    bytes.truncate(count);
    bytes
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text");
        text
    })
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut to = stream;
    while let Some(mut request) = Message::read_head(&mut reader)? {
        shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        if request.field("expect").is_some() {
            to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.read_request_body(&mut reader)?;
        let (path, method) = (request.target().to_owned(), request.start.clone());
        let mut segments = path.split(['/', '?']).skip(2);
        let (what, argument) = (segments.next().unwrap_or(""), segments.next().unwrap_or(""));
        let number = argument.parse().unwrap_or(0);
        match what {
            "mirror" if request.field("transfer-encoding").is_some() => chunks(to, &request.body)?,
            "mirror" => whole(to, 200, "application/octet-stream", &request.body, false)?,
            "bytes" => whole(to, 200, "application/octet-stream", &pattern(number), method.starts_with("HEAD"))?,
            "chunks" => chunks(to, &pattern(number))?,
            "status" => {
                let length = if matches!(number, 204 | 304) { "" } else { "content-length: 0\r\n" };
                to.write_all(format!("HTTP/1.1 {number} It\r\netag: \"1\"\r\n{length}\r\n").as_bytes())?;
            }
            "hold" => {
                let released = shared.released.lock().unwrap_or_else(PoisonError::into_inner);
                drop(shared.release.wait_while(released, |released| !*released));
                whole(to, 200, "text/plain", b"held", false)?;
            }
            "never" => {
                let left = reader.read(&mut [0]);
                shared.left.fetch_add(1, Ordering::Relaxed);
                return left.map(drop);
            }
            "endless" => {
                to.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
                let chunk = [b"10000\r\n".as_slice(), &pattern(0x10000), b"\r\n"].concat();
                while to.write_all(&chunk).is_ok() {}
                shared.left.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            "stall" => {
                to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this")?;
                let left = reader.read(&mut [0]);
                shared.left.fetch_add(1, Ordering::Relaxed);
                return left.map(drop);
            }
            "drop" => return Ok(()),
            "cut" => return to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this"),
            "cut-chunks" => {
                return to.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nonly this\r\n");
            }
            "garbage" => return to.write_all(b"this is no HTTP\r\n\r\n"),
            "odd" => to.write_all(
                b"HTTP/1.1 200 OK\r\nconnection: keep-alive, x-inner\r\nx-inner: 1\r\nkeep-alive: timeout=5\r\n\
                  x-request-id: forged\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n",
            )?,
            _ => {
                let fields: Vec<_> = request.fields.iter().map(|(name, value)| json!([name, value])).collect();
                let seen = json!({
                    "start": request.start,
                    "fields": fields,
                    "bytes": request.body.len(),
                    "sha256": digest(&request.body),
                });
                whole(to, 200, "application/json", seen.to_string().as_bytes(), method.starts_with("HEAD"))?;
            }
        }
    }
    Ok(())
}

fn whole(mut to: &TcpStream, status: u16, media_type: &str, body: &[u8], is_head: bool) -> io::Result<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} OK\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n");
    to.write_all(head.as_bytes())?;
    if is_head { Ok(()) } else { to.write_all(body) }
}

fn chunks(mut to: &TcpStream, body: &[u8]) -> io::Result<()> {
    to.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
    // Of sizes that share no factor with any buffer's.
    for chunk in body.chunks(70_001) {
        to.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
        to.write_all(chunk)?;
        to.write_all(b"\r\n")?;
    }
    to.write_all(b"0\r\n\r\n")
}
