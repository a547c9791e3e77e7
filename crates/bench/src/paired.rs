//! Pairs: the whole path with something beside the path without, in turns within one run: with
//! signatures, with spans, within TLS, or as another build makes it.
//!
//! Participants are empty but for what the path itself asks of them: a real one spends more on its
//! work, so that the ratio of a real path is nearer to one.

use crate::client::{Broken, Target};
use crate::load::{self, Server, Workload};
use crate::participants::{self, Believes};
use crate::process::{self, Coordinator};
use crate::report::{self, median, round};
use crate::throughput::WARM;
use crate::{Form, Ground, Length};
use clap::Args;
use http::HeaderValue;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wholly_tls::authority::Authority;
use wholly_tls::{Acceptor, Caller, Calling, Listening};
use wholly_wire::credential::{Credential, Secrets};
use wholly_wire::signature::Verifier;

const CLIENTS: usize = 64;
/// What the path with signatures should give of the path without.
const SIGNED_AIM: f64 = 0.85;

/// What one side has and the other has not.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// Every client says who it is, the coordinator signs every call, and participants believe
    /// nothing else.
    Signed,
    /// Every span goes to a collector that takes it at once.
    Spans,
    /// Clients and participants are spoken with in TLS alone.
    Tls,
    /// Another program.
    Build(Build),
}

/// Which other program.
#[derive(Args, Clone, Debug)]
pub(crate) struct Build {
    /// The program that is measured beside `--wholly`.
    pub(crate) other: PathBuf,
}

/// The side that has it.
struct With {
    coordinator: Coordinator,
    authorization: Option<HeaderValue>,
    secured: Option<Caller>,
}

/// One pair of slices.
struct Pair {
    without: Slice,
    with: Slice,
}

struct Slice {
    per_second: f64,
    p50_ms: f64,
    cpu_us: f64,
}

impl Subject {
    fn name(&self) -> &'static str {
        match self {
            Subject::Signed => "signed",
            Subject::Spans => "spans",
            Subject::Tls => "tls",
            Subject::Build(_) => "build",
        }
    }

    fn aim(&self) -> Option<f64> {
        match self {
            Subject::Signed => Some(SIGNED_AIM),
            Subject::Spans | Subject::Tls | Subject::Build(_) => None,
        }
    }

    async fn with(&self, ground: &Ground) -> Result<With, Broken> {
        let mut coordinator = plain(ground, self.name());
        match self {
            Subject::Signed => signed(ground, coordinator).await,
            Subject::Tls => within_tls(ground, coordinator).await,
            Subject::Spans => {
                // Whatever it is handed it answers with 200.
                let collector = serve(Believes::All, None).await?;
                coordinator.settings.push(format!("tracing.otlp=http://{collector}"));
                Ok(With { coordinator, authorization: None, secured: None })
            }
            Subject::Build(build) => {
                coordinator.program.clone_from(&build.other);
                Ok(With { coordinator, authorization: None, secured: None })
            }
        }
    }
}

/// Measures and prints.
pub(crate) async fn run(ground: &Ground, subject: &Subject) -> Result<(), Broken> {
    let (pairs, slice) = match ground.length {
        Length::Full => (9, Duration::from_secs(3)),
        Length::Quick => (3, Duration::from_secs(1)),
    };
    let (without, _) = plain(ground, "plain").start().await?;
    let With { coordinator, authorization, secured } = subject.with(ground).await?;
    let (with, _) = coordinator.start().await?;
    let target = Target { address: with.address, authorization, secured };
    let sides = [(&without, Target::from(without.address)), (&with, target)];
    let mut rows = Vec::new();
    for workload in [Workload::Saga, Workload::Tcc] {
        ground.say(workload.name());
        for (_, target) in &sides {
            load::run(target, Server::Coordinator, workload, CLIENTS, WARM).await?;
        }
        let mut measured = Vec::new();
        for number in 0..pairs {
            let mut both = [None, None];
            for step in 0..2 {
                let at = (number + step) % 2;
                let (server, target) = &sides[at];
                both[at] = Some(one(server, target, workload, slice).await?);
            }
            let [without, with] = both.map(|side| side.expect("each side was run"));
            measured.push(Pair { without, with });
        }
        rows.push(row(workload.name(), &measured));
    }
    let spans = match subject {
        Subject::Spans => Some(spans(&with).await?),
        Subject::Signed | Subject::Tls | Subject::Build(_) => None,
    };
    without.kill().await?;
    with.kill().await?;
    print(ground, subject, &rows, spans);
    Ok(())
}

