//! Sagas against a real coordinator: forward to the end, or back to where they began.

use crate::world::{LockNow, Note, World};
use wholly::{Cause, Decision, Ended, Error, Outcome, SagaPlan};

fn take(quantity: i64) -> LockNow {
    LockNow { quantity }
}

fn plan(world: &World, gid: &str, points: i64) -> SagaPlan {
    let orders = world.wholly.participant("orders");
    world
        .wholly
        .saga("place-order")
        .gid(gid)
        .step("order", &orders, take(1))
        .step("stock", &world.stock, take(2))
        .after(["order"])
        .step("points", &world.points, take(points))
        .after(["order"])
        .forward("note", &world.points, Note)
        .after(["stock", "points"])
        .reads(["stock"])
}

async fn check(world: &World, points: i64, books: &str) -> Ended {
    let saga = plan(world, "order-4711", points).submit().await.unwrap();
    let ended = saga.ended().await.unwrap();
    assert_eq!(world.books().await, books, "{ended:?}");
    assert_eq!(ended.outcome, Outcome::AsDecided);
    ended
}

#[tokio::test]
async fn a_plan_goes_forward_to_its_end() {
    let world = World::new().await;
    let ended = check(&world, 3, "8/0/2 7/0/3 9/0/1").await;
    assert!(ended.committed().is_ok());
    assert_eq!(world.noted().await, 7);
}

#[tokio::test]
async fn a_refusal_turns_it_back() {
    let world = World::new().await;
    let ended = check(&world, 11, "10/0/0 10/0/0 10/0/0").await;
    assert_eq!((ended.decision, ended.cause), (Decision::Abort, Cause::Refusal));
    let error = ended.committed().unwrap_err();
    assert!(matches!(error, Error::Aborted { cause: Cause::Refusal, .. }), "{error:?}");
    assert_eq!(world.noted().await, 0);
}

#[tokio::test]
async fn lost_answers_change_nothing() {
    let world = World::new().await;
    world.network.lose_answer_of("action");
    world.network.lose_answer_of("action");
    assert!(check(&world, 3, "8/0/2 7/0/3 9/0/1").await.is_committed());
    let world = World::new().await;
    world.network.lose_answer_of("action");
    world.network.lose_answer_of("compensate");
    assert!(!check(&world, 11, "10/0/0 10/0/0 10/0/0").await.is_committed());
}

#[tokio::test]
async fn handing_over_twice_is_doing_once() {
    let world = World::new().await;
    let first = plan(&world, "order-1", 3).submit().await.unwrap();
    let again = plan(&world, "order-1", 3).submit().await.unwrap();
    assert_eq!(first.ended().await.unwrap(), again.ended().await.unwrap());
    assert_eq!(world.books().await, "8/0/2 7/0/3 9/0/1");
    let other = plan(&world, "order-1", 4).submit().await.unwrap_err();
    assert!(matches!(other, Error::AlreadyUsed { .. }), "{other:?}");
}

#[tokio::test]
async fn a_plan_can_be_turned_back_while_it_goes() {
    let world = World::new().await;
    world.network.hold("action");
    let saga = plan(&world, "order-1", 3).submit().await.unwrap();
    world.network.came("action", 1).await;
    let decided = saga.abort("the customer went away").await.unwrap();
    assert_eq!((decided.decision, decided.cause), (Decision::Abort, Cause::Initiator));
    world.network.open();
    assert_eq!(saga.ended().await.unwrap().outcome, Outcome::AsDecided);
    assert_eq!(world.books().await, "10/0/0 10/0/0 10/0/0");
    assert_eq!(saga.get().await.unwrap().reason, "the customer went away");
}

#[tokio::test]
async fn a_plan_that_cannot_be_carried_out_is_refused_by_name() {
    let world = World::new().await;
    let early = world.wholly.saga("n").step("stock", &world.stock, take(1)).forward(
        "note",
        &world.points,
        Note,
    );
    let error = early.submit().await.unwrap_err();
    let Error::Rejected { code, detail, .. } = &error else { panic!("{error:?}") };
    assert_eq!(code, "plan_invalid");
    assert!(detail.contains("forward-only step note does not come after"), "{detail}");
    assert_eq!(world.books().await, "10/0/0 10/0/0 10/0/0");
}
