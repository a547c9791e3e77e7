//! An answer on the wire: its head, and where its body ends. Pure: bytes in, words out.

use super::connection::ExchangeError;
use http::StatusCode;
use wholly_wire::headers::ANSWER;

/// Most bytes of an answer's head.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1_024;
/// Most headers of an answer.
const HEADERS_MAX: usize = 64;
/// Most bytes of a line that gives a chunk's size.
const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Most bytes of the trailers after the last chunk.
const TRAILER_BYTES_MAX: usize = 4 * 1_024;

/// What matters of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) answer: AnswerLine,
    pub(super) end: BodyEnd,
    pub(super) after: After,
}

/// The header that makes an answer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AnswerLine {
    Missing,
    Once(Box<[u8]>),
    Twice,
}

/// Where the body ends (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEnd {
    Length(u64),
    Chunked,
    /// Only the end of the connection says.
    Unsaid,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Kept,
    Closed,
}

/// Why a head cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadError {
    #[error("{0}")]
    Syntax(httparse::Error),
    #[error("its head has more than {HEAD_BYTES_MAX} bytes")]
    TooLong,
    #[error("it says more than one length")]
    Lengths,
    #[error("it switches to another protocol")]
    Switch,
    #[error("it broke off in its head")]
    BrokenOff,
}

/// Reads a head, if it is whole, and says how many bytes it takes.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let used = match response.parse(bytes).map_err(HeadError::Syntax)? {
        httparse::Status::Complete(used) => used,
        httparse::Status::Partial => return Ok(None),
    };
    let code = response.code.expect("a whole head has a status");
    let status =
        StatusCode::from_u16(code).map_err(|_| HeadError::Syntax(httparse::Error::Status))?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(HeadError::Switch);
    }
    let mut lines = Lines::default();
    for header in response.headers.iter() {
        lines.take(header)?;
    }
    let version = response.version.expect("a whole head has a version");
    let after = match (version, lines.closes) {
        (1, Closes::Unsaid) => After::Kept,
        (_, Closes::Unsaid | Closes::Said) => After::Closed,
    };
    let end = match (status, lines.coding, lines.length) {
        (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED, _, _) => BodyEnd::Length(0),
        (_, Coding::Chunked, _) => BodyEnd::Chunked,
        (_, Coding::Other, _) | (_, Coding::None, None) => BodyEnd::Unsaid,
        (_, Coding::None, Some(length)) => BodyEnd::Length(length),
    };
    // A length beside a coding is what smugglers write: whatever follows is not trusted.
    let after = match (lines.coding, lines.length) {
        (Coding::Chunked | Coding::Other, Some(_)) => After::Closed,
        (Coding::None | Coding::Chunked | Coding::Other, _) => after,
    };
    Ok(Some((Head { status, answer: lines.answer, end, after }, used)))
}

/// What the headers say, as far as it matters.
struct Lines {
    answer: AnswerLine,
    coding: Coding,
    length: Option<u64>,
    closes: Closes,
}

impl Default for Lines {
    fn default() -> Self {
        Lines {
            answer: AnswerLine::Missing,
            coding: Coding::None,
            length: None,
            closes: Closes::Unsaid,
        }
    }
}

/// The last transfer coding; only `chunked` has an end of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    None,
    Chunked,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closes {
    Unsaid,
    Said,
}

impl Lines {
    fn take(&mut self, header: &httparse::Header<'_>) -> Result<(), HeadError> {
        let name = header.name;
        if name.eq_ignore_ascii_case(ANSWER) {
            self.answer = match self.answer {
                AnswerLine::Missing => AnswerLine::Once(header.value.into()),
                AnswerLine::Once(_) | AnswerLine::Twice => AnswerLine::Twice,
            };
        } else if name.eq_ignore_ascii_case("content-length") {
            let length = length(header.value).ok_or(HeadError::Lengths)?;
            if self.length.is_some_and(|earlier| earlier != length) {
                return Err(HeadError::Lengths);
            }
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            let last = header.value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            self.coding = match last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                true => Coding::Chunked,
                false => Coding::Other,
            };
        } else if name.eq_ignore_ascii_case("connection") {
            let mut words = header.value.split(|byte| *byte == b',');
            if words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close")) {
                self.closes = Closes::Said;
            }
        }
        Ok(())
    }
}