async fn one(
    server: &process::Server,
    target: &Target,
    workload: Workload,
    time: Duration,
) -> Result<Slice, Broken> {
    let before = server.cpu_seconds()?;
    let slice = load::run(target, Server::Coordinator, workload, CLIENTS, time).await?;
    let cpu = server.cpu_seconds()? - before;
    Ok(Slice {
        per_second: slice.transactions as f64 / slice.seconds,
        p50_ms: slice.latency_us.value_at_quantile(0.5) as f64 / 1_000.0,
        cpu_us: cpu * 1e6 / slice.transactions.max(1) as f64,
    })
}

/// A coordinator with a data folder of this name.
fn plain(ground: &Ground, name: &str) -> Coordinator {
    Coordinator::new(&ground.program, ground.folder.join(name), ground.participants)
}

async fn serve(believes: Believes, within: Option<Arc<Acceptor>>) -> Result<SocketAddr, Broken> {
    let served = participants::serve(believes, within).await;
    served.map_err(|e| Broken(format!("participants: {e}")))
}

/// Has the coordinator read this besides, where it also finds its destinations.
fn configure(ground: &Ground, coordinator: &mut Coordinator, text: &str) -> Result<(), Broken> {
    let config = ground.folder.join("with.toml");
    std::fs::write(&config, text).map_err(|e| Broken(format!("{}: {e}", config.display())))?;
    coordinator.destinations.clear();
    coordinator.config = Some(config);
    Ok(())
}

/// One credential for clients and destinations alike: what is measured is what it costs.
async fn signed(ground: &Ground, mut coordinator: Coordinator) -> Result<With, Broken> {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let secrets = Secrets::parse(SECRET).map_err(|e| Broken(format!("the secret: {e}")))?;
    let credential =
        Credential::new("bench", secrets).map_err(|e| Broken(format!("the credential: {e}")))?;
    let authorization = HeaderValue::from_str(&credential.authorization())
        .map_err(|e| Broken(format!("the header authorization: {e}")))?;
    let verifier = Arc::new(Verifier::new(&credential));
    let participants = serve(Believes::Signed(verifier), None).await?;
    let destination = format!("{{ url = \"http://{participants}\", credential = \"bench\" }}");
    let text = format!(
        "[credentials.bench]\nsecret = {SECRET:?}\n\n\
         [destinations]\na = {destination}\nb = {destination}\n"
    );
    configure(ground, &mut coordinator, &text)?;
    Ok(With { coordinator, authorization: Some(authorization), secured: None })
}

/// One certificate for coordinator and participants alike, from an authority of this run.
async fn within_tls(ground: &Ground, mut coordinator: Coordinator) -> Result<With, Broken> {
    let authority = Authority::new("bench");
    let ca = authority.write(&ground.folder);
    let (certificate, key) = authority.issue(&["127.0.0.1"]).write(&ground.folder, "bench");
    let broken = |e| Broken(format!("TLS: {e}"));
    let text = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\nca = {ca:?}\n\n");
    let listening = Listening::new(certificate, key);
    let acceptor = Arc::new(Acceptor::open(&listening).map_err(broken)?);
    let secured = Caller::open(&Calling { ca: Some(ca), identity: None }).map_err(broken)?;
    let participants = serve(Believes::All, Some(acceptor)).await?;
    let destination = format!("{{ url = \"https://{participants}\" }}");
    let text = format!("{text}[destinations]\na = {destination}\nb = {destination}\n");
    configure(ground, &mut coordinator, &text)?;
    Ok(With { coordinator, authorization: None, secured: Some(secured) })
}

/// What became of the spans: those that found no room cost nothing more.
async fn spans(server: &process::Server) -> Result<Value, Broken> {
    let count = async |fate| server.metric(&format!("wholly_spans_total{{fate=\"{fate}\"}}")).await;
    let (sent, dropped) = (count("sent").await?, count("dropped").await?);
    let lost = count("lost").await? + count("refused").await?;
    Ok(json!({"sent": sent, "dropped": dropped, "not_taken": lost}))
}

