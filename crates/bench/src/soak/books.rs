//! A participant with books: a barrier's row for each branch, and the sum of all effects. It is a
//! process of its own that is killed, so each change is in a file before it is answered.
//!
//! The sum is one of hashes of gids, added when an effect takes place and taken off when it is
//! undone. If it is the sum over all that were committed, none is lost and none is there twice.

use crate::client::Broken;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use wholly_core::barrier::{self, State, Verdict, meet_none};
use wholly_core::branch::{Answer, Op};
use wholly_core::effect::Mark;
use wholly_core::ids::{Body, Code, Text};
use wholly_wire::headers::{self, AnswerHeader, AnswerWord, Asked};
use wholly_wire::words::Spelled;

/// The payload of a branch that the business refuses.
pub(super) const REFUSED: &str = "\"refuse\"";
/// Rows that nothing needs any more are dropped whenever the limit has moved by so much.
const CLEARED_EVERY_MS: u64 = 5_000;

/// What is read of the books in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sum {
    /// Effects that stand.
    pub(crate) applied: i64,
    /// The sum of their hashes.
    pub(crate) hashes: u64,
    /// Reserved, and neither confirmed nor cancelled.
    pub(crate) held: i64,
}

/// What a transaction adds to the sum.
pub(super) fn hash(gid: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    gid.hash(&mut hasher);
    hasher.finish()
}

/// A row of the barrier, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    gid: String,
    /// As [`State::code`] counts.
    state: i16,
    begun: u64,
}

/// A line of the file: how a row and the books stand from here on.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    row: Option<Row>,
    sum: Sum,
    limit: u64,
}

struct Books {
    rows: HashMap<String, Row>,
    sum: Sum,
    /// What was begun before is stale.
    limit: u64,
    cleared: u64,
    file: File,
}

/// A call, read.
struct Call {
    asked: Asked,
    mark: Mark,
    is_refused: bool,
}

