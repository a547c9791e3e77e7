//! Accepts connections and serves them until it is told to stop.

use super::super::Coordinator;
use super::Api;
use super::entrance::Entering;
use super::guests::{Guest, Guests, Peer, PeerFull};
use super::stalled::Stalled;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Room for a head over its limit, so that it is answered and not cut off.
const HEAD_ROOM_BYTES: usize = 64 * 1_024;
/// How long no connection is accepted after the system refused one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take nothing of its answers before its connection is closed.
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);
/// How many connections at once are told why they are turned away; further ones are closed
/// without a word.
pub const TURNED_AWAY_MAX: usize = 32;
/// How long one of them may take to ask something and to hear that.
const TURN_AWAY_MAX: Duration = Duration::from_secs(5);

/// Whether the system lets connections in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    Refused,
}

/// Serves the API until `stop` resolves; then accepts nothing more, lets the requests at hand end
/// within `stop_ms_max`, and closes what is left.
pub(crate) async fn serve<C: Coordinator>(
    listener: TcpListener,
    api: Arc<Api<C>>,
    stop: impl Future<Output = ()>,
) {
    let limits = &api.limits;
    let guests = Guests::new(limits.connections_max, limits.peer_connections_max);
    let mut desk = Desk::new(Arc::clone(&api));
    let mut stop = pin!(stop);
    let mut door = Door::Open;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                if door == Door::Refused {
                    door = Door::Open;
                    tracing::info!("connections are accepted again");
                }
                while desk.connections.try_join_next().is_some() {}
                let Some(mut guest) = desk.welcome(&guests, from) else {
                    desk.turn_away(stream);
                    continue;
                };
                tokio::select! {
                    biased;
                    () = &mut stop => break,
                    room = guest.find_room() => match room {
                        Ok(()) => desk.serve(stream, guest),
                        Err(PeerFull) => desk.turn_away(stream),
                    },
                }
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
    desk.close().await;
}

/// Whether a peer that was turned away was named in the log already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    No,
    Yes,
}

/// What serves connections.
struct Desk<C> {
    api: Arc<Api<C>>,
    http: http1::Builder,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
    turning_away: Arc<Semaphore>,
    named: Named,
}

impl<C: Coordinator> Desk<C> {
    fn new(api: Arc<Api<C>>) -> Desk<C> {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(api.limits.header_ms_max))
            // At most 100 headers: hyper's own bound, which costs no allocation as one of ours
            // would.
            .max_buf_size(api.limits.header_bytes_max + HEAD_ROOM_BYTES);
        Desk {
            api,
            http,
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
            turning_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            named: Named::No,
        }
    }

    /// Counts one in, unless its peer has as many connections as it may. The first such peer is
    /// named in the log.
    fn welcome(&mut self, guests: &Arc<Guests>, from: SocketAddr) -> Option<Guest> {
        let welcome = guests.welcome(Peer::new(from.ip()));
        match (&welcome, self.named) {
            (Ok(_), _) | (Err(_), Named::Yes) => {}
            (Err(_), Named::No) => {
                self.named = Named::Yes;
                let max = self.api.limits.peer_connections_max;
                tracing::warn!(
                    peer = %from.ip(),
                    max,
                    "this address has as many connections as requests.peer_connections_max \
                     allows; further ones are turned away, and others will not be named"
                );
            }
        }
        welcome.ok()
    }

    fn serve(&mut self, stream: TcpStream, guest: Guest) {
        let guest = Arc::new(guest);
        let (api, served) = (Arc::clone(&self.api), Arc::clone(&guest));
        let service = service_fn(move |request| {
            let (api, guest) = (Arc::clone(&api), Arc::clone(&served));
            async move {
                let _served = guest.served();
                Ok::<_, Infallible>(api.answer(request, guest.share()).await)
            }
        });
        let stream = prepared(&self.api, stream, guest.is_writing());
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        self.connections.spawn(async move {
            // The connection first: what came meanwhile is served, and then it stays.
            tokio::select! {
                biased;
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a client's connection broke off");
                },
                () = guest.asked_to_leave() => {
                    tracing::debug!("an idle connection was closed to make room for another");
                }
            }
        });
    }

    /// Says why, whatever is asked, where that does not take long.
    fn turn_away(&mut self, stream: TcpStream) {
        let Ok(turn) = Arc::clone(&self.turning_away).try_acquire_owned() else { return };
        let api = Arc::clone(&self.api);
        let service = service_fn(move |_request| {
            let answer = api.turn_away();
            async move { Ok::<_, Infallible>(answer) }
        });
        let stream = prepared(&self.api, stream, Arc::default());
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        self.connections.spawn(async move {
            // Whether it was heard is no matter of ours.
            let _ = tokio::time::timeout(TURN_AWAY_MAX, connection).await;
            drop(turn);
        });
    }

    /// Lets the requests at hand end, and closes what is left.
    async fn close(mut self) {
        let time = Duration::from_millis(self.api.limits.stop_ms_max);
        if tokio::time::timeout(time, self.graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still waiting when the server stopped");
        }
        self.connections.shutdown().await;
    }
}

fn prepared<C: Coordinator>(
    api: &Api<C>,
    stream: TcpStream,
    is_writing: Arc<AtomicBool>,
) -> Entering<Stalled<TcpStream>> {
    // Answers are small and complete: none may wait for the acknowledgement of the one before.
    // Where that cannot be said, the client is gone already, and reading will tell.
    let _ = stream.set_nodelay(true);
    api.admit_stream(Stalled::new(stream, WRITE_STALL_MAX, is_writing))
}
