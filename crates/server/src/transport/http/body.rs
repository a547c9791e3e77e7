//! Reads request bodies: declared as JSON, bounded in size and in time.

use super::RequestLimits;
use super::bodies::{Full, Room};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use std::time::Duration;
use wholly_wire::edge::EdgeRejection;

/// Bodies in many pieces are gathered in chunks of so many bytes: what one gives back, when it is
/// refused, the next one takes. In a buffer of its announced length each would touch memory of its
/// own, and hundreds that are refused in turn would leave several times what they may have.
const CHUNK_BYTES: usize = 4 * 1_024;

/// Reads a body that must be JSON by its content type; nothing at all needs none. While it is
/// read it takes of the room for all bodies what has arrived of it.
pub(super) async fn read_json(
    headers: &HeaderMap,
    body: Incoming,
    limits: &RequestLimits,
    room: &mut Room,
) -> Result<Bytes, EdgeRejection> {
    let too_large = || EdgeRejection::BodyTooLarge { max: limits.body_bytes_max as u64 };
    let no_room = |_: Full| EdgeRejection::BodiesFull { max: limits.bodies_bytes_max as u64 };
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    check_content_type(headers)?;
    if body.size_hint().lower() > limits.body_bytes_max as u64 {
        return Err(too_large());
    }
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(limits.body_bytes_max);
    room.would_hold(announced).map_err(no_room)?;
    let time = Duration::from_millis(limits.body_ms_max);
    match tokio::time::timeout(time, collect(body, limits.body_bytes_max, room)).await {
        Ok(Collected::Whole(bytes)) => Ok(bytes),
        Ok(Collected::TooLarge) => Err(too_large()),
        Ok(Collected::NoRoom(full)) => Err(no_room(full)),
        Ok(Collected::Broken) => {
            let why = "it broke off before its end".to_string();
            Err(EdgeRejection::MalformedJson { why })
        }
        Err(_) => Err(EdgeRejection::RequestTimeout { ms: limits.body_ms_max }),
    }
}

enum Collected {
    Whole(Bytes),
    TooLarge,
    NoRoom(Full),
    Broken,
}

/// Most bodies come in one piece, which is then not copied.
async fn collect(mut body: Incoming, max: usize, room: &mut Room) -> Collected {
    let mut whole = Gathered::One(Bytes::new());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Collected::Broken;
        };
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if whole.len() + piece.len() > max {
            return Collected::TooLarge;
        }
        if let Err(full) = room.grow_to(whole.len() + piece.len()) {
            return Collected::NoRoom(full);
        }
        whole = whole.with(piece);
    }
    Collected::Whole(whole.into_bytes())
}

/// A body in the making.
enum Gathered {
    One(Bytes),
    Many(Chunks),
}

impl Gathered {
    fn len(&self) -> usize {
        match self {
            Gathered::One(piece) => piece.len(),
            Gathered::Many(chunks) => chunks.len,
        }
    }

    /// One more piece. Whoever sends slowly costs what it has sent and a chunk at most.
    fn with(self, piece: Bytes) -> Gathered {
        let mut chunks = match self {
            Gathered::One(first) if first.is_empty() => return Gathered::One(piece),
            Gathered::One(first) => {
                let mut chunks = Chunks::default();
                chunks.push(&first);
                chunks
            }
            Gathered::Many(chunks) => chunks,
        };
        chunks.push(&piece);
        Gathered::Many(chunks)
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Gathered::One(piece) => piece,
            Gathered::Many(chunks) => chunks.into_bytes(),
        }
    }
}

/// Bytes in chunks, all but the last full.
#[derive(Default)]
struct Chunks {
    chunks: Vec<Vec<u8>>,
    len: usize,
}

impl Chunks {
    fn push(&mut self, mut piece: &[u8]) {
        self.len += piece.len();
        while !piece.is_empty() {
            let last = match self.chunks.pop() {
                Some(last) if last.len() < CHUNK_BYTES => last,
                full => {
                    self.chunks.extend(full);
                    Vec::with_capacity(CHUNK_BYTES)
                }
            };
            piece = self.fill(last, piece);
        }
    }

    /// Puts a chunk behind the others, with as much as fits of a piece; gives the rest.
    fn fill<'a>(&mut self, mut chunk: Vec<u8>, piece: &'a [u8]) -> &'a [u8] {
        let (fits, rest) = piece.split_at(piece.len().min(CHUNK_BYTES - chunk.len()));
        chunk.extend_from_slice(fits);
        self.chunks.push(chunk);
        rest
    }

    fn into_bytes(self) -> Bytes {
        let mut whole = Vec::with_capacity(self.len);
        for chunk in self.chunks {
            whole.extend_from_slice(&chunk);
        }
        whole.into()
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), EdgeRejection> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => String::from_utf8_lossy(value.as_bytes()),
        (None, _) => return Err(EdgeRejection::ContentType { seen: String::new() }),
        (Some(_), Some(_)) => return Err(EdgeRejection::ContentType { seen: "two types".into() }),
    };
    let (kind, parameters) = value.split_once(';').unwrap_or((&value, ""));
    let is_json = kind.trim().eq_ignore_ascii_case("application/json");
    let parameters = parameters.trim().to_ascii_lowercase();
    let is_utf8 = matches!(parameters.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"");
    match is_json && is_utf8 {
        true => Ok(()),
        false => Err(EdgeRejection::ContentType { seen: value.chars().take(100).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body in these pieces takes so many chunks.
    fn check(pieces: &[usize], chunks: usize) {
        let mut whole = Gathered::One(Bytes::new());
        let mut sent = Vec::new();
        for (at, bytes) in pieces.iter().enumerate() {
            let piece = vec![u8::try_from(at % 256).unwrap(); *bytes];
            sent.extend_from_slice(&piece);
            whole = whole.with(piece.into());
        }
        let taken = match &whole {
            Gathered::One(_) => 0,
            Gathered::Many(many) => {
                assert!(many.chunks.iter().all(|chunk| chunk.capacity() == CHUNK_BYTES));
                many.chunks.len()
            }
        };
        assert_eq!(taken, chunks, "{pieces:?}");
        assert_eq!(whole.len(), sent.len());
        assert_eq!(whole.into_bytes(), sent, "{pieces:?}");
    }

    #[test]
    fn a_body_in_pieces_takes_no_more_room_than_it_may_have() {
        check(&[], 0);
        check(&[700], 0);
        check(&[0, 700], 0);
        check(&[1; 700], 1);
        check(&[3_000, 1_096], 1);
        check(&[3_000, 1_097], 2);
        check(&[4_096, 4_096], 2);
        check(&[4_096, 0, 1, 4_095], 2);
        check(&[10_000, 1, 2_287, 1], 4);
    }
}
