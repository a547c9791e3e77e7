//! What the coordinator says of itself: version, health, figures, description, codes.

use crate::world::World;
use wholly_wire::problem::TABLE;

#[tokio::test]
async fn it_says_what_it_is() {
    let world = World::start().await;
    let about = world.get("/v1").await.json();
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(about["modes"], serde_json::json!(["tcc", "saga"]));
    assert_eq!(about["limits"]["wait_ms_max"], 30_000);
    assert_eq!(about["limits"]["body_bytes_max"], 1_048_576);
    assert_eq!(world.get("/healthz").await.status, 200);
    assert_eq!(world.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn figures_count_requests_by_their_route() {
    let world = World::start().await;
    world.begin("f-1").await;
    world.get("/v1/transactions/f-1").await;
    world.get("/v1/transactions/nobody").await;
    world.get("/no/such/path").await;
    let figures = world.get("/metrics").await;
    assert!(figures.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        r#"route="/v1/transactions",status="201""#,
        r#"route="/v1/transactions/{gid}",status="200""#,
        r#"route="/v1/transactions/{gid}",status="404""#,
        r#"route="none",status="404""#,
    ] {
        assert!(figures.body.contains(line), "{line} is not in\n{}", figures.body);
    }
    assert!(!figures.body.contains("f-1"), "gids are no labels");
}

#[tokio::test]
async fn it_describes_itself() {
    let world = World::start().await;
    let described = world.get("/v1/openapi.json").await;
    assert_eq!(described.header("content-type"), Some("application/json"));
    assert_eq!(described.json()["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_code_has_a_page() {
    let world = World::start().await;
    for row in TABLE {
        let page = world.get(&format!("/v1/problems/{}", row.code)).await;
        assert_eq!((page.status, page.body), (200, row.to_string()));
    }
}
