//! Participants: one that does what it is asked, and those that do their worst.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// How a participant answers.
#[derive(Clone, Copy, Debug)]
enum Conduct {
    Done,
    /// Reads the request, and that is all.
    Never,
    /// A byte of a whole answer at a time.
    Drip,
    /// A body without end.
    EndlessBody,
    /// Headers without end.
    EndlessHead,
    /// Ten gigabytes, as it says.
    Announced,
    /// Compressed noughts.
    Compressed,
    /// A reply nested a hundred thousand times.
    Deep,
    /// No HTTP at all.
    Noise,
}

/// Where each participant is.
pub(crate) struct Participants {
    pub(crate) urls: Vec<(&'static str, String)>,
}

/// Those that mean no good, by the names under which they are called.
pub(super) const BAD: [&str; 8] =
    ["never", "drip", "endless-body", "endless-head", "announced", "compressed", "deep", "noise"];

/// Starts one of each; they end with this process.
pub(crate) fn start() -> io::Result<Participants> {
    let conducts = [
        Conduct::Never,
        Conduct::Drip,
        Conduct::EndlessBody,
        Conduct::EndlessHead,
        Conduct::Announced,
        Conduct::Compressed,
        Conduct::Deep,
        Conduct::Noise,
    ];
    let good = listen(Conduct::Done)?;
    let mut urls = vec![("svc-*", format!("{good}/*")), ("good", good)];
    for (name, conduct) in BAD.into_iter().zip(conducts) {
        urls.push((name, listen(conduct)?));
    }
    Ok(Participants { urls })
}

fn listen(conduct: Conduct) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Whoever called may go whenever it likes.
            thread::spawn(move || converse(stream, conduct).ok());
        }
    });
    Ok(url)
}

#[expect(clippy::disallowed_methods, reason = "a drip is made of waiting; nothing waits for it")]
fn converse(mut stream: TcpStream, conduct: Conduct) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(head) = read_request(&mut stream)? {
        let start = format!("HTTP/1.1 200 OK\r\n{}\r\n", echo(&head));
        match conduct {
            Conduct::Done => stream.write_all(whole(&start, b"{}").as_slice())?,
            Conduct::Never => thread::park(),
            Conduct::Drip => {
                for byte in whole(&start, b"{}") {
                    stream.write_all(&[byte])?;
                    thread::sleep(Duration::from_millis(100));
                }
            }
            Conduct::EndlessBody => {
                stream
                    .write_all(format!("{start}transfer-encoding: chunked\r\n\r\n").as_bytes())?;
                let chunk = format!("1000\r\n{}\r\n", "1".repeat(4_096));
                loop {
                    stream.write_all(chunk.as_bytes())?;
                }
            }
            Conduct::EndlessHead => {
                stream.write_all(start.as_bytes())?;
                loop {
                    stream.write_all(b"x-more: and more\r\n")?;
                }
            }
            Conduct::Announced => {
                stream
                    .write_all(format!("{start}content-length: 9999999999\r\n\r\n").as_bytes())?;
                loop {
                    stream.write_all(&[b'1'; 4_096])?;
                }
            }
            Conduct::Compressed => {
                let packed = start + "content-encoding: gzip\r\ncontent-type: application/json\r\n";
                stream.write_all(&whole(&packed, &bomb()))?;
            }
            Conduct::Deep => {
                let deep = "[".repeat(30_000) + &"]".repeat(30_000);
                stream.write_all(&whole(&start, deep.as_bytes()))?;
            }
            Conduct::Noise => stream.write_all(&[0, 7, 255, b'\r', b'\n', b'\r', b'\n'])?,
        }
    }
    Ok(())
}

fn whole(start: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("{start}content-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend(body);
    answer
}

/// The header that makes an answer to this very call.
fn echo(head: &str) -> String {
    let value = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().to_owned()
    };
    let (gid, branch) = (value("wholly-gid"), value("wholly-branch"));
    let (operation, op) = (value("wholly-operation"), value("wholly-op"));
    format!("wholly-answer: done;gid={gid};branch={branch};operation={operation};op={op}")
}

/// Reads one request and gives its head; none at the end.
fn read_request(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut seen = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        if let Some(end) = seen.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
            if seen.len() >= end + 4 + length {
                return Ok(Some(head));
            }
        }
        match stream.read(&mut piece)? {
            0 => return Ok(None),
            read => seen.extend(&piece[..read]),
        }
    }
}

/// Deflated noughts (RFC 1951, fixed codes): one nought, then copies of 258 before it, a byte and a
/// half for each. Unpacked it has a hundred times the bytes.
pub(super) fn bomb() -> Vec<u8> {
    let mut bits = Bits::default();
    // The last block, with fixed codes; the literal nought is 0x30 in eight bits.
    bits.push(0b1, 1);
    bits.push(0b01, 2);
    bits.push_code(0x30, 8);
    for _ in 0..40_000 {
        // Length 258 is symbol 285, which is 0xc5 in eight bits; distance 1 is 0 in five.
        bits.push_code(0xc5, 8);
        bits.push_code(0, 5);
    }
    bits.push_code(0, 7);
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    packed.extend(bits.bytes);
    // Nobody comes so far as to compare the checksum.
    packed.extend([0; 8]);
    packed
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    /// Values go in from their lowest bit.
    fn push(&mut self, value: u32, count: u32) {
        for at in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = u8::try_from((value >> at) & 1).expect("a bit fits");
            let last = self.bytes.last_mut().expect("a byte was pushed");
            *last |= bit << (self.used % 8);
            self.used += 1;
        }
    }

    /// Codes go in from their highest bit.
    fn push_code(&mut self, code: u32, count: u32) {
        for at in (0..count).rev() {
            self.push(code >> at & 1, 1);
        }
    }
}
