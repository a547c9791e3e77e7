//! Configurations that are read, and those that are refused with the words a person needs.

use super::*;
use crate::egress::{Answers, BodyForm, Replies};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NEXT: &str = "fedcba9876543210fedcba9876543210";

fn load(file: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wholly.toml");
    std::fs::write(&path, file).unwrap();
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(&Flags { config: Some(path), ..flags }, environment)
}

fn refused(file: &str, environment: &[(&str, &str)], flags: Flags, words: &[&str]) {
    let error = load(file, environment, flags).expect_err(file);
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let text = format!("{error}: {cause}");
    for word in words {
        assert!(text.contains(word), "{file}{environment:?}: {text:?} does not say {word:?}");
    }
}

fn set(words: &[&str]) -> Flags {
    Flags { set: words.iter().map(|word| (*word).to_owned()).collect(), ..Flags::default() }
}

#[test]
fn what_comes_later_wins() {
    let file = "listen = \"127.0.0.1:1\"\n[calls]\ntimeout_ms = 1\nbackoff_ms = 1\nramp_ms = 1";
    let environment = [
        ("WHOLLY_CALLS_TIMEOUT_MS", "2"),
        ("WHOLLY_CALLS_BACKOFF_MS", "2"),
        ("WHOLLY_PORT", "tcp://10.0.0.1:7700"),
        ("WHOLLY_URL", "http://elsewhere"),
    ];
    let flags = Flags { listen: Some("127.0.0.1:3".into()), ..set(&["calls.timeout_ms=3"]) };
    let config = load(file, &environment, flags).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.limits.call_timeout_ms, 3);
    assert_eq!(config.limits.backoff_ms, 2);
    assert_eq!(config.limits.ramp_ms, 1);
    assert_eq!(config.limits.backoff_ms_max, Limits::default().backoff_ms_max);
}

#[test]
fn one_peer_leaves_connections_to_others() {
    for (connections, peer) in [("20000", 7_500), ("1000", 750), ("2", 1), ("1", 1)] {
        let file = format!("[requests]\nconnections_max = {connections}");
        let config = load(&file, &[], Flags::default()).unwrap();
        assert_eq!(config.requests.peer_connections_max, peer, "of {connections}");
    }
    let file = "[requests]\nconnections_max = 10\npeer_connections_max = 10";
    assert_eq!(load(file, &[], Flags::default()).unwrap().requests.peer_connections_max, 10);
}

#[test]
fn a_machine_s_word_on_spans_yields_to_ours() {
    let said = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "no address"),
        ("WHOLLY_TRACING_OTLP", "http://127.0.0.1:4318"),
    ];
    let config = load("", &said, Flags::default()).unwrap();
    let wholly = Source::Environment("WHOLLY_TRACING_OTLP".to_owned());
    assert_eq!(config.said.get("tracing.otlp"), Some(&wholly));
}

#[test]
fn a_machine_s_word_on_spans_is_followed_to_the_letter_and_stops_no_start() {
    const BELOW: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const ITSELF: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const OWN: &str = "WHOLLY_TRACING_OTLP";
    let check = |said: &[(&str, &str)], expected: Option<(&str, Place)>| {
        let config = load("", said, Flags::default()).unwrap();
        let tracing = &config.tracing;
        let seen = tracing.otlp.as_deref().map(|url| (url, tracing.place));
        assert_eq!(seen, expected, "{said:?}");
        assert_eq!(config.said.contains_key("tracing.otlp"), expected.is_some(), "{said:?}");
    };
    let (here, there) = ("http://127.0.0.1:4318", "http://127.0.0.1:4319/spans/");
    check(&[(BELOW, here)], Some((here, Place::Below)));
    check(&[(ITSELF, there)], Some((there, Place::Itself)));
    check(&[(BELOW, here), (ITSELF, there)], Some((there, Place::Itself)));
    check(&[(BELOW, "127.0.0.1:4317"), (ITSELF, there)], Some((there, Place::Itself)));
    check(&[(ITSELF, there), (OWN, here)], Some((here, Place::Below)));
    for odd in ["127.0.0.1:4317", "grpc://collector", "http://u:p@h", "http://169.254.169.254"] {
        check(&[(BELOW, odd)], None);
        // Nor does it go where the other one says: that was not meant.
        check(&[(BELOW, here), (ITSELF, odd)], None);
        refused("", &[(OWN, odd)], Flags::default(), &["tracing.otlp"]);
    }
    let secret = load("", &[(OWN, "http://u:hidden@h")], Flags::default()).unwrap_err();
    assert!(!secret.to_string().contains("hidden"), "{secret}");
    check(&[(BELOW, here), ("OTEL_SDK_DISABLED", "true")], None);
}

