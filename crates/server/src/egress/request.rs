//! A call as a request: path, headers, body.

use super::destinations::{BodyForm, Place};
use crate::clocks::since_1970;
use crate::keyring::Signer;
use crate::spans;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body_util::Full;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use wholly_core::effect::Call;
use wholly_core::ids::Body;
use wholly_wire::headers::{self, BodyKind};
use wholly_wire::signature::{self, Validity};
use wholly_wire::trace::TraceContext;
use wholly_wire::words::Spelled;

const GID: HeaderName = HeaderName::from_static(headers::GID);
const BRANCH: HeaderName = HeaderName::from_static(headers::BRANCH);
const OP: HeaderName = HeaderName::from_static(headers::OP);
const OPERATION: HeaderName = HeaderName::from_static(headers::OPERATION);
const TIMEOUT_MS: HeaderName = HeaderName::from_static(headers::TIMEOUT_MS);
const MARK: HeaderName = HeaderName::from_static(headers::MARK);
const BODY: HeaderName = HeaderName::from_static(headers::BODY);
const TRACEPARENT: HeaderName = HeaderName::from_static(headers::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(headers::TRACESTATE);

const AUDIENCE: HeaderName = HeaderName::from_static(headers::AUDIENCE);
const CONTENT_DIGEST: HeaderName = HeaderName::from_static(headers::CONTENT_DIGEST);
const SIGNATURE: HeaderName = HeaderName::from_static(headers::SIGNATURE);
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static(headers::SIGNATURE_INPUT);

/// Headers of a request, the length of its body among them.
const HEADERS: usize = 16;

/// The body of a call and how it is laid out; and its place in a trace, which is the same for
/// each copy of it.
pub(super) struct CallBody {
    bytes: Bytes,
    trace: TraceContext,
    kind: BodyKind,
}

/// The payload as it is; an envelope where the destination wants one or replies are handed on.
pub(super) fn body(
    call: &Call,
    form: BodyForm,
    trace: &TraceContext,
) -> Result<CallBody, serde_json::Error> {
    let trace = trace.clone();
    match form {
        BodyForm::Payload if call.replies.is_empty() => {
            let bytes = Bytes::from_owner(call.payload.clone());
            Ok(CallBody { bytes, trace, kind: BodyKind::Payload })
        }
        BodyForm::Payload | BodyForm::Envelope => {
            let bytes = Bytes::from(envelope(call)?);
            Ok(CallBody { bytes, trace, kind: BodyKind::Envelope })
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

/// The request of one sending.
pub(super) fn request(
    place: &Place,
    call: &Call,
    body: &CallBody,
    timeout_ms: u64,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.bytes.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri(place, call);
    let mut values = Values::default();
    let gid = values.add(call.gid.as_str());
    let branch = values.add(call.branch.as_str());
    let operation = values.add(call.operation.as_str());
    let mark = values.add(&headers::print_mark(&call.mark));
    let trace = values.add(&body.trace.parent.to_string());
    let state = spans::state_of(&body.trace).map(|state| values.add(state));
    let values = values.freeze();
    let map = request.headers_mut();
    map.reserve(HEADERS);
    map.insert(HOST, place.host.clone());
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(GID, value(&values, gid));
    map.insert(BRANCH, value(&values, branch));
    map.insert(OP, HeaderValue::from_static(call.op.spell()));
    map.insert(OPERATION, value(&values, operation));
    map.insert(TIMEOUT_MS, HeaderValue::from(timeout_ms));
    map.insert(MARK, value(&values, mark));
    map.insert(TRACEPARENT, value(&values, trace));
    if let Some(state) = state {
        map.insert(TRACESTATE, value(&values, state));
    }
    match body.kind {
        BodyKind::Payload => {}
        BodyKind::Envelope => {
            map.insert(BODY, HeaderValue::from_static(body.kind.spell()));
        }
    }
    if let Some(signer) = &place.signer {
        sign(&mut request, signer, call, &body.bytes, timeout_ms);
    }
    request
}

/// Says for whom the call is and what its body is, and vouches for all of it. The audience is the
/// destination's name, whatever its address: a call that is led elsewhere is not believed there.
fn sign(
    request: &mut Request<Full<Bytes>>,
    signer: &Signer,
    call: &Call,
    body: &[u8],
    timeout_ms: u64,
) {
    let mut values = Values::default();
    let audience = values.add(call.destination.as_str());
    let digest = values.add(&signature::content_digest(body));
    let values = values.freeze();
    let (audience, digest) = (value(&values, audience), value(&values, digest));
    request.headers_mut().insert(AUDIENCE, audience);
    request.headers_mut().insert(CONTENT_DIGEST, digest);
    let validity = Validity::of_call(since_1970().as_secs(), timeout_ms);
    let signed = signer.key.sign(&signer.keyid, validity, |name| {
        let text = match name {
            signature::METHOD => Some(request.method().as_str()),
            signature::PATH => Some(request.uri().path()),
            header => request.headers().get(header).map(text),
        };
        text.map(Cow::from)
    });
    let mut values = Values::default();
    let input = values.add(&signed.input);
    let tag = values.add(&signed.signature);
    let values = values.freeze();
    request.headers_mut().insert(SIGNATURE_INPUT, value(&values, input));
    request.headers_mut().insert(SIGNATURE, value(&values, tag));
}

fn text(header: &HeaderValue) -> &str {
    header.to_str().expect("names are printable ASCII")
}

/// The values of a request's headers, one after another in one piece of memory.
#[derive(Default)]
struct Values(String);

impl Values {
    fn add(&mut self, text: &str) -> Range<usize> {
        let start = self.0.len();
        self.0.push_str(text);
        start..self.0.len()
    }

    fn freeze(self) -> Bytes {
        Bytes::from(self.0)
    }
}

fn value(values: &Bytes, range: Range<usize>) -> HeaderValue {
    HeaderValue::from_maybe_shared(values.slice(range)).expect("names are printable ASCII")
}

fn uri(place: &Place, call: &Call) -> Uri {
    let prefix = &place.address.prefix;
    let operation = call.operation.as_str();
    let mut path = String::with_capacity(prefix.len() + 8 + operation.len());
    path.push_str(prefix);
    path.push_str(headers::CALL_PATH);
    path.push_str(operation);
    let path = PathAndQuery::try_from(path).expect("prefix and operation are plain");
    Uri::from(path)
}
