//! A credential: a name and a secret by which a service, an operator or a scraper is known.

use crate::base64;
use crate::signature::SigningKey;
use crate::words::words;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use wholly_core::ids::Principal;

/// Fewest characters of a secret: 32 hex digits hold 128 random bits.
pub const SECRET_CHARS_MIN: usize = 32;
/// Most characters of a secret.
pub const SECRET_CHARS_MAX: usize = 256;

/// Keeps what is compared apart from the key that signs: neither tells anything of the other.
const AUTHENTICATION_LABEL: &[u8] = b"wholly-authentication-1";
const SIGNATURE_LABEL: &[u8] = b"wholly-signature-1";
const SCHEME: &str = "Basic ";

/// What a credential is for; it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Begins transactions and takes part in them.
    Service,
    /// Looks at all transactions and acts on those that need a person.
    Operator,
    /// Reads the figures.
    Metrics,
}

words!(Role { Service => "service", Operator => "operator", Metrics => "metrics" });

/// A secret. It stays out of logs and messages.
#[derive(Clone)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.fingerprint().is_of(other.0.as_bytes())
    }
}

impl Eq for Secret {}

/// Why a text is no secret. It does not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// Too few characters to be beyond guessing.
    Short {
        /// How many.
        chars: usize,
    },
    /// Too many to be one.
    Long,
    /// A character that headers, files or variables cannot carry unchanged.
    Character,
    /// None at all.
    None,
    /// More than a change from one to another needs.
    Many,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretError::Short { chars } => write!(
                f,
                "has {chars} characters; it must have at least {SECRET_CHARS_MIN}, as `openssl \
                 rand -hex 32` gives"
            ),
            SecretError::Long => {
                write!(f, "has more than {SECRET_CHARS_MAX} characters; take a shorter one")
            }
            SecretError::Character => {
                f.write_str("has a blank, a comma or a character that is not visible ASCII")
            }
            SecretError::None => f.write_str("is empty; it must hold one secret or two"),
            SecretError::Many => {
                f.write_str("holds more than two secrets; while one is changed, two are enough")
            }
        }
    }
}

impl std::error::Error for SecretError {}

impl Secret {
    /// Takes a text that can be a secret.
    pub fn new(text: &str) -> Result<Secret, SecretError> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        if !text.bytes().all(is_plain) {
            return Err(SecretError::Character);
        }
        match text.len() {
            0 => Err(SecretError::None),
            chars if chars < SECRET_CHARS_MIN => Err(SecretError::Short { chars }),
            chars if chars > SECRET_CHARS_MAX => Err(SecretError::Long),
            _enough => Ok(Secret(text.to_owned())),
        }
    }

    /// The key that signs calls to whoever has this secret. The secret itself signs nothing.
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::new(mac(self.0.as_bytes(), SIGNATURE_LABEL).finalize().into_bytes().into())
    }

    /// What is kept of it to know it again.
    pub fn fingerprint(&self) -> Fingerprint {
        let tag = mac(AUTHENTICATION_LABEL, self.0.as_bytes()).finalize();
        Fingerprint(tag.into_bytes().into())
    }
}

fn mac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(message);
    mac
}

/// A secret as it is known again: its digest, compared in constant time.
#[derive(Clone)]
pub struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fingerprint")
    }
}

impl Fingerprint {
    /// Of no secret: comparing with it takes as long, and never succeeds.
    pub const NOBODY: Fingerprint = Fingerprint([0; 32]);

    /// Whether these bytes are the secret.
    pub fn is_of(&self, shown: &[u8]) -> bool {
        mac(AUTHENTICATION_LABEL, shown).verify_slice(&self.0).is_ok()
    }
}

/// One secret, or two while it is changed: the first signs and is shown, either is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    first: Secret,
    second: Option<Secret>,
}

impl Secrets {
    /// Takes one or two, the one to come first.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Secrets, SecretError> {
        let mut texts = texts.into_iter();
        let first = Secret::new(texts.next().ok_or(SecretError::None)?)?;
        let second = texts.next().map(Secret::new).transpose()?;
        match texts.next() {
            Some(_) => Err(SecretError::Many),
            None => Ok(Secrets { first, second }),
        }
    }

    /// Reads what a file or a variable holds: one or two, a line each or with a comma between.
    pub fn parse(text: &str) -> Result<Secrets, SecretError> {
        let words = text.split([',', '\n', '\r']).map(str::trim).filter(|word| !word.is_empty());
        Secrets::new(words)
    }

    /// The one that signs and is shown.
    pub fn first(&self) -> &Secret {
        &self.first
    }

    /// Each that is accepted.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.first).chain(&self.second)
    }
}

/// Who somebody is, and by what it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    id: Principal,
    secrets: Secrets,
}

/// The id of a credential must have a name that HTTP can carry beside a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdWrong;

impl fmt::Display for IdWrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "is no name for a credential: 1 to 128 letters, digits and . _ -, beginning with a \
             letter or digit",
        )
    }
}

impl std::error::Error for IdWrong {}

