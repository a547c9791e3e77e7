//! The crash sweep: the real coordinator, killed or failed at each system call of its log in turn;
//! after each, what was told still holds and the shop's books are right.

use crate::http::Unanswered;
use crate::shop::{self, Client, Ledger, Member, Order, Shop};
use crate::{Failure, process};
use std::fs;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Sagas of a hand-over, one after another.
const HANDED_OVER: u64 = 5;
/// So many go to the archive at a time: some are there, some on their way, some in the log alone.
const BULK: u64 = 2;
/// Longest wait for the archive.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(60);
/// Rows of a page, where a list is followed to its end.
const PAGES: [usize; 2] = [1, 50];

/// What is done to a system call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The process is killed as it makes the call; the call does not happen.
    Kill,
    Eio,
    Enospc,
}

impl Fault {
    fn injection(self) -> &'static str {
        match self {
            Fault::Kill => "signal=KILL",
            Fault::Eio => "error=EIO",
            Fault::Enospc => "error=ENOSPC",
        }
    }

    /// What strace writes when it did it.
    fn trace(self) -> &'static str {
        match self {
            Fault::Kill => "killed by SIGKILL",
            Fault::Eio | Fault::Enospc => "(INJECTED)",
        }
    }
}

/// A system call, a fault, and what the process must do about it.
struct Sweep {
    call: &'static str,
    fault: Fault,
    then: Then,
    presence: Presence,
}

/// How a process may go on after a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It is gone, and not by its own good will.
    Stops,
    /// It may go on.
    Any,
}

/// Whether one transaction makes such a call at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Surely,
    Perhaps,
}

const SWEEPS: &[Sweep] = &[
    sweep("pwrite64", Fault::Kill, Then::Stops, Presence::Surely),
    sweep("fdatasync", Fault::Kill, Then::Stops, Presence::Surely),
    sweep("fsync", Fault::Kill, Then::Stops, Presence::Surely),
    sweep("rename", Fault::Kill, Then::Stops, Presence::Perhaps),
    sweep("ftruncate", Fault::Kill, Then::Stops, Presence::Perhaps),
    sweep("unlink", Fault::Kill, Then::Stops, Presence::Perhaps),
    sweep("openat", Fault::Kill, Then::Stops, Presence::Surely),
    sweep("mkdir", Fault::Kill, Then::Stops, Presence::Perhaps),
    sweep("pwrite64", Fault::Eio, Then::Stops, Presence::Surely),
    sweep("fdatasync", Fault::Eio, Then::Stops, Presence::Surely),
    sweep("fsync", Fault::Eio, Then::Stops, Presence::Surely),
    sweep("rename", Fault::Eio, Then::Stops, Presence::Perhaps),
    sweep("ftruncate", Fault::Eio, Then::Any, Presence::Perhaps),
    sweep("unlink", Fault::Eio, Then::Any, Presence::Perhaps),
    sweep("pwrite64", Fault::Enospc, Then::Any, Presence::Surely),
    sweep("fdatasync", Fault::Enospc, Then::Stops, Presence::Surely),
    sweep("ftruncate", Fault::Enospc, Then::Any, Presence::Perhaps),
    sweep("openat", Fault::Enospc, Then::Any, Presence::Surely),
    sweep("mkdir", Fault::Enospc, Then::Any, Presence::Perhaps),
];

const fn sweep(call: &'static str, fault: Fault, then: Then, presence: Presence) -> Sweep {
    Sweep { call, fault, then, presence }
}

/// Which transaction is swept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Saga,
    Tcc,
    /// Sagas that are handed over to the archive as soon as they have ended, while they are listed.
    HandOver,
    /// A saga that was under way when the coordinator was killed: the start after it.
    Recovery,
}

impl Mode {
    const ALL: [Mode; 4] = [Mode::Saga, Mode::Tcc, Mode::HandOver, Mode::Recovery];

