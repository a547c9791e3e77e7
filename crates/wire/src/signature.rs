//! Signatures of calls: RFC 9421 with hmac-sha256, over everything a call means.
//!
//! The coordinator signs, a participant verifies; both build the same signature base from the
//! message in their hands.

use crate::base64;
use crate::credential::Credential;
use crate::headers::{
    AUDIENCE, BODY, BRANCH, CONTENT_DIGEST, GID, MARK, OP, OPERATION, SIGNATURE, SIGNATURE_INPUT,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;

/// The label of our signature; a message may carry no other.
pub const LABEL: &str = "wholly";
/// The algorithm of our signatures.
pub const ALGORITHM: &str = "hmac-sha256";
/// The request's method, as a component.
pub const METHOD: &str = "@method";
/// The request's path, as a component.
pub const PATH: &str = "@path";
/// How long a signature holds beyond the call's own timeout, in seconds.
pub const LIFETIME_SECONDS: u64 = 60;
/// How far the clocks of coordinator and participant may differ, in seconds.
pub const SKEW_SECONDS: u64 = 60;
/// Most bytes of a header `signature-input` that is read.
const INPUT_BYTES_MAX: usize = 1_024;

/// What every signature covers, in the order in which we sign.
pub const COVERED: [&str; 9] =
    [METHOD, PATH, AUDIENCE, GID, BRANCH, OPERATION, OP, MARK, CONTENT_DIGEST];

/// The key of signatures, derived from a credential's secret, taken in once for all calls. It
/// stays out of logs.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("signing key")
    }
}

/// When a signature is made and until when it holds, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// When it is made.
    pub created: u64,
    /// Until when it holds.
    pub expires: u64,
}

impl Validity {
    /// Of a call that is sent at this moment and given up after so long.
    pub fn of_call(now_seconds: u64, timeout_ms: u64) -> Validity {
        let lifetime = timeout_ms.div_ceil(1_000).saturating_add(LIFETIME_SECONDS);
        Validity { created: now_seconds, expires: now_seconds.saturating_add(lifetime) }
    }
}

/// Two headers that a signed message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The value of `signature-input`.
    pub input: String,
    /// The value of `signature`.
    pub signature: String,
}

/// The value of `content-digest` for a body.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", base64::padded(&Sha256::digest(body)))
}

impl SigningKey {
    /// Takes a key as it is derived from a secret.
    pub(crate) fn new(key: [u8; 32]) -> SigningKey {
        SigningKey(Hmac::new_from_slice(&key).expect("HMAC takes any key"))
    }

    /// Signs a message in the name of a credential; `value` gives its components by name.
    ///
    /// # Panics
    /// If one of [`COVERED`] has no value.
    pub fn sign<'v>(
        &self,
        keyid: &str,
        validity: Validity,
        value: impl Fn(&str) -> Option<Cow<'v, str>>,
    ) -> Signed {
        let (mut base, mut list) = (String::with_capacity(1_024), String::with_capacity(256));
        for name in COVERED {
            let value = value(name).expect("a call has every component that is signed");
            add(&mut base, &mut list, name, &value);
        }
        if let Some(value) = value(BODY) {
            add(&mut base, &mut list, BODY, &value);
        }
        let Validity { created, expires } = validity;
        let parameters = format!(
            "({list});created={created};expires={expires};keyid=\"{keyid}\";alg=\"{ALGORITHM}\""
        );
        add_parameters(&mut base, &parameters);
        let tag = base64::padded(&self.tag(&base).finalize().into_bytes());
        Signed { input: format!("{LABEL}={parameters}"), signature: format!("{LABEL}=:{tag}:") }
    }

    fn tag(&self, base: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(base.as_bytes());
        mac
    }
}

fn add(base: &mut String, list: &mut String, name: &str, value: &str) {
    if !list.is_empty() {
        list.push(' ');
    }
    list.push('"');
    list.push_str(name);
    list.push('"');
    add_line(base, name, value);
}

fn add_line(base: &mut String, name: &str, value: &str) {
    base.push('"');
    base.push_str(name);
    base.push_str("\": ");
    base.push_str(value.trim());
    base.push('\n');
}

/// The base ends with a line of the parameters, which begin with the list of components.
fn add_parameters(base: &mut String, parameters: &str) {
    base.push_str("\"@signature-params\": ");
    base.push_str(parameters);
}

