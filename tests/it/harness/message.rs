use std::io::{self, BufRead, ErrorKind, Read};

/// A request or an answer, as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    /// The first line.
    pub(crate) start: String,
    /// The fields in their order, names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// How the bytes after a head are cut.
enum Framing {
    None,
    Length(u64),
    Chunked,
    ToTheEnd,
}

impl Message {
    /// Reads the body of a request whose head was read.
    pub(crate) fn read_request_body(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        let framing = self.framing(Framing::None)?;
        self.read_body(from, &framing)
    }

    /// Reads the answer to a request of a method, past interim answers.
    pub(crate) fn read_answer(from: &mut impl BufRead, method: &str) -> io::Result<Self> {
        loop {
            let message = Self::read_head(from)?;
            let mut message = message.ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))?;
            let framing = match message.status() {
                100..200 => continue,
                204 | 304 => Framing::None,
                _ if method == "HEAD" => Framing::None,
                _ => message.framing(Framing::ToTheEnd)?,
            };
            message.read_body(from, &framing)?;
            return Ok(message);
        }
    }

    /// Reads a head; `None` when the connection ends before one begins.
    pub(crate) fn read_head(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut message = Self { start: line(from)?, ..Self::default() };
        if message.start.is_empty() {
            return Ok(None);
        }
        loop {
            let field = line(from)?;
            if field.is_empty() {
                return Ok(Some(message));
            }
            let (name, value) = field.split_once(':').ok_or(ErrorKind::InvalidData)?;
            message.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn framing(&self, otherwise: Framing) -> io::Result<Framing> {
        let length = self.field("content-length").map(str::parse).transpose();
        let length = length.map_err(|_| ErrorKind::InvalidData)?;
        Ok(match (self.field("transfer-encoding"), length) {
            (Some(_), Some(_)) => return Err(ErrorKind::InvalidData.into()),
            (Some(_), None) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length),
            (None, None) => otherwise,
        })
    }

    fn read_body(&mut self, from: &mut impl BufRead, framing: &Framing) -> io::Result<()> {
        match *framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.read_exactly(from, length),
            Framing::ToTheEnd => from.read_to_end(&mut self.body).map(drop),
            Framing::Chunked => loop {
                let size = line(from)?;
                let size = u64::from_str_radix(&size, 16).map_err(|_| ErrorKind::InvalidData)?;
                self.read_exactly(from, size)?;
                if !line(from)?.is_empty() {
                    return Err(ErrorKind::InvalidData.into());
                }
                if size == 0 {
                    return Ok(());
                }
            },
        }
    }

    fn read_exactly(&mut self, from: &mut impl BufRead, length: u64) -> io::Result<()> {
        let read = from.take(length).read_to_end(&mut self.body)?;
        if u64::try_from(read).ok() == Some(length) { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    /// The one value of a field; several of one name are a failure.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "`{name}` comes twice: {:?}", self.fields);
        value
    }

    pub(crate) fn status(&self) -> u16 {
        let status = self.start.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no status line: {:?}", self.start))
    }

    pub(crate) fn target(&self) -> &str {
        self.start.split(' ').nth(1).expect("a request line")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {} {:?}", self.start, String::from_utf8_lossy(&self.body)))
    }
}

/// Reads a line without its end; an empty one also stands for the end of the connection.
fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.take(1 << 20).read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\r\n").map_or(line.as_slice(), |line| line);
    String::from_utf8(line.to_vec()).map_err(|_| ErrorKind::InvalidData.into())
}
