//! Vectors of the RFC and of ours, and every class of forgery against every op.

use super::*;
use crate::credential::{Secret, Secrets};
use crate::words::Spelled as _;
use std::collections::BTreeMap;
use wholly_core::branch::Op;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const NOW: u64 = 1_700_000_000;
const PAYLOAD: &[u8] = br#"{"order":"4711","sku":"tea","quantity":2}"#;

/// The example of RFC 9421, B.2.5: the same rules for base and parameters, with its own key.
#[test]
fn the_base_is_built_as_the_standard_says() {
    let secret = base64::from_padded(
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==",
    );
    let mut base = String::new();
    add_line(&mut base, "date", "Tue, 20 Apr 2021 02:07:55 GMT");
    add_line(&mut base, "@authority", "example.com");
    add_line(&mut base, "content-type", "application/json");
    let parameters = "(\"date\" \"@authority\" \"content-type\");created=1618884473;\
                      keyid=\"test-shared-secret\"";
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.unwrap()).unwrap();
    add_parameters(&mut base, parameters);
    mac.update(base.as_bytes());
    let tag = base64::padded(&mac.finalize().into_bytes());
    assert_eq!(tag, "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
}

#[test]
fn a_body_is_digested_as_the_standard_says() {
    // RFC 9530, appendix D.
    let digest = content_digest(b"{\"hello\": \"world\"}\n");
    assert_eq!(digest, "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
}

/// Method, path and headers of a call, by name.
type Message = BTreeMap<String, String>;

fn credential(id: &str, secrets: &str) -> Credential {
    Credential::new(id, Secrets::parse(secrets).unwrap()).unwrap()
}

fn message(op: Op) -> Message {
    let pairs = [
        (METHOD, "POST"),
        (PATH, "/wholly/stock.lock"),
        (AUDIENCE, "stock"),
        (GID, "order-4711"),
        (BRANCH, "stock"),
        (OPERATION, "stock.lock"),
        (OP, op.spell()),
        (MARK, "origin=a1;begun=17;limit=3"),
        (BODY, "envelope"),
    ];
    let mut message: Message =
        pairs.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    message.insert(CONTENT_DIGEST.to_owned(), content_digest(PAYLOAD));
    message
}

fn signed_by(key: &SigningKey, keyid: &str, at: u64, mut message: Message) -> Message {
    let Signed { input, signature } =
        key.sign(keyid, Validity::of_call(at, 5_000), |name| message.get(name).map(Cow::from));
    message.insert(SIGNATURE_INPUT.to_owned(), input);
    message.insert(SIGNATURE.to_owned(), signature);
    message
}

fn signed(op: Op) -> Message {
    signed_by(&Secret::new(SECRET).unwrap().signing_key(), "stock", NOW, message(op))
}

fn judged(verifier: &Verifier, now: u64, message: &Message, body: &[u8]) -> Result<(), Forged> {
    let value = |name: &str| Stands::from(message.get(name).map(Cow::from));
    verifier.check(now, value, |audience| audience == "stock")?.check_body(body)
}

#[test]
fn a_call_is_signed_as_our_page_says() {
    let message = signed(Op::Try);
    assert_eq!(
        message[SIGNATURE_INPUT],
        "wholly=(\"@method\" \"@path\" \"wholly-audience\" \"wholly-gid\" \"wholly-branch\" \
         \"wholly-operation\" \"wholly-op\" \"wholly-mark\" \"content-digest\" \"wholly-body\");\
         created=1700000000;expires=1700000065;keyid=\"stock\";alg=\"hmac-sha256\""
    );
    assert_eq!(message[SIGNATURE], "wholly=:Bdls5+TuvpLglSo1yV0ILMU6ZNFWhaxKlnT0tqmgJ6w=:");
}

#[test]
fn what_was_signed_is_believed_while_it_holds() {
    let verifier = Verifier::new(&credential("stock", SECRET));
    for op in Op::ALL {
        let message = signed(*op);
        for now in [NOW - SKEW_SECONDS, NOW, NOW + 65 + SKEW_SECONDS] {
            assert_eq!(judged(&verifier, now, &message, PAYLOAD), Ok(()), "{op:?} {now}");
        }
    }
    let mut plain = message(Op::Try);
    plain.remove(BODY);
    let key = Secret::new(SECRET).unwrap().signing_key();
    let plain = signed_by(&key, "stock", NOW, plain);
    assert_eq!(judged(&verifier, NOW, &plain, PAYLOAD), Ok(()));
}

#[test]
fn while_a_secret_is_changed_both_are_believed() {
    let (one, two) = (Secret::new(SECRET).unwrap(), Secret::new(OTHER).unwrap());
    let both = Verifier::new(&credential("stock", &format!("{OTHER},{SECRET}")));
    for key in [one.signing_key(), two.signing_key()] {
        let message = signed_by(&key, "stock", NOW, message(Op::Try));
        assert_eq!(judged(&both, NOW, &message, PAYLOAD), Ok(()));
    }
    let changed = Verifier::new(&credential("stock", OTHER));
    assert_eq!(judged(&changed, NOW, &signed(Op::Try), PAYLOAD), Err(Forged::Wrong));
}

/// One way to forge a call.
type Forgery = (&'static str, fn(&mut Message, &mut Vec<u8>, &mut u64));

fn put(message: &mut Message, name: &str, text: &str) {
    let before = message.insert(name.to_owned(), text.to_owned());
    assert_ne!(before.as_deref(), Some(text), "{name} was changed");
}

fn replace(message: &mut Message, name: &str, from: &str, to: &str) {
    let text = message[name].replacen(from, to, 1);
    put(message, name, &text);
}

/// Signs again, with whatever a stranger has.
fn sign_again(message: &mut Message, secret: &str, keyid: &str) {
    let key = Secret::new(secret).unwrap().signing_key();
    *message = signed_by(&key, keyid, NOW, message.clone());
}

const FORGERIES: &[Forgery] = &[
    ("another method", |message, _, _| put(message, METHOD, "PUT")),
    ("another path", |message, _, _| put(message, PATH, "/wholly/stock.free")),
    ("another audience", |message, _, _| put(message, AUDIENCE, "points")),
    ("another transaction", |message, _, _| put(message, GID, "order-4712")),
    ("another branch", |message, _, _| put(message, BRANCH, "stock-2")),
    ("another operation", |message, _, _| put(message, OPERATION, "stock.free")),
    ("another op", |message, _, _| replace(message, OP, "", "re")),
    ("another mark", |message, _, _| replace(message, MARK, "begun=17", "begun=18")),
    ("another layout", |message, _, _| put(message, BODY, "payload")),
    ("no layout", |message, _, _| {
        message.remove(BODY);
    }),
    ("another body", |_, body, _| body.push(b' ')),
    ("another body with its digest", |message, body, _| {
        body.push(b' ');
        put(message, CONTENT_DIGEST, &content_digest(body));
    }),
    ("expired", |_, _, now| *now = NOW + 65 + SKEW_SECONDS + 1),
    ("made longer", |message, _, now| {
        replace(message, SIGNATURE_INPUT, "expires=1700000065", "expires=1800000065");
        *now = NOW + 1_000;
    }),
    ("from the future", |_, _, now| *now = NOW - SKEW_SECONDS - 1),
    ("of a stranger", |message, _, _| sign_again(message, OTHER, "stock")),
    ("of another credential", |message, _, _| sign_again(message, OTHER, "points")),
    ("in another's name", |message, _, _| {
        replace(message, SIGNATURE_INPUT, "keyid=\"stock\"", "keyid=\"points\"");
    }),
    ("replayed at another service", |message, _, _| {
        put(message, AUDIENCE, "points");
        sign_again(message, SECRET, "stock");
    }),
    ("unsigned", |message, _, _| {
        message.remove(SIGNATURE);
    }),
    ("undescribed", |message, _, _| {
        message.remove(SIGNATURE_INPUT);
    }),
    ("an empty signature", |message, _, _| put(message, SIGNATURE, "wholly=::")),
    ("a short signature", |message, _, _| put(message, SIGNATURE, "wholly=:AAAA:")),
    ("another algorithm", |message, _, _| {
        replace(message, SIGNATURE_INPUT, "hmac-sha256", "none");
    }),
    ("another label", |message, _, _| {
        replace(message, SIGNATURE_INPUT, "wholly=", "other=");
        replace(message, SIGNATURE, "wholly=", "other=");
    }),
    ("a second signature", |message, _, _| {
        let second = format!("{}, other=(\"@method\")", message[SIGNATURE_INPUT]);
        put(message, SIGNATURE_INPUT, &second);
    }),
    ("a component that is not there", |message, _, _| {
        replace(message, SIGNATURE_INPUT, "\"@method\"", "\"@method\" \"x-more\"");
    }),
];

#[test]
fn no_forgery_is_believed() {
    let verifier = Verifier::new(&credential("stock", SECRET));
    let mut tried = 0;
    for op in Op::ALL {
        for (name, forge) in FORGERIES {
            let (mut message, mut body, mut now) = (signed(*op), PAYLOAD.to_vec(), NOW);
            assert_eq!(judged(&verifier, now, &message, &body), Ok(()), "{op:?} before {name}");
            forge(&mut message, &mut body, &mut now);
            let heard = judged(&verifier, now, &message, &body);
            assert!(heard.is_err(), "{op:?}: {name} is believed");
            tried += 1;
        }
    }
    let (classes, ops) = (FORGERIES.len(), Op::ALL.len());
    println!("{classes} classes of forgeries x {ops} ops: {tried} tried, 0 believed");
    assert_eq!(tried, classes * ops);
}

/// A stranger leaves a component out, and so may change it; each of them is missed.
#[test]
fn a_signature_that_leaves_something_out_is_not_believed() {
    let key = Secret::new(SECRET).unwrap().signing_key();
    let verifier = Verifier::new(&credential("stock", SECRET));
    for component in COVERED.into_iter().chain([BODY]) {
        let mut message = signed(Op::Try);
        replace(&mut message, SIGNATURE_INPUT, &format!("\"{component}\""), "\"wholly-more\"");
        put(&mut message, "wholly-more", "1");
        let parameters = message[SIGNATURE_INPUT].strip_prefix("wholly=").unwrap().to_owned();
        let mut base = String::new();
        for name in Input::parse(&message[SIGNATURE_INPUT]).unwrap().components {
            add_line(&mut base, name, &message[name]);
        }
        add_parameters(&mut base, &parameters);
        let tag = base64::padded(&key.tag(&base).finalize().into_bytes());
        put(&mut message, SIGNATURE, &format!("wholly=:{tag}:"));
        let heard = judged(&verifier, NOW, &message, PAYLOAD);
        assert_eq!(heard, Err(Forged::NotCovered { component }));
    }
}

/// Of what stands twice nobody can say which is meant; the layout of a body too, which need not be
/// there.
#[test]
fn what_stands_twice_is_not_believed() {
    let key = Secret::new(SECRET).unwrap().signing_key();
    let verifier = Verifier::new(&credential("stock", SECRET));
    let mut plain = message(Op::Try);
    plain.remove(BODY);
    let plain = signed_by(&key, "stock", NOW, plain);
    let check = |message: &Message, twice: &str, expected: Forged| {
        let value = |name: &str| match name == twice {
            true => Stands::Unclear,
            false => Stands::from(message.get(name).map(Cow::from)),
        };
        let heard = verifier.check(NOW, value, |audience| audience == "stock");
        assert_eq!(heard, Err(expected), "{twice}");
    };
    check(&plain, BODY, Forged::NotCovered { component: BODY });
    for component in COVERED.into_iter().chain([BODY]) {
        let missing = Forged::Missing { component: component.to_owned() };
        check(&signed(Op::Try), component, missing);
    }
    check(&plain, SIGNATURE, Forged::Unsigned);
    check(&plain, SIGNATURE_INPUT, Forged::Unsigned);
}

#[test]
fn nothing_is_covered_twice() {
    let check = |more: &[&'static str], expected: Result<(), Forged>| {
        let list: Vec<String> =
            COVERED.iter().chain(more).map(|name| format!("\"{name}\"")).collect();
        let rest = ";created=1;expires=2;keyid=\"k\";alg=\"hmac-sha256\"";
        let text = format!("wholly=({}){rest}", list.join(" "));
        let value = |_: &str| Stands::Nowhere;
        assert_eq!(Input::parse(&text).unwrap().covers_all(value), expected, "{text}");
    };
    let twice = Forged::Malformed { why: "covers one component twice" };
    check(&[], Ok(()));
    check(&["wholly-more"], Ok(()));
    check(&["wholly-more", "wholly-more"], Err(twice.clone()));
    COVERED.iter().for_each(|name| check(&[*name], Err(twice.clone())));
}

#[test]
fn what_cannot_be_read_is_named() {
    let check = |input: &str, why: &str| {
        let heard = Input::parse(input).map(|_| ()).unwrap_err().to_string();
        assert!(heard.contains(why), "{input}: {heard}");
    };
    let rest = ";created=1;expires=2;keyid=\"k\";alg=\"hmac-sha256\"";
    assert!(Input::parse(&format!("wholly=(\"@method\"){rest}")).is_ok());
    check("", "none of ours");
    check("wholly", "none of ours");
    check("wholly=\"@method\"", "no list");
    check(&format!("wholly=(){rest}"), "odd form");
    check(&format!("wholly=(@method){rest}"), "odd form");
    check(&format!("wholly=(\"@method\";req){rest}"), "odd form");
    check(&format!("wholly=(\"@method\"  \"@path\"){rest}"), "odd form");
    check(&format!("wholly=(\"@Method\"){rest}"), "odd form");
    check("wholly=(\"@method\")", "lacks one of");
    check("wholly=(\"@method\");created=1", "lacks one of");
    check(&format!("wholly=(\"@method\"){rest};created=2"), "twice");
    // A later coordinator may say more; the signature covers it.
    assert!(Input::parse(&format!("wholly=(\"@method\"){rest};nonce=\"1\"")).is_ok());
    check(&format!("wholly=(\"@method\"){rest};x"), "odd form");
    check(&format!("wholly=(\"@method\")x{rest}"), "beside it");
    check("wholly=(\"@method\");created=-1", "odd created");
    check("wholly=(\"@method\");created=+1", "odd created");
    check("wholly=(\"@method\");created=99999999999999999999999", "odd created");
    check("wholly=(\"@method\");keyid=k", "odd keyid");
    let of_bytes = |bytes: usize| {
        let start = format!("wholly=(\"@method\"){rest};nonce=\"");
        format!("{start}{}\"", "a".repeat(bytes - start.len() - 1))
    };
    assert!(Input::parse(&of_bytes(INPUT_BYTES_MAX)).is_ok());
    check(&of_bytes(INPUT_BYTES_MAX + 1), "too great a length");
}
