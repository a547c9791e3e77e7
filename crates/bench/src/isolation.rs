//! Isolation: a dead destination with many transactions waiting on it, beside healthy ones under
//! steady load. What the healthy ones lose is a ratio within one round.
//!
//! Each round starts a coordinator over a fresh folder for each of three legs, in an order that
//! changes with the round: nothing dead; nothing listens there; it listens and never answers.

use crate::client::{Broken, Client, Target};
use crate::load::{self, Server, Workload};
use crate::process::{self, Coordinator};
use crate::report::{self, median, round};
use crate::throughput::WARM;
use crate::{Form, Ground, Length, steady};
use bytes::Bytes;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

/// What is asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Rounds of all legs
    #[arg(long)]
    rounds: Option<usize>,
    /// Share of the machine's throughput at which the healthy ones are loaded
    #[arg(long, default_value_t = 0.6)]
    load: f64,
    /// Fail if the median ratio of the 99th percentiles is above this
    #[arg(long, value_name = "RATIO", num_args = 0..=1, default_missing_value = "1.5")]
    check: Option<f64>,
}

/// Transactions that wait for the dead destination.
const WAITING: u64 = 10_000;
/// Clients that begin them.
const FILLERS: usize = 32;
/// Clients of the healthy ones, so many that one is free whenever a transaction is due.
const CLIENTS: usize = 128;
/// What the healthy ones may lose.
const AIM: f64 = 1.10;

/// What is beside the healthy destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leg {
    /// Nothing.
    Alone,
    /// Transactions that wait for a destination where nothing listens.
    Refused,
    /// Transactions that wait for one that takes connections and never answers.
    Silent,
}

const LEGS: [Leg; 3] = [Leg::Alone, Leg::Refused, Leg::Silent];

impl Leg {
    fn name(self) -> &'static str {
        match self {
            Leg::Alone => "alone",
            Leg::Refused => "refused",
            Leg::Silent => "silent",
        }
    }
}

/// What one leg measured of the healthy ones.
#[derive(Clone, Copy)]
struct Measured {
    p50_ms: f64,
    p99_ms: f64,
    /// CPU of the coordinator for each transaction.
    cpu_us: f64,
}

struct Times {
    rounds: usize,
    slice: Duration,
}

