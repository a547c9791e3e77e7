//! For tests alone: an authority of one's own, and certificates of it, the bad ones among them.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Signs certificates.
pub struct Authority {
    name: String,
    pair: Pair,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// When a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// While tests run.
    Current,
    /// It is over.
    Past,
    /// It has not begun.
    Future,
}

struct Pair {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

impl Pair {
    fn new() -> Pair {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
        let pkcs8 = pkcs8.expect("the system gives random numbers").as_ref().to_vec();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &random);
        Pair { pair: pair.expect("a key just made can be read"), pkcs8 }
    }
}

impl Authority {
    /// An authority that nobody knows yet.
    pub fn new(name: &str) -> Authority {
        Authority { name: name.to_owned(), pair: Pair::new() }
    }

    /// Its own certificate, for those who are to believe it.
    pub fn certificate(&self) -> String {
        let is_authority = extension(&[0x55, 0x1d, 0x13], &sequence(&[&[1, 1, 0xff]]));
        self.sign(&self.name, &self.pair, Validity::Current, &is_authority)
    }

    /// The same, in a file of this folder.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}.ca.pem", self.name));
        std::fs::write(&path, self.certificate()).expect("the folder can be written");
        path
    }

    /// A certificate for these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_for(names, Validity::Current)
    }

    /// The same, for this time.
    pub fn issue_for(&self, names: &[&str], validity: Validity) -> Issued {
        let pair = Pair::new();
        let names_too = alternatives(names);
        let certificate = self.sign(names.first().unwrap_or(&""), &pair, validity, &names_too);
        Issued { certificate, key: pem("PRIVATE KEY", &pair.pkcs8) }
    }

    fn sign(&self, subject: &str, pair: &Pair, validity: Validity, extension: &[u8]) -> String {
        let algorithm = sequence(&[&object(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2])]);
        let (from, until) = match validity {
            Validity::Current => ("200101000000Z", "491231235959Z"),
            Validity::Past => ("100101000000Z", "110101000000Z"),
            Validity::Future => ("480101000000Z", "491231235959Z"),
        };
        let key = sequence(&[
            &object(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]),
            &object(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]),
        ]);
        let body = sequence(&[
            &tagged(0xa0, &[2, 1, 2]),
            &tagged(2, &serial()),
            &algorithm,
            &name(&self.name),
            &sequence(&[&tagged(0x17, from.as_bytes()), &tagged(0x17, until.as_bytes())]),
            &name(subject),
            &sequence(&[&key, &bits(pair.pair.public_key().as_ref())]),
            &tagged(0xa3, &sequence(&[extension])),
        ]);
        let signature = self.pair.pair.sign(&SystemRandom::new(), &body);
        let signature = signature.expect("the system gives random numbers");
        pem("CERTIFICATE", &sequence(&[&body, &algorithm, &bits(signature.as_ref())]))
    }
}

/// A certificate that no authority has signed.
pub fn self_signed(names: &[&str]) -> Issued {
    let own = Authority::new(names.first().unwrap_or(&""));
    let certificate = own.sign(&own.name, &own.pair, Validity::Current, &alternatives(names));
    Issued { certificate, key: pem("PRIVATE KEY", &own.pair.pkcs8) }
}

impl Issued {
    /// Certificate and key, in files of this folder that are called so.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let paths = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&paths.0, &self.certificate).expect("the folder can be written");
        std::fs::write(&paths.1, &self.key).expect("the folder can be written");
        paths
    }
}

fn serial() -> [u8; 8] {
    let mut serial = [0; 8];
    SystemRandom::new().fill(&mut serial).expect("the system gives random numbers");
    // Positive, and in its shortest form.
    serial[0] = 1;
    serial
}

/// A common name.
fn name(text: &str) -> Vec<u8> {
    let part = sequence(&[&object(&[0x55, 4, 3]), &tagged(0x0c, text.as_bytes())]);
    sequence(&[&tagged(0x31, &part)])
}

/// The names, addresses and URIs that a certificate is for.
fn alternatives(names: &[&str]) -> Vec<u8> {
    let named = names.iter().map(|name| match name.parse() {
        Ok(IpAddr::V4(ip)) => tagged(0x87, &ip.octets()),
        Ok(IpAddr::V6(ip)) => tagged(0x87, &ip.octets()),
        Err(_) if name.contains("://") => tagged(0x86, name.as_bytes()),
        Err(_) => tagged(0x82, name.as_bytes()),
    });
    let named: Vec<Vec<u8>> = named.collect();
    let named: Vec<&[u8]> = named.iter().map(Vec::as_slice).collect();
    extension(&[0x55, 0x1d, 0x11], &sequence(&named))
}

fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[&object(id), &[1, 1, 0xff], &tagged(4, value)])
}

fn object(id: &[u8]) -> Vec<u8> {
    tagged(6, id)
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    tagged(3, &[&[0], bytes].concat())
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

/// One value of DER: its tag, its length in the shortest form, and itself.
fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("certificates are small");
    let [high, low] = length.to_be_bytes();
    let mut bytes = match length {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        0x100.. => vec![tag, 0x82, high, low],
    };
    bytes.extend(value);
    bytes
}

fn pem(label: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in bytes.chunks(48) {
        for three in line.chunks(3) {
            let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
            let word = at(0) << 16 | at(1) << 8 | at(2);
            for place in 0..4 {
                let digit = DIGITS[(word >> (18 - 6 * place)) as usize & 63];
                text.push(if place <= three.len() { char::from(digit) } else { '=' });
            }
        }
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
