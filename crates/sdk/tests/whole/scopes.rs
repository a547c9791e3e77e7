//! Scopes against a real coordinator: whatever is refused, lost or dropped, the books balance.

use crate::world::{Lock, LockNow, World};
use std::task::Poll;
use std::time::Duration;
use wholly::{
    BoxError, Cause, Decision, Error, Outcome, Unsettled, Wait, Wholly, global_transaction,
};
use wholly_server::Coordinator;

fn lock(quantity: i64) -> Lock {
    Lock { quantity }
}

#[derive(Debug, thiserror::Error)]
#[error("nobody ordered")]
struct NoOrder;

#[tokio::test]
async fn ok_uses_what_was_locked_everywhere() {
    let world = World::new().await;
    let World { wholly, stock, points, orders, .. } = &world;
    let placed = wholly
        .transaction("place-order")
        .gid("order-4711")
        .timeout(Duration::from_secs(30))
        .wait(Wait::Ended)
        .run(async |tx| {
            let (locked, _) = tokio::try_join!(tx.call(stock, lock(2)), tx.call(points, lock(3)))?;
            tx.local(orders, lock(1)).branch("order").await?;
            Ok(locked.warehouse)
        });
    assert_eq!(placed.await.unwrap(), 7);
    assert_eq!(world.books().await, "8/0/2 7/0/3 9/0/1");
    let document = wholly.find("order-4711").get().await.unwrap();
    assert_eq!(document.ended(), Some((Decision::Commit, Outcome::AsDecided)));
    let mut names: Vec<&str> = document.branches.iter().map(|b| b.branch.as_ref()).collect();
    names.sort_unstable();
    assert_eq!(names, ["order", "stock.lock", "stock.lock-2"]);
}

/// Runs a body to its end; the books after it, and what was said.
async fn check<F>(world: &World, body: F, books: &str) -> Result<(), Error>
where
    F: AsyncFnOnce(wholly::Transaction) -> Result<(), BoxError>,
{
    let said = world.wholly.transaction("place-order").wait(Wait::Ended).run(body).await;
    assert_eq!(world.books().await, books, "{said:?}");
    said
}

#[tokio::test]
async fn err_releases_what_was_locked_everywhere() {
    let world = World::new().await;
    let World { stock, points, orders, .. } = &world;
    let body = async |tx: wholly::Transaction| {
        tx.call(stock, lock(2)).await?;
        tx.call(points, LockNow { quantity: 3 }).await?;
        tx.local(orders, lock(1)).await?;
        Err(NoOrder.into())
    };
    let error = check(&world, body, "10/0/0 10/0/0 10/0/0").await.unwrap_err();
    assert!(error.reason::<NoOrder>().is_some(), "{error:?}");
    assert!(matches!(error, Error::Aborted { cause: Cause::Initiator, .. }));
}

#[tokio::test]
async fn a_later_refusal_releases_what_was_locked_before() {
    let world = World::new().await;
    let World { stock, points, .. } = &world;
    let body = async |tx: wholly::Transaction| {
        tx.call(stock, lock(2)).await?;
        tx.call(points, lock(11)).await?;
        Ok(())
    };
    let error = check(&world, body, "10/0/0 10/0/0 10/0/0").await.unwrap_err();
    assert!(error.is_refused("out_of_stock"), "{error:?}");
    let gid = error.gid().unwrap();
    let document = world.wholly.find(gid.as_str()).get().await.unwrap();
    assert_eq!(document.cause_branch.as_deref(), Some("stock.lock-2"));
}

