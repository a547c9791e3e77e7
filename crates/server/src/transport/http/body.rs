//! Reads request bodies: declared as JSON, bounded in size and in time.

use super::RequestLimits;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use std::time::Duration;
use wholly_wire::edge::EdgeRejection;

/// Reads a body that must be JSON by its content type; nothing at all needs none.
pub(super) async fn read_json(
    headers: &HeaderMap,
    body: Incoming,
    limits: &RequestLimits,
) -> Result<Bytes, EdgeRejection> {
    let too_large = || EdgeRejection::BodyTooLarge { max: limits.body_bytes_max as u64 };
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    check_content_type(headers)?;
    if body.size_hint().lower() > limits.body_bytes_max as u64 {
        return Err(too_large());
    }
    let time = Duration::from_millis(limits.body_ms_max);
    match tokio::time::timeout(time, collect(body, limits.body_bytes_max)).await {
        Ok(Collected::Whole(bytes)) => Ok(bytes),
        Ok(Collected::TooLarge) => Err(too_large()),
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
    Broken,
}

/// Most bodies come in one piece, which is then not copied.
async fn collect(mut body: Incoming, max: usize) -> Collected {
    let mut whole = Bytes::new();
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
        whole = match whole.is_empty() {
            true => piece,
            false => joined(whole, &piece),
        };
    }
    Collected::Whole(whole)
}

fn joined(whole: Bytes, piece: &[u8]) -> Bytes {
    let mut longer = BytesMut::from(whole);
    longer.extend_from_slice(piece);
    longer.freeze()
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
