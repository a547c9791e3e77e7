//! Signatures: a call is believed as it was signed, and not once anything it means was changed.

use arbitrary::{Arbitrary, Unstructured};
use std::borrow::Cow;
use std::collections::BTreeMap;
use wholly_wire::credential::{Credential, Secret, Secrets};
use wholly_wire::headers::{
    AUDIENCE, BODY, BRANCH, CONTENT_DIGEST, GID, MARK, OP, OPERATION, SIGNATURE, SIGNATURE_INPUT,
    TIMEOUT_MS,
};
use wholly_wire::signature::{
    COVERED, METHOD, PATH, SKEW_SECONDS, Signed, Stands, Validity, Verifier, content_digest,
};

/// The service that calls are for.
const HERE: &str = "stock";
/// Two secrets of the service while they are changed, and a stranger's.
const SECRETS: [&str; 3] = [
    "0123456789abcdef0123456789abcdef",
    "fedcba9876543210fedcba9876543210",
    "strangestrangestrangestrangestra",
];

/// All that a change may meet: what is signed, the signature, and what no signature covers.
const NAMES: [&str; 13] = [
    METHOD,
    PATH,
    AUDIENCE,
    GID,
    BRANCH,
    OPERATION,
    OP,
    MARK,
    CONTENT_DIGEST,
    BODY,
    SIGNATURE_INPUT,
    SIGNATURE,
    TIMEOUT_MS,
];

/// Two calls that were signed, what was made of the first of them, and when it arrives.
#[derive(Debug, Arbitrary)]
struct Input<'a> {
    id: &'a str,
    is_changing: bool,
    calls: [Written<'a>; 2],
    changes: Vec<Change<'a>>,
    now: u64,
    is_now_of_it: bool,
}

/// A call as its signer means it.
#[derive(Debug, Arbitrary)]
struct Written<'a> {
    texts: [&'a str; 7],
    audience: Option<&'a str>,
    layout: Option<&'a str>,
    body: &'a [u8],
    secret: u8,
    other_id: Option<&'a str>,
    created: u64,
    timeout_ms: u64,
}

