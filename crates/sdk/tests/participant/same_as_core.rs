//! One call after another: the SQL answers and leaves what `wholly_core::barrier` says.

use crate::asking::{branch, gid, mark};
use crate::world::{Bed, Isolation, World, everywhere};
use wholly::barrier::{self, Arrival, Sweep};
use wholly::schema::Dialect;
use wholly_core::barrier::{Barrier, Inspection, State, Verdict};
use wholly_core::branch::{Answer, Op};
use wholly_core::effect::Mark;
use wholly_core::ids::{Body, Code, Gid, Text};
use wholly_core::retry::mix;
use wholly_core::time::Timestamp;

everywhere!(every_order_of_calls, every_call_of_an_earlier_life, random_walks);

/// What comes to the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// An op whose work is done.
    Done(Op),
    /// A try that the business refuses.
    Refused,
    /// An op whose work fails: its local transaction is rolled back.
    Failed(Op),
}

const STEPS: [Step; 8] = [
    Step::Done(Op::Try),
    Step::Refused,
    Step::Failed(Op::Action),
    Step::Done(Op::Confirm),
    Step::Done(Op::Cancel),
    Step::Failed(Op::Confirm),
    Step::Failed(Op::Compensate),
    Step::Done(Op::Inspect),
];

impl Step {
    fn op(self) -> Op {
        match self {
            Step::Done(op) | Step::Failed(op) => op,
            Step::Refused => Op::Try,
        }
    }
}

/// What came of a step: the verdict on its arrival, and the answer in the end.
type Came = (Verdict, Option<Answer>);

fn why() -> (Code, Text) {
    (Code::new("out_of_stock").unwrap(), Text::cut("none left"))
}

fn reply(of: usize) -> Body {
    Body::new(format!("\"reply {of}\"").as_bytes())
}

fn in_core(core: &mut Barrier, of: (&Gid, &Mark), step: Step, reply: Body) -> Came {
    let ((gid, mark), branch) = (of, branch("b"));
    // What a local transaction that is rolled back remembers of limits is remembered elsewhere.
    let verdict = core.meet(gid, &branch, step.op(), mark);
    let answer = match (&verdict, step) {
        (Verdict::Run, Step::Done(_)) => Some(core.keep(gid, &branch, mark, reply)),
        (Verdict::Run, Step::Refused) => Some(core.refuse(gid, &branch, mark, why())),
        (Verdict::Run | Verdict::Follow { .. }, Step::Failed(_)) => None,
        (Verdict::Follow { next, .. }, Step::Done(_)) => {
            Some(core.follow(gid, &branch, next.clone()))
        }
        (Verdict::Follow { .. }, Step::Refused) => unreachable!("a try follows nothing"),
        (Verdict::Remember | Verdict::Answer(_) | Verdict::Inspected(_), _) => None,
    };
    (verdict, answer)
}

async fn in_sql<D: Bed>(
    world: &World<D>,
    of: (&Gid, &Mark),
    limit: Timestamp,
    step: Step,
    reply: Body,
) -> Came {
    let ((gid, mark), branch) = (of, branch("b"));
    let arrival = Arrival { limit, ..Arrival::new((gid, &branch), step.op(), mark) };
    if arrival.op == Op::Inspect {
        let mut connection = world.pool.acquire().await.unwrap();
        return (barrier::meet::<D>(&mut connection, &arrival).await.unwrap(), None);
    }
    let mut tx = world.pool.begin_with(D::BEGIN).await.unwrap();
    let verdict = barrier::meet::<D>(&mut tx, &arrival).await.unwrap();
    let answer = match (&verdict, step) {
        (Verdict::Run, Step::Done(_)) => {
            Some(barrier::keep::<D>(&mut tx, &arrival, reply).await.unwrap())
        }
        (Verdict::Run, Step::Refused) => {
            tx.rollback().await.unwrap();
            tx = world.pool.begin_with(D::BEGIN).await.unwrap();
            Some(barrier::refuse::<D>(&mut tx, &arrival, why()).await.unwrap())
        }
        (Verdict::Run | Verdict::Follow { .. }, Step::Failed(_)) => {
            tx.rollback().await.unwrap();
            return (verdict, None);
        }
        (Verdict::Follow { .. }, Step::Done(_)) => {
            Some(barrier::follow::<D>(&mut tx, &arrival).await.unwrap())
        }
        (Verdict::Follow { .. }, Step::Refused) => unreachable!("a try follows nothing"),
        (Verdict::Answer(_), _) => {
            tx.rollback().await.unwrap();
            return (verdict, None);
        }
        (Verdict::Remember | Verdict::Inspected(_), _) => None,
    };
    tx.commit().await.unwrap();
    (verdict, answer)
}

/// How the branch stands, by SQL, seen by a call as young as can be.
async fn stored<D: Bed>(world: &World<D>, gid: &Gid, mark: &Mark) -> Option<State> {
    let branch = branch("b");
    let arrival = Arrival::new((gid, &branch), Op::Inspect, mark);
    let mut connection = world.pool.acquire().await.unwrap();
    let verdict = barrier::meet::<D>(&mut connection, &arrival).await.unwrap();
    let Verdict::Inspected(inspection) = verdict else { panic!("a young call hears {verdict:?}") };
    match inspection {
        Inspection::Found(state) => Some(state),
        Inspection::None => None,
    }
}

