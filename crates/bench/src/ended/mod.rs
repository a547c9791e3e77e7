//! Many ended transactions: memory while they come, what a page of a list costs beside them, and
//! how soon a coordinator serves again that was stopped or killed.

mod filling;
mod lists;

use crate::client::{Broken, Client, Target};
use crate::load::expect_ok;
use crate::process::{Coordinator, Server};
use crate::report::{self, median, round};
use crate::{Form, Ground, Length};
use bytes::Bytes;
use filling::{Filling, LEGS};
use http::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Ended transactions in all.
const FULL: u64 = 1_000_000;
const QUICK: u64 = 100_000;
/// Starts of each kind.
const STARTS: usize = 5;
/// Sagas that end before each kill, so that the log has something that the archive has not.
const BEFORE_KILL: u64 = 1_000;
/// So many are archived at a time by default; fewer wait.
const BULK_ROWS: u64 = 2_048;
/// Longest that the archive may take to catch up, and that a start may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a page of a list may take.
const PAGE_MS_AIM: u64 = 20;
/// What a start may take.
const START_MS_AIM: u64 = 2_000;

/// How it stood after a part of the load.
struct Leg {
    ended: u64,
    unarchived: u64,
    per_second: f64,
    memory_mib: f64,
}

impl Leg {
    fn json(&self) -> Value {
        json!({
            "ended": self.ended,
            "unarchived": self.unarchived,
            "per_second": round(self.per_second, 0),
            "memory_mib": round(self.memory_mib, 1),
        })
    }
}

/// How the coordinator ends before a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    Killed,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            End::Stopped => "stopped in good order",
            End::Killed => "killed with SIGKILL",
        }
    }
}

/// What a start took.
#[derive(Clone, Copy)]
struct Start {
    ready_ms: f64,
    first_page_ms: f64,
    memory_mib: f64,
}

/// Measures and prints.
pub(crate) async fn run(ground: &Ground) -> Result<(), Broken> {
    let rows = match ground.length {
        Length::Full => FULL,
        Length::Quick => QUICK,
    };
    let data = ground.folder.join("ended");
    let coordinator = Coordinator::new(&ground.program, data, ground.participants);
    let mut filling = Filling::new()?;
    let coordinator = filling.known_to(coordinator)?;
    let (server, _) = coordinator.start().await?;
    let legs = fill(ground, &server, &mut filling, rows).await?;
    expect_known(&server, filling.ended()).await?;
    ground.say("lists");
    let pages = lists::measure(&Target::from(server.address), rows).await?;
    let memory_mib = server.memory_mib()?;
    let mut server = server;
    let mut starts = Vec::new();
    for end in [End::Stopped, End::Killed] {
        ground.say(&format!("starts of a coordinator that was {}", end.name()));
        let mut of_kind = Vec::new();
        for _ in 0..STARTS {
            let (next, start) = end_and_start(server, &coordinator, &mut filling, end).await?;
            server = next;
            of_kind.push(start);
        }
        starts.push((end, of_kind));
    }
    server.kill().await?;
    print(ground, &legs, &pages, memory_mib, &starts);
    Ok(())
}

