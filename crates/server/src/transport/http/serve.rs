//! Accepts connections and serves them until it is told to stop.

use super::super::Coordinator;
use super::Api;
use super::entrance::Entering;
use super::guests::{Guest, Guests, NoRoom, Peer};
use super::stalled::Stalled;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
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
/// How many connections at once, of peers that have as many as they may, are told why they are
/// turned away; further ones are closed without a word.
pub const TURNED_AWAY_MAX: usize = 32;
/// How many connections at once wait for room, or are told that there is none; further ones are
/// closed without a word. Who is of one peer too many has no place among them.
pub const PORCH_MAX: usize = 64;
/// How long one of them may take to ask something and to hear that.
const TURN_AWAY_MAX: Duration = Duration::from_secs(2);

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
                // Nothing here waits: whoever comes next is heard.
                match desk.welcome(&guests, from) {
                    None => desk.turn_away(stream),
                    Some(mut guest) => match guest.takes_room() {
                        true => desk.serve(stream, guest),
                        false => desk.let_wait(stream, guest),
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
    house: Arc<House<C>>,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
    turning_away: Arc<Semaphore>,
    porch: Arc<Semaphore>,
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
            house: Arc::new(House { api, http }),
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
            turning_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            porch: Arc::new(Semaphore::new(PORCH_MAX)),
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
                let max = self.house.api.limits.peer_connections_max;
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
        let (house, watcher) = (Arc::clone(&self.house), self.graceful.watcher());
        self.connections.spawn(async move { house.serve(stream, guest, watcher).await });
    }

    /// Says why, whatever is asked, where that does not take long.
    fn turn_away(&mut self, stream: TcpStream) {
        let Ok(turn) = Arc::clone(&self.turning_away).try_acquire_owned() else { return };
        let house = Arc::clone(&self.house);
        self.connections.spawn(async move { house.turn_away(stream, NoRoom::Peer, turn).await });
    }

    /// Serves it if there is room soon, and says that there is none if not.
    fn let_wait(&mut self, stream: TcpStream, mut guest: Guest) {
        let Ok(turn) = Arc::clone(&self.porch).try_acquire_owned() else { return };
        let (house, watcher) = (Arc::clone(&self.house), self.graceful.watcher());
        self.connections.spawn(async move {
            match guest.find_room().await {
                Ok(()) => {
                    drop(turn);
                    house.serve(stream, guest, watcher).await;
                }
                Err(why) => {
                    // Its peer has one connection less that is inside or might be.
                    drop((guest, watcher));
                    house.turn_away(stream, why, turn).await;
                }
            }
        });
    }

    /// Lets the requests at hand end, and closes what is left.
    async fn close(mut self) {
        let time = Duration::from_millis(self.house.api.limits.stop_ms_max);
        if tokio::time::timeout(time, self.graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still waiting when the server stopped");
        }
        self.connections.shutdown().await;
    }
}

/// What a connection is served from.
struct House<C> {
    api: Arc<Api<C>>,
    http: http1::Builder,
}

impl<C: Coordinator> House<C> {
    async fn serve(&self, stream: TcpStream, guest: Guest, watcher: Watcher) {
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
        // The connection first: what came meanwhile is served, and then it stays.
        tokio::select! {
            biased;
            ended = watcher.watch(connection) => if let Err(error) = ended {
                tracing::debug!(%error, "a client's connection broke off");
            },
            () = guest.asked_to_leave() => {
                tracing::debug!("an idle connection was closed to make room for another");
            }
        }
    }

    /// Hears what is asked, says why that is not served, and closes.
    async fn turn_away(&self, stream: TcpStream, why: NoRoom, turn: OwnedSemaphorePermit) {
        let api = Arc::clone(&self.api);
        let service = service_fn(move |request| {
            let answer = api.turn_away(why, &request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let stream = prepared(&self.api, stream, Arc::default());
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        // Whether it was heard is no matter of ours.
        let _ = tokio::time::timeout(TURN_AWAY_MAX, connection).await;
        drop(turn);
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