#[test]
fn destinations_come_in_every_form() {
    let file = r#"
        hosts = ["coordinator.shop"]
        [destinations]
        stock = "http://stock:8080"
        points = { url = "http://points", answers = "plain", replies = "kept", slots = 4 }
        "svc-*" = { url = "http://*.internal", body = "envelope", timeout_ms = 300 }
        orders = "http://old:1"
    "#;
    let environment = [("WHOLLY_DESTINATIONS", "orders=http://orders:1 mail=http://mail")];
    let flags = Flags {
        destinations: vec!["mail=http://mail:2,answers=plain,timeout_ms=50".into()],
        ..Flags::default()
    };
    let config = load(file, &environment, flags).unwrap();
    assert_eq!(config.hosts, ["coordinator.shop"]);
    let rule = |name: &str| config.destinations[name].clone();
    assert_eq!(rule("stock"), Rule::new("http://stock:8080"));
    assert_eq!(rule("orders"), Rule::new("http://orders:1"));
    let points = Rule {
        answers: Answers::Plain,
        replies: Replies::Kept,
        slots: Some(4),
        ..Rule::new("http://points")
    };
    assert_eq!(rule("points"), points);
    let pattern =
        Rule { body: BodyForm::Envelope, timeout_ms: Some(300), ..Rule::new("http://*.internal") };
    assert_eq!(rule("svc-*"), pattern);
    let mail = Rule { answers: Answers::Plain, timeout_ms: Some(50), ..Rule::new("http://mail:2") };
    assert_eq!(rule("mail"), mail);
}

#[test]
fn a_mistake_is_named_with_its_place_and_its_remedy() {
    let none = Flags::default;
    refused("lisen = 1", &[], none(), &["wholly.toml", "lisen", "did you mean listen?"]);
    refused("[calls]\ntimeot_ms = 1", &[], none(), &["calls.timeot_ms", "calls.timeout_ms?"]);
    refused("[call]\ntimeout_ms = 1", &[], none(), &["call.timeout_ms", "calls.timeout_ms?"]);
    refused("qqqqqqqqqq = 1", &[], none(), &["qqqqqqqqqq", "remove it"]);
    refused("listen =", &[], none(), &["is no TOML", "line 1"]);
    refused("listen = 7700", &[], none(), &["listen", "must be a text"]);
    refused("listen = \"stock:1\"", &[], none(), &["listen", "127.0.0.1:7700"]);
    refused("[calls]\ntimeout_ms = 0", &[], none(), &["calls.timeout_ms", "from 1 to"]);
    refused("[calls]\ntimeout_ms = -1", &[], none(), &["calls.timeout_ms", "not negative"]);
    refused("[calls]\ntimeout_ms = 1.5", &[], none(), &["whole number"]);
    refused("[transactions]\nbranches_max = 65536", &[], none(), &["from 1 to 65535"]);
    refused("dev = 1", &[], none(), &["dev", "true or false"]);
    refused("hosts = [1]", &[], none(), &["hosts", "list of texts"]);
    let environment = [("WHOLLY_CALLS_TIMEOUT_MS", "soon")];
    refused("", &environment, none(), &["environment variable WHOLLY_CALLS_TIMEOUT_MS"]);
    refused("", &[], set(&["calls.timeout_ms"]), &["--set", "KEY=VALUE"]);
    refused("", &[], set(&["calls.timeout=1"]), &["--set", "did you mean calls.timeout_ms?"]);
    let both = "[calls]\nbackoff_ms = 10\nbackoff_ms_max = 5";
    refused(both, &[], none(), &["calls.backoff_ms is 10", "calls.backoff_ms_max, which is 5"]);
    let both = "[requests]\nconnections_max = 10\npeer_connections_max = 11";
    refused(both, &[], none(), &["requests.peer_connections_max is 11", "which is 10"]);
    let missing = Flags { config: Some("/nowhere/wholly.toml".into()), ..none() };
    let error = Config::load(&missing, []).unwrap_err();
    assert!(error.to_string().contains("/nowhere/wholly.toml"));
}