/// Ends so many, a tenth at a time, and waits until the archive has them.
async fn fill(
    ground: &Ground,
    server: &Server,
    filling: &mut Filling,
    rows: u64,
) -> Result<Vec<Leg>, Broken> {
    let target = Target::from(server.address);
    let mut legs = Vec::new();
    for _ in 0..LEGS {
        let began = Instant::now();
        filling.leg(&target, rows / LEGS).await?;
        let per_second = (rows / LEGS) as f64 / began.elapsed().as_secs_f64();
        let (ended, unarchived) = (filling.ended(), kept(&target).await?.unarchived);
        let leg = Leg { ended, unarchived, per_second, memory_mib: server.memory_mib()? };
        ground.say(&format!("{ended} ended, {per_second:.0} a second, {:.0} MiB", leg.memory_mib));
        legs.push(leg);
    }
    let began = Instant::now();
    let mut before = u64::MAX;
    loop {
        let unarchived = kept(&target).await?.unarchived;
        if unarchived == before && unarchived < BULK_ROWS {
            return Ok(legs);
        }
        if began.elapsed() > PATIENCE {
            return Err(Broken(format!("{unarchived} that ended are not archived")));
        }
        before = unarchived;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the coordinator says it keeps.
struct Kept {
    ended: u64,
    unarchived: u64,
}

async fn kept(target: &Target) -> Result<Kept, Broken> {
    let status = read(&mut Client::connect(target).await?, "/v1/status").await?;
    let count = |name: &str| {
        let count = status["disk"][name].as_u64();
        count.ok_or_else(|| Broken(format!("the status has no {name}: {status}")))
    };
    Ok(Kept { ended: count("ended")?, unarchived: count("unarchived")? })
}

/// Asks for a document.
async fn read(client: &mut Client, path: &str) -> Result<Value, Broken> {
    let (status, body) = client.send("GET", path, &[], Bytes::new()).await?;
    expect_ok(status.as_u16(), &body).map_err(|Broken(e)| Broken(format!("{path}: {e}")))?;
    serde_json::from_slice(&body).map_err(|e| Broken(format!("{path}: {e}")))
}

/// Everything that ended is still known, or nothing was measured.
async fn expect_known(server: &Server, ended: u64) -> Result<(), Broken> {
    let lost = server.metric("wholly_outcomes_lost_total").await?;
    let known = kept(&Target::from(server.address)).await?.ended;
    match known == ended && lost == 0.0 {
        true => Ok(()),
        false => Err(Broken(format!("{known} of {ended} are known, {lost} were lost"))),
    }
}

async fn end_and_start(
    server: Server,
    coordinator: &Coordinator,
    filling: &mut Filling,
    end: End,
) -> Result<(Server, Start), Broken> {
    match end {
        End::Stopped => server.stop().await?,
        End::Killed => {
            filling.sagas(&Target::from(server.address), BEFORE_KILL).await?;
            server.kill().await?;
        }
    }
    let began = Instant::now();
    let (server, _) = coordinator.start().await?;
    let mut client = Client::connect(&Target::from(server.address)).await?;
    while client.send("GET", "/readyz", &[], Bytes::new()).await?.0 != StatusCode::OK {
        if began.elapsed() > PATIENCE {
            return Err(Broken("it serves and is not ready".into()));
        }
    }
    let ready_ms = ms(began.elapsed());
    let began = Instant::now();
    read(&mut client, lists::PATH).await?;
    let first_page_ms = ms(began.elapsed());
    let memory_mib = server.memory_mib()?;
    expect_known(&server, filling.ended()).await?;
    Ok((server, Start { ready_ms, first_page_ms, memory_mib }))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn start_row(end: End, starts: &[Start]) -> Value {
    let over = |figure: fn(&Start) -> f64| starts.iter().map(figure).collect::<Vec<f64>>();
    let most = |figures: Vec<f64>| figures.into_iter().fold(0.0, f64::max);
    json!({
        "start_after": end.name(),
        "ready_ms": round(median(over(|start| start.ready_ms)), 0),
        "ready_ms_max": round(most(over(|start| start.ready_ms)), 0),
        "first_page_ms": round(median(over(|start| start.first_page_ms)), 2),
        "first_page_ms_max": round(most(over(|start| start.first_page_ms)), 2),
        "memory_mib": round(median(over(|start| start.memory_mib)), 1),
    })
}

fn print(
    ground: &Ground,
    legs: &[Leg],
    pages: &lists::Measured,
    memory_mib: f64,
    starts: &[(End, Vec<Start>)],
) {
    let ended = legs.last().map_or(0, |leg| leg.ended);
    let half = legs[legs.len() / 2 - 1].memory_mib;
    let whole = legs[legs.len() - 1].memory_mib;
    let growth = round(whole / half, 3);
    let legs: Vec<Value> = legs.iter().map(Leg::json).collect();
    let starts: Vec<Value> = starts.iter().map(|(end, all)| start_row(*end, all)).collect();
    let memory_mib = round(memory_mib, 1);
    match ground.form {
        Form::Json => println!(
            "{}",
            json!({
                "ended": ended,
                "load": legs,
                "memory_of_whole_by_half": growth,
                "memory_mib_after_lists": memory_mib,
                "pages": pages.rows,
                "followed": pages.followed,
                "page_ms_max": pages.page_ms_max,
                "starts": starts,
                "aim": { "page_ms_max": PAGE_MS_AIM, "ready_ms_max": START_MS_AIM },
            })
        ),
        Form::Text => {
            report::table(&["ended", "unarchived", "per_second", "memory_mib"], &legs);
            println!(
                "memory after all beside after half: {growth}; after lists {memory_mib} MiB\n"
            );
            report::table(lists::COLUMNS, &pages.rows);
            println!("ms: median of pages of {}, and the slowest\n", lists::LIMIT);
            report::table(lists::FOLLOWED, &pages.followed);
            println!("whole lists, followed to their end\n");
            let columns = ["start_after", "ready_ms", "ready_ms_max", "first_page_ms"];
            let more = ["first_page_ms_max", "memory_mib"];
            report::table(&[&columns[..], &more[..]].concat(), &starts);
            println!(
                "aim: a page at most {PAGE_MS_AIM} ms (slowest {}), a start at most \
                 {START_MS_AIM} ms",
                pages.page_ms_max
            );
        }
    }
}