impl Credential {
    /// A credential of this name.
    pub fn new(id: &str, secrets: Secrets) -> Result<Credential, IdWrong> {
        // In the header, a colon ends the id.
        match Principal::new(id) {
            Ok(id) if !id.as_str().contains(':') => Ok(Credential { id, secrets }),
            Ok(_) | Err(_) => Err(IdWrong),
        }
    }

    /// Whose it is.
    pub fn id(&self) -> &Principal {
        &self.id
    }

    /// By what it is known.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The value of the header `authorization`.
    pub fn authorization(&self) -> String {
        let plain = format!("{}:{}", self.id, self.secrets.first.0);
        format!("{SCHEME}{}", base64::padded(plain.as_bytes()))
    }
}

/// Who somebody says to be, and what it shows for it.
pub struct Shown {
    /// The name.
    pub id: String,
    /// What should be its secret.
    pub secret: Vec<u8>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Shown {
    /// Reads the value of the header `authorization`; none if it is not of that form.
    pub fn parse(text: &str) -> Option<Shown> {
        let scheme = text.get(..SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let plain = base64::from_padded(text[SCHEME.len()..].trim())?;
        let colon = plain.iter().position(|byte| *byte == b':')?;
        let id = std::str::from_utf8(&plain[..colon]).ok()?.to_owned();
        Some(Shown { id, secret: plain[colon + 1..].to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const TWO: &str = "fedcba9876543210fedcba9876543210";

    fn check(text: &str, expected: Result<usize, SecretError>) {
        assert_eq!(Secrets::parse(text).map(|secrets| secrets.iter().count()), expected);
    }

    #[test]
    fn a_secret_is_long_and_plain_and_there_are_at_most_two() {
        check(ONE, Ok(1));
        check(&format!("{ONE}\n"), Ok(1));
        check(&format!("{ONE},{TWO}"), Ok(2));
        check(&format!("{ONE}\r\n{TWO}\r\n"), Ok(2));
        check(&format!("{ONE},{TWO},{ONE}"), Err(SecretError::Many));
        check("", Err(SecretError::None));
        check(" \n,", Err(SecretError::None));
        check(&ONE[1..], Err(SecretError::Short { chars: 31 }));
        check(&format!("{ONE} {TWO}"), Err(SecretError::Character));
        check(&format!("{ONE}é"), Err(SecretError::Character));
        check(&"a".repeat(SECRET_CHARS_MAX), Ok(1));
        check(&"a".repeat(SECRET_CHARS_MAX + 1), Err(SecretError::Long));
    }

    #[test]
    fn a_secret_is_shown_to_nobody() {
        let secrets = Secrets::parse(&format!("{ONE},{TWO}")).unwrap();
        let credential = Credential::new("stock", secrets).unwrap();
        let shown = Shown::parse(&credential.authorization()).unwrap();
        let key = credential.secrets().first().signing_key();
        let fingerprint = credential.secrets().first().fingerprint();
        let text = format!("{credential:?} {shown:?} {key:?} {fingerprint:?}");
        assert!(!text.contains(ONE) && !text.contains(TWO) && text.contains("stock"), "{text}");
        for error in [Secrets::parse(&ONE[1..]), Secrets::parse(&format!("{ONE} x"))] {
            assert!(!error.unwrap_err().to_string().contains(&ONE[1..]));
        }
    }

    #[test]
    fn who_shows_the_secret_is_known_and_nobody_else() {
        let credential = Credential::new("stock", Secrets::parse(ONE).unwrap()).unwrap();
        let shown = Shown::parse(&credential.authorization()).unwrap();
        assert_eq!(shown.id, "stock");
        let known = credential.secrets().first().fingerprint();
        assert!(known.is_of(&shown.secret));
        let longer = format!("{ONE}\0");
        for wrong in [TWO, &ONE[1..], "", longer.as_str()] {
            assert!(!known.is_of(wrong.as_bytes()), "{wrong}");
            assert!(!Fingerprint::NOBODY.is_of(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(Secret::new(ONE), Secret::new(ONE));
        assert_ne!(Secret::new(ONE), Secret::new(TWO));
    }

    #[test]
    fn what_is_shown_is_read_or_refused() {
        let read = |text: &str| Shown::parse(text).map(|shown| shown.id);
        let spelled = |plain: &str| format!("Basic {}", base64::padded(plain.as_bytes()));
        assert_eq!(read(&spelled("a:b")), Some("a".to_owned()));
        assert_eq!(read(&spelled("a:b:c")), Some("a".to_owned()));
        assert_eq!(read(&spelled("a:b").replacen('B', "b", 1)), Some("a".to_owned()));
        assert_eq!(read(&spelled("ab")), None);
        for text in ["", "Basic", "Basic ", "Basic a:b", "Bearer YTpi", "Basic YTpi=", "éééééé"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn an_id_is_a_name_without_a_colon() {
        let check = |id: &str| Credential::new(id, Secrets::parse(ONE).unwrap()).is_ok();
        assert!(check("stock") && check("stock-1.eu_west"));
        assert!(!check("stock:1") && !check("") && !check("sto ck") && !check("-a"));
    }
}
