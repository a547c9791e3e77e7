//! Who may be called: the destinations that the configuration names, exactly or by pattern.

use super::address::{Address, AddressError, Reach};
use super::connection::Pool;
use super::names::{Names, Resolver, System};
use super::trust::{Security, Trusts};
use crate::keyring::{Keyring, Signer};
use crate::observe::CallFigures;
use http::HeaderValue;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use tokio::sync::Semaphore;
use wholly_core::driver::{NamePattern, SlotRules};
use wholly_core::ids::Destination;
use wholly_tls::{Caller, Expiries, OldestVersion, TlsError, Trust};

/// Places that were found by pattern or URL and are kept ready; more are made again when needed.
const PLACES_KEPT_MAX: usize = 4_096;

/// What the configuration says of a destination or of a pattern of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its URL; `*` stands for what the `*` of the name matched.
    pub url: String,
    /// How it answers.
    pub answers: Answers,
    /// Whether it gives the same reply again.
    pub replies: Replies,
    /// What the body of a call holds.
    pub body: BodyForm,
    /// Calls in flight to it; the limit `destination_calls_max` if not said.
    pub slots: Option<usize>,
    /// Longest a call may take; the limit `call_timeout_ms` if not said.
    pub timeout_ms: Option<u64>,
    /// The credential that calls to it are signed for; that of the destination's name if not said.
    pub credential: Option<String>,
    /// The file of authorities by which an `https://` destination proves to be that; whom all of
    /// them are known by if not said.
    pub ca: Option<PathBuf>,
    /// The oldest version of TLS that is spoken with it.
    pub tls_min_version: OldestVersion,
}

impl Rule {
    /// A destination with every key at its default.
    pub fn new(url: &str) -> Self {
        Rule {
            url: url.to_owned(),
            answers: Answers::Wholly,
            replies: Replies::NotKept,
            body: BodyForm::Payload,
            slots: None,
            timeout_ms: None,
            credential: None,
            ca: None,
            tls_min_version: OldestVersion::default(),
        }
    }

    /// Who signs calls to a destination of this name; nobody where no credential is known for it.
    pub fn signer(&self, name: &str, keyring: &Keyring) -> Option<Arc<Signer>> {
        keyring.signer(self.credential.as_deref().unwrap_or(name))
    }
}

/// How a destination says what came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// By the header `wholly-answer`, which echoes the call.
    Wholly,
    /// By the status alone.
    Plain,
}

/// Whether a destination gives the same reply to the same call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// It does, come what may.
    Kept,
    /// Only where the answer says so.
    NotKept,
}

/// What the body of a call holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// The payload, as it is; an envelope where replies are handed on.
    Payload,
    /// Always the envelope.
    Envelope,
}

/// Why a destination's rule cannot stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// The URL is none that is called.
    Url(AddressError),
    /// A pattern has one `*` in its name and one or none in its URL's host or path; an exact name
    /// has none.
    Star,
    /// A name that no branch can have.
    Name,
    /// No slot at all.
    Slots,
    /// No time at all.
    Timeout,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleError::Url(error) => write!(f, "its url {error}"),
            RuleError::Star => f.write_str(
                "a pattern has exactly one * in its name and at most one in its url; an exact \
                 name has none in either",
            ),
            RuleError::Name => f.write_str(
                "a name is 1 to 128 letters, digits and . _ : -, beginning with a letter or digit",
            ),
            RuleError::Slots => f.write_str("slots must be at least 1"),
            RuleError::Timeout => f.write_str("timeout_ms must be at least 1"),
        }
    }
}

impl std::error::Error for RuleError {}

/// Why a destination is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNamed {
    /// No rule names it.
    #[error(
        "destination {destination} is not named in the configuration; add it under \
         [destinations] or with --destination"
    )]
    Name {
        /// Which.
        destination: Destination,
    },
    /// A URL that may not stand for itself.
    #[error("destination {destination} {why}")]
    Url {
        /// Which.
        destination: Destination,
        /// Why not.
        why: AddressError,
    },
    /// A URL where none may stand for itself.
    #[error(
        "destination {destination} is a URL; give it a name in the configuration, URLs are \
         called with --dev only"
    )]
    UrlWithoutDev {
        /// Which.
        destination: Destination,
    },
}

/// Whether a loopback URL may stand for a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urls {
    /// `--dev`: it may.
    Loopback,
    /// Only names are called.
    Refused,
}

/// A destination as it is called.
pub(super) struct Place {
    /// Counted under the name of its rule, so that the configuration bounds how many there are.
    pub(super) figures: CallFigures,
    pub(super) address: Address,
    pub(super) names: Names,
    /// Its host and port as a header says them.
    pub(super) host: HeaderValue,
    pub(super) reach: Reach,
    pub(super) security: Security,
    pub(super) rule: Rule,
    pub(super) pool: Pool,
    /// Who vouches for calls to it.
    pub(super) signer: Option<Arc<Signer>>,
}