/// Why a call is not believed. It may be forged, or an old copy, or the two sides are configured
/// apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forged {
    /// It carries no signature.
    Unsigned,
    /// Its signature cannot be read.
    Malformed {
        /// What is wrong.
        why: &'static str,
    },
    /// Something that must be covered is not.
    NotCovered {
        /// What.
        component: &'static str,
    },
    /// Something that is covered is not there, or stands twice.
    Missing {
        /// What.
        component: String,
    },
    /// It is signed in the name of a credential that is not ours.
    KeyUnknown {
        /// Whose.
        keyid: String,
    },
    /// No secret of ours has made it, or what it covers was changed.
    Wrong,
    /// It is for another service.
    Elsewhere {
        /// Which.
        audience: String,
    },
    /// It is too old.
    Expired {
        /// For how long, beyond what clocks may differ.
        seconds: u64,
    },
    /// It was made in the future.
    Early {
        /// How far, beyond what clocks may differ.
        seconds: u64,
    },
    /// The body is another one.
    Body,
}

impl fmt::Display for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Forged::Unsigned => f.write_str(
                "the call is not signed; give the coordinator this service's credential",
            ),
            Forged::Malformed { why } => write!(f, "the signature {why}"),
            Forged::NotCovered { component } => {
                write!(f, "the signature does not cover {component}")
            }
            Forged::Missing { component } => {
                write!(f, "the signature covers {component}, which is not there exactly once")
            }
            Forged::KeyUnknown { keyid } => {
                write!(f, "the call is signed for credential {keyid:?}, which is not this one's")
            }
            Forged::Wrong => f.write_str(
                "no secret of this service has made the signature, or what it covers was changed",
            ),
            Forged::Elsewhere { audience } => {
                write!(f, "the call is for {audience:?}, which is not here")
            }
            Forged::Expired { seconds } => {
                write!(f, "the signature expired {seconds} s ago; look at both clocks")
            }
            Forged::Early { seconds } => {
                write!(f, "the signature was made {seconds} s in the future; look at both clocks")
            }
            Forged::Body => f.write_str("the body is not the one that was signed"),
        }
    }
}

impl std::error::Error for Forged {}

/// What a call has under the name of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands<'v> {
    /// Nothing.
    Nowhere,
    /// This, once.
    Once(Cow<'v, str>),
    /// Several, or what is no text. It is not as if it were absent: whoever reads the call after
    /// its signature may take the first of them.
    Unclear,
}

impl<'v> Stands<'v> {
    fn once(self) -> Option<Cow<'v, str>> {
        match self {
            Stands::Once(value) => Some(value),
            Stands::Nowhere | Stands::Unclear => None,
        }
    }
}

impl<'v> From<Option<Cow<'v, str>>> for Stands<'v> {
    /// Of a call in which no name can stand twice.
    fn from(value: Option<Cow<'v, str>>) -> Stands<'v> {
        value.map_or(Stands::Nowhere, Stands::Once)
    }
}

/// What a participant verifies calls with: its own credential.
#[derive(Clone, Debug)]
pub struct Verifier {
    keyid: String,
    keys: Vec<SigningKey>,
}

/// A call whose head is believed. Its body is not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the body may still be another one"]
pub struct Head {
    digest: String,
}

impl Head {
    /// Whether the body is the one that was signed.
    pub fn check_body(&self, body: &[u8]) -> Result<(), Forged> {
        match self.digest == content_digest(body) {
            true => Ok(()),
            false => Err(Forged::Body),
        }
    }
}

impl Verifier {
    /// Believes what this credential's secrets have signed, the one before included.
    pub fn new(credential: &Credential) -> Verifier {
        Verifier {
            keyid: credential.id().to_string(),
            keys: credential.secrets().iter().map(|secret| secret.signing_key()).collect(),
        }
    }

    /// Whether a call was signed for this credential, a short while ago, for a service that is
    /// `here`. `value` gives method, path and headers by name.
    pub fn check<'v>(
        &self,
        now_seconds: u64,
        value: impl Fn(&str) -> Stands<'v>,
        here: impl Fn(&str) -> bool,
    ) -> Result<Head, Forged> {
        let input = value(SIGNATURE_INPUT).once().ok_or(Forged::Unsigned)?;
        let signature = value(SIGNATURE).once().ok_or(Forged::Unsigned)?;
        let input = Input::parse(&input)?;
        input.covers_all(&value)?;
        if input.keyid != self.keyid {
            return Err(Forged::KeyUnknown { keyid: input.keyid.to_owned() });
        }
        let tag = tag_of(&signature)?;
        let mut base = String::with_capacity(1_024);
        for name in &input.components {
            let missing = || Forged::Missing { component: (*name).to_owned() };
            let value = value(name).once().ok_or_else(missing)?;
            add_line(&mut base, name, &value);
        }
        // Every key is tried, so that time does not tell which one it was.
        add_parameters(&mut base, input.parameters);
        let made = self.keys.iter().filter(|key| key.tag(&base).verify_slice(&tag).is_ok());
        if made.count() == 0 {
            return Err(Forged::Wrong);
        }
        input.holds(now_seconds)?;
        let audience = value(AUDIENCE).once().unwrap_or_default();
        if !here(&audience) {
            return Err(Forged::Elsewhere { audience: audience.into_owned() });
        }
        let digest = value(CONTENT_DIGEST).once().unwrap_or_default().trim().to_owned();
        Ok(Head { digest })
    }
}