/// Serves over the listener that stands at standard input, which outlives this process: so nobody
/// else takes the port while it is being killed and started.
pub(crate) async fn serve(folder: &Path) -> Result<(), Broken> {
    let tried = |e: std::io::Error| Broken(format!("books: {e}"));
    let books = Arc::new(Mutex::new(Books::open(folder).map_err(tried)?));
    let owned = std::io::stdin().as_fd().try_clone_to_owned().map_err(tried)?;
    let listener = std::net::TcpListener::from(owned);
    listener.set_nonblocking(true).map_err(tried)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(tried)?;
    println!("{}", listener.local_addr().map_err(tried)?);
    loop {
        let (stream, _) = listener.accept().await.map_err(tried)?;
        stream.set_nodelay(true).map_err(tried)?;
        let books = Arc::clone(&books);
        let service = service_fn(move |request| answer(Arc::clone(&books), request));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(
    books: Arc<Mutex<Books>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(plain(StatusCode::BAD_REQUEST, String::new()));
    };
    let mut books = books.lock().expect("nothing panics under this lock");
    if head.uri.path() == "/sum" {
        let sum = serde_json::to_string(&books.sum).expect("numbers can be written");
        return Ok(plain(StatusCode::OK, sum));
    }
    let is_refused = body.to_bytes() == REFUSED;
    let Some(call) = read(&head.headers, is_refused) else {
        return Ok(plain(StatusCode::BAD_REQUEST, "not a call".into()));
    };
    Ok(match books.meet(&call) {
        Ok(answer) => spell(call.asked, answer),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    })
}

fn plain(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

fn read(headers: &HeaderMap, is_refused: bool) -> Option<Call> {
    let text = |name| headers.get(name)?.to_str().ok();
    let asked = Asked {
        gid: text(headers::GID)?.parse().ok()?,
        branch: text(headers::BRANCH)?.parse().ok()?,
        operation: text(headers::OPERATION)?.parse().ok()?,
        op: Op::parse(text(headers::OP)?)?,
    };
    Some(Call { asked, mark: headers::parse_mark(text(headers::MARK)?).ok()?, is_refused })
}

fn spell(asked: Asked, answer: Answer) -> Response<Full<Bytes>> {
    let (word, kept, status, body) = match answer {
        Answer::Done { kept, .. } => (AnswerWord::Done, kept, StatusCode::OK, String::new()),
        Answer::Refused(refusal) => {
            let body = serde_json::json!({
                "code": refusal.code.as_str(),
                "detail": refusal.detail.as_str(),
            });
            (AnswerWord::Refused, refusal.kept, StatusCode::CONFLICT, body.to_string())
        }
        Answer::Working | Answer::Unknown { .. } => {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, "books know what they do".into());
        }
    };
    let mut response = plain(status, body);
    let header = AnswerHeader { word, asked, kept }.to_string();
    let header = header.parse().expect("names are printable ASCII");
    response.headers_mut().insert(headers::ANSWER, header);
    response
}

impl Books {
    /// The books as the file tells them; they go on in a shorter file that says the same.
    fn open(folder: &Path) -> std::io::Result<Books> {
        fs::create_dir_all(folder)?;
        let (path, next) = (folder.join("books"), folder.join("books.next"));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let file = File::create(&next)?;
        let mut books =
            Books { rows: HashMap::new(), sum: Sum::default(), limit: 0, cleared: 0, file };
        for line in text.split_inclusive('\n') {
            // A kill can cut the last one; what it says was never answered.
            let Some(line) = line.strip_suffix('\n') else { break };
            let line: Line = serde_json::from_str(line)?;
            (books.sum, books.limit) = (line.sum, line.limit);
            if let Some(row) = line.row {
                books.rows.insert(row.gid.clone(), row);
            }
        }
        books.clear();
        let mut short = Vec::new();
        let rows = books.rows.values().cloned().map(Some);
        for row in rows.chain([None]) {
            books.spell_line(row, &mut short)?;
        }
        books.file.write_all(&short)?;
        fs::rename(next, path)?;
        Ok(books)
    }

    fn spell_line(&self, row: Option<Row>, into: &mut Vec<u8>) -> std::io::Result<()> {
        serde_json::to_writer(&mut *into, &Line { row, sum: self.sum, limit: self.limit })?;
        into.push(b'\n');
        Ok(())
    }

    /// A call meets its row; what it changes is written before anybody hears of it.
    fn meet(&mut self, call: &Call) -> std::io::Result<Answer> {
        self.limit = self.limit.max(call.mark.limit.0);
        if self.limit >= self.cleared + CLEARED_EVERY_MS {
            self.clear();
        }
        if call.mark.begun.0 < self.limit {
            return Ok(barrier::stale());
        }
        let op = call.asked.op;
        let row = self.rows.get(call.asked.gid.as_str()).filter(|row| row.begun >= self.limit);
        let verdict = match row {
            Some(row) => state(row.state).meet(op),
            None => meet_none(op),
        };
        match verdict {
            Verdict::Run if call.is_refused => {
                let refused = state(REFUSED_STATE);
                self.put(call, &refused)?;
                Ok(refusal())
            }
            Verdict::Run => {
                match op {
                    Op::Action => self.add(call, 1),
                    Op::Try => self.sum.held += 1,
                    Op::Confirm | Op::Cancel | Op::Compensate | Op::Inspect => {
                        unreachable!("only what comes first is run")
                    }
                }
                self.put(call, &State::Tried { reply: Body::default() })?;
                Ok(barrier::done(Body::default()))
            }
            Verdict::Follow { next, .. } => {
                match op {
                    Op::Confirm => {
                        self.sum.held -= 1;
                        self.add(call, 1);
                    }
                    Op::Cancel => self.sum.held -= 1,
                    Op::Compensate => self.add(call, -1),
                    Op::Try | Op::Action | Op::Inspect => {
                        unreachable!("only what comes second follows")
                    }
                }
                self.put(call, &next)?;
                Ok(barrier::done(Body::default()))
            }
            Verdict::Remember => {
                self.put(call, &State::NullCancelled)?;
                Ok(barrier::done(Body::default()))
            }
            Verdict::Answer(answer) => Ok(answer),
            Verdict::Inspected(_) => Ok(Answer::Working),
        }
    }

    fn add(&mut self, call: &Call, times: i64) {
        let hash = hash(call.asked.gid.as_str());
        self.sum.applied += times;
        self.sum.hashes = match times > 0 {
            true => self.sum.hashes.wrapping_add(hash),
            false => self.sum.hashes.wrapping_sub(hash),
        };
    }

    fn put(&mut self, call: &Call, state: &State) -> std::io::Result<()> {
        let gid = call.asked.gid.to_string();
        let row = Row { gid: gid.clone(), state: state.code(), begun: call.mark.begun.0 };
        let mut line = Vec::with_capacity(160);
        self.spell_line(Some(row.clone()), &mut line)?;
        self.file.write_all(&line)?;
        self.rows.insert(gid, row);
        Ok(())
    }

    fn clear(&mut self) {
        self.rows.retain(|_, row| row.begun >= self.limit);
        self.cleared = self.limit;
    }
}

const REFUSED_STATE: i16 = 5;

/// The state behind a number; replies here are empty.
fn state(code: i16) -> State {
    let reply = Body::default();
    match code {
        1 => State::Tried { reply },
        2 => State::Confirmed { reply },
        3 => State::Cancelled { reply },
        4 => State::NullCancelled,
        _refused => State::Refused { code: sold_out(), detail: Text::cut(SOLD_OUT) },
    }
}

const SOLD_OUT: &str = "it is sold out";

fn sold_out() -> Code {
    Code::new("sold_out").expect("codes of ours are names")
}

fn refusal() -> Answer {
    barrier::refused(sold_out(), Text::cut(SOLD_OUT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wholly_core::time::Timestamp;

    fn call(op: Op, begun: u64, limit: u64) -> Call {
        Call {
            asked: Asked {
                gid: "g".parse().unwrap(),
                branch: "a".parse().unwrap(),
                operation: "a.do".parse().unwrap(),
                op,
            },
            mark: Mark {
                origin: "0123456789abcdef".parse().unwrap(),
                begun: Timestamp(begun),
                limit: Timestamp(limit),
            },
            is_refused: false,
        }
    }

    /// The process is killed after each call, and started again.
    fn check(ops: &[Op], applied: i64, held: i64) {
        let folder = tempfile::tempdir().unwrap();
        for op in ops {
            let mut books = Books::open(folder.path()).unwrap();
            books.meet(&call(*op, 10, 0)).unwrap();
        }
        let hashes = if applied == 1 { hash("g") } else { 0 };
        let books = Books::open(folder.path()).unwrap();
        assert_eq!(books.sum, Sum { applied, hashes, held }, "{ops:?}");
    }

    #[test]
    fn each_effect_takes_place_once_whatever_comes_again() {
        check(&[Op::Action], 1, 0);
        check(&[Op::Action, Op::Action], 1, 0);
        check(&[Op::Action, Op::Compensate, Op::Compensate, Op::Action], 0, 0);
        check(&[Op::Compensate, Op::Action], 0, 0);
        check(&[Op::Try, Op::Try], 0, 1);
        check(&[Op::Try, Op::Confirm, Op::Confirm, Op::Try], 1, 0);
        check(&[Op::Try, Op::Cancel, Op::Cancel], 0, 0);
        check(&[Op::Cancel, Op::Try], 0, 0);
    }

    #[test]
    fn what_was_begun_below_the_limit_is_forgotten_and_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = Books::open(folder.path()).unwrap();
        books.meet(&call(Op::Action, 10, 0)).unwrap();
        // The gid is used again, and the limit says that its first life is over.
        books.meet(&call(Op::Action, 20, 11)).unwrap();
        assert_eq!((books.rows.len(), books.sum.applied), (1, 2));
        let mut books = Books::open(folder.path()).unwrap();
        assert_eq!((books.rows.len(), books.sum.applied), (1, 2));
        assert_eq!(books.meet(&call(Op::Compensate, 10, 0)).unwrap(), barrier::stale());
        assert_eq!(books.sum.applied, 2);
    }
}