impl Place {
    fn new(
        label: &str,
        address: Address,
        reach: Reach,
        rule: Rule,
        trust: &Arc<Trust>,
        idle: &Arc<Semaphore>,
    ) -> Self {
        let figures = CallFigures::new(label);
        let host = HeaderValue::from_str(&address.authority);
        let host = host.expect("an address that was parsed is printable ASCII");
        let (names, pool) = (Names::default(), Pool::new(idle));
        let security = Security::of(&address, trust);
        Place { figures, address, names, host, reach, security, rule, pool, signer: None }
    }
}

/// All that may be called.
pub struct Destinations {
    patterns: Vec<Pattern>,
    urls: Urls,
    /// By whom a URL that stands for itself is known.
    trust: Arc<Trust>,
    /// Room for connections that lie idle, of all destinations together.
    idle: Arc<Semaphore>,
    places: RwLock<HashMap<Destination, Arc<Place>>>,
    exact: HashMap<String, Arc<Place>>,
    keyring: Keyring,
    resolver: Arc<dyn Resolver>,
}

/// What its `*` stands for is one part of a DNS name, so that it can only ever be one in the URL.
struct Pattern {
    name: String,
    names: NamePattern,
    rule: Rule,
    trust: Arc<Trust>,
}

impl Pattern {
    /// Whoever asks chooses what fills the `*`. In the path it is all the same host; in the host
    /// it must not lead to what listens on this machine for this machine alone.
    fn reach(&self) -> Reach {
        let host = self.rule.url.split('/').nth(2).unwrap_or_default();
        match host.contains('*') {
            true => Reach::Filled,
            false => Reach::Configured,
        }
    }
}

/// Checks one rule by its name.
pub fn check_rule(name: &str, rule: &Rule) -> Result<(), RuleError> {
    let stars = (name.matches('*').count(), rule.url.matches('*').count());
    if !matches!(stars, (0, 0) | (1, 0 | 1)) {
        return Err(RuleError::Star);
    }
    let sample = name.replacen('*', "a", 1);
    wholly_core::ids::Name::new(&sample).map_err(|_| RuleError::Name)?;
    Address::parse(&rule.url.replacen('*', "a", 1)).map_err(RuleError::Url)?;
    if rule.slots == Some(0) {
        return Err(RuleError::Slots);
    }
    if rule.timeout_ms == Some(0) {
        return Err(RuleError::Timeout);
    }
    Ok(())
}

impl Destinations {
    /// Takes the rules by name, and how many connections may lie idle, all together. Exact names go
    /// before patterns, a longer pattern before a shorter one.
    pub fn new(
        rules: &BTreeMap<String, Rule>,
        urls: Urls,
        idle_max: usize,
    ) -> Result<Self, RuleError> {
        Destinations::known_by(None, rules, urls, idle_max)
    }