fn tag_of(signature: &str) -> Result<Vec<u8>, Forged> {
    let tag = signature.strip_prefix(LABEL).and_then(|rest| rest.strip_prefix("=:"));
    let tag = tag.and_then(|rest| rest.strip_suffix(':')).and_then(base64::from_padded);
    tag.ok_or(Forged::Malformed { why: "is none of ours: signature is not wholly=:…:" })
}

/// The header `signature-input`, read: `wholly=("a" "b");created=1;keyid="k"`.
struct Input<'a> {
    components: Vec<&'a str>,
    created: u64,
    expires: u64,
    keyid: &'a str,
    /// List and parameters as they were written: what the last line of the base says.
    parameters: &'a str,
}

impl<'a> Input<'a> {
    fn parse(text: &'a str) -> Result<Input<'a>, Forged> {
        let wrong = |why| Forged::Malformed { why };
        if text.len() > INPUT_BYTES_MAX {
            return Err(wrong("is described at too great a length"));
        }
        let parameters = text.strip_prefix(LABEL).and_then(|rest| rest.strip_prefix('='));
        let parameters = parameters.ok_or(wrong("is none of ours, or has others beside it"))?;
        let inner = parameters.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let (list, rest) = inner.ok_or(wrong("names no list of components"))?;
        let components = list.split(' ').map(component).collect::<Option<Vec<_>>>();
        let components = components.ok_or(wrong("has a list of components of an odd form"))?;
        let mut input = Input { components, created: 0, expires: 0, keyid: "", parameters };
        let mut seen: Vec<&str> = Vec::new();
        for parameter in rest.split(';').skip(1) {
            let (name, value) =
                parameter.split_once('=').ok_or(wrong("has a parameter of an odd form"))?;
            if seen.contains(&name) {
                return Err(wrong("names a parameter twice"));
            }
            seen.push(name);
            match name {
                "created" => input.created = number(value).ok_or(wrong("has an odd created"))?,
                "expires" => input.expires = number(value).ok_or(wrong("has an odd expires"))?,
                "keyid" => input.keyid = quoted(value).ok_or(wrong("has an odd keyid"))?,
                "alg" if quoted(value) == Some(ALGORITHM) => {}
                "alg" => return Err(wrong("is of another algorithm than hmac-sha256")),
                // A later coordinator may say more; the signature covers it.
                _later => {}
            }
        }
        if !rest.is_empty() && !rest.starts_with(';') {
            return Err(wrong("has others beside it"));
        }
        match ["created", "expires", "keyid", "alg"].iter().all(|name| seen.contains(name)) {
            true => Ok(input),
            false => Err(wrong("lacks one of created, expires, keyid and alg")),
        }
    }

    /// What must be covered is, each once, and the layout of the body where the call says one.
    fn covers_all<'v>(&self, value: impl Fn(&str) -> Stands<'v>) -> Result<(), Forged> {
        let body = match value(BODY) {
            Stands::Once(_) | Stands::Unclear => Some(BODY),
            Stands::Nowhere => None,
        };
        let must = COVERED.into_iter().chain(body);
        for component in must.clone() {
            if !self.components.contains(&component) {
                return Err(Forged::NotCovered { component });
            }
        }
        // Each of them is there, and no more than they are: none is there twice.
        if self.components.len() == must.count() {
            return Ok(());
        }
        let mut sorted = self.components.clone();
        sorted.sort_unstable();
        let count = sorted.len();
        sorted.dedup();
        match sorted.len() == count {
            true => Ok(()),
            false => Err(Forged::Malformed { why: "covers one component twice" }),
        }
    }

    fn holds(&self, now: u64) -> Result<(), Forged> {
        let early = self.created.saturating_sub(now.saturating_add(SKEW_SECONDS));
        if early > 0 {
            return Err(Forged::Early { seconds: early });
        }
        let late = now.saturating_sub(self.expires.saturating_add(SKEW_SECONDS));
        match late {
            0 => Ok(()),
            seconds => Err(Forged::Expired { seconds }),
        }
    }
}

/// A component without parameters of its own: those would change what is covered.
fn component(text: &str) -> Option<&str> {
    let is_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'@');
    quoted(text).filter(|name| !name.is_empty() && name.bytes().all(is_name))
}

fn quoted(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains(['"', '\\'])).then_some(inner)
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
