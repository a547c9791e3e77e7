//! What a signature costs: time to sign and to verify a call, for payloads of several sizes.
//!
//! `cargo run --release -p wholly-bench --example signature_time`

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Instant;
use wholly_wire::credential::{Credential, Secrets};
use wholly_wire::headers;
use wholly_wire::signature::{METHOD, PATH, Stands, Validity, Verifier, content_digest};

const ROUNDS: u32 = 100_000;

fn main() {
    let secrets = Secrets::parse("0123456789abcdef0123456789abcdef").expect("a secret");
    let credential = Credential::new("stock", secrets).expect("an id");
    let key = credential.secrets().first().signing_key();
    let verifier = Verifier::new(&credential);
    for bytes in [0, 200, 4_096, 65_536] {
        let body = vec![b'a'; bytes];
        let rounds = if bytes > 10_000 { ROUNDS / 20 } else { ROUNDS };
        let digest = content_digest(&body);
        let (mut input, mut tag) = (String::new(), String::new());
        let begun = Instant::now();
        for _ in 0..rounds {
            let digest = content_digest(black_box(&body));
            let validity = Validity::of_call(1_700_000_000, 5_000);
            let signed = key.sign("stock", validity, |name| value(name, &digest, "", ""));
            (input, tag) = (signed.input, signed.signature);
        }
        let signing = begun.elapsed() / rounds;
        let begun = Instant::now();
        for _ in 0..rounds {
            let value = |name: &str| Stands::from(value(name, &digest, &input, &tag));
            let head = verifier.check(1_700_000_000, value, |name| name == "stock");
            let head = black_box(head).expect("it was signed");
            head.check_body(black_box(&body)).expect("it is that body");
        }
        let verifying = begun.elapsed() / rounds;
        println!("{bytes:>6} B: sign {signing:?}, verify {verifying:?}");
    }
}

fn value<'a>(name: &str, digest: &'a str, input: &'a str, tag: &'a str) -> Option<Cow<'a, str>> {
    let text = match name {
        METHOD => "POST",
        PATH => "/wholly/stock.lock",
        headers::AUDIENCE | headers::BRANCH => "stock",
        headers::GID => "order-4711",
        headers::OPERATION => "stock.lock",
        headers::OP => "try",
        headers::MARK => "origin=a1b2c3d4e5f60718;begun=1700000000000;limit=1699395200000",
        headers::CONTENT_DIGEST => digest,
        headers::SIGNATURE_INPUT => input,
        headers::SIGNATURE => tag,
        _absent => return None,
    };
    Some(text.into())
}
