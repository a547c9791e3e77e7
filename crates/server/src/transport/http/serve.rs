//! Accepts connections and serves them until it is told to stop.

use super::super::Coordinator;
use super::Api;
use super::stalled::Stalled;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Room for a head over its limit, so that it is answered and not cut off.
const HEAD_ROOM_BYTES: usize = 64 * 1_024;
/// How long no connection is accepted after the system refused one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take nothing of its answers before its connection is closed.
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// Whether the system lets connections in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    Refused,
}

/// Serves the API until `stop` resolves; then accepts nothing more, lets the requests at hand end
/// within `stop_ms_max`, and closes what is left.
pub async fn serve<C: Coordinator>(
    listener: TcpListener,
    api: Arc<Api<C>>,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(api.limits.connections_max));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(api.limits.header_ms_max))
        // At most 100 headers: hyper's own bound, which costs no allocation as one of ours would.
        .max_buf_size(api.limits.header_bytes_max + HEAD_ROOM_BYTES);
    let mut stop = pin!(stop);
    let mut door = Door::Open;
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                if door == Door::Refused {
                    door = Door::Open;
                    tracing::info!("connections are accepted again");
                }
                while connections.try_join_next().is_some() {}
                let service_api = Arc::clone(&api);
                let service = service_fn(move |request| {
                    let api = Arc::clone(&service_api);
                    async move { Ok::<_, Infallible>(api.answer(request).await) }
                });
                let stream = Stalled::new(stream, WRITE_STALL_MAX);
                let connection = http.serve_connection(TokioIo::new(stream), service);
                let connection = graceful.watch(connection);
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a client's connection broke off");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                if door == Door::Open {
                    door = Door::Refused;
                    tracing::warn!(%error, "the system refuses to accept connections");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let time = Duration::from_millis(api.limits.stop_ms_max);
    if tokio::time::timeout(time, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still waiting when the server stopped");
    }
    connections.shutdown().await;
}

/// Accepts one connection once there is room for it.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    // Answers are small and complete: none may wait for the acknowledgement of the one before.
    // Where that cannot be said, the client is gone already, and reading will tell.
    let _ = stream.set_nodelay(true);
    Ok((stream, permit))
}
