//! Everybody known and every call signed: the books balance as ever, and a stranger moves nothing.

use crate::world::{Lock, LockNow, World};
use wholly::{Error, Outcome, Wholly};
use wholly_canary::NEXT;

#[tokio::test]
async fn with_credentials_everything_goes_as_without() {
    let world = World::known().await;
    let placed =
        world.wholly.transaction("place-order").wait(wholly::Wait::Ended).run(async |tx| {
            tx.call(&world.stock, Lock { quantity: 2 }).await?;
            tx.call(&world.points, Lock { quantity: 3 }).await?;
            tx.local(&world.orders, Lock { quantity: 1 }).await?;
            Ok(())
        });
    placed.await.unwrap();
    assert_eq!(world.books().await, "8/0/2 7/0/3 9/0/1");
    let saga = world
        .wholly
        .saga("place-order")
        .gid("order-2")
        .step("stock", &world.stock, LockNow { quantity: 1 })
        .step("points", &world.points, LockNow { quantity: 100 })
        .after(["stock"]);
    let ended = saga.submit().await.unwrap().ended().await.unwrap();
    assert_eq!(ended.outcome, Outcome::AsDecided);
    assert_eq!(world.books().await, "8/0/2 7/0/3 9/0/1", "what was refused was undone");
}

#[tokio::test]
async fn a_client_that_is_not_known_hears_so() {
    let world = World::known().await;
    let url = world.witness.url();
    let stranger = Wholly::new(&url).unwrap().credential("orders", NEXT).unwrap();
    let check = async |client: Wholly, code: &str| {
        let begun = client.transaction("place-order").run(async |_| Ok(())).await;
        let said = begun.unwrap_err();
        assert!(!matches!(said, Error::Unknown { .. }), "{said}");
        assert!(said.to_string().contains(code), "{said}");
        wholly_canary::check_error(&said);
    };
    check(Wholly::new(&url).unwrap(), "credential_missing").await;
    check(stranger.clone(), "credential_wrong").await;
}

#[tokio::test]
async fn a_service_that_has_another_secret_is_not_moved() {
    let world = World::known().await;
    let mut config = world.config.clone();
    let other = world.config.credentials["points"].credential.secrets().clone();
    let credential = wholly_wire::credential::Credential::new("stock", other).unwrap();
    config.credentials.get_mut("stock").unwrap().credential = credential;
    world.running.reload(&config).unwrap();
    let saga = world.wholly.saga("place-order").gid("order-3");
    let saga = saga.step("stock", &world.stock, LockNow { quantity: 1 });
    let submitted = saga.submit().await.unwrap();
    world.network.came("action", 3).await;
    assert_eq!(world.books().await, "10/0/0 10/0/0 10/0/0", "asked again, and never believed");
    world.running.reload(&world.config).unwrap();
    assert_eq!(submitted.ended().await.unwrap().outcome, Outcome::AsDecided);
    assert_eq!(world.books().await, "9/0/1 10/0/0 10/0/0");
}
