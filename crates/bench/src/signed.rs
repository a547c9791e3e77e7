//! Signatures: the whole path with them beside the path without, in turns within one run.
//!
//! With them every client says who it is, the coordinator signs every call, and the participants
//! believe nothing else. They verify as the SDK does, and are empty besides: a real participant
//! spends more on its work, so that the ratio of a real path is nearer to one.

use crate::client::{Broken, Target};
use crate::load::{self, Server, Workload};
use crate::participants::{self, Believes};
use crate::process::Coordinator;
use crate::report::{self, median, round};
use crate::throughput::WARM;
use crate::{Form, Ground, Length};
use http::HeaderValue;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use wholly_wire::credential::{Credential, Secrets};
use wholly_wire::signature::Verifier;

const CLIENTS: usize = 64;
/// What the path with signatures should give of the path without.
const AIM: f64 = 0.85;

/// One pair of slices.
struct Pair {
    plain: Side,
    signed: Side,
}

/// One slice.
struct Side {
    per_second: f64,
    p50_ms: f64,
    cpu_us: f64,
}

/// Measures and prints.
pub(crate) async fn run(ground: &Ground) -> Result<(), Broken> {
    let (pairs, slice) = match ground.length {
        Length::Full => (9, Duration::from_secs(3)),
        Length::Quick => (3, Duration::from_secs(2)),
    };
    let credential = credential()?;
    let (plain, _) =
        Coordinator::new(&ground.program, ground.folder.join("plain"), ground.participants)
            .start()
            .await?;
    let (signed, _) = with_credential(ground, &credential).await?.start().await?;
    let authorization = HeaderValue::from_str(&credential.authorization())
        .map_err(|e| Broken(format!("the header authorization: {e}")))?;
    let sides = [
        (&plain, Target::from(plain.address)),
        (&signed, Target { address: signed.address, authorization: Some(authorization) }),
    ];
    let mut rows = Vec::new();
    for workload in [Workload::Saga, Workload::Tcc] {
        ground.say(workload.name());
        let run = |target, time| load::run(target, Server::Coordinator, workload, CLIENTS, time);
        for (_, target) in &sides {
            run(target, WARM).await?;
        }
        let mut measured = Vec::new();
        for number in 0..pairs {
            let mut both = [None, None];
            for step in 0..2 {
                let at = (number + step) % 2;
                let (server, target) = &sides[at];
                let cpu = server.cpu_seconds()?;
                let slice = run(target, slice).await?;
                let cpu = server.cpu_seconds()? - cpu;
                both[at] = Some(Side {
                    per_second: slice.transactions as f64 / slice.seconds,
                    p50_ms: slice.latency_us.value_at_quantile(0.5) as f64 / 1_000.0,
                    cpu_us: cpu * 1e6 / slice.transactions.max(1) as f64,
                });
            }
            let [plain, signed] = both.map(|side| side.expect("each side was run"));
            measured.push(Pair { plain, signed });
        }
        rows.push(row(workload, &measured));
    }
    plain.kill().await?;
    signed.kill().await?;
    print(ground, &rows);
    Ok(())
}

/// One credential for clients and destinations alike: what is measured is what it costs.
fn credential() -> Result<Credential, Broken> {
    let secrets = Secrets::parse("0123456789abcdef0123456789abcdef")
        .map_err(|e| Broken(format!("the secret: {e}")))?;
    Credential::new("bench", secrets).map_err(|e| Broken(format!("the credential: {e}")))
}

async fn with_credential(ground: &Ground, credential: &Credential) -> Result<Coordinator, Broken> {
    let verifier = Arc::new(Verifier::new(credential));
    let participants = participants::serve(Believes::Signed(verifier))
        .await
        .map_err(|e| Broken(format!("participants: {e}")))?;
    let destination = format!("{{ url = \"http://{participants}\", credential = \"bench\" }}");
    let text = format!(
        "[credentials.bench]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\n\
         [destinations]\na = {destination}\nb = {destination}\n"
    );
    let config = ground.folder.join("signed.toml");
    std::fs::write(&config, text).map_err(|e| Broken(format!("{}: {e}", config.display())))?;
    let data = ground.folder.join("signed");
    let mut coordinator = Coordinator::new(&ground.program, data, participants);
    coordinator.destinations.clear();
    coordinator.config = Some(config);
    Ok(coordinator)
}

fn row(workload: Workload, pairs: &[Pair]) -> serde_json::Value {
    let over = |figure: &dyn Fn(&Pair) -> f64| median(pairs.iter().map(figure).collect());
    let ratio = |pair: &Pair| pair.signed.per_second / pair.plain.per_second;
    json!({
        "workload": workload.name(),
        "clients": CLIENTS,
        "plain_per_second": round(over(&|pair| pair.plain.per_second), 0),
        "signed_per_second": round(over(&|pair| pair.signed.per_second), 0),
        "plain_p50_ms": round(over(&|pair| pair.plain.p50_ms), 2),
        "signed_p50_ms": round(over(&|pair| pair.signed.p50_ms), 2),
        "plain_cpu_us": round(over(&|pair| pair.plain.cpu_us), 1),
        "signed_cpu_us": round(over(&|pair| pair.signed.cpu_us), 1),
        "ratio": round(over(&ratio), 3),
        "ratios": pairs.iter().map(|pair| round(ratio(pair), 3)).collect::<Vec<f64>>(),
    })
}

fn print(ground: &Ground, rows: &[serde_json::Value]) {
    match ground.form {
        Form::Json => println!("{}", json!({"signed": rows, "aim": AIM})),
        Form::Text => {
            let columns = [
                "workload",
                "clients",
                "plain_per_second",
                "signed_per_second",
                "plain_p50_ms",
                "signed_p50_ms",
                "plain_cpu_us",
                "signed_cpu_us",
                "ratio",
            ];
            report::table(&columns, rows);
            for row in rows {
                println!("{} ratio of each pair: {}", row["workload"], row["ratios"]);
            }
            println!("aim: median ratio at least {AIM:.2}");
        }
    }
}
