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
    match tokio::time::timeout(time, collect(body, announced, limits.body_bytes_max, room)).await {
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
async fn collect(mut body: Incoming, announced: usize, max: usize, room: &mut Room) -> Collected {
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
        whole = whole.with(piece, announced, max);
    }
    Collected::Whole(whole.into_bytes())
}

/// A body in the making.
enum Gathered {
    One(Bytes),
    Many(Vec<u8>),
}

impl Gathered {
    fn len(&self) -> usize {
        match self {
            Gathered::One(piece) => piece.len(),
            Gathered::Many(many) => many.len(),
        }
    }

    /// One more piece. Whoever sends slowly costs what it has sent and no more: the room is that of
    /// the announced length, which takes no memory before it is written to, and where it must
    /// grow, it doubles but stays within the limit.
    fn with(self, piece: Bytes, announced: usize, max: usize) -> Gathered {
        let mut many = match self {
            Gathered::One(first) if first.is_empty() => return Gathered::One(piece),
            Gathered::One(first) => {
                let mut many = Vec::with_capacity(announced.max(first.len() + piece.len()));
                many.extend_from_slice(&first);
                many
            }
            Gathered::Many(many) => many,
        };
        let needed = many.len() + piece.len();
        if needed > many.capacity() {
            let room = needed.max(2 * many.capacity()).min(max);
            many.reserve_exact(room - many.len());
        }
        many.extend_from_slice(&piece);
        Gathered::Many(many)
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Gathered::One(piece) => piece,
            Gathered::Many(many) => many.into(),
        }
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

    fn check(pieces: &[usize], announced: usize, room_max: usize) {
        const MAX: usize = 1_000;
        let mut whole = Gathered::One(Bytes::new());
        let mut sent = Vec::new();
        for (at, bytes) in pieces.iter().enumerate() {
            let piece = vec![u8::try_from(at % 256).unwrap(); *bytes];
            sent.extend_from_slice(&piece);
            whole = whole.with(piece.into(), announced, MAX);
        }
        if let Gathered::Many(many) = &whole {
            assert!(many.capacity() <= room_max, "{pieces:?}: room for {}", many.capacity());
        }
        assert_eq!(whole.len(), sent.len());
        assert_eq!(whole.into_bytes(), sent, "{pieces:?}");
    }

    #[test]
    fn a_body_in_pieces_takes_no_more_room_than_it_may_have() {
        check(&[], 0, 0);
        check(&[700], 700, 0);
        check(&[1; 700], 700, 700);
        check(&[300, 400], 700, 700);
        check(&[1; 1_000], 0, 1_000);
        check(&[999, 1], 0, 1_000);
        check(&[600, 1, 1, 398], 0, 1_000);
        check(&[5, 0, 5], 0, 10);
    }
}
