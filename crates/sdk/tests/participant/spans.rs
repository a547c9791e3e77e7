//! What is logged while a handler runs says of which branch it is.

use crate::asking::{Ask, send};
use crate::handlers::{Gate, Lock, Stock};
use crate::world::{Bed, Isolation};
use std::io;
use std::sync::{Arc, Mutex};
use tracing_subscriber::layer::SubscriberExt as _;
use wholly::Service;
use wholly_core::branch::Op;
use wholly_wire::credential::{Credential, Secrets};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn whoever_believes_everybody_is_warned() {
    let world = <sqlx::Sqlite as Bed>::make(Isolation::Default, 1).await;
    let stock = Stock::<sqlx::Sqlite>::new(&Gate::closed());
    let service = Service::new("stock", world.pool.clone()).tcc::<Lock>(stock);
    let secrets = Secrets::parse(wholly_canary::SECRET).unwrap();
    let credential = Credential::new("stock", secrets).unwrap();
    for (asks_for_signatures, warned) in [(false, 1), (true, 0)] {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let layers = tracing_subscriber::registry().with(layer);
        let _subscribed = tracing::subscriber::set_default(layers);
        let offered: axum::Router = match asks_for_signatures {
            true => wholly::participant::router::believing(&credential, [&service]),
            false => wholly::participant::router([&service]),
        };
        drop(offered);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        wholly_canary::check("the log", &text);
        assert_eq!(text.matches("whoever reaches these services").count(), warned, "{text}");
    }
}

#[tokio::test]
async fn a_handler_runs_in_the_span_of_its_branch() {
    let lines = Lines::default();
    let writer = lines.clone();
    let layer = tracing_subscriber::fmt::layer().json().with_writer(move || writer.clone());
    // Of this thread, on which the runtime of this test runs all its tasks.
    let _subscribed = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let world = <sqlx::Sqlite as Bed>::make(Isolation::Default, 2).await;
    let stock = Stock::<sqlx::Sqlite>::new(&Gate::closed());
    let service = Service::new("stock", world.pool.clone()).tcc::<Lock>(stock);
    let router = wholly::participant::router([&service]);
    let mut request = Ask::new("stock.lock", Op::Try, "spanned", "fail").request();
    request.headers_mut().insert("traceparent", PARENT.parse().unwrap());
    send(&router, request).await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    wholly_canary::check("the log", &text);
    let failed = text.lines().find(|line| line.contains("a handler failed")).unwrap();
    let event: serde_json::Value = serde_json::from_str(failed).unwrap();
    let span = &event["span"];
    let of = |name: &str| span[name].as_str().unwrap_or_default();
    let seen = ["name", "service", "gid", "branch", "operation", "op", "trace"].map(of);
    let expected = ["branch", "stock", "spanned", "stock", "stock.lock", "try", PARENT];
    assert_eq!(seen, expected, "{failed}");
}