fn length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?.trim();
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Puts a chunked body together, piece by piece.
#[derive(Debug)]
pub(super) struct Chunks {
    state: ChunkState,
    bytes_max: usize,
    body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    Size,
    Data { left: usize },
    DataEnd,
    Trailer { seen: usize },
    Done,
}

/// Why a chunked body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChunkError {
    #[error("a chunk has no size")]
    Size,
    #[error("a chunk does not end where its size says")]
    End,
    #[error("its trailers have more than {TRAILER_BYTES_MAX} bytes")]
    Trailer,
}

impl Chunks {
    /// A body of at most so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Chunks { state: ChunkState::Size, bytes_max, body: Vec::new() }
    }

    /// Takes what it can of the bytes that came, and says how many it took.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize, ExchangeError> {
        let mut rest = bytes;
        loop {
            let before = (rest.len(), self.state);
            rest = self.advance(rest)?;
            if (rest.len(), self.state) == before {
                return Ok(bytes.len() - rest.len());
            }
        }
    }

    /// The body, once its end has come.
    pub(super) fn whole(&mut self) -> Option<Vec<u8>> {
        match self.state {
            ChunkState::Done => Some(std::mem::take(&mut self.body)),
            ChunkState::Size
            | ChunkState::Data { .. }
            | ChunkState::DataEnd
            | ChunkState::Trailer { .. } => None,
        }
    }

    fn advance<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ExchangeError> {
        match self.state {
            ChunkState::Size => {
                let line = line(bytes, CHUNK_LINE_BYTES_MAX, ChunkError::Size)?;
                let Some(Line { text, rest }) = line else { return Ok(bytes) };
                let left = chunk_size(text).ok_or(ChunkError::Size)?;
                if left > self.bytes_max.saturating_sub(self.body.len()) {
                    return Err(ExchangeError::TooLarge { bytes_max: self.bytes_max });
                }
                self.state = match left {
                    0 => ChunkState::Trailer { seen: 0 },
                    left => ChunkState::Data { left },
                };
                Ok(rest)
            }
            ChunkState::Data { left } => {
                let (data, rest) = bytes.split_at(left.min(bytes.len()));
                self.body.extend_from_slice(data);
                self.state = match left - data.len() {
                    0 => ChunkState::DataEnd,
                    left => ChunkState::Data { left },
                };
                Ok(rest)
            }
            ChunkState::DataEnd => match bytes {
                [b'\r', b'\n', rest @ ..] => {
                    self.state = ChunkState::Size;
                    Ok(rest)
                }
                [] | [b'\r'] => Ok(bytes),
                [_, ..] => Err(ChunkError::End.into()),
            },
            ChunkState::Trailer { seen } => {
                let left = TRAILER_BYTES_MAX - seen;
                let Some(Line { text, rest }) = line(bytes, left, ChunkError::Trailer)? else {
                    return Ok(bytes);
                };
                self.state = match text {
                    [] => ChunkState::Done,
                    [_, ..] => ChunkState::Trailer { seen: seen + text.len() + 2 },
                };
                Ok(rest)
            }
            ChunkState::Done => Ok(bytes),
        }
    }
}

/// A line without its end, and what follows it.
struct Line<'a> {
    text: &'a [u8],
    rest: &'a [u8],
}