/// What somebody does to a call on its way. A name is one of [`NAMES`], by its number.
#[derive(Debug, Arbitrary)]
enum Change<'a> {
    Put { name: u8, text: &'a str },
    Byte { name: u8, place: u16, byte: u8 },
    Insert { name: u8, place: u16, text: &'a str },
    Cut { name: u8, place: u16, length: u8 },
    Remove { name: u8 },
    Twice { name: u8, text: &'a str },
    OfTheOther { name: u8 },
    Swap { one: u8, other: u8 },
    Body { body: &'a [u8] },
    BodyOfTheOther,
    Digest,
}

/// Method, path and headers by name, as often as they stand there; and the body.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    values: BTreeMap<&'static str, Vec<String>>,
    body: Vec<u8>,
}

/// A signed call, and whether the service should believe it at all.
struct Sent {
    message: Message,
    is_ours: bool,
    validity: Validity,
}

/// Nothing is believed but what was signed for this service, whole, unchanged and in its time.
pub(crate) fn run(bytes: &[u8]) {
    // A text that begins like a header is one, so that a seed is what it looks like.
    read(std::str::from_utf8(bytes).unwrap_or_default());
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let secrets = match input.is_changing {
        true => format!("{},{}", SECRETS[0], SECRETS[1]),
        false => SECRETS[0].to_owned(),
    };
    let known = 1 + usize::from(input.is_changing);
    let credential = credential(input.id, &secrets);
    let sent = input.calls.map(|written| signed(&written, credential.id().as_str(), known));
    let now = match input.is_now_of_it {
        true => sent[0].validity.created.saturating_add(input.now % 1_000),
        false => input.now,
    };
    let mut message = sent[0].message.clone();
    for change in &input.changes {
        apply(&mut message, change, &sent[1].message);
    }
    let verifier = Verifier::new(&credential);
    let believed = verifier.check(now, |name| message.stands(name), |name| name == HERE);
    let believed = believed.and_then(|head| head.check_body(&message.body));
    let expected = sent.iter().any(|sent| sent.is_believed(&message, now));
    assert_eq!(believed.is_ok(), expected, "{believed:?} at {now}: {message:?}");
}

/// No text makes a header that is believed without the secret, or that cannot be judged.
fn read(text: &str) {
    let credential = credential(HERE, SECRETS[0]);
    let written = Written {
        texts: [""; 7],
        audience: None,
        layout: None,
        body: b"{}",
        secret: 0,
        other_id: None,
        created: 1_700_000_000,
        timeout_ms: 5_000,
    };
    let sent = signed(&written, HERE, 1);
    for name in [SIGNATURE_INPUT, SIGNATURE] {
        let mut message = sent.message.clone();
        message.put(name, text);
        let verifier = Verifier::new(&credential);
        let head = verifier.check(1_700_000_000, |name| message.stands(name), |name| name == HERE);
        assert_eq!(head.is_ok(), message == sent.message, "{name}: {text}");
    }
}

fn credential(id: &str, secrets: &str) -> Credential {
    let secrets = || Secrets::parse(secrets).expect("long and plain");
    Credential::new(id, secrets())
        .unwrap_or_else(|_| Credential::new(HERE, secrets()).expect("a name"))
}

/// A call that the coordinator signs, or a stranger, or somebody in another's name.
fn signed(written: &Written<'_>, id: &str, known: usize) -> Sent {
    let mut message = Message { values: BTreeMap::new(), body: written.body.to_vec() };
    let names = [METHOD, PATH, GID, BRANCH, OPERATION, OP, MARK];
    for (name, text) in names.into_iter().zip(written.texts) {
        message.put(name, text);
    }
    message.put(AUDIENCE, written.audience.unwrap_or(HERE));
    message.put(CONTENT_DIGEST, &content_digest(written.body));
    if let Some(layout) = written.layout {
        message.put(BODY, layout);
    }
    let secret = usize::from(written.secret) % SECRETS.len();
    let other = written.other_id.and_then(|other| {
        let secrets = Secrets::parse(SECRETS[2]).expect("long and plain");
        Credential::new(other, secrets).ok()
    });
    let keyid = other.as_ref().map_or(id, |other| other.id().as_str());
    let validity = Validity::of_call(written.created, written.timeout_ms);
    let key = Secret::new(SECRETS[secret]).expect("long and plain").signing_key();
    let value = |name: &str| message.once(name).map(Cow::from);
    let Signed { input, signature } = key.sign(keyid, validity, value);
    let is_here = message.once(AUDIENCE) == Some(HERE);
    message.put(SIGNATURE_INPUT, &input);
    message.put(SIGNATURE, &signature);
    // A longer description than is read is no one's: names and times are too short for one.
    Sent { message, is_ours: secret < known && keyid == id && is_here, validity }
}

impl Sent {
    /// Whether a message is this one in all that is signed, and arrives in its time.
    fn is_believed(&self, message: &Message, now: u64) -> bool {
        let mut signed = COVERED.into_iter().chain([BODY, SIGNATURE_INPUT, SIGNATURE]);
        let is_same = signed.all(|name| message.values.get(name) == self.message.values.get(name));
        let (now, skew) = (i128::from(now), i128::from(SKEW_SECONDS));
        let Validity { created, expires } = self.validity;
        let in_time = i128::from(created) - skew <= now && now <= i128::from(expires) + skew;
        self.is_ours && in_time && is_same && message.body == self.message.body
    }
}

impl Message {
    fn put(&mut self, name: &'static str, text: &str) {
        self.values.insert(name, vec![carried(text)]);
    }

    fn once(&self, name: &str) -> Option<&str> {
        match self.values.get(name).map(Vec::as_slice) {
            Some([value]) => Some(value),
            Some(_) | None => None,
        }
    }

    fn stands(&self, name: &str) -> Stands<'_> {
        match self.values.get(name).map(Vec::as_slice) {
            Some([value]) => Stands::Once(Cow::from(value)),
            Some([]) | None => Stands::Nowhere,
            Some(_) => Stands::Unclear,
        }
    }
}

/// A text as a header carries it: visible ASCII and blanks, none of them at an end.
fn carried(text: &str) -> String {
    let is_carried = |letter: &char| matches!(letter, ' '..='~' | '\t');
    let text: String = text.chars().filter(is_carried).collect();
    text.trim_matches([' ', '\t']).to_owned()
}

fn named(number: u8) -> &'static str {
    NAMES[usize::from(number) % NAMES.len()]
}

fn apply(message: &mut Message, change: &Change<'_>, other: &Message) {
    match *change {
        Change::Put { name, text } => message.put(named(name), text),
        Change::Byte { name, place, byte } => edit(message, name, place, 1, &[byte]),
        Change::Insert { name, place, text } => edit(message, name, place, 0, text.as_bytes()),
        Change::Cut { name, place, length } => edit(message, name, place, length, &[]),
        Change::Remove { name } => drop(message.values.remove(named(name))),
        Change::Twice { name, text } => {
            message.values.entry(named(name)).or_default().push(carried(text));
        }
        Change::OfTheOther { name } => take(message, named(name), other.values.get(named(name))),
        Change::Swap { one, other } => {
            let (one, other) = (named(one), named(other));
            let (first, second) = (message.values.remove(one), message.values.remove(other));
            // One name twice is what it was.
            let second = if one == other { first.clone() } else { second };
            take(message, one, second.as_ref());
            take(message, other, first.as_ref());
        }
        Change::Body { body } => message.body = body.to_vec(),
        Change::BodyOfTheOther => message.body.clone_from(&other.body),
        Change::Digest => message.put(CONTENT_DIGEST, &content_digest(&message.body.clone())),
    }
}

fn take(message: &mut Message, name: &'static str, values: Option<&Vec<String>>) {
    match values {
        Some(values) => drop(message.values.insert(name, values.clone())),
        None => drop(message.values.remove(name)),
    }
}

/// Puts bytes in the place of so many others of one value.
fn edit(message: &mut Message, name: u8, place: u16, length: u8, bytes: &[u8]) {
    let name = named(name);
    let Some(value) = message.once(name) else { return };
    let mut value = value.as_bytes().to_vec();
    let from = usize::from(place) % (value.len() + 1);
    let to = (from + usize::from(length)).min(value.len());
    value.splice(from..to, bytes.iter().copied());
    message.put(name, &String::from_utf8_lossy(&value));
}