async fn every_order_of_calls<D: Bed>(isolation: Isolation) {
    let world = D::make(isolation, 1).await;
    let mut core = Barrier::default();
    let mark = mark("log-1", 1_000, 0);
    // The same SQL, but a round trip is a tenth as long.
    let calls = match D::DIALECT {
        Dialect::Sqlite => 4,
        Dialect::Postgres | Dialect::Mysql => 3,
    };
    for order in 0..STEPS.len().pow(calls) {
        let gid = gid(&format!("order-{order}"));
        let mut rest = order;
        let mut steps = Vec::new();
        for _ in 0..calls {
            steps.push(STEPS[rest % STEPS.len()]);
            rest /= STEPS.len();
        }
        for (n, step) in steps.iter().enumerate() {
            let expected = in_core(&mut core, (&gid, &mark), *step, reply(n));
            let came = in_sql(&world, (&gid, &mark), Timestamp(0), *step, reply(n)).await;
            assert_eq!(came, expected, "step {n} of {steps:?}");
        }
        let expected = core.row(&gid, &branch("b"), &mark).map(|row| row.state.clone());
        assert_eq!(stored(&world, &gid, &mark).await, expected, "after {steps:?}");
    }
}

/// Every call, begun before the row that it meets, after it, or by the clock of another log.
async fn every_call_of_an_earlier_life<D: Bed>(isolation: Isolation) {
    use Step::{Done, Refused};
    let world = D::make(isolation, 1).await;
    let mut core = Barrier::default();
    let row = mark("log-1", 1_000, 0);
    let lives = [mark("log-1", 999, 0), mark("log-1", 1_001, 0), mark("log-2", 999, 0)];
    let rows: [&[Step]; 5] = [
        &[Done(Op::Try)],
        &[Done(Op::Try), Done(Op::Confirm)],
        &[Done(Op::Try), Done(Op::Cancel)],
        &[Done(Op::Cancel)],
        &[Refused],
    ];
    for (n, before) in rows.iter().enumerate() {
        for (at, step) in STEPS.iter().enumerate() {
            for (life, of) in lives.iter().enumerate() {
                let gid = gid(&format!("life-{n}-{at}-{life}"));
                for step in *before {
                    in_core(&mut core, (&gid, &row), *step, reply(n));
                    in_sql(&world, (&gid, &row), Timestamp(0), *step, reply(n)).await;
                }
                let found = stored(&world, &gid, &row).await;
                let expected = in_core(&mut core, (&gid, of), *step, reply(9));
                let came = in_sql(&world, (&gid, of), Timestamp(0), *step, reply(9)).await;
                assert_eq!(came, expected, "{step:?} with {of:?} after {before:?}");
                if life == 0 {
                    let stale = Verdict::Answer(wholly_core::barrier::stale());
                    assert_eq!(came, (stale, None), "{step:?} after {before:?}");
                    assert_eq!(stored(&world, &gid, &row).await, found, "{step:?}: no effect");
                }
                let left = core.row(&gid, &branch("b"), &row).map(|row| row.state.clone());
                assert_eq!(stored(&world, &gid, &row).await, left, "{step:?} after {before:?}");
            }
        }
    }
}

/// Few gids, two logs, begins and limits in disorder, clearing in between.
async fn random_walks<D: Bed>(isolation: Isolation) {
    let seeds = match std::env::var("WHOLLY_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => match D::DIALECT {
            Dialect::Sqlite => (0..12).collect::<Vec<u64>>(),
            Dialect::Postgres | Dialect::Mysql => (0..4).collect(),
        },
    };
    for seed in seeds {
        let world = D::make(isolation, 1).await;
        if let Err(what) = walk(&world, seed).await {
            panic!("{what}; repeat by WHOLLY_TEST_SEED={seed} cargo test -p wholly random_walks");
        }
    }
}

async fn walk<D: Bed>(world: &World<D>, seed: u64) -> Result<(), String> {
    let (mut core, mut state) = (Barrier::default(), mix(seed));
    let mut random = |below: u64| {
        state = mix(state);
        state % below
    };
    for n in 0..300 {
        let begun = 100 + random(40) * 10 + n;
        let limit = random(begun + 20).saturating_sub(60);
        let mark = mark(["log-1", "log-2"][random(2) as usize], begun, limit);
        let gid = gid(["one", "two", "three"][random(3) as usize]);
        let step = STEPS[random(STEPS.len() as u64) as usize];
        let seen = core.limit(&mark.origin).max(mark.limit);
        write_down_limits(world, &core, &mark).await;
        let expected = in_core(&mut core, (&gid, &mark), step, reply(n as usize));
        let came = in_sql(world, (&gid, &mark), seen, step, reply(n as usize)).await;
        if came != expected {
            return Err(format!(
                "step {n}, {step:?} of {gid} with {mark:?}: {came:?}, {expected:?}"
            ));
        }
        if random(10) == 0 {
            let limit = core.limit(&mark.origin);
            let sweep = Sweep { limit, below: limit };
            barrier::clear::<D>(&world.pool, &mark.origin, sweep).await.unwrap();
            core.clear(usize::MAX);
        }
        let young = Mark { begun: Timestamp(9_000), limit: core.limit(&mark.origin), ..mark };
        let expected = core.row(&gid, &branch("b"), &young).map(|row| row.state.clone());
        write_down_limits(world, &core, &young).await;
        let stored = stored(world, &gid, &young).await;
        if stored != expected {
            return Err(format!("after step {n}, {step:?} of {gid}: {stored:?}, {expected:?}"));
        }
    }
    Ok(())
}

/// For a row of another log than the call's, a limit counts once it is written down. The
/// call's own log is left out, so that limits held in memory are met as well.
async fn write_down_limits<D: Bed>(world: &World<D>, core: &Barrier, own: &Mark) {
    let mut connection = world.pool.acquire().await.unwrap();
    for origin in ["log-1", "log-2"].map(|name| mark(name, 0, 0).origin) {
        if origin != own.origin {
            D::raise(&mut connection, &origin, core.limit(&origin)).await.unwrap();
        }
    }
}
