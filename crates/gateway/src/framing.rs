/// Follows the bytes of an HTTP/1.1 connection far enough to know where heads and bodies are, and refuses what two parsers could frame
/// in two ways (RFC 9112 §6 and §11.2): a bare line feed, a length besides a transfer coding, a coding other than `chunked`, lengths
/// that differ.
///
/// The HTTP library behind it accepts some of these in its own way, which would be right if it were alone; a request smuggled past one
/// of two parsers needs them to differ.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    line: Vec<u8>,
    head: Head,
}

/// Why a connection cannot go on, as the status it ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// 400: it could be read in two ways, or in none.
    Ambiguous,
    /// 501: it is framed by a coding that is not spoken here.
    UnknownCoding,
}

impl Violation {
    /// Returns the whole answer: a bare status, and the connection closes.
    pub(crate) const fn answer(self) -> &'static [u8] {
        match self {
            Self::Ambiguous => b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            Self::UnknownCoding => {
                b"HTTP/1.1 501 Not Implemented\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            }
        }
    }
}

#[derive(Debug, Default)]
enum State {
    /// In the request line or a field line.
    #[default]
    Head,
    /// In a body, with this many bytes to come.
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    /// At the line end after a chunk.
    ChunkEnd,
    Trailers,
}

#[derive(Debug, Default)]
struct Head {
    begun: bool,
    length: Option<u64>,
    chunked: bool,
}

/// A line longer than this is left to the parser's own limit on heads.
const LONGEST_LINE: usize = 1 << 20;

impl Framing {
    /// Takes in the next bytes of the connection.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Violation> {
        while !bytes.is_empty() {
            bytes = match &mut self.state {
                State::Body(left) => {
                    let rest = skip(bytes, left);
                    if *left == 0 {
                        self.state = State::Head;
                    }
                    rest
                }
                State::ChunkData(left) => {
                    let rest = skip(bytes, left);
                    if *left == 0 {
                        self.state = State::ChunkEnd;
                    }
                    rest
                }
                State::Head | State::ChunkSize | State::ChunkEnd | State::Trailers => self.line(bytes)?,
            };
        }
        Ok(())
    }

    /// Tells whether what comes next belongs to the body of a request whose head was read.
    pub(crate) const fn is_in_body(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    /// Takes in bytes up to the end of a line and returns the rest.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Violation> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        if self.line.len().saturating_add(line.len()) > LONGEST_LINE {
            return Err(Violation::Ambiguous);
        }
        self.line.extend_from_slice(line);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            let ended = match line.strip_suffix(b"\r\n") {
                Some(line) => self.whole_line(line),
                None => Err(Violation::Ambiguous),
            };
            self.line = line;
            self.line.clear();
            ended?;
        }
        Ok(rest)
    }

    fn whole_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        self.state = match self.state {
            State::Head if !line.is_empty() => {
                if self.head.begun {
                    self.field(line)?;
                }
                self.head.begun = true;
                return Ok(());
            }
            // Empty lines before a request are allowed (RFC 9112 §2.2).
            State::Head if !self.head.begun => return Ok(()),
            State::Head => match std::mem::take(&mut self.head) {
                Head { chunked: true, length: Some(_), .. } => return Err(Violation::Ambiguous),
                Head { chunked: true, .. } => State::ChunkSize,
                Head { length: Some(length), .. } if length > 0 => State::Body(length),
                Head { .. } => State::Head,
            },
            State::ChunkSize => match chunk_size(line).ok_or(Violation::Ambiguous)? {
                0 => State::Trailers,
                size => State::ChunkData(size),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailers if line.is_empty() => State::Head,
            State::Trailers => return Ok(()),
            State::ChunkEnd | State::Body(_) | State::ChunkData(_) => return Err(Violation::Ambiguous),
        };
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Violation> {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Ok(()) };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = decimal(value).ok_or(Violation::Ambiguous)?;
            if self.head.length.is_some() {
                return Err(Violation::Ambiguous);
            }
            self.head.length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.head.chunked {
                return Err(Violation::Ambiguous);
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                let twice = value
                    .split(|byte| *byte == b',')
                    .filter(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"));
                return Err(if twice.count() > 1 { Violation::Ambiguous } else { Violation::UnknownCoding });
            }
            self.head.chunked = true;
        }
        Ok(())
    }
}

fn skip<'a>(bytes: &'a [u8], left: &mut u64) -> &'a [u8] {
    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= u64::try_from(here).unwrap_or(*left);
    bytes.get(here..).unwrap_or_default()
}

fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows the text whole, and again byte by byte: how it is cut must not matter.
    fn follow(text: &str) -> Result<(), Violation> {
        let whole = Framing::default().follow(text.as_bytes());
        let mut framing = Framing::default();
        let bytewise = text.as_bytes().chunks(1).try_for_each(|byte| framing.follow(byte));
        assert_eq!(whole, bytewise, "{text:?}");
        whole
    }

    fn request(fields: &str, rest: &str) -> Result<(), Violation> {
        follow(&format!("POST / HTTP/1.1\r\nhost: x\r\n{fields}\r\n{rest}"))
    }

    #[test]
    fn well_framed_requests_pass_one_after_the_other() {
        let next = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(request("content-length: 5\r\n", &format!("a\nb\nc{next}")), Ok(()));
        assert_eq!(request("content-length: 0\r\n", next), Ok(()));
        assert_eq!(
            request("transfer-encoding: chunked\r\n", &format!("3;x=y\r\na\nb\r\n0\r\nt: 1\r\n\r\n{next}")),
            Ok(())
        );
        assert_eq!(follow(&format!("\r\n{next}\r\n{next}")), Ok(()));
    }

    #[test]
    fn what_two_parsers_could_frame_in_two_ways_is_refused() {
        for fields in [
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
            "content-length: 5\r\ncontent-length: 5\r\n",
            "content-length: 5, 5\r\n",
            "content-length: +5\r\n",
            "content-length: -1\r\n",
            "content-length:\r\n",
            "content-length: 99999999999999999999\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked, chunked\r\n",
            "x: y\n",
        ] {
            assert_eq!(request(fields, ""), Err(Violation::Ambiguous), "{fields:?}");
        }
        for body in [
            "5\nabcde\n",
            "5;\nabcde",
            "5\r\nabcdefg\r\n",
            "g\r\n",
            "0x5\r\n",
            "-1\r\n",
            "\r\n",
            "1234567890123456\r\n",
        ] {
            assert_eq!(
                request("transfer-encoding: chunked\r\n", body),
                Err(Violation::Ambiguous),
                "{body:?}"
            );
        }
    }

    #[test]
    fn codings_that_are_not_spoken_are_named_so() {
        for coding in ["gzip, chunked", "gzip", "identity", "xchunked"] {
            let fields = format!("transfer-encoding: {coding}\r\n");
            assert_eq!(request(&fields, ""), Err(Violation::UnknownCoding), "{coding}");
        }
    }
}
