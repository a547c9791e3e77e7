//! Look-ups of names: for each destination one at a time, over all a few, and what was found is
//! used again for a moment.
//!
//! A look-up holds a thread until the resolver answers, however long ago whoever asked gave up.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use tokio::time::Instant;

/// Look-ups under way, over all destinations.
const LOOKUPS_MAX: usize = 16;
/// How long what was found is used again.
const FRESH_FOR: Duration = Duration::from_secs(1);

static LOOKUPS: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// What the resolver said last, kept so that it can be said again.
type Found = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;

/// What a resolver found, once it has.
pub(super) type Finding = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Who knows the addresses of names.
pub(super) trait Resolver: Send + Sync {
    fn find(&self, name: String, port: u16) -> Finding;
}

/// The system's own resolver.
pub(super) struct System;

impl Resolver for System {
    fn find(&self, name: String, port: u16) -> Finding {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
    }
}

/// The look-ups of one destination's name.
pub(super) struct Names {
    resolver: Arc<dyn Resolver>,
    last: Arc<Mutex<Option<(Instant, Found)>>>,
}

impl Default for Names {
    fn default() -> Self {
        Names::of(&(Arc::new(System) as Arc<dyn Resolver>))
    }
}

impl Names {
    /// Look-ups by this resolver.
    pub(super) fn of(resolver: &Arc<dyn Resolver>) -> Self {
        Names { resolver: Arc::clone(resolver), last: Arc::default() }
    }

    /// What was found is not used again, as after the moment for which it is.
    #[cfg(test)]
    pub(super) async fn forget(&self) {
        *self.last.lock().await = None;
    }

    /// The addresses of a name. Whoever asks while a look-up is under way waits for that one.
    pub(super) async fn look_up(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let last = Arc::clone(&self.last).lock_owned().await;
        let found = match last.as_ref() {
            Some((at, found)) if at.elapsed() < FRESH_FOR => found.clone(),
            Some(_) | None => {
                // In a task of its own: it goes on when whoever asked gives up, and holds its
                // place until the resolver's thread is free.
                let looking = tokio::spawn(look(last, self.resolver.find(name.to_owned(), port)));
                looking.await.map_err(io::Error::other)?
            }
        };
        found.map_err(|(kind, text)| io::Error::new(kind, text))
    }
}

async fn look(mut last: OwnedMutexGuard<Option<(Instant, Found)>>, finding: Finding) -> Found {
    let _place = LOOKUPS.acquire().await.expect("look-ups are never closed");
    let found = finding.await.map_err(|error| (error.kind(), error.to_string()));
    *last = Some((Instant::now(), found.clone()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_found_is_used_again_for_a_moment_and_shared() {
        let names = Names::default();
        let (one, two) = tokio::join!(names.look_up("localhost", 7), names.look_up("localhost", 7));
        assert_eq!(one.unwrap(), two.unwrap());
        let address: SocketAddr = "127.9.9.9:7".parse().unwrap();
        *names.last.lock().await = Some((Instant::now(), Ok(vec![address])));
        assert_eq!(names.look_up("localhost", 7).await.unwrap(), [address]);
        *names.last.lock().await = Some((Instant::now() - FRESH_FOR, Ok(vec![address])));
        assert!(!names.look_up("localhost", 7).await.unwrap().contains(&address));
    }

    #[tokio::test]
    async fn a_look_up_goes_on_when_whoever_asked_gave_up() {
        let names = Names::default();
        {
            let mut asking = std::pin::pin!(names.look_up("localhost", 7));
            let polled = std::future::poll_fn(|context| {
                std::task::Poll::Ready(asking.as_mut().poll(context).is_pending())
            });
            assert!(polled.await, "it is under way");
        }
        let last = names.last.lock().await;
        assert!(last.is_some(), "its result stands when the lock is free");
    }
}