    fn name(self) -> &'static str {
        match self {
            Mode::Saga => "saga",
            Mode::Tcc => "tcc",
            Mode::HandOver => "hand-over",
            Mode::Recovery => "recovery",
        }
    }

    /// How many transactions are swept at once.
    fn orders(self) -> u64 {
        match self {
            Mode::Saga | Mode::Tcc | Mode::Recovery => 1,
            Mode::HandOver => HANDED_OVER,
        }
    }

    /// What stands before the coordinator's command line.
    fn environment(self) -> Vec<String> {
        match self {
            Mode::Saga | Mode::Tcc | Mode::Recovery => Vec::new(),
            Mode::HandOver => vec!["env".into(), format!("WHOLLY_ARCHIVE_BULK_ROWS_MAX={BULK}")],
        }
    }
}

/// The task `crash-sweep`.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), Failure> {
    match words {
        [] => run_modes(root, &Mode::ALL),
        ["--mode", name] => {
            let mode = Mode::ALL.into_iter().find(|mode| mode.name() == *name);
            let mode = mode.ok_or_else(|| Failure::new(format!("there is no mode `{name}`")))?;
            run_modes(root, &[mode])
        }
        _ => {
            Err(Failure::new("crash-sweep takes `--mode saga|tcc|hand-over|recovery`, or nothing"))
        }
    }
}

/// Sweeps one transaction of each mode.
fn run_modes(root: &Path, modes: &[Mode]) -> Result<(), Failure> {
    process::output(root, "strace", ["-qq", "-o", "/dev/null", "true"]).map_err(|failure| {
        Failure::new(format!("strace cannot trace here, so nothing is proved: {failure}"))
    })?;
    shop::with(root, "crash-sweep", |shop| {
        shop.log_everything();
        for service in [Member::Order, Member::Stock, Member::Points] {
            shop.start(service)?;
        }
        let (mut points, mut orders) = (0, 0);
        for mode in modes {
            for sweep in SWEEPS {
                let count = sweep_all(shop, *mode, sweep, &mut orders)?;
                let (name, call, fault) = (mode.name(), sweep.call, sweep.fault.injection());
                println!("{name:<10}{call:<11}{fault:<14}K = {count}");
                points += count;
            }
        }
        let (lines, leaks) = shop.leaks()?;
        if !leaks.is_empty() {
            return Err(Failure::new(leaks.join("\n")));
        }
        println!("{points} passed, 0 failed; {lines} lines of logs looked at");
        Ok(())
    })
}

/// Strikes the first such call, the second, and so on, until none is left; says how many.
fn sweep_all(shop: &mut Shop, mode: Mode, sweep: &Sweep, number: &mut u64) -> Result<u64, Failure> {
    let mut k = 1;
    loop {
        let orders: Vec<Order> = (0..mode.orders()).map(|_| next_order(number)).collect();
        let point = format!("{} {} {} at {k}", mode.name(), sweep.call, sweep.fault.injection());
        let strike = strike(shop, mode, sweep, k, &orders);
        let strike = strike.map_err(|e| Failure::new(format!("{point}: {e}")))?;
        match (strike, k, sweep.presence) {
            (Strike::Missed, 1, Presence::Surely) => {
                return Err(Failure::new(format!("{point}: there is no such call to strike")));
            }
            (Strike::Missed, _, _) => return Ok(k - 1),
            (Strike::Hit, _, _) => k += 1,
        }
    }
}

fn next_order(number: &mut u64) -> Order {
    *number += 1;
    Order { id: format!("swept-{number}"), sku: "tea" }
}

/// Whether there were that many calls.
enum Strike {
    Hit,
    Missed,
}

