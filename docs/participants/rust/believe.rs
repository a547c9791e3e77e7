//! Whether a call was signed by the coordinator: RFC 9421 with hmac-sha256.

use axum::http::{HeaderMap, Method, Uri};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

const COVERED: [&str; 9] = [
    "@method",
    "@path",
    "wholly-audience",
    "wholly-gid",
    "wholly-branch",
    "wholly-operation",
    "wholly-op",
    "wholly-mark",
    "content-digest",
];
/// Seconds that the two clocks may differ.
const SKEW: u64 = 60;

/// The service's name and its secrets: one, or two while it is changed.
pub(crate) struct Credential {
    pub(crate) id: String,
    pub(crate) secrets: Vec<String>,
}

/// A call as it came.
pub(crate) struct Message<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// What the header `signature-input` says.
struct Described<'a> {
    components: Vec<&'a str>,
    /// The list and the parameters, as they are signed.
    text: &'a str,
    parameters: BTreeMap<&'a str, &'a str>,
}

impl Credential {
    /// Why a call is not to be believed: then answer 401, without `wholly-answer`.
    pub(crate) fn believe(&self, call: &Message<'_>, now: u64) -> Result<(), String> {
        let described = Described::read(call.value("signature-input")?)?;
        let shown = call.value("signature")?;
        let base = described.base(call)?;
        let said = |name: &str| described.parameters.get(name).copied().unwrap_or_default();
        if said("keyid") != format!("\"{}\"", self.id) || said("alg") != "\"hmac-sha256\"" {
            return Err("the signature is for another credential, or of another kind".into());
        }
        // Every secret is tried, whichever fits.
        let made = self.secrets.iter().filter(|secret| {
            let key = tag(secret.as_bytes(), "wholly-signature-1");
            is_same(&format!("wholly=:{}:", base64(&tag(&key, &base))), shown)
        });
        if made.count() == 0 {
            return Err("no secret of ours has made the signature, or something was changed".into());
        }
        let seconds = |name| said(name).parse::<u64>().map_err(|error| format!("{name}: {error}"));
        if now + SKEW < seconds("created")? || seconds("expires")? + SKEW < now {
            return Err("the signature has expired, or was made in the future".into());
        }
        if call.value("wholly-audience")? != self.id {
            return Err("the call is for another service".into());
        }
        let digest = format!("sha-256=:{}:", base64(&Sha256::digest(call.body)));
        match call.value("content-digest")? == digest {
            true => Ok(()),
            false => Err("the body is another one".into()),
        }
    }
}

impl<'a> Message<'a> {
    fn value(&self, name: &str) -> Result<&'a str, String> {
        match name {
            "@method" => return Ok(self.method.as_str()),
            "@path" => return Ok(self.uri.path()),
            _ => {}
        }
        let mut values = self.headers.get_all(name).iter();
        match (values.next().map(|value| value.to_str()), values.next()) {
            (Some(Ok(value)), None) => Ok(value.trim()),
            _ => Err(format!("{name} is not there exactly once")),
        }
    }
}

impl<'a> Described<'a> {
    /// `wholly=("@method" "@path" …);created=…;expires=…;keyid="…";alg="hmac-sha256"`.
    fn read(input: &'a str) -> Result<Self, String> {
        let read = || {
            let text = input.strip_prefix("wholly=")?;
            let (list, parameters) = text.strip_prefix('(')?.split_once(");")?;
            let component = |name: &'a str| name.strip_prefix('"')?.strip_suffix('"');
            let components = list.split(' ').map(component).collect::<Option<_>>()?;
            let parameters = parameters.split(';').map(|part| part.split_once('='));
            Some(Described { components, text, parameters: parameters.collect::<Option<_>>()? })
        };
        read().ok_or_else(|| "the signature is none of ours".into())
    }

