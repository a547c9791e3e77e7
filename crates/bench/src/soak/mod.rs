//! Soak: a long steady load with kills. In the end every transaction has ended, the books show each
//! committed one once and no other, and what the coordinator takes of the machine is flat.
//!
//! In the first part the coordinator and the participants are killed, in the second, participants
//! alone: there the coordinator lives long enough for its memory to be judged.

pub(crate) mod books;
mod crowd;
mod flat;
mod sample;
mod world;

use crate::client::Broken;
use crate::report::{self, round};
use crate::{Form, Ground};
use crowd::{Crowd, Told};
use flat::{Allowed, Trend};
use sample::{Sample, rows};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use wholly_core::retry::mix;
use world::{Victim, World};

/// What is asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How long
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Share of the measured throughput
    #[arg(long, default_value_t = 0.7)]
    load: f64,
    /// Chooses who is killed when
    #[arg(long)]
    seed: Option<u64>,
}

/// Clients that measure what the machine gives.
const CLIENTS_AT_ONCE: usize = 64;
/// Clients at a pace, so many that one is free whenever a transaction is due.
const CLIENTS: usize = 128;
/// In this part of the time the coordinator is killed too.
const KILLED: f64 = 0.4;
/// Longest until everything has ended, once nothing is killed and nothing begun any more.
const END_MAX: Duration = Duration::from_secs(60);

/// How the time is spent.
struct Course {
    whole: Duration,
    /// How long an ended transaction is known; the archive has turned over after that.
    retention: Duration,
    kill_every: Duration,
    sample_every: Duration,
}

impl Course {
    fn new(minutes: f64) -> Course {
        let whole = Duration::from_secs_f64(minutes * 60.0);
        let between = |share: u32, least: u64, most: u64| {
            (whole / share).clamp(Duration::from_secs(least), Duration::from_secs(most))
        };
        Course {
            whole,
            retention: between(8, 20, 60),
            kill_every: between(50, 4, 30),
            sample_every: between(180, 1, 5),
        }
    }

    /// What the coordinator must have lived before it is judged: until the archive forgets as much
    /// as it takes.
    fn warm_up(&self) -> Duration {
        self.retention * 3 / 2
    }
}

/// Soaks, judges, prints.
pub(crate) async fn run(ground: &Ground, options: &Options) -> Result<(), Broken> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = options.seed.unwrap_or(since_1970.as_secs());
    let again = format!(
        "cargo xtask soak --minutes {} --load {} --seed {seed}",
        options.minutes, options.load
    );
    ground.say(&again);
    let course = Course::new(options.minutes);
    let mut world = World::start(ground, course.retention).await?;
    let at_once = capacity(&world).await?;
    let per_second = at_once.0 * options.load;
    ground.say(&format!("{:.0} a second measured, {per_second:.0} a second from here", at_once.0));
    let crowd = Arc::new(Crowd::new(world.addresses(), Some(per_second)));
    let mut clients = send_in(&crowd, CLIENTS);
    let samples = soak(ground, &mut world, &crowd, &course, seed).await?;
    crowd.stop();
    all_back(&mut clients).await?;
    let ended = world.all_ended(END_MAX).await?;
    let told = sum(at_once.1, taken(&crowd));
    let mut wrong = world.compare(&told).await?;
    wrong.extend(told.wrong.iter().take(20).cloned());
    let trends = judge(&samples, &course, &mut wrong)?;
    if course.whole > course.warm_up() * 2 && !world.has_turned_over()? {
        wrong.push("the archive has forgotten nothing".into());
    }
    world.stop_and_check().await?;
    let closing = Closing { per_second, told: &told, ended, trends: &trends, wrong: &wrong };
    print(ground, &samples, &closing);
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Broken(format!("{}\nagain by: {again}", wrong.join("\n")))),
    }
}

/// What the machine gives of this mix, and what clients were told meanwhile.
async fn capacity(world: &World<'_>) -> Result<(f64, Told), Broken> {
    let crowd = Arc::new(Crowd::new(world.addresses(), None));
    let mut clients = send_in(&crowd, CLIENTS_AT_ONCE);
    tokio::time::sleep(Duration::from_secs(1)).await;
    crowd.take_times();
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let per_second = crowd.take_times().len() as f64 / begun.elapsed().as_secs_f64();
    crowd.stop();
    all_back(&mut clients).await?;
    Ok((per_second, taken(&crowd)))
}

fn send_in(crowd: &Arc<Crowd>, clients: usize) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let crowd = Arc::clone(crowd);
        tasks.spawn(async move { crowd.client().await });
    }
    tasks
}

async fn all_back(clients: &mut JoinSet<()>) -> Result<(), Broken> {
    while let Some(client) = clients.join_next().await {
        client.map_err(|e| Broken(format!("client task: {e}")))?;
    }
    Ok(())
}

fn taken(crowd: &Crowd) -> Told {
    std::mem::take(&mut *crowd.told.lock().expect("nothing panics under this lock"))
}

fn sum(mut one: Told, other: Told) -> Told {
    one.committed += other.committed;
    one.hashes = one.hashes.wrapping_add(other.hashes);
    one.aborted += other.aborted;
    one.vanished += other.vanished;
    one.wrong.extend(other.wrong);
    one
}