#[tokio::test]
async fn a_refusal_may_be_survived() {
    let world = World::new().await;
    let World { stock, points, orders, .. } = &world;
    let body = async |tx: wholly::Transaction| {
        match tx.call(stock, lock(11)).await {
            Err(error) if error.is_refused("out_of_stock") => tx.call(points, lock(4)).await?,
            other => panic!("{other:?}"),
        };
        match tx.local(orders, lock(11)).await {
            Err(error) if error.is_refused("out_of_stock") => Ok(()),
            other => panic!("{other:?}"),
        }
    };
    check(&world, body, "10/0/0 6/0/4 10/0/0").await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_of_a_try_is_no_failure() {
    let world = World::new().await;
    world.network.lose_answer_of("try");
    let World { stock, .. } = &world;
    let body = async |tx: wholly::Transaction| {
        assert_eq!(tx.call(stock, lock(2)).await?.warehouse, 7);
        Ok(())
    };
    check(&world, body, "8/0/2 10/0/0 10/0/0").await.unwrap();
    world.network.came("try", 2).await;
}

#[tokio::test]
async fn a_dropped_call_makes_the_commit_an_abort() {
    let world = World::new().await;
    let World { stock, points, network, .. } = &world;
    let body = async |tx: wholly::Transaction| {
        tx.call(points, lock(3)).await?;
        network.hold("try");
        tokio::select! {
            _ = tx.call(stock, lock(2)) => panic!("it is held"),
            () = network.came("try", 2) => {}
        }
        network.open();
        Ok(())
    };
    let error = check(&world, body, "10/0/0 10/0/0 10/0/0").await.unwrap_err();
    assert!(matches!(error, Error::Aborted { cause: Cause::Unknown, .. }), "{error:?}");
    assert_eq!(error.reason::<Unsettled>().unwrap().branch.as_str(), "stock.lock-2");
}

#[tokio::test]
async fn a_dropped_scope_releases_what_was_locked() {
    let world = World::new().await;
    let World { wholly, stock, network, .. } = &world;
    let run = wholly.transaction("n").gid("order-1").run(async |tx| -> Result<(), BoxError> {
        tx.call(stock, lock(2)).await?;
        network.hold("try");
        tx.call(stock, lock(3)).await?;
        Ok(())
    });
    tokio::select! {
        said = run => panic!("{said:?}"),
        () = network.came("try", 2) => {}
    }
    network.open();
    let ended = wholly.find("order-1").ended().await.unwrap();
    assert_eq!((ended.decision, ended.outcome), (Decision::Abort, Outcome::AsDecided));
    assert_eq!(world.books().await, "10/0/0 10/0/0 10/0/0");
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_aborted_whatever_it_says() {
    let world = World::new().await;
    let World { wholly, stock, .. } = &world;
    let run = wholly.transaction("n").gid("order-1").timeout(Duration::from_millis(300));
    let said = run.run(async |tx| {
        tx.call(stock, lock(2)).await?;
        wholly.find("order-1").decided().await?;
        let late = tx.call(stock, lock(2)).await.unwrap_err();
        assert!(matches!(late, Error::Aborted { .. } | Error::NoAnswer { .. }), "{late:?}");
        Ok(())
    });
    let error = said.await.unwrap_err();
    assert!(error.is_aborted(), "{error:?}");
    wholly.find("order-1").ended().await.unwrap();
    assert_eq!(world.books().await, "10/0/0 10/0/0 10/0/0");
}

#[tokio::test]
async fn a_gid_is_used_once() {
    let world = World::new().await;
    let World { wholly, stock, .. } = &world;
    for attempt in 1..=2 {
        let run = wholly.transaction("place-order").gid("order-4711").wait(Wait::Ended);
        let said = run.run(async |tx| Ok(tx.call(stock, lock(2)).await.map(drop)?)).await;
        match (attempt, said) {
            (1, Ok(())) => {}
            (2, Err(Error::AlreadyUsed { gid })) => assert_eq!(gid.as_str(), "order-4711"),
            (attempt, said) => panic!("{attempt}: {said:?}"),
        }
    }
    assert!(wholly.find("order-4711").ended().await.unwrap().is_committed());
    assert_eq!(world.books().await, "8/0/2 10/0/0 10/0/0");
}

#[tokio::test]
async fn a_gid_nobody_knows_and_a_destination_nobody_named() {
    let world = World::new().await;
    let error = world.wholly.find("nowhere").get().await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    let nobody = world.wholly.participant("nobody");
    let body = async |tx: wholly::Transaction| {
        let error = tx.call(&nobody, lock(1)).await.unwrap_err();
        assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
        tx.call(&world.stock, lock(1)).await?;
        Ok(())
    };
    // It was never registered, so it may be survived.
    check(&world, body, "9/0/1 10/0/0 10/0/0").await.unwrap();
}

#[tokio::test]
async fn an_open_transaction_outlives_its_coordinator() {
    let World { wholly, running, witness, stock, points, config, folder, .. } = World::new().await;
    let said = wholly.transaction("n").gid("order-1").wait(Wait::Ended).run(async |tx| {
        tx.call(&stock, lock(2)).await?;
        running.stop().await?;
        let restart = async { Ok::<_, BoxError>(Coordinator::start(config).await?) };
        let call = async { Ok::<_, BoxError>(tx.call(&points, lock(3)).await?) };
        Ok(tokio::try_join!(restart, call)?.0)
    });
    let restarted = said.await.unwrap();
    assert!(wholly.find("order-1").ended().await.unwrap().is_committed());
    restarted.stop().await.unwrap();
    drop((witness, folder));
}

#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error(transparent)]
    Wholly(#[from] Error),
    #[error(transparent)]
    NoOrder(#[from] NoOrder),
}

#[derive(Clone, Copy)]
enum Order {
    Given,
    Missing,
}

#[global_transaction(wholly, "place-order", timeout = "30s", wait = ended)]
async fn place_order(wholly: &Wholly, order: Order) -> Result<u32, AppError> {
    let locked = wholly.participant("stock").call(lock(2)).await?;
    match order {
        Order::Given => Ok(locked.warehouse),
        Order::Missing => Err(NoOrder)?,
    }
}

#[tokio::test]
async fn a_function_is_the_scope() {
    let world = World::new().await;
    let error = place_order(&world.wholly, Order::Missing).await.unwrap_err();
    assert!(matches!(error, AppError::NoOrder(_)), "{error:?}");
    assert_eq!(world.books().await, "10/0/0 10/0/0 10/0/0");
    assert_eq!(place_order(&world.wholly, Order::Given).await.unwrap(), 7);
    assert_eq!(world.books().await, "8/0/2 10/0/0 10/0/0");
}

/// Another service joins over HTTP; what it called is in although the initiator never saw it.
#[tokio::test]
async fn a_service_further_down_is_in() {
    let world = World::new().await;
    let World { wholly, stock, points, .. } = &world;
    let joined = points.clone();
    let handler = async move || match joined.call(lock(3)).await {
        Ok(_) => axum::http::StatusCode::OK,
        Err(_) => axum::http::StatusCode::CONFLICT,
    };
    let service = axum::Router::new()
        .route("/deduct", axum::routing::post(handler))
        .layer(wholly.join_layer());
    let deduct = async || {
        let request = axum::extract::Request::post("http://points/deduct");
        let request = request.body(axum::body::Body::empty()).unwrap();
        let mut client =
            tower_layer::Layer::layer(&wholly.propagate_to(["points"]), service.clone());
        tower_service::Service::call(&mut client, request).await.unwrap().status()
    };
    let body = async |tx: wholly::Transaction| {
        tx.call(stock, lock(2)).await?;
        assert_eq!(deduct().await, 200);
        Ok(())
    };
    check(&world, body, "8/0/2 7/0/3 10/0/0").await.unwrap();
    let body = async |tx: wholly::Transaction| {
        tx.call(stock, lock(2)).await?;
        assert_eq!(deduct().await, 200);
        Err(NoOrder.into())
    };
    check(&world, body, "8/0/2 7/0/3 10/0/0").await.unwrap_err();
    // It was refused further down, and the initiator survives it without knowing.
    let body = async |tx: wholly::Transaction| {
        tx.call(points, lock(6)).await?;
        assert_eq!(deduct().await, 409);
        Ok(())
    };
    check(&world, body, "8/0/2 1/0/9 10/0/0").await.unwrap();
}

/// Gives up on a future after so many polls.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = times;
    std::future::poll_fn(move |cx| match left {
        0 => Poll::Ready(None),
        _ => {
            left -= 1;
            future.as_mut().poll(cx).map(Some)
        }
    })
    .await
}

#[tokio::test]
async fn a_scope_dropped_at_any_await_ends_wholly_or_not_at_all() {
    let world = World::new().await;
    let World { wholly, stock, points, orders, .. } = &world;
    let (mut commits, mut times) = (0, 0);
    loop {
        times += 1;
        let gid = format!("order-{times}");
        let run = wholly.transaction("n").gid(&*gid).timeout(Duration::from_secs(2));
        let run = run.run(async |tx| {
            tx.call(stock, lock(1)).await?;
            tx.local(orders, lock(1)).await?;
            tx.call(points, lock(1)).await?;
            Ok(())
        });
        let said = polled(run, times).await;
        match wholly.find(&gid).ended().await {
            Ok(ended) => {
                assert_eq!(ended.outcome, Outcome::AsDecided, "{times}");
                commits += i64::from(ended.decision == Decision::Commit);
            }
            // Dropped before its begin arrived.
            Err(Error::NotFound { .. }) => {}
            Err(error) => panic!("{times}: {error}"),
        }
        let shelf = format!("{}/0/{commits}", 10 - commits);
        assert_eq!(world.books().await, [&*shelf; 3].join(" "), "{times}: {said:?}");
        match said {
            Some(said) => break said.unwrap(),
            None => assert!(times < 1_000, "it never ends"),
        }
    }
    assert!(times > 4, "{times}");
}