    /// What was signed.
    fn base(&self, call: &Message<'_>) -> Result<String, String> {
        let mut base = String::new();
        for name in &self.components {
            base += &format!("\"{name}\": {}\n", call.value(name)?);
        }
        let seen: BTreeSet<&str> = self.components.iter().copied().collect();
        let body = call.headers.contains_key("wholly-body").then_some("wholly-body");
        let missing = COVERED.into_iter().chain(body).find(|name| !seen.contains(name));
        match (missing, seen.len() == self.components.len()) {
            (Some(name), _) => Err(format!("the signature does not cover {name}")),
            (None, false) => Err("the signature covers something twice".into()),
            (None, true) => Ok(base + "\"@signature-params\": " + self.text),
        }
    }
}

fn tag(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Takes as long for any two texts of one length.
fn is_same(one: &str, other: &str) -> bool {
    let differ = one.bytes().zip(other.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differ) == 0
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"order":"4711","sku":"tea","quantity":2}"#;
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    /// The worked example of contract.md.
    const HEADERS: [(&str, &str); 10] = [
        ("wholly-audience", "stock"),
        ("wholly-gid", "order-4711"),
        ("wholly-branch", "stock"),
        ("wholly-operation", "stock.lock"),
        ("wholly-op", "try"),
        ("wholly-mark", "origin=a1;begun=17;limit=3"),
        ("wholly-body", "envelope"),
        ("content-digest", "sha-256=:FVRZi5HN/5HRrZXM1nazx0A64SGz1sVeuXsrkKiKO5k=:"),
        (
            "signature-input",
            "wholly=(\"@method\" \"@path\" \"wholly-audience\" \"wholly-gid\" \"wholly-branch\" \
             \"wholly-operation\" \"wholly-op\" \"wholly-mark\" \"content-digest\" \
             \"wholly-body\");created=1700000000;expires=1700000065;keyid=\"stock\";\
             alg=\"hmac-sha256\"",
        ),
        ("signature", "wholly=:Bdls5+TuvpLglSo1yV0ILMU6ZNFWhaxKlnT0tqmgJ6w=:"),
    ];

    /// The example, to be changed.
    #[derive(Clone)]
    struct Example {
        id: &'static str,
        secrets: &'static [&'static str],
        method: Method,
        path: &'static str,
        headers: HeaderMap,
        body: &'static [u8],
        now: u64,
    }

    fn check(change: impl Fn(&mut Example), is_believed: bool) {
        let headers = HEADERS.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let mut example = Example {
            id: "stock",
            secrets: &[SECRET],
            method: Method::POST,
            path: "/wholly/stock.lock",
            headers: HeaderMap::from_iter(headers),
            body: BODY,
            now: 1_700_000_010,
        };
        change(&mut example);
        let Example { id, secrets, method, path, headers, body, now } = &example;
        let secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        let uri = path.parse().unwrap();
        let call = Message { method, uri: &uri, headers, body };
        let believed = Credential { id: (*id).to_owned(), secrets }.believe(&call, *now);
        assert_eq!(believed.is_ok(), is_believed, "{believed:?} {id} {path} {headers:?} at {now}");
    }

    #[test]
    fn the_example_is_believed_and_nothing_that_was_changed_in_it() {
        check(|_| {}, true);
        check(|e| e.secrets = &["fedcba9876543210fedcba9876543210", SECRET], true);
        check(|e| e.secrets = &["fedcba9876543210fedcba9876543210"], false);
        check(|e| e.secrets = &[], false);
        check(|e| e.id = "points", false);
        check(|e| e.method = Method::PUT, false);
        check(|e| e.path = "/wholly/stock.free", false);
        check(|e| e.body = b"{}", false);
        check(|e| e.now = 1_700_000_126, false);
        check(|e| e.now = 1_699_999_939, false);
        for (name, value) in HEADERS {
            check(|e| drop(e.headers.remove(name)), false);
            check(|e| drop(e.headers.insert(name, "other".parse().unwrap())), false);
            check(|e| assert!(e.headers.append(name, value.parse().unwrap())), false);
        }
    }
}
