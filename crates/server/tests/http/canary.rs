//! Canaries, planted in every secret, payload and reply of these tests: none comes out in what is
//! logged, nor in what operators' acts leave in a data folder.

use std::fs;
use std::path::Path;
use wholly_canary::PAYLOAD;

/// The payload of a step, as it stands in a plan.
pub(crate) fn payload(step: usize) -> serde_json::Value {
    serde_json::json!({"n": step, "secret": PAYLOAD})
}

/// Looks at what was logged so far, and at the audit of a data folder.
pub(crate) fn check_kept(data: &Path) {
    wholly_canary::check_log();
    if let Ok(audit) = fs::read_to_string(data.join("audit.log")) {
        wholly_canary::check("the audit", &audit);
    }
}

#[tokio::test]
async fn what_is_logged_is_listened_to() {
    let world = crate::world::World::start().await;
    let before = wholly_canary::heard();
    world.begin("o-1").await;
    assert!(wholly_canary::heard() > before, "a begin is logged at debug");
}