#[test]
fn a_bad_destination_is_named() {
    let check = |line: &str, words: &[&str]| {
        refused(&format!("[destinations]\n{line}"), &[], Flags::default(), words);
    };
    check("stock = \"HTTPS://stock\"", &["destinations.stock", "http:// or https://"]);
    check("stock = \"http://127.1\"", &["destinations.stock", "odd spelling"]);
    check("stock = \"http://u:p@stock\"", &["user name or password"]);
    check("stock = { answers = \"plain\" }", &["destinations.stock", "http://"]);
    check("stock = { url = \"http://a\", anwsers = 1 }", &["stock.anwsers", "mean answers?"]);
    check("stock = { url = \"http://a\", answers = \"odd\" }", &["one of: wholly, plain"]);
    check("stock = { url = \"http://a\", slots = 0 }", &["slots must be at least 1"]);
    check("stock = { url = \"http://a\", timeout_ms = 0 }", &["timeout_ms must be at least 1"]);
    check("\"a*b*\" = \"http://a\"", &["exactly one *"]);
    check("stock = 7", &["destinations.stock.url", "must be a text"]);
    let flags = Flags { destinations: vec!["stock".into()], ..Flags::default() };
    refused("", &[], flags, &["--destination", "NAME=URL"]);
}

#[test]
fn no_listener_beyond_loopback_by_accident() {
    let listen = |listen: &str| Flags { listen: Some(listen.into()), ..Flags::default() };
    refused("", &[], listen("0.0.0.0:7700"), &["0.0.0.0:7700", "--insecure"]);
    refused("", &[], listen("[::]:7700"), &["--insecure"]);
    refused("", &[], Flags { dev: true, ..listen("0.0.0.0:1") }, &["--dev", "127.0.0.1"]);
    let dev_insecure = Flags { dev: true, insecure: true, ..listen("0.0.0.0:1") };
    refused("", &[], dev_insecure, &["--dev"]);
    assert!(load("", &[], Flags { insecure: true, ..listen("0.0.0.0:1") }).is_ok());
    assert!(load("", &[], listen("[::1]:1")).is_ok());
    assert!(load("", &[], listen("127.0.0.2:1")).is_ok());
    let known = format!("[credentials]\nstock = {{ secret = \"{SECRET}\" }}");
    refused(&known, &[], listen("0.0.0.0:7700"), &["without TLS", "--insecure"]);
    assert!(load(&known, &[], Flags { insecure: true, ..listen("0.0.0.0:1") }).is_ok());
    assert!(load(&known, &[], listen("[::1]:1")).is_ok());
    let tls = "tls = { certificate = \"c.pem\", key = \"k.pem\", client_ca = \"a.pem\", \
               client_names = \"*\" }\n";
    assert!(load(&format!("{tls}{known}"), &[], listen("0.0.0.0:1")).is_ok());
    refused(tls, &[], listen("0.0.0.0:7700"), &["no [credentials]", "--insecure"]);
}

#[test]
fn the_files_of_tls_belong_together() {
    let none = Flags::default;
    let check = |lines: &str, words: &[&str]| refused(lines, &[], none(), words);
    check("tls.certificate = \"c.pem\"", &["tls.certificate is of no use without tls.key"]);
    check("tls.key = \"k.pem\"", &["tls.key is of no use without tls.certificate"]);
    check("tls.client_ca = \"a.pem\"", &["tls.client_ca is of no use", "leave both out"]);
    check("tls.client_names = [\"a\"]", &["tls.client_names is of no use without tls.client_ca"]);
    let files = "tls.certificate = \"c\"\ntls.key = \"k\"\ntls.client_ca = \"a\"\n";
    check(files, &["without tls.client_names", "[\"orders.internal\"]", "[\"*\"]"]);
    let named = |list: &str| format!("{files}tls.client_names = {list}");
    check(&named("[]"), &["tls.client_names names nobody"]);
    check(&named("[\"*\", \"a\"]"), &["beside names"]);
    check(&named("[\"*.internal\"]"), &["\"*.internal\"", "no pattern"]);
    check("tls.min_version = \"1.1\"", &["tls.min_version is \"1.1\"", "one of: 1.3, 1.2"]);
    check("tls.min_version = 1.2", &["tls.min_version must be a text"]);
    check("tls.certificte = \"c.pem\"", &["tls.certificte", "did you mean tls.certificate?"]);
    let environment = [("WHOLLY_TLS_CERTIFICATE", "c.pem"), ("WHOLLY_TLS_KEY", "k.pem")];
    let listening = load("", &environment, none()).unwrap().listening().unwrap();
    assert_eq!(listening.certificate, Path::new("c.pem"));
    assert_eq!((listening.key.as_path(), listening.clients), (Path::new("k.pem"), None));
    assert_eq!(load("", &[], none()).unwrap().listening(), None);
    let calls = "tls.ca = \"a.pem\"\ndestinations.s = { url = \"https://s\", ca = \"b.pem\" }";
    let config = load(calls, &[], none()).unwrap();
    assert_eq!(config.tls.ca.as_deref(), Some(Path::new("a.pem")));
    assert_eq!(config.listening(), None);
    assert_eq!(config.destinations["s"].ca, Some("b.pem".into()));
}