fn row(workload: &str, pairs: &[Pair]) -> Value {
    let over = |figure: &dyn Fn(&Pair) -> f64| median(pairs.iter().map(figure).collect());
    let given = |pair: &Pair| pair.with.per_second / pair.without.per_second;
    json!({
        "workload": workload,
        "clients": CLIENTS,
        "per_second": round(over(&|pair| pair.without.per_second), 0),
        "with_per_second": round(over(&|pair| pair.with.per_second), 0),
        "p50_ms": round(over(&|pair| pair.without.p50_ms), 2),
        "with_p50_ms": round(over(&|pair| pair.with.p50_ms), 2),
        "cpu_us": round(over(&|pair| pair.without.cpu_us), 1),
        "with_cpu_us": round(over(&|pair| pair.with.cpu_us), 1),
        "ratio": round(over(&given), 3),
        "cpu_ratio": round(over(&|pair| pair.with.cpu_us / pair.without.cpu_us), 3),
        "ratios": pairs.iter().map(|pair| round(given(pair), 3)).collect::<Vec<f64>>(),
    })
}

fn print(ground: &Ground, subject: &Subject, rows: &[Value], spans: Option<Value>) {
    let (name, aim) = (subject.name(), subject.aim());
    match ground.form {
        Form::Json => {
            println!("{}", json!({"with": name, "rows": rows, "aim": aim, "spans": spans}));
        }
        Form::Text => {
            let columns = [
                "workload",
                "clients",
                "per_second",
                "with_per_second",
                "p50_ms",
                "with_p50_ms",
                "cpu_us",
                "with_cpu_us",
                "ratio",
                "cpu_ratio",
            ];
            report::table(&columns, rows);
            for row in rows {
                println!("{} ratio of each pair: {}", row["workload"], row["ratios"]);
            }
            println!("with: {name}; ratio: with, of without");
            if let Some(spans) = spans {
                println!("spans: {spans}");
            }
            if let Some(aim) = aim {
                println!("aim: median ratio at least {aim:.2}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use bytes::Bytes;
    use std::path::Path;

    fn ground(folder: &Path, participants: SocketAddr) -> Ground {
        Ground {
            program: "wholly".into(),
            folder: folder.to_path_buf(),
            participants,
            length: Length::Quick,
            form: Form::Json,
        }
    }

    /// Where the coordinator's file sends calls for `a`.
    fn destination(with: &With) -> SocketAddr {
        let text = std::fs::read_to_string(with.coordinator.config.as_ref().unwrap()).unwrap();
        let (_, url) = text.split_once("\na = { url = \"").expect("it names a");
        let (url, _) = url.split_once('"').unwrap();
        url.split_once("://").unwrap().1.parse().unwrap()
    }

    async fn asked(target: &Target) -> Result<u16, Broken> {
        let mut client = Client::connect(target).await?;
        let headers = [("wholly-gid", "g")];
        let answer = client.send("POST", "/wholly/a.do", &headers, Bytes::new()).await?;
        Ok(answer.0.as_u16())
    }

    #[tokio::test]
    async fn participants_answer_nobody_who_goes_without() {
        let folder = tempfile::tempdir().unwrap();
        let plain = serve(Believes::All, None).await.unwrap();
        assert_eq!(asked(&Target::from(plain)).await.unwrap(), 200);
        let ground = ground(folder.path(), plain);

        let tls = Subject::Tls.with(&ground).await.unwrap();
        let address = destination(&tls);
        let target = Target { address, authorization: None, secured: tls.secured };
        assert_eq!(asked(&target).await.unwrap(), 200);
        assert!(asked(&Target::from(address)).await.is_err(), "nothing is said in the clear");

        let signed = Subject::Signed.with(&ground).await.unwrap();
        assert_eq!(asked(&Target::from(destination(&signed))).await.unwrap(), 401);
    }

    #[test]
    fn a_row_is_the_median_of_its_pairs() {
        let slice = |per_second, cpu_us| Slice { per_second, p50_ms: 1.0, cpu_us };
        let pair = |plain, with| Pair { without: slice(plain, 50.0), with: slice(with, 60.0) };
        // A machine that was slow for one pair was slow for both of its slices.
        let row = row("saga-2", &[pair(1_000.0, 900.0), pair(100.0, 80.0), pair(1_100.0, 1_045.0)]);
        assert_eq!((&row["ratio"], &row["cpu_ratio"]), (&json!(0.9), &json!(1.2)));
        assert_eq!((&row["per_second"], &row["with_per_second"]), (&json!(1000.0), &json!(900.0)));
        assert_eq!(row["ratios"], json!([0.9, 0.8, 0.95]));
    }
}
