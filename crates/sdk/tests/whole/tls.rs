//! A coordinator of `https://`: asked as ever by whom believes it, and by nobody else.

use std::time::Duration;
use tempfile::TempDir;
use wholly::{BoxError, Error, Tls, Wholly};
use wholly_server::config::TlsConfig;
use wholly_server::{Config, Coordinator, Running};
use wholly_tls::Names;
use wholly_tls::authority::Authority;

struct World {
    running: Running,
    folder: TempDir,
    known: Authority,
}

impl World {
    /// A coordinator for `localhost` that lets in only `orders`, and only by the same authority.
    async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let known = Authority::new("known");
        let (certificate, key) = known.issue(&["localhost"]).write(folder.path(), "coordinator");
        let client_ca = Some(known.write(folder.path()));
        let mut config = Config::in_process(&folder.path().join("data"));
        let client_names = Some(Names::parse(&["orders".to_owned()]).unwrap());
        let (certificate, key) = (Some(certificate), Some(key));
        config.tls =
            TlsConfig { certificate, key, client_ca, client_names, ..TlsConfig::default() };
        World { running: Coordinator::start(config).await.unwrap(), folder, known }
    }

    fn client(
        &self,
        host: &str,
        believed: &Authority,
        signer: Option<&Authority>,
        patience: Duration,
    ) -> Wholly {
        let tls = Tls {
            ca: Some(believed.write(self.folder.path())),
            identity: signer.map(|by| by.issue(&["orders"]).write(self.folder.path(), "orders")),
        };
        let url = self.running.url().replace("127.0.0.1", host);
        Wholly::with_patience(&url, patience).unwrap().tls(&tls).unwrap()
    }
}

/// Commits a transaction of nothing, and says in one line what came of it.
async fn ask(wholly: &Wholly) -> String {
    let done: Result<(), Error> =
        wholly.transaction("act").run(async |_transaction| Ok::<(), BoxError>(())).await;
    match done {
        Ok(()) => "committed".to_owned(),
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            text
        }
    }
}

#[tokio::test]
async fn a_coordinator_within_tls_is_asked_once_both_sides_are_proved() {
    let world = World::start().await;
    let (known, stranger) = (&world.known, &Authority::new("stranger"));
    let check = async |host: &str, believed, signer, expected: &str| {
        let mut seen = String::new();
        // It is tried again until patience is over, which on a slow machine comes before a word.
        for patience in [1, 10, 100].map(|tenths| Duration::from_millis(tenths * 100)) {
            seen = ask(&world.client(host, believed, signer, patience)).await;
            if seen.contains(expected) {
                break;
            }
        }
        assert!(seen.contains(expected), "{host}: {seen}, not {expected}");
    };
    check("127.0.0.1", known, Some(known), "not valid for name").await;
    check("localhost", stranger, Some(known), "UnknownIssuer").await;
    check("localhost", known, None, "could not be asked").await;
    check("localhost", known, Some(stranger), "could not be asked").await;
    let url = world.running.url().replace("127.0.0.1", "localhost");
    let tls = Tls {
        ca: Some(known.write(world.folder.path())),
        identity: Some(known.issue(&["orders"]).write(world.folder.path(), "orders")),
    };
    let patient = Wholly::new(&url).unwrap().tls(&tls).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&patient).await, "committed");
    }
}

#[test]
fn files_that_cannot_be_used_are_found_when_the_client_is_made() {
    let tls = Tls { ca: Some("/nowhere/ca.pem".into()), identity: None };
    let error = Wholly::new("https://wholly").unwrap().tls(&tls).unwrap_err().to_string();
    assert!(
        error.contains("/nowhere/ca.pem failed") && error.contains("https://wholly"),
        "{error}"
    );
}
