//! Many calls of one branch at once, through two processes' worth of services: there is an order
//! in which `wholly_core::barrier` gives exactly these answers, and the effects are that order's.
//! How often the database asked to do a local transaction again is counted, and printed.

use crate::asking::{Ask, branch, gid, mark, words};
use crate::handlers::{Gate, Lock, Locked, Stock};
use crate::world::{Bed, Isolation, World, everywhere};
use axum::Router;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use wholly::Service;
use wholly_core::barrier::{Barrier, Verdict};
use wholly_core::branch::Op;
use wholly_core::ids::{Body, Code, Text};

everywhere!(there_is_an_order_that_explains_it);

/// Calls of one branch that are sent at once.
const SETS: [&[(Op, &str)]; 6] = [
    &[(Op::Try, "a"), (Op::Try, "a"), (Op::Try, "a"), (Op::Cancel, "a"), (Op::Cancel, "a")],
    &[(Op::Try, "a"), (Op::Try, "a"), (Op::Confirm, "a"), (Op::Confirm, "a"), (Op::Try, "a")],
    &[(Op::Try, "refuse"), (Op::Try, "refuse"), (Op::Cancel, "refuse"), (Op::Cancel, "refuse")],
    &[(Op::Try, "a"), (Op::Try, "refuse"), (Op::Try, "a"), (Op::Try, "refuse")],
    &[(Op::Confirm, "a"), (Op::Try, "a"), (Op::Cancel, "a"), (Op::Confirm, "a")],
    &[(Op::Try, "a"), (Op::Try, "refuse"), (Op::Cancel, "a"), (Op::Try, "a")],
];
/// Branches per set.
const BRANCHES: usize = 8;

/// How often a local transaction was done again, by the database's code for why.
#[derive(Clone, Default)]
struct Again(Arc<Mutex<BTreeMap<String, usize>>>);

impl<S: tracing::Subscriber> Layer<S> for Again {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        if said.message == "a local transaction is done again" {
            *self.0.lock().unwrap().entry(said.code).or_default() += 1;
        }
    }
}

#[derive(Default)]
struct Said {
    message: String,
    code: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "code" => self.code = format!("{value:?}"),
            _ => {}
        }
    }
}

async fn there_is_an_order_that_explains_it<D: Bed>(isolation: Isolation) {
    let again = Again::default();
    // Of this thread, on which the runtime of this test runs all its tasks.
    let layers = tracing_subscriber::registry().with(again.clone());
    let _subscribed = tracing::subscriber::set_default(layers);
    let world = Arc::new(D::make(isolation, 12).await);
    let routers: Vec<Router> = (0..2)
        .map(|_| {
            let stock = Stock::<D>::new(&Gate::closed());
            let service = Service::new("stock", world.pool.clone()).tcc::<Lock>(stock);
            wholly::participant::router([&service])
        })
        .collect();
    let mut branches = Vec::new();
    for set in 0..SETS.len() {
        for n in 0..BRANCHES {
            branches.push(tokio::spawn(race(world.clone(), routers.clone(), set, n)));
        }
    }
    for branch in branches {
        branch.await.unwrap();
    }
    let again = again.0.lock().unwrap();
    let level = format!("{isolation:?}");
    println!("{} {level}: done again, by code: {again:?}", D::NAME);
    // There whoever waited for a row goes on with what it has become.
    let never = D::NAME == "PostgreSQL" && level == "ReadCommitted";
    assert!(!never || again.is_empty(), "{again:?}");
}

async fn race<D: Bed>(world: Arc<World<D>>, routers: Vec<Router>, set: usize, n: usize) {
    let name = format!("race-{set}-{n}");
    let calls = SETS[set];
    let mut asked = Vec::new();
    for (at, (op, act)) in calls.iter().enumerate() {
        let ask = Ask::new("stock.lock", *op, &name, act);
        let router = routers[at % routers.len()].clone();
        asked.push(tokio::spawn(async move { words(&ask.until_answered(&router).await) }));
    }
    let mut came = Vec::new();
    for asked in asked {
        came.push(asked.await.unwrap());
    }
    let (gid, branch) = (gid(&name), branch("stock"));
    let effects = D::effects(&world.pool, (&gid, &branch)).await;
    let order =
        orders(calls.len()).into_iter().find(|order| replay(calls, order, &came) == effects);
    assert!(order.is_some(), "{name}: {calls:?} answered {came:?} with effects {effects:?}");
}

/// The effects of the calls in this order, or what no effects can be if an answer differs.
fn replay(calls: &[(Op, &str)], order: &[usize], came: &[String]) -> Vec<String> {
    let (gid, branch, mark) = (gid("g"), branch("stock"), mark("log-1", 1_000, 0));
    let mut core = Barrier::default();
    let mut effects = Vec::new();
    for at in order {
        let (op, act) = calls[*at];
        let reply = Locked { warehouse: format!("first of {act}") };
        let reply = Body::new(&serde_json::to_vec(&reply).unwrap());
        let answer = match core.meet(&gid, &branch, op, &mark) {
            Verdict::Run if act == "refuse" => {
                let code = Code::new("out_of_stock").unwrap();
                core.refuse(&gid, &branch, &mark, (code, Text::default()))
            }
            Verdict::Run => {
                effects.push("first".to_string());
                core.keep(&gid, &branch, &mark, reply)
            }
            Verdict::Follow { next, .. } => {
                effects.push(format!("{op:?}").to_lowercase());
                core.follow(&gid, &branch, next)
            }
            Verdict::Remember => wholly_core::barrier::done(Body::default()),
            Verdict::Answer(answer) => answer,
            Verdict::Inspected(_) => unreachable!("nobody inspects"),
        };
        if words(&answer) != came[*at] {
            return vec!["answered otherwise".to_string()];
        }
    }
    effects
}

/// Every order of so many calls.
fn orders(calls: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for _ in 0..calls {
        let longer = orders.iter().flat_map(|order: &Vec<usize>| {
            let free = (0..calls).filter(|at| !order.contains(at));
            free.map(|at| order.iter().copied().chain([at]).collect())
        });
        orders = longer.collect();
    }
    orders
}