#[test]
fn credentials_come_from_the_file_or_from_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anna.secret");
    std::fs::write(&path, format!("{NEXT}\n{SECRET}\n")).unwrap();
    let file = format!(
        "[destinations]\nstock = \"http://stock\"\n\"svc-*\" = {{ url = \"http://*.internal\", \
         credential = \"stock\" }}\n[credentials.stock]\nsecret = \"{SECRET}\"\n\
         [credentials.points]\nsecret = [\"{NEXT}\", \"{SECRET}\"]\n\
         [credentials.anna]\nrole = \"operator\"\nsecret_file = {path:?}\n\
         [credentials.prometheus]\nrole = \"metrics\"\nsecret = \"{NEXT}\"\n"
    );
    let config = load(&file, &[], Flags::default()).unwrap();
    let seen = |name: &str| {
        let grant = &config.credentials[name];
        (grant.role, grant.credential.secrets().iter().count())
    };
    assert_eq!(seen("stock"), (Role::Service, 1));
    assert_eq!(seen("points"), (Role::Service, 2));
    assert_eq!(seen("anna"), (Role::Operator, 2));
    assert_eq!(seen("prometheus"), (Role::Metrics, 1));
    let keyring = config.keyring();
    let signs = |name: &str| config.destinations[name].signer(name, &keyring).is_some();
    assert!(signs("stock") && signs("svc-*"));
    assert!(Config { dev: true, ..config }.keyring().is_empty());
}

#[test]
fn a_bad_credential_is_named_and_its_secret_is_not() {
    let check = |lines: &str, words: &[&str]| {
        let file = format!("[credentials.stock]\n{lines}");
        refused(&file, &[], Flags::default(), words);
        let said = load(&file, &[], Flags::default()).unwrap_err();
        let said = format!("{said} {said:?}");
        assert!(!said.contains(&SECRET[..20]), "{said}");
    };
    let short = &SECRET[1..];
    check("", &["credentials.stock", "has no secret"]);
    check(&format!("secret = \"{short}\""), &["stock.secret", "31 characters", "at least 32"]);
    check(&format!("secret = \"{SECRET}é\""), &["credentials.stock.secret", "visible ASCII"]);
    check(&format!("secret = [\"{SECRET}\",\"{NEXT}\",\"{NEXT}\"]"), &["more than two"]);
    check(&format!("secret = \"{SECRET}"), &["is no TOML", "line 2"]);
    check(&format!("secret = \"{SECRET}\"\nsecert = 1"), &["stock.secert", "mean secret?"]);
    check(&format!("secret = \"{SECRET}\"\nrole = \"boss\""), &["service, operator, metrics"]);
    check("secret = 7", &["credentials.stock.secret", "list of texts"]);
    check("secret_file = \"/nowhere/s\"", &["credential stock", "/nowhere/s", "No such file"]);
    check(&format!("secret_file = \"/dev/null\"\nsecret = \"{SECRET}\""), &["is empty"]);
    let none = Flags::default;
    let named = format!("[credentials]\n\"a:b\" = {{ secret = \"{SECRET}\" }}");
    refused(&named, &[], none(), &["credentials.a:b", "no name for a credential"]);
    refused("[credentials]\nstock = 1", &[], none(), &["credentials.stock", "must be a table"]);
    let signer = format!(
        "[credentials]\nstock = {{ secret = \"{SECRET}\" }}\n\
         [destinations]\npoints = {{ url = \"http://p\", credential = \"stok\" }}"
    );
    refused(&signer, &[], none(), &["destination points", "stok", "did you mean stock?"]);
}