/// The transactions with one call struck; then the coordinator is started again without, and
/// everything that was told is held against what is.
fn strike(
    shop: &mut Shop,
    mode: Mode,
    sweep: &Sweep,
    k: u64,
    orders: &[Order],
) -> Result<Strike, Failure> {
    fs::remove_dir_all(shop.data()).ok();
    let file = shop.folder.join("strace");
    let ledger = Ledger::default();
    orders.iter().for_each(|order| ledger.begun(order));
    if mode == Mode::Recovery {
        leave_under_way(shop, &orders[0], &ledger)?;
    }
    let Run { status, told } = under_injection(shop, mode, sweep, k, orders, &ledger)?;
    let trace = fs::read(&file).map_err(|e| Failure::new(format!("no trace: {e}")))?;
    if !String::from_utf8_lossy(&trace).contains(sweep.fault.trace()) {
        return match (status.success(), told) {
            (true, Ok(())) => Ok(Strike::Missed),
            (_, Err(Unanswered(why))) => {
                Err(Failure::new(format!("nothing was struck, and yet: {why}; it ended: {status}")))
            }
            (false, Ok(())) => {
                Err(Failure::new(format!("ended with {status} though nothing was struck")))
            }
        };
    }
    // What SQLite cannot bring back as it closes a file, the next start brings back.
    let stops = sweep.then == Then::Stops && !(mode == Mode::HandOver && sweep.fault == Fault::Eio);
    if stops && status.success() {
        return Err(Failure::new("the process went on to a good end"));
    }
    shop.start_under(Member::Coordinator, &mode.environment())?;
    let faults = after_restart(shop, mode, orders, &ledger)?;
    shop.kill(Member::Coordinator)?;
    match faults.is_empty() {
        true => Ok(Strike::Hit),
        false => Err(Failure::new(faults.join("; "))),
    }
}

/// Asks the coordinator that was started again, first for what it knows by itself, then until all
/// has ended.
fn after_restart(
    shop: &Shop,
    mode: Mode,
    orders: &[Order],
    ledger: &Ledger,
) -> Result<Vec<String>, Failure> {
    let client = Client { coordinator: shop.address(Member::Coordinator) };
    let tried = |e: Unanswered| Failure::new(format!("after the restart: {}", e.0));
    let mut faults = ledger.list_faults(&client.listed(1).map_err(tried)?);
    for order in orders {
        match mode {
            // The client asks again, as one does that never heard.
            Mode::Saga | Mode::HandOver => {
                ledger.note(order, &client.submit(order).map_err(tried)?);
            }
            Mode::Tcc | Mode::Recovery => (),
        }
        let ended = client.ended(&order.gid()).map_err(tried)?;
        match mode {
            Mode::Saga | Mode::HandOver | Mode::Recovery if ended.body["decision"] != "commit" => {
                return Err(Failure::new(format!("nobody refused, yet it says {}", ended.body)));
            }
            Mode::Saga | Mode::HandOver | Mode::Recovery | Mode::Tcc => (),
        }
        ledger.note(order, &ended);
    }
    match mode {
        Mode::HandOver => list_while_archived(client, ledger, &mut faults).map_err(tried)?,
        Mode::Saga | Mode::Tcc | Mode::Recovery => (),
    }
    for limit in PAGES {
        faults.extend(ledger.list_faults(&client.listed(limit).map_err(tried)?));
    }
    faults.extend(ledger.faults(shop)?);
    Ok(faults)
}

/// A saga whose second step nobody answers, and a coordinator killed over it.
fn leave_under_way(shop: &mut Shop, order: &Order, ledger: &Ledger) -> Result<(), Failure> {
    shop.kill(Member::Stock)?;
    shop.start(Member::Coordinator)?;
    let client = Client { coordinator: shop.address(Member::Coordinator) };
    let submitted = client.submit(order);
    let submitted = submitted.map_err(|e| Failure::new(format!("before the start: {}", e.0)))?;
    ledger.note(order, &submitted);
    shop.kill(Member::Coordinator)?;
    shop.start(Member::Stock)
}

/// How it went under injection.
struct Run {
    /// How the coordinator ended.
    status: ExitStatus,
    /// Whether the clients were answered to the end.
    told: Result<(), Unanswered>,
}

