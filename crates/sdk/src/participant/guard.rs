//! The guard of a router: it lets in only calls that the coordinator has signed for this service.

use super::router::{NoAnswer, no_answer};
use axum::extract::OriginalUri;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use wholly_wire::credential::Credential;
use wholly_wire::signature::{Forged, Head, METHOD, PATH, Stands, Verifier};

/// Refused calls are told of at most once in so many seconds: whoever reaches the port can send as
/// many as it likes.
const SILENCE_SECONDS: u64 = 10;

/// What calls are held against.
#[derive(Debug)]
pub(super) struct Guard {
    verifier: Verifier,
    /// When a refused call was told of last, in seconds since 1970.
    told: AtomicU64,
    /// How many were refused since.
    refused: AtomicU64,
}

impl Guard {
    pub(super) fn new(credential: &Credential) -> Guard {
        let verifier = Verifier::new(credential);
        Guard { verifier, told: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// Whether the head of a call is believed; its body is read only then.
    pub(super) fn check(
        &self,
        head: &Parts,
        is_here: impl Fn(&str) -> bool,
    ) -> Result<Head, Forged> {
        // A router that is nested sees a shorter path than the one that was signed.
        let path = match head.extensions.get::<OriginalUri>() {
            Some(OriginalUri(uri)) => uri.path(),
            None => head.uri.path(),
        };
        let value = |name: &str| match name {
            METHOD => Stands::Once(Cow::from(head.method.as_str())),
            PATH => Stands::Once(Cow::from(path)),
            derived if derived.starts_with('@') => Stands::Nowhere,
            header => {
                let mut values = head.headers.get_all(header).iter();
                match (values.next().map(HeaderValue::to_str), values.next()) {
                    (Some(Ok(value)), None) => Stands::Once(Cow::from(value)),
                    (None, _) => Stands::Nowhere,
                    (Some(_), _) => Stands::Unclear,
                }
            }
        };
        self.verifier.check(now(), value, is_here)
    }

    /// No answer: to the coordinator, nothing is known, and it asks again. The log says why.
    pub(super) fn refuse(&self, forged: &Forged) -> NoAnswer {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let (now, told) = (now(), self.told.load(Ordering::Relaxed));
        let is_due = now.saturating_sub(told) >= SILENCE_SECONDS;
        let exchange = |told| {
            self.told.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if is_due && exchange(told) {
            self.refused.fetch_sub(refused, Ordering::Relaxed);
            tracing::warn!(refused, reason = %forged, "calls were not believed");
        }
        no_answer(StatusCode::UNAUTHORIZED, "call_not_believed", &forged.to_string())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