/// The first line, if its end has come.
fn line(bytes: &[u8], bytes_max: usize, error: ChunkError) -> Result<Option<Line<'_>>, ChunkError> {
    let near = &bytes[..bytes.len().min(bytes_max)];
    match near.iter().position(|byte| *byte == b'\n') {
        Some(at) if at > 0 && near[at - 1] == b'\r' => {
            Ok(Some(Line { text: &bytes[..at - 1], rest: &bytes[at + 1..] }))
        }
        Some(_) => Err(error),
        None if near.len() == bytes_max => Err(error),
        None => Ok(None),
    }
}

fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    let plain = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok()?;
    plain.then(|| usize::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &str) -> String {
        let text = format!("HTTP/1.1 {}\r\n\r\n", lines.replace('|', "\r\n"));
        match parse(text.as_bytes()) {
            Ok(Some((head, used))) => {
                assert_eq!(used, text.len());
                format!("{} {:?} {:?}", head.status.as_u16(), head.end, head.after)
            }
            Ok(None) => "partial".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_head_says_where_the_body_ends_and_whether_the_connection_stays() {
        let check = |lines: &str, expected: &str| assert_eq!(head(lines), expected, "{lines}");
        check("200 OK|content-length: 7", "200 Length(7) Kept");
        check("200 OK|Content-Length: 7|CONTENT-LENGTH: 7", "200 Length(7) Kept");
        check("200 OK|content-length: 7|connection: close", "200 Length(7) Closed");
        check("200 OK|content-length: 7|connection: x, Close", "200 Length(7) Closed");
        check("200 OK|transfer-encoding: chunked", "200 Chunked Kept");
        check("200 OK|transfer-encoding: gzip, Chunked", "200 Chunked Kept");
        check("200 OK|transfer-encoding: gzip|transfer-encoding: chunked", "200 Chunked Kept");
        check("200 OK|transfer-encoding: chunked, gzip", "200 Unsaid Kept");
        check("200 OK|transfer-encoding: gzip|content-length: 7", "200 Unsaid Closed");
        check("200 OK|transfer-encoding: chunked|content-length: 7", "200 Chunked Closed");
        check("200 OK", "200 Unsaid Kept");
        check("204 No Content", "204 Length(0) Kept");
        check("304 Not Modified|content-length: 7", "304 Length(0) Kept");
        check("100 Continue", "100 Unsaid Kept");
        let lengths = "it says more than one length";
        check("200 OK|content-length: 7|content-length: 8", lengths);
        for odd in ["7, 7", "-1", "+7", "0x7", "", "7 7", "99999999999999999999"] {
            check(&format!("200 OK|content-length: {odd}"), lengths);
        }
        check("101 Switching Protocols|upgrade: x", "it switches to another protocol");
        check("99 Odd", "invalid response status");
        check("200 OK|no colon", "invalid header name");
        check("200 OK|folded: a| b", "invalid header name");
        check(&format!("200 OK{}", "|x: 1".repeat(65)), "too many headers");
    }

    #[test]
    fn an_older_version_keeps_no_connection() {
        let text = b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n";
        assert_eq!(parse(text).unwrap().unwrap().0.after, After::Closed);
    }

    #[test]
    fn the_answers_header_is_found_and_counted() {
        let check = |lines: &str, expected: AnswerLine| {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert_eq!(parse(text.as_bytes()).unwrap().unwrap().0.answer, expected, "{lines}");
        };
        check("", AnswerLine::Missing);
        check("Wholly-Answer: done\r\n", AnswerLine::Once(b"done".as_slice().into()));
        check("wholly-answer: a\r\nx: 1\r\nwholly-answer: a\r\n", AnswerLine::Twice);
        check("wholly-answer: a\r\nwholly-answer: a\r\nwholly-answer: a\r\n", AnswerLine::Twice);
    }

    #[test]
    fn every_beginning_of_a_head_is_partial() {
        let text = b"HTTP/1.1 200 OK\r\nwholly-answer: done\r\ncontent-length: 7\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), Ok(None), "{end}");
        }
    }

    /// Feeds a body in pieces of a size; what is left over comes again with the next piece.
    fn unchunk(text: &[u8], piece: usize, bytes_max: usize) -> String {
        let mut chunks = Chunks::new(bytes_max);
        let mut waiting = Vec::new();
        for part in text.chunks(piece) {
            waiting.extend_from_slice(part);
            match chunks.feed(&waiting) {
                Ok(used) => drop(waiting.drain(..used)),
                Err(error) => return error.to_string(),
            }
        }
        match chunks.whole() {
            Some(body) => format!("{}+{}", String::from_utf8_lossy(&body), waiting.len()),
            None => "partial".to_owned(),
        }
    }

    #[test]
    fn chunks_make_the_same_body_however_they_come() {
        let check = |text: &str, expected: &str| {
            for piece in 1..=text.len() {
                assert_eq!(unchunk(text.as_bytes(), piece, 10), expected, "{text:?} by {piece}");
            }
        };
        check("0\r\n\r\n", "+0");
        check("3\r\nabc\r\n0\r\n\r\n", "abc+0");
        check("3\r\nabc\r\n00\r\n\r\n", "abc+0");
        check("3;x=y\r\nabc\r\n2 \r\nde\r\n0\r\nx: 1\r\ny: 2\r\n\r\n", "abcde+0");
        check("a\r\n0123456789\r\n0\r\n\r\n", "0123456789+0");
        check("A\r\n0123456789\r\n0\r\n\r\nHTTP", "0123456789+4");
        check("3\r\nabc\r\n0\r\n", "partial");
        check("3\r\nab", "partial");
        check("b\r\n01234567890\r\n", "the answer has more than 10 bytes (reply_bytes_max)");
        check("ffffffff\r\n", "the answer has more than 10 bytes (reply_bytes_max)");
        let broken = "the answer broke off in its body";
        for odd in [
            "\r\n",
            "\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            " 1\r\n",
            "0x1\r\n",
            "100000000\r\n",
            "1\na\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "0\r\nx: 1\n\r\n",
        ] {
            check(odd, broken);
        }
        check(&"1".repeat(300), broken);
        check(&format!("0\r\n{}", "x: 1\r\n".repeat(1_000)), broken);
    }

    /// Changes, drops and doubles bytes, the same ones for the same seed.
    fn mutilate(text: &[u8], seed: u64) -> Vec<u8> {
        let mut bytes = text.to_vec();
        let mut state = seed;
        for _ in 0..=seed % 4 {
            state = wholly_core::retry::mix(state);
            let at = usize::try_from(state >> 16).unwrap() % bytes.len().max(1);
            match state % 4 {
                0 => bytes[at] = u8::try_from(state >> 8 & 0xff).unwrap(),
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, bytes[at]),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    }

    #[test]
    fn mutilated_answers_are_read_or_refused_and_nothing_else() {
        let head = b"HTTP/1.1 200 OK\r\nwholly-answer: done;gid=g\r\ncontent-length: 7\r\n\r\n";
        let chunked = b"3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\nx: 1\r\n\r\n";
        let (mut read, mut refused) = (0, 0);
        for seed in 1..20_000 {
            let bytes = mutilate(head, seed);
            match parse(&bytes) {
                Ok(Some((_, used))) => {
                    assert!(used <= bytes.len(), "seed {seed}");
                    read += 1;
                }
                Ok(None) | Err(_) => refused += 1,
            }
            let bytes = mutilate(chunked, seed);
            let mut chunks = Chunks::new(100);
            match chunks.feed(&bytes) {
                Ok(used) => assert!(used <= bytes.len(), "seed {seed}"),
                Err(_) => refused += 1,
            }
            if let Some(body) = chunks.whole() {
                assert!(body.len() <= 100, "seed {seed}");
            }
        }
        assert!(read > 1_000 && refused > 1_000, "{read} {refused}");
    }
}