/// Runs the transactions on a coordinator whose k-th call of that kind, counted per thread, is
/// struck; lets it end, and says how it did.
fn under_injection(
    shop: &mut Shop,
    mode: Mode,
    sweep: &Sweep,
    k: u64,
    orders: &[Order],
    ledger: &Ledger,
) -> Result<Run, Failure> {
    let Sweep { call, fault, .. } = sweep;
    let file = shop.folder.join("strace").display().to_string();
    let inject = format!("inject={call}:{}:when={k}", fault.injection());
    let trace = format!("trace={call}");
    let strace = ["strace", "-f", "-o", &file, "-e", &trace, "-e", &inject].map(String::from);
    let mut above = mode.environment();
    above.extend(strace);
    above.extend(struck_paths(call, &shop.data()).into_iter().flat_map(|at| ["-P".into(), at]));
    match shop.launch(Member::Coordinator, &above)? {
        shop::Launch::Ended(status) => {
            let told = Err(Unanswered("it never served".into()));
            return Ok(Run { status, told });
        }
        shop::Launch::Serves => (),
    }
    let client = Client { coordinator: shop.address(Member::Coordinator) };
    let first = &orders[0];
    let mut faults = Vec::new();
    // Where no answer comes, the client stops: the coordinator was struck.
    let told = match mode {
        Mode::Saga => saga(client, first, ledger),
        Mode::Tcc => tcc(client, first, ledger),
        Mode::Recovery => client.ended(&first.gid()).map(|reply| ledger.note(first, &reply)),
        Mode::HandOver => hand_over(client, orders, ledger, &mut faults),
    };
    let status = shop.stop(Member::Coordinator)?;
    match faults.is_empty() {
        true => Ok(Run { status, told }),
        false => Err(Failure::new(format!("before the restart: {}", faults.join("; ")))),
    }
}

/// Where calls of that kind are struck; everywhere if none is named. A program opens much that is
/// not its own, and looks for what may not be there.
fn struck_paths(call: &str, data: &Path) -> Vec<String> {
    if call != "openat" {
        return Vec::new();
    }
    let slice = "archive/0000000001.slice";
    let beside = ["-journal", "-wal", "-shm"].map(|ending| format!("{slice}{ending}"));
    let named = ["lock", "log", "log/0000000001.log", "archive", slice].map(String::from);
    let paths = named.into_iter().chain(beside);
    paths.map(|path| data.join(path).display().to_string()).collect()
}

fn saga(client: Client, order: &Order, ledger: &Ledger) -> Result<(), Unanswered> {
    ledger.note(order, &client.submit(order)?);
    ledger.note(order, &client.ended(&order.gid())?);
    Ok(())
}

/// One saga after another; after each the list is followed to its end.
fn hand_over(
    client: Client,
    orders: &[Order],
    ledger: &Ledger,
    faults: &mut Vec<String>,
) -> Result<(), Unanswered> {
    for order in orders {
        saga(client, order, ledger)?;
        faults.extend(ledger.list_faults(&client.listed(1)?));
    }
    list_while_archived(client, ledger, faults)
}

/// Follows the list, over and over, until the archive has taken all it is to take.
fn list_while_archived(
    client: Client,
    ledger: &Ledger,
    faults: &mut Vec<String>,
) -> Result<(), Unanswered> {
    let began = Instant::now();
    while faults.is_empty() && client.unarchived()? >= BULK {
        if began.elapsed() > ARCHIVED_WITHIN {
            return Err(Unanswered("what had ended was not archived".into()));
        }
        faults.extend(ledger.list_faults(&client.listed(1)?));
    }
    Ok(())
}

fn tcc(client: Client, order: &Order, ledger: &Ledger) -> Result<(), Unanswered> {
    let begun = client.begin(order)?;
    let capability = begun.body["capability"].as_str();
    let capability = capability.ok_or_else(|| Unanswered(format!("no capability: {begun:?}")))?;
    let replies = client.register_all(order, capability)?;
    replies.iter().for_each(|(_, reply)| ledger.note(order, reply));
    let tried: Vec<&str> = replies.iter().map(|(name, _)| *name).collect();
    ledger.note(order, &client.commit(order, capability, &tried)?);
    ledger.note(order, &client.ended(&order.gid())?);
    Ok(())
}