/// Measures and prints; fails beyond the bound only if there is one.
pub(crate) async fn run(ground: &Ground, options: &Options) -> Result<(), Broken> {
    let times = match ground.length {
        Length::Full => Times { rounds: 7, slice: Duration::from_secs(8) },
        Length::Quick => Times { rounds: 3, slice: Duration::from_secs(3) },
    };
    let rounds = options.rounds.unwrap_or(times.rounds).max(1);
    let dead = Dead::new().await?;
    let per_second = capacity(ground).await? * options.load;
    let rate = round(per_second, 0);
    ground.say(&format!("{rate} healthy sagas a second, {WAITING} waiting, {rounds} rounds"));
    let mut measured: Vec<[Measured; 3]> = Vec::new();
    for number in 0..rounds {
        let mut of_round = [None; 3];
        for step in 0..LEGS.len() {
            let at = (number + step) % LEGS.len();
            let leg = LEGS[at];
            let one = one_leg(ground, &dead, leg, per_second, times.slice).await?;
            let Measured { p50_ms, p99_ms, cpu_us } = one;
            ground.say(&format!(
                "round {}, {:<8}p50 {p50_ms:6.2} ms, p99 {p99_ms:6.2} ms, cpu {cpu_us:5.1} us",
                number + 1,
                leg.name(),
            ));
            of_round[at] = Some(one);
        }
        measured.push(of_round.map(|one| one.expect("each leg was run")));
    }
    print(ground, &measured, per_second);
    let worst = [1, 2].map(|leg| ratio(&measured, leg, |one| one.p99_ms)).into_iter();
    let worst = worst.fold(0.0, f64::max);
    match options.check {
        Some(bound) if worst > bound => {
            Err(Broken(format!("the healthy ones' p99 grew by {worst:.2}, more than {bound:.2}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// What the machine gives, with nothing dead.
async fn capacity(ground: &Ground) -> Result<f64, Broken> {
    let data = ground.folder.join("capacity");
    let (server, _) = Coordinator::new(&ground.program, data, ground.participants).start().await?;
    let target = Target::from(server.address);
    let run = |time| load::run(&target, Server::Coordinator, Workload::Saga, 64, time);
    run(WARM).await?;
    let slice = run(Duration::from_secs(3)).await?;
    server.kill().await?;
    Ok(slice.transactions as f64 / slice.seconds)
}

/// Addresses from which nothing comes.
struct Dead {
    /// Bound, so that nobody else listens there, and not listening.
    refused: TcpSocket,
    silent: SocketAddr,
}

impl Dead {
    async fn new() -> Result<Dead, Broken> {
        let tried = |e: std::io::Error| Broken(format!("a dead destination: {e}"));
        let refused = TcpSocket::new_v4().map_err(tried)?;
        refused.bind(([127, 0, 0, 1], 0).into()).map_err(tried)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(tried)?;
        let silent = listener.local_addr().map_err(tried)?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Reads all that comes until the other side gives up.
                tokio::spawn(async move {
                    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok()
                });
            }
        });
        Ok(Dead { refused, silent })
    }
}

async fn one_leg(
    ground: &Ground,
    dead: &Dead,
    leg: Leg,
    per_second: f64,
    time: Duration,
) -> Result<Measured, Broken> {
    let data = ground.fresh_folder(leg.name())?;
    let mut coordinator =
        Coordinator::new(&ground.program, data.path().join("data"), ground.participants);
    let refused = dead.refused.local_addr().map_err(|e| Broken(format!("its address: {e}")))?;
    coordinator.destinations.push((Leg::Refused.name(), refused));
    coordinator.destinations.push((Leg::Silent.name(), dead.silent));
    let (server, _) = coordinator.start().await?;
    let target = Target::from(server.address);
    match leg {
        Leg::Alone => {}
        Leg::Refused | Leg::Silent => fill(&target, leg.name()).await?,
    }
    steady::run(&target, CLIENTS, per_second, 2 * WARM).await?;
    let cpu = server.cpu_seconds()?;
    let took = steady::run(&target, CLIENTS, per_second, time).await?;
    let cpu = server.cpu_seconds()? - cpu;
    expect_waiting(&server, leg).await?;
    server.kill().await?;
    let ms = |at: f64| took.value_at_quantile(at) as f64 / 1_000.0;
    Ok(Measured { p50_ms: ms(0.5), p99_ms: ms(0.99), cpu_us: cpu * 1e6 / took.len().max(1) as f64 })
}

/// What was to wait must still do so, or nothing was measured.
async fn expect_waiting(server: &process::Server, leg: Leg) -> Result<(), Broken> {
    let waiting = server.metric("wholly_transactions").await?;
    let expected = match leg {
        Leg::Alone => 0.0,
        Leg::Refused | Leg::Silent => WAITING as f64,
    };
    match waiting == expected {
        true => Ok(()),
        false => Err(Broken(format!("{waiting} transactions wait instead of {expected}"))),
    }
}

/// Begins what waits: plans of one step, handed over and not waited for.
async fn fill(target: &Target, destination: &'static str) -> Result<(), Broken> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::with_capacity(FILLERS);
    for _ in 0..FILLERS {
        let (next, target) = (Arc::clone(&next), target.clone());
        tasks.push(tokio::spawn(async move {
            let mut client = Client::connect(&target).await?;
            let step = load::branch(destination, "", &load::payload()) + "}";
            let body = Bytes::from(format!("{{\"name\":\"waits\",\"steps\":[{step}]}}"));
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= WAITING {
                    return Ok::<(), Broken>(());
                }
                let path = format!("/v1/transactions/waits-{number}");
                let (status, answer) = client.send("PUT", &path, &[], body.clone()).await?;
                if !status.is_success() {
                    let answer = String::from_utf8_lossy(&answer);
                    return Err(Broken(format!("{status}: {answer}")));
                }
            }
        }));
    }
    for task in tasks {
        task.await.map_err(|e| Broken(format!("client task: {e}")))??;
    }
    Ok(())
}

/// The median over the rounds of a figure beside the same round's figure with nothing dead.
fn ratio(measured: &[[Measured; 3]], leg: usize, figure: impl Fn(&Measured) -> f64) -> f64 {
    median(ratios(measured, leg, figure))
}

fn ratios(measured: &[[Measured; 3]], leg: usize, figure: impl Fn(&Measured) -> f64) -> Vec<f64> {
    measured.iter().map(|legs| figure(&legs[leg]) / figure(&legs[0])).collect()
}

fn print(ground: &Ground, measured: &[[Measured; 3]], per_second: f64) {
    let over = |leg: usize, figure: fn(&Measured) -> f64| {
        median(measured.iter().map(|legs| figure(&legs[leg])).collect())
    };
    let rows = LEGS.iter().enumerate().map(|(at, leg)| {
        let pairs = ratios(measured, at, |one| one.p99_ms);
        json!({
            "leg": leg.name(),
            "p50_ms": round(over(at, |one| one.p50_ms), 3),
            "p99_ms": round(over(at, |one| one.p99_ms), 3),
            "cpu_us": round(over(at, |one| one.cpu_us), 1),
            "p50_ratio": round(ratio(measured, at, |one| one.p50_ms), 3),
            "p99_ratio": round(ratio(measured, at, |one| one.p99_ms), 3),
            "p99_ratios": pairs.into_iter().map(|pair| round(pair, 3)).collect::<Vec<f64>>(),
        })
    });
    let rows: Vec<_> = rows.collect();
    match ground.form {
        Form::Json => println!(
            "{}",
            json!({
                "isolation": rows,
                "per_second": round(per_second, 0),
                "waiting": WAITING,
                "aim": AIM,
            })
        ),
        Form::Text => {
            println!(
                "{WAITING} transactions wait for a dead destination; {per_second:.0} healthy \
                 sagas a second"
            );
            let columns = ["leg", "p50_ms", "p99_ms", "cpu_us", "p50_ratio", "p99_ratio"];
            report::table(&columns, &rows);
            for row in &rows[1..] {
                println!("{} p99 ratio of each round: {}", row["leg"], row["p99_ratios"]);
            }
            println!("aim: median p99 ratio at most {AIM:.2}");
        }
    }
}
