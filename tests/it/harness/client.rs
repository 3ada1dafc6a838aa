use std::fmt::Write as _;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::Message;

/// How long a client waits for a byte: longer than anything the program may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection, for tests that care about each byte on it.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap_or_else(|error| panic!("cannot connect to {to}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_nodelay(true).expect("a socket option");
        Self { stream: BufReader::new(stream) }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("sends");
    }

    /// Sends bytes, to a peer that may have closed the connection.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Sends a head. A body is announced by the fields and sent apart.
    pub(crate) fn send_head(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("host: gateway.test\r\n");
        }
        for (name, value) in fields {
            write!(head, "{name}: {value}\r\n").expect("text");
        }
        head.push_str("\r\n");
        self.send(head);
    }

    /// Sends a body in chunks, of sizes that share no factor with any buffer's.
    pub(crate) fn send_chunks(&mut self, body: &[u8]) -> io::Result<()> {
        for chunk in body.chunks(70_001) {
            self.try_send(format!("{:x}\r\n", chunk.len()))?;
            self.try_send(chunk)?;
            self.try_send("\r\n")?;
        }
        self.try_send("0\r\n\r\n")
    }

    pub(crate) fn answer(&mut self, method: &str) -> Message {
        self.try_answer(method).expect("an answer")
    }

    pub(crate) fn try_answer(&mut self, method: &str) -> io::Result<Message> {
        Message::read_answer(&mut self.stream, method)
    }

    /// Reads a head, be it an interim answer's, and nothing of its body.
    pub(crate) fn head(&mut self) -> Message {
        Message::read_head(&mut self.stream).expect("reads").expect("a head")
    }

    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("bytes");
        bytes
    }

    /// Waits until the other side ends the connection and returns what came before that.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => rest,
            Err(error) => panic!("the connection stays open: {error}"),
        }
    }

    /// Goes away, in the middle of whatever it is.
    pub(crate) fn leave(self) {
        drop(self.stream.get_ref().shutdown(Shutdown::Both));
    }

    pub(crate) fn ask(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Message {
        let length = body.len().to_string();
        let mut all = fields.to_vec();
        if !body.is_empty() {
            all.push(("content-length", &length));
        }
        self.send_head(method, target, &all);
        self.send(body);
        self.answer(method)
    }
}

/// Asks on a connection of its own.
pub(crate) fn ask(
    to: SocketAddr,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) -> Message {
    Client::connect(to).ask(method, target, fields, body)
}
