//! `wholly demo --keep`: a shop left running, with a few hundred orders of every fate to look at.

use super::world::{Heard, Terms, World};
use crate::arguments::Filter;
use crate::complaint::{Complaint, Kind};
use crate::coordinator::Coordinator;
use crate::{table, tx};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;
use tokio::task::JoinSet;
use wholly_shop::faults::{Fault, What};
use wholly_shop::order::{Mode, Order};
use wholly_shop::service::Role;

/// How many orders.
const ORDERS: usize = 300;
/// How many of them at once.
const AT_ONCE_MAX: usize = 16;
/// Where a coordinator is looked for when nothing is said.
const PORT: u16 = 7_700;
/// How long an order may take before it is undone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What becomes of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// It is placed.
    Good,
    /// There is no stock.
    NoStock,
    /// There are no points; stock is released.
    NoPoints,
    /// A reply is lost; it is placed all the same.
    ReplyLost,
    /// Stock refuses to release what it locked, which it may not: it waits for an operator.
    Stuck,
    /// Stock fails whenever it is to release what it locked: it is asked again and again.
    Lagging,
}

/// Starts the shop, places the orders, and stays until it is interrupted.
pub(crate) async fn run() -> Result<(), Complaint> {
    let folder = tempfile::Builder::new().prefix("wholly-demo-").tempdir().map_err(|error| {
        Complaint::because(Kind::NotDone, "a temporary folder cannot be made", &error)
            .advice("point TMPDIR at a folder that can be written to")
    })?;
    let host = Ipv4Addr::LOCALHOST;
    let port = if TcpListener::bind((host, PORT)).is_ok() { PORT } else { 0 };
    let world = World::start(folder.path(), &Terms { host, port, patience: PATIENCE }).await?;
    eprintln!("placing {ORDERS} orders …");
    let counts = place_all(&world).await?;
    let url = world.url();
    let to = if port == PORT { String::new() } else { format!(" --url {url}") };
    say!("The shop runs: coordinator {url}, folder {}.\n", folder.path().display());
    say!("{}\n\n{}\n", report(&counts), books(&world).await?);
    say!(
        "Look at it from another terminal:\n  wholly status{to}\n  wholly tx list{to}\n  \
         wholly tx list --stuck{to}\n  wholly tx show order-5{to}\n  wholly tx retry order-5 \
         --reason \"stock repaired\"{to}\n\nCtrl-C ends it."
    );
    std::future::pending().await
}

/// The books in a line. A saga under way has happened by half, which is no mistake yet.
async fn books(world: &World) -> Result<String, Complaint> {
    // Asked first: what ends meanwhile is whole by the time the books are read.
    let under_way = tx::matching(&Coordinator::at(&world.url()), &Filter::default()).await?;
    let books = world.books().await?;
    let is_under_way = |order: &&String| under_way.contains(&format!("order-{order}"));
    let halves = books.torn.iter().filter(is_under_way).count();
    let (whole, nothing) = (books.whole.len(), books.nothing.len());
    let (pending, wrong) = (books.pending.len() + halves, books.wrong.len() - halves);
    Ok(format!("Books: {whole} whole, {nothing} undone, {pending} under way, {wrong} wrong."))
}

async fn place_all(world: &World) -> Result<BTreeMap<(Fate, &'static str), usize>, Complaint> {
    let mut counts = BTreeMap::new();
    let mut placing: JoinSet<(Fate, Heard)> = JoinSet::new();
    for number in 0..ORDERS {
        let (fate, mode) = (fate(number), mode(number));
        if let Some(fault) = fault(fate, mode, &format!("order-{number}")) {
            world.set_fault(Role::Stock, &fault).await?;
        }
        let order = world.order(mode, &order(fate, number));
        placing.spawn(async move { (fate, order.await) });
        if placing.len() >= AT_ONCE_MAX {
            count(&mut counts, placing.join_next().await);
        }
    }
    while let Some(placed) = placing.join_next().await {
        count(&mut counts, Some(placed));
    }
    Ok(counts)
}

fn count(
    counts: &mut BTreeMap<(Fate, &'static str), usize>,
    placed: Option<Result<(Fate, Heard), tokio::task::JoinError>>,
) {
    let Some(Ok((fate, heard))) = placed else { return };
    let heard = match heard {
        Heard::Placed => "placed",
        Heard::Cancelled(_) => "cancelled",
        Heard::Unsure(_) => "not known yet",
        Heard::Nothing => "no answer",
    };
    *counts.entry((fate, heard)).or_default() += 1;
}

fn report(counts: &BTreeMap<(Fate, &'static str), usize>) -> String {
    let mut rows = table::table(&["ORDERS", "FATE", "THE CUSTOMER HEARD"]);
    for ((fate, heard), count) in counts {
        let fate = match fate {
            Fate::Good => "nothing goes wrong",
            Fate::NoStock => "no stock to lock",
            Fate::NoPoints => "stock locked, points refused",
            Fate::ReplyLost => "stock locked, reply lost",
            Fate::Stuck => "stock refuses to release: stuck",
            Fate::Lagging => "stock answers 500 to the release: asked again",
        };
        rows.add_row([&count.to_string(), fate, *heard]);
    }
    table::print(&mut rows)
}

fn fate(number: usize) -> Fate {
    match number % 20 {
        3 | 13 => Fate::NoStock,
        7 | 17 => Fate::NoPoints,
        9 | 11 => Fate::ReplyLost,
        5 if number % 60 == 5 => Fate::Stuck,
        15 if number % 60 == 15 => Fate::Lagging,
        _ => Fate::Good,
    }
}

fn mode(number: usize) -> Mode {
    match number / 20 % 2 {
        0 => Mode::Tcc,
        _ => Mode::Saga,
    }
}

fn order(fate: Fate, number: usize) -> Order {
    let sku = if fate == Fate::NoStock { "vase" } else { "tea" };
    let customer = match fate {
        Fate::Good | Fate::NoStock | Fate::ReplyLost => "ann",
        Fate::NoPoints | Fate::Stuck | Fate::Lagging => "bob",
    };
    let (sku, customer) = (sku.to_owned(), customer.to_owned());
    Order { order: number.to_string(), sku, quantity: 2, customer, points: 60 }
}

/// What is to go wrong at the stock service.
fn fault(fate: Fate, mode: Mode, gid: &str) -> Option<Fault> {
    let (operation, first, second) = match mode {
        Mode::Tcc => ("stock.lock", "try", "cancel"),
        Mode::Saga => ("stock.lock-now", "action", "compensate"),
    };
    let (op, what, times) = match fate {
        Fate::Good | Fate::NoStock | Fate::NoPoints => return None,
        Fate::ReplyLost => (first, What::LoseReply, 1),
        Fate::Stuck => (second, What::Refuse, 1),
        Fate::Lagging => (second, What::Fail, u32::MAX),
    };
    let (gid, operation, op) = (gid.to_owned(), operation.to_owned(), op.to_owned());
    Some(Fault { gid, operation, op, what, times })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_is_met_in_both_modes() {
        let met: std::collections::BTreeSet<_> =
            (0..ORDERS).map(|number| (fate(number), format!("{:?}", mode(number)))).collect();
        assert_eq!(met.len(), 6 * 2);
    }
}
