//! A call as a request: path, headers, body.

use super::destinations::{BodyForm, Place};
use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use wholly_core::effect::Call;
use wholly_core::ids::{Body, Gid};
use wholly_core::retry::mix;
use wholly_wire::headers::{self, BodyKind};
use wholly_wire::words::Spelled;

/// The body of a call and how it is laid out.
pub(super) struct CallBody {
    pub(super) bytes: Bytes,
    kind: BodyKind,
}

/// The payload as it is; an envelope where the destination wants one or replies are handed on.
pub(super) fn body(call: &Call, form: BodyForm) -> Result<CallBody, serde_json::Error> {
    match form {
        BodyForm::Payload if call.replies.is_empty() => {
            Ok(CallBody { bytes: Bytes::from_owner(call.payload.clone()), kind: BodyKind::Payload })
        }
        BodyForm::Payload | BodyForm::Envelope => {
            let bytes = Bytes::from(envelope(call)?);
            Ok(CallBody { bytes, kind: BodyKind::Envelope })
        }
    }
}

fn envelope(call: &Call) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(serde::Serialize)]
    struct Envelope<'a> {
        payload: &'a RawValue,
        reply: Option<&'a RawValue>,
        replies: BTreeMap<&'a str, &'a RawValue>,
    }
    let replies = call.replies.iter().map(|(branch, reply)| Ok((branch.as_str(), raw(reply)?)));
    serde_json::to_vec(&Envelope {
        payload: raw(&call.payload)?,
        reply: call.reply.as_ref().map(raw).transpose()?,
        replies: replies.collect::<Result<_, serde_json::Error>>()?,
    })
}

/// JSON as it is; nothing is null.
fn raw(body: &Body) -> Result<&RawValue, serde_json::Error> {
    match body.is_empty() {
        true => serde_json::from_str("null"),
        false => serde_json::from_slice(body.as_bytes()),
    }
}

/// Writes the head of one sending. Names and addresses are printable ASCII by construction, so
/// nothing in them can end a line.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    place: &Place,
    call: &Call,
    body: &CallBody,
    timeout_ms: u64,
) {
    let mut line = |parts: &[&str]| {
        for part in parts {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    };
    let Place { address, .. } = place;
    let operation = call.operation.as_str();
    line(&["POST ", &address.prefix, headers::CALL_PATH, operation, " HTTP/1.1"]);
    line(&["host: ", &address.authority]);
    line(&["content-type: application/json"]);
    line(&["content-length: ", &body.bytes.len().to_string()]);
    line(&[headers::GID, ": ", call.gid.as_str()]);
    line(&[headers::BRANCH, ": ", call.branch.as_str()]);
    line(&[headers::OP, ": ", call.op.spell()]);
    line(&[headers::OPERATION, ": ", operation]);
    line(&[headers::TIMEOUT_MS, ": ", &timeout_ms.to_string()]);
    line(&[headers::MARK, ": ", &headers::print_mark(&call.mark)]);
    line(&[headers::TRACEPARENT, ": ", &traceparent(&call.gid, call.id.0)]);
    match body.kind {
        BodyKind::Payload => {}
        BodyKind::Envelope => line(&[headers::BODY, ": ", body.kind.spell()]),
    }
    line(&[]);
}

/// A place in a distributed trace (W3C trace context). The trace is the transaction's: whoever
/// knows the gid finds it; each sending is a span of its own.
fn traceparent(gid: &Gid, call: u64) -> String {
    let digest = Sha256::digest(gid.as_str().as_bytes());
    let word = |at: usize| {
        let bytes = digest[at..at + 8].try_into().expect("a digest has 32 bytes");
        u64::from_be_bytes(bytes)
    };
    // All zeros are no id; the odd bit keeps them away.
    let span = mix(word(16) ^ call) | 1;
    format!("00-{:016x}{:016x}-{span:016x}-01", word(0), word(8) | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_the_transactions_and_a_span_the_sendings() {
        let trace = |gid: &str, call| traceparent(&gid.parse().unwrap(), call);
        let first = trace("order-1", 1);
        let parts: Vec<&str> = first.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
        assert_eq!(first, trace("order-1", 1));
        assert_eq!(first[..36], trace("order-1", 2)[..36]);
        assert_ne!(first, trace("order-1", 2));
        assert_ne!(first[..36], trace("order-2", 1)[..36]);
    }
}