    /// The same, those of `https://` being known by the authorities of this file unless their rule
    /// names another.
    pub fn known_by(
        ca: Option<PathBuf>,
        rules: &BTreeMap<String, Rule>,
        urls: Urls,
        idle_max: usize,
    ) -> Result<Self, RuleError> {
        let mut trusts = Trusts::default();
        let trust = trusts.of(ca.as_deref(), OldestVersion::default());
        let mut patterns = Vec::new();
        let mut exact = HashMap::new();
        let idle = Arc::new(Semaphore::new(idle_max.min(Semaphore::MAX_PERMITS)));
        for (name, rule) in rules {
            check_rule(name, rule)?;
            let own_ca = rule.ca.as_deref().or(ca.as_deref());
            let trust = trusts.of(own_ca, rule.tls_min_version);
            match NamePattern::new(name) {
                Some(names) => {
                    let rule = rule.clone();
                    patterns.push(Pattern { name: name.clone(), names, rule, trust });
                }
                None => {
                    let address = Address::parse(&rule.url).map_err(RuleError::Url)?;
                    let (reach, rule) = (Reach::Configured, rule.clone());
                    let place = Place::new(name, address, reach, rule, &trust, &idle);
                    exact.insert(name.clone(), Arc::new(place));
                }
            }
        }
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.name.len()));
        let (places, keyring) = (RwLock::default(), Keyring::default());
        let resolver = Arc::new(System);
        Ok(Destinations { patterns, urls, trust, idle, places, exact, keyring, resolver })
    }

    /// Reads the authorities of all that are called within TLS, so that a file that cannot be used
    /// is found before the first call.
    pub fn read_authorities(&self) -> Result<(), TlsError> {
        for place in self.exact.values() {
            place.security.caller()?;
        }
        let is_secured = |pattern: &&Pattern| pattern.rule.url.starts_with("https://");
        for pattern in self.patterns.iter().filter(is_secured) {
            pattern.trust.caller()?;
        }
        Ok(())
    }

    /// Up to when the authorities hold by which those are known that are called within TLS, as far
    /// as they stand in files.
    pub fn authorities(&self) -> Expiries {
        fn secured(place: &Arc<Place>) -> Option<&Caller> {
            match &place.security {
                Security::Plain => None,
                Security::Tls { trust, .. } => trust.read(),
            }
        }
        let exact = self.exact.values().filter_map(secured);
        let patterns = self.patterns.iter().filter_map(|pattern| pattern.trust.read());
        exact
            .chain(patterns)
            .fold(Expiries::default(), |all, caller| all.with(caller.authorities()))
    }

    /// The same, names being looked up by another resolver than the system's.
    #[cfg(test)]
    pub(super) fn resolved_by(mut self, resolver: Arc<dyn Resolver>) -> Self {
        for place in self.exact.values_mut() {
            let place = Arc::get_mut(place).expect("nobody else has a place of a table being made");
            place.names = Names::of(&resolver);
        }
        self.resolver = resolver;
        self
    }

    /// The same, calls being signed with the credentials of this ring.
    pub fn signed(mut self, keyring: Keyring) -> Self {
        for (name, place) in &mut self.exact {
            let place = Arc::get_mut(place).expect("nobody else has a place of a table being made");
            place.signer = place.rule.signer(name, &keyring);
        }
        self.keyring = keyring;
        self
    }

    /// Destinations named exactly to which calls go unsigned.
    pub fn unsigned(&self) -> impl Iterator<Item = &str> {
        let unsigned = self.exact.iter().filter(|(_, place)| place.signer.is_none());
        unsigned.map(|(name, _)| name.as_str())
    }

    /// The slots that the rules give, by name and by pattern.
    pub fn slots(&self) -> SlotRules {
        let exact = self.exact.iter().filter_map(|(name, place)| {
            let destination = Destination::new(name).ok()?;
            Some((destination, place.rule.slots))
        });
        let patterns =
            self.patterns.iter().map(|pattern| (pattern.names.clone(), pattern.rule.slots));
        SlotRules { exact: exact.collect(), patterns: patterns.collect() }
    }

    /// Destinations that are named exactly, with the slots that the configuration gives them.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, Option<usize>)> {
        self.exact.iter().map(|(name, place)| (name.as_str(), place.rule.slots))
    }

    pub(super) fn is_named(&self, destination: &Destination) -> bool {
        self.exact.contains_key(destination.as_str())
    }

    /// Whether calls to it go anywhere.
    pub fn check(&self, destination: &Destination) -> Result<(), NotNamed> {
        self.place(destination).map(|_place| ())
    }

    pub(super) fn place(&self, destination: &Destination) -> Result<Arc<Place>, NotNamed> {
        if let Some(place) = self.exact.get(destination.as_str()) {
            return Ok(Arc::clone(place));
        }
        let kept = self.places.read().expect("nothing panics under this lock");
        if let Some(place) = kept.get(destination) {
            return Ok(Arc::clone(place));
        }
        drop(kept);
        let made = Arc::new(self.make(destination)?);
        let mut kept = self.places.write().expect("nothing panics under this lock");
        if kept.len() >= PLACES_KEPT_MAX {
            kept.retain(|_destination, place| Arc::strong_count(place) > 1);
        }
        if kept.len() >= PLACES_KEPT_MAX {
            return Ok(made);
        }
        Ok(Arc::clone(kept.entry(destination.clone()).or_insert(made)))
    }

    fn make(&self, destination: &Destination) -> Result<Place, NotNamed> {
        let name = destination.as_str();
        for pattern in &self.patterns {
            if let Some(matched) = pattern.names.matched(name) {
                let url = pattern.rule.url.replacen('*', matched, 1);
                let address = Address::parse(&url)
                    .map_err(|why| NotNamed::Url { destination: destination.clone(), why })?;
                let rule = pattern.rule.clone();
                let signer = rule.signer(name, &self.keyring);
                let reach = pattern.reach();
                let refused = |why| NotNamed::Url { destination: destination.clone(), why };
                address.check(reach).map_err(refused)?;
                let place =
                    Place::new(&pattern.name, address, reach, rule, &pattern.trust, &self.idle);
                return Ok(Place { signer, names: Names::of(&self.resolver), ..place });
            }
        }
        if !name.contains("//") {
            return Err(NotNamed::Name { destination: destination.clone() });
        }
        match self.urls {
            Urls::Refused => Err(NotNamed::UrlWithoutDev { destination: destination.clone() }),
            Urls::Loopback => {
                let refused = |why| NotNamed::Url { destination: destination.clone(), why };
                let address = Address::parse(name).map_err(refused)?;
                address.check(Reach::Loopback).map_err(refused)?;
                let rule = Rule::new(name);
                let (reach, trust) = (Reach::Loopback, &self.trust);
                let place = Place::new("dev", address, reach, rule, trust, &self.idle);
                Ok(Place { names: Names::of(&self.resolver), ..place })
            }
        }
    }

    /// The address that a destination's calls go to, and how far they may lead.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn address(&self, destination: &Destination) -> Result<(Address, Reach), NotNamed> {
        self.place(destination).map(|place| (place.address.clone(), place.reach))
    }

    /// Closes connections that have been idle too long.
    pub(super) fn sweep(&self) {
        for place in self.exact.values() {
            place.pool.sweep();
        }
        for place in self.places.read().expect("nothing panics under this lock").values() {
            place.pool.sweep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rules: &[(&str, &str)], urls: Urls) -> Result<Destinations, RuleError> {
        let rules = rules.iter().map(|(name, url)| ((*name).to_owned(), Rule::new(url))).collect();
        Destinations::new(&rules, urls, 8)
    }

    #[test]
    fn a_name_leads_to_its_rule_and_nowhere_else() {
        let rules = [
            ("stock", "http://stock:8080"),
            ("svc-*", "http://*.internal:1"),
            ("svc-b*", "http://b:2"),
            ("*.pay", "http://pay/*"),
        ];
        let table = table(&rules, Urls::Refused).unwrap();
        let check = |name: &str, expected: Option<(&str, &str, &str)>| {
            let place = table.place(&Destination::new(name).unwrap()).ok();
            let seen = place.as_ref().map(|place| {
                let address = &place.address;
                (place.figures.label(), address.authority.as_str(), address.prefix.as_str())
            });
            assert_eq!(seen, expected, "{name}");
        };
        check("stock", Some(("stock", "stock:8080", "")));
        check("svc-a", Some(("svc-*", "a.internal:1", "")));
        check("svc-bx", Some(("svc-b*", "b:2", "")));
        check("eu.pay", Some(("*.pay", "pay", "/eu")));
        for stray in [
            "stock2",
            "svc-",
            "svc-a.b",
            "svc-A",
            "svc-a:1",
            "svc-a@b",
            "svc-*",
            "svc--a",
            ".pay",
            "a/b.pay",
            "...pay",
            "http://stock:8080",
            "http://127.0.0.1:1",
        ] {
            check(stray, None);
        }
    }

    #[test]
    fn with_dev_a_loopback_url_stands_for_itself() {
        let dev = table(&[], Urls::Loopback).unwrap();
        let check = |name: &str| dev.check(&Destination::new(name).unwrap());
        assert_eq!(check("http://127.0.0.1:8080/a"), Ok(()));
        assert_eq!(check("http://localhost:8080"), Ok(()));
        assert!(matches!(check("http://10.0.0.1:8080"), Err(NotNamed::Url { .. })));
        assert!(matches!(check("http://127.1:8080"), Err(NotNamed::Url { .. })));
        assert!(matches!(check("stock"), Err(NotNamed::Name { .. })));
        let named = table(&[], Urls::Refused).unwrap();
        let url = Destination::new("http://127.0.0.1:8080").unwrap();
        assert!(matches!(named.check(&url), Err(NotNamed::UrlWithoutDev { .. })));
    }

    #[test]
    fn a_rule_that_cannot_stand_is_refused() {
        let check = |name: &str, url: &str, expected: RuleError| {
            assert_eq!(table(&[(name, url)], Urls::Refused).err(), Some(expected), "{name} {url}");
        };
        check("stock", "http://*.internal", RuleError::Star);
        check("a*b*", "http://x", RuleError::Star);
        check("a*", "http://*.*", RuleError::Star);
        check("", "http://x", RuleError::Name);
        check("sto ck", "http://x", RuleError::Name);
        check("stock", "HTTPS://x", RuleError::Url(AddressError::Scheme));
        check("stock", "http://127.1", RuleError::Url(AddressError::IpSpelling));
    }

    #[test]
    fn places_made_by_pattern_are_bounded() {
        let table = table(&[("svc-*", "http://*.internal")], Urls::Refused).unwrap();
        for number in 0..PLACES_KEPT_MAX + 10 {
            let name = Destination::new(&format!("svc-{number}")).unwrap();
            assert!(table.check(&name).is_ok());
        }
        assert!(table.places.read().unwrap().len() <= PLACES_KEPT_MAX);
    }
}
