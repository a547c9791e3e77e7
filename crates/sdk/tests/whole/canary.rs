//! Canaries: what goes through a whole shop comes out of nothing that a coordinator shows to all.
//! Every secret, payload and reply of these tests is one.

use crate::world::{Lock, LockNow, World, secret_of};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wholly::Wait;
use wholly_wire::base64;

/// What one hears, which the witness looks at on its way.
async fn get(world: &World, who: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(world.witness.addr).await.unwrap();
    let shown = base64::padded(format!("{who}:{}", secret_of(who)).as_bytes());
    let headers = format!("host: localhost\r\nconnection: close\r\nauthorization: Basic {shown}");
    let request = format!("GET {target} HTTP/1.1\r\n{headers}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    heard
}

#[tokio::test]
async fn figures_lists_and_histories_are_silent() {
    let world = World::known().await;
    let before = wholly_canary::heard();
    let run = world.wholly.transaction("place-order").gid("o-1").wait(Wait::Ended);
    let placed = run.run(async |tx| {
        tx.call(&world.stock, Lock { quantity: 2 }).await?;
        tx.local(&world.orders, Lock { quantity: 1 }).await?;
        Ok(())
    });
    placed.await.unwrap();
    let saga = world.wholly.saga("place-order").gid("o-2");
    let saga = saga.step("stock", &world.stock, LockNow { quantity: 1 });
    let saga = saga.step("points", &world.points, LockNow { quantity: 100 }).after(["stock"]);
    assert!(!saga.submit().await.unwrap().ended().await.unwrap().is_committed());
    for (who, target, expected) in [
        ("prometheus", "/metrics", "wholly_"),
        ("anna", "/v1/status", "version"),
        ("anna", "/v1/transactions", "items"),
        ("anna", "/v1/transactions/o-1", wholly_canary::REPLY),
        ("anna", "/v1/transactions/o-1/history", "stock.lock"),
        ("anna", "/v1/transactions/o-2/history", "out_of_stock"),
    ] {
        let heard = get(&world, who, target).await;
        let said = heard.starts_with("HTTP/1.1 200 ") && heard.contains(expected);
        assert!(said, "{target}: {heard}, without {expected}");
    }
    assert!(wholly_canary::heard() > before, "a begin is logged");
}