/// Kills and looks until the time is over.
async fn soak(
    ground: &Ground,
    world: &mut World<'_>,
    crowd: &Crowd,
    course: &Course,
    seed: u64,
) -> Result<Vec<Sample>, Broken> {
    let begun = Instant::now();
    let end = begun + course.whole;
    let last_death = begun + course.whole.mul_f64(KILLED);
    let mut draws = seed;
    let mut draw = || {
        draws = draws.wrapping_add(1);
        mix(draws)
    };
    // Half as long to half as long again.
    let wait = |draw: u64| course.kill_every.mul_f64(0.5 + (draw % 1_000) as f64 / 1_000.0);
    let (mut look, mut kill) = (begun + course.sample_every, begun + wait(draw()));
    let (mut samples, mut looked) = (Vec::new(), begun);
    while look < end {
        if kill < look {
            tokio::time::sleep_until(kill.into()).await;
            let victims: &[Victim] = match kill < last_death {
                true => &[Victim::Coordinator, Victim::A, Victim::Coordinator, Victim::B],
                false => &[Victim::A, Victim::B],
            };
            world.kill(victims[draw() as usize % victims.len()]).await?;
            kill = Instant::now() + wait(draw());
            continue;
        }
        tokio::time::sleep_until(look.into()).await;
        let sample = world.look(begun.elapsed(), looked.elapsed(), &crowd.take_times()).await?;
        looked = Instant::now();
        if samples.len() % 12 == 0 {
            ground.say(&sample.line());
        }
        samples.push(sample);
        look = Instant::now() + course.sample_every;
    }
    Ok(samples)
}

/// A figure that must be flat.
struct Judged {
    name: &'static str,
    figure: fn(&Sample) -> f64,
    allowed: Allowed,
}

const JUDGED: [Judged; 4] = [
    Judged {
        name: "memory_mib",
        figure: |one| one.memory_mib,
        allowed: Allowed { share: 0.05, amount: 8.0 },
    },
    Judged {
        name: "descriptors",
        figure: |one| one.descriptors,
        allowed: Allowed { share: 0.05, amount: 8.0 },
    },
    Judged {
        name: "threads",
        figure: |one| one.threads,
        allowed: Allowed { share: 0.0, amount: 2.0 },
    },
    Judged {
        name: "data_mib",
        figure: |one| one.data_mib,
        allowed: Allowed { share: 0.10, amount: 64.0 },
    },
];

/// Judges the coordinator's last life, after its warm-up.
fn judge(
    samples: &[Sample],
    course: &Course,
    wrong: &mut Vec<String>,
) -> Result<Vec<(&'static str, Trend)>, Broken> {
    let last = samples.last().ok_or_else(|| Broken("the time is too short".into()))?;
    let of_life: Vec<&Sample> = samples.iter().filter(|one| one.life == last.life).collect();
    let born = of_life.first().map_or(0.0, |first| first.seconds);
    let from = born + course.warm_up().as_secs_f64();
    let judged: Vec<&Sample> = of_life.into_iter().filter(|one| one.seconds >= from).collect();
    if judged.len() < 10 {
        return Err(Broken("the time is too short: less than ten samples to judge".into()));
    }
    let mut trends = Vec::new();
    for Judged { name, figure, allowed } in JUDGED {
        let points: Vec<(f64, f64)> =
            judged.iter().map(|one| (one.seconds / 3_600.0, figure(one))).collect();
        let trend = Trend::of(&points, allowed);
        if !trend.is_flat() {
            wrong.push(format!(
                "{name} grew by {:.1} in the judged time, more than {:.1}",
                trend.growth, trend.allowed
            ));
        }
        trends.push((name, trend));
    }
    Ok(trends)
}

/// What is said in the end.
struct Closing<'a> {
    per_second: f64,
    told: &'a Told,
    ended: Duration,
    trends: &'a [(&'static str, Trend)],
    wrong: &'a [String],
}

fn print(ground: &Ground, samples: &[Sample], closing: &Closing<'_>) {
    let Closing { per_second, told, ended, trends, wrong } = closing;
    let trends: Vec<Value> = trends
        .iter()
        .map(|(name, trend)| {
            json!({
                "figure": name,
                "median": round(trend.median, 1),
                "per_hour": round(trend.per_hour, 1),
                "growth": round(trend.growth, 1),
                "allowed": round(trend.allowed, 1),
                "flat": trend.is_flat(),
            })
        })
        .collect();
    let ended_ms = ended.as_millis() as u64;
    match ground.form {
        Form::Json => println!(
            "{}",
            json!({
                "per_second": round(*per_second, 0),
                "samples": samples.iter().map(Sample::json).collect::<Vec<Value>>(),
                "judged": trends,
                "committed": told.committed,
                "aborted": told.aborted,
                "vanished": told.vanished,
                "all_ended_after_ms": ended_ms,
                "wrong": wrong,
            })
        ),
        Form::Text => {
            let columns = [
                "minute",
                "per_second",
                "p99_ms",
                "memory_mib",
                "descriptors",
                "threads",
                "data_mib",
                "open",
                "killed",
            ];
            report::table(&columns, &rows(samples));
            println!();
            report::table(&["figure", "median", "per_hour", "growth", "allowed", "flat"], &trends);
            println!(
                "{} committed, {} aborted, {} begins lost with a killed coordinator; all ended \
                 {ended_ms} ms after the last client; {} wrong",
                told.committed,
                told.aborted,
                told.vanished,
                wrong.len()
            );
        }
    }
}
