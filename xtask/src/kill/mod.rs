//! Kill: real processes under load, killed with SIGKILL, started again; then every promise is read
//! back.

mod load;
mod trace;

use crate::chance::Chance;
use crate::shop::{self, Client, END_MS_MAX, Ledger, Member, OPEN_MS_MAX, Shop};
use crate::{Failure, numbers};
use load::{Gate, Load};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Clients that place orders side by side.
const CLIENTS: u64 = 16;
/// Longest time in which nothing is answered before the task gives up.
const STALL: Duration = Duration::from_secs(60);

/// What is asked for.
pub(crate) struct Options {
    cycles: u64,
    seed: u64,
    form: Form,
}

/// How the closing line is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

impl Options {
    /// So many cycles under a seed of the clock's.
    pub(crate) fn cycles(cycles: u64) -> Options {
        Options { cycles, seed: seed_of_the_clock(), form: Form::Text }
    }

    fn parse(words: &[&str]) -> Result<Options, Failure> {
        let mut options = Options::cycles(20);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--cycles" => options.cycles = numbers::after(word, words.next())?,
                "--seed" => options.seed = numbers::after(word, words.next())?,
                "--json" => options.form = Form::Json,
                other => return Err(Failure::new(format!("kill has no option `{other}`"))),
            }
        }
        Ok(options)
    }
}

fn seed_of_the_clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The task `kill`.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["trace"] => trace::run(root),
        words => run_cycles(root, &Options::parse(words)?),
    }
}

fn run_cycles(root: &Path, options: &Options) -> Result<(), Failure> {
    let Options { cycles, seed, form } = options;
    let again = format!("cargo xtask kill --cycles {cycles} --seed {seed}");
    println!("{again}");
    let result = shop::with(root, "kill", |shop| {
        shop.log_everything();
        shop.start_all()?;
        let ledger = Ledger::default();
        let (killed, healed) = cycle_under_load(shop, &ledger, options)?;
        let ended_ms = wait_for_all_ends(shop, healed)?;
        let mut faults = ledger.faults(shop)?;
        let (lines, leaks) = shop.leaks()?;
        faults.extend(leaks);
        let counts = ledger.counts();
        let kills: serde_json::Map<_, _> =
            killed.iter().map(|(member, kills)| (member.name().into(), (*kills).into())).collect();
        match form {
            Form::Text => println!(
                "kills: {}; {} orders, {} of them told commit and {} abort; all ended {ended_ms} \
                 ms after the last start (bound {} ms); {lines} lines of logs looked at",
                serde_json::Value::from(kills),
                counts.orders,
                counts.commit,
                counts.abort,
                bound_ms(),
            ),
            Form::Json => println!(
                "{}",
                json!({ "cycles": cycles, "seed": seed, "kills": kills, "orders": counts.orders,
                        "told_commit": counts.commit, "told_abort": counts.abort,
                        "ended_after_ms": ended_ms, "bound_ms": bound_ms(), "log_lines": lines,
                        "faults": faults })
            ),
        }
        for fault in &faults {
            println!("{fault}");
        }
        let passed = u8::from(faults.is_empty());
        println!("{passed} passed, {} failed", faults.len());
        match faults.len() {
            0 => Ok(()),
            _ => Err(Failure::new("a promise was broken")),
        }
    });
    result.map_err(|failure| Failure::new(format!("{failure}\nagain by: {again}")))
}

/// A transaction left open by a dead client ends at its deadline, and from there in the bound of
/// promise 6.
fn bound_ms() -> u64 {
    OPEN_MS_MAX + END_MS_MAX
}

/// Kills and starts members while clients place orders; each kill comes after so many answers as
/// chance says, so that it falls into the middle of others.
fn cycle_under_load(
    shop: &mut Shop,
    ledger: &Ledger,
    options: &Options,
) -> Result<(Vec<(Member, u64)>, Instant), Failure> {
    let mut chance = Chance::new(options.seed);
    let mut killed: Vec<(Member, u64)> = Member::ALL.map(|member| (member, 0)).into();
    let gate = Gate::default();
    let coordinator = shop.address(Member::Coordinator);
    let orders = shop.address(Member::Order);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let client = Client { coordinator };
            let load = Load { number, client, orders, gate: &gate, ledger };
            let chance = Chance::new(chance.next());
            scope.spawn(move || load.run(chance));
        }
        let mut kill_all = || {
            let mut healed = Instant::now();
            for cycle in 1..=options.cycles {
                gate.wait_for_answers(20 + chance.below(150), STALL)?;
                let victims = victims(&mut chance);
                gate.close();
                for victim in &victims {
                    shop.kill(*victim)?;
                }
                for victim in &victims {
                    shop.start(*victim)?;
                    killed[*victim as usize].1 += 1;
                }
                healed = Instant::now();
                gate.open();
                let names: Vec<&str> = victims.iter().map(|victim| victim.name()).collect();
                println!("cycle {cycle}/{}: killed {}", options.cycles, names.join(" and "));
            }
            Ok(healed)
        };
        let result = kill_all();
        // No order is begun after the last start; those under way are led to their end.
        gate.finish();
        result.map(|healed| (killed, healed))
    })
}

/// The coordinator in every second cycle, a service in the others, sometimes both.
fn victims(chance: &mut Chance) -> Vec<Member> {
    let services = [Member::Order, Member::Stock, Member::Points];
    let service = services[usize::try_from(chance.below(3)).expect("below three")];
    match chance.below(8) {
        0..4 => vec![Member::Coordinator],
        4..7 => vec![service],
        _ => vec![Member::Coordinator, service],
    }
}

/// Waits until nothing is unfinished and says how long after the last start that was.
fn wait_for_all_ends(shop: &Shop, healed: Instant) -> Result<u128, Failure> {
    let client = Client { coordinator: shop.address(Member::Coordinator) };
    let tried = |e: crate::http::Unanswered| Failure::new(format!("no answer: {}", e.0));
    let bound = u128::from(bound_ms());
    loop {
        let unfinished = client.unfinished().map_err(tried)?;
        let Some(gid) = unfinished.first() else { break };
        if healed.elapsed().as_millis() > bound {
            return Err(Failure::new(format!(
                "{} transactions had not ended {bound} ms after the last start, {gid} among them",
                unfinished.len(),
            )));
        }
        client.ended(gid).map_err(tried)?;
    }
    let ended = healed.elapsed().as_millis();
    match ended <= bound {
        true => Ok(ended),
        false => Err(Failure::new(format!("the last end came after {ended} ms, bound {bound} ms"))),
    }
}
