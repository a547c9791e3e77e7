//! A coordinator put together: folder, log, driver, way out, way in; started and stopped in order.

use crate::access::Access;
use crate::config::Config;
use crate::descriptors::{self, TooFew};
use crate::egress::{Destinations, Egress, Rule, RuleError};
use crate::folder::{self, FolderError, Identity, LogUse};
use crate::observe::Metrics;
use crate::shell::{EffectTrace, Mailbox, Parts, Shell, Standing, Stopped};
use crate::transport::http::{self, Api};
use crate::transport::{Coordinator as Coordinates, Refused};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use wholly_core::document::Response;
use wholly_core::driver::Driver;
use wholly_core::ids::{Destination, Gid, Position};
use wholly_core::input::{Loaded, Request};
use wholly_core::limits::Limits;
use wholly_core::record::Record;
use wholly_core::time::Timestamp;
use wholly_store::contract::{Filter, Listing, Page, ReadError, Store};
use wholly_store::embedded::{Log, OpenError, Options};
use wholly_wire::capability::CapabilityKey;
use wholly_wire::edge::EdgeRejection;

/// Why a coordinator did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The system lets the process open too few files.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// A destination cannot stand.
    #[error("a destination cannot stand")]
    Destination(#[source] RuleError),
    /// The trace of effects cannot be written.
    #[error("create {} failed", path.display())]
    Trace {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("listen on {listen} failed; is another coordinator running? give another --listen")]
    Listen {
        /// Which address.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Random numbers cannot be drawn.
    #[error("draw a random number failed: {why}")]
    Random {
        /// Why.
        why: String,
    },
    /// What was acknowledged is safe; nothing further could be promised.
    #[error("the coordinator stopped by itself: {why}")]
    Failed {
        /// Why.
        why: Arc<str>,
    },
}

/// A coordinator, by its parts.
pub struct Coordinator {
    shell: Arc<Shell>,
    log: Arc<Log>,
    key: CapabilityKey,
    limits: Limits,
    metrics: Arc<Metrics>,
}

/// A coordinator that accepts requests.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    coordinator: Arc<Coordinator>,
    config: Config,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Coordinator {
    /// Starts a coordinator inside this process. When this returns, it accepts transactions.
    pub async fn start(mut config: Config) -> Result<Running, ServeError> {
        descriptors::fit(&mut config)?;
        let metrics = Arc::<Metrics>::default();
        let egress = egress(&config, &metrics)?;
        // A port that is taken is found out before any file is touched. Who connects early waits.
        let (listener, addr) = bind(config.listen).await?;
        let mailbox = Arc::<Mailbox>::default();
        let (log, loaded, identity) = open(&config, &mailbox).await?;
        // It empties its file, which may be that of the process that has the folder.
        let trace = config.trace_effects.as_deref().map(trace).transpose()?;
        let seed = random()?;
        let driver = Driver::new(config.limits.clone(), identity.origin, seed, loaded);
        let shell = Shell::start(Parts {
            driver,
            store: Arc::clone(&log) as Arc<dyn Store>,
            mailbox,
            egress,
            metrics: Arc::clone(&metrics),
            trace,
        });
        let limits = config.limits.clone();
        let coordinator = Coordinator { shell, log, key: identity.key, limits, metrics };
        coordinator.serve(config, listener, addr).await
    }

    /// Answers once the driver accepts transactions.
    async fn serve(
        self,
        config: Config,
        listener: TcpListener,
        addr: SocketAddr,
    ) -> Result<Running, ServeError> {
        self.shell.limit_destinations();
        let mut standing = self.shell.standing();
        let settled = standing.wait_for(|standing| *standing != Standing::Starting).await;
        if let Standing::Failed(why) = &*settled.expect("the shell holds the sender") {
            return Err(ServeError::Failed { why: Arc::clone(why) });
        }
        let coordinator = Arc::new(self);
        let access = Access::new(addr, &config.hosts);
        let api = Api::new(Arc::clone(&coordinator), access, config.requests.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(http::serve(listener, Arc::new(api), async move {
            // A handle that was dropped stops the listener as one that says so.
            let _ = stopped.await;
        }));
        Ok(Running { addr, coordinator, config, stop, serving })
    }
}

/// Takes the address. What the port is, is known only then.
async fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

fn trace(path: &Path) -> Result<EffectTrace, ServeError> {
    let failed = |source| ServeError::Trace { path: path.to_owned(), source };
    EffectTrace::create(path).map_err(failed)
}

fn egress(config: &Config, metrics: &Arc<Metrics>) -> Result<Arc<Egress>, ServeError> {
    let idle_max = config.limits.destination_calls_max;
    let destinations = Destinations::new(&config.destinations, config.urls(), idle_max)
        .map_err(ServeError::Destination)?;
    Ok(Egress::new(destinations, config.limits.reply_bytes_max, Arc::clone(metrics)))
}

/// Takes the data folder into use. Reading it back may take long, so it is done beside the
/// runtime.
async fn open(
    config: &Config,
    mailbox: &Arc<Mailbox>,
) -> Result<(Arc<Log>, Loaded, Identity), ServeError> {
    let options = Options {
        ended_max: config.log.ended_max,
        log_bytes_max: config.log.log_bytes_max,
        segment_bytes: config.log.segment_bytes,
        salt: random()?,
        ..Options::default()
    };
    let handler = mailbox.handler();
    let data = config.data.clone();
    let opened = tokio::task::spawn_blocking(move || {
        // The log first: it sees to it that no other process has this folder.
        let (log, loaded) = Log::open(&data, options, handler)?;
        // The first record is written only after both files are.
        let log_use = match loaded.position {
            Position(0) => LogUse::Fresh,
            Position(_) => LogUse::Used,
        };
        let identity = folder::identity(&data, log_use)?;
        Ok((Arc::new(log), loaded, identity))
    });
    opened.await.expect("opening the folder does not panic")
}

fn random() -> Result<u64, ServeError> {
    getrandom::u64().map_err(|error| ServeError::Random { why: error.to_string() })
}

impl Running {
    /// What the start says to people.
    pub fn greeting(&self) -> String {
        let mut text =
            format!("listening on http://{}, data in {}", self.addr, self.config.data.display());
        if self.config.dev {
            text.push_str(
                "; --dev: every loopback URL may be called and nothing is signed, for a \
                 developer's machine only",
            );
        }
        if !self.addr.ip().is_loopback() {
            text.push_str(
                "; --insecure: clients are not authenticated, whoever reaches this address can \
                 decide transactions",
            );
        }
        text
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Resolves when the coordinator must stop by itself, with the reason.
    pub async fn failed(&self) -> Arc<str> {
        let mut standing = self.coordinator.shell.standing();
        loop {
            if let Standing::Failed(why) = &*standing.borrow_and_update() {
                return Arc::clone(why);
            }
            changed(&mut standing).await;
        }
    }

    /// The parts, for tests and benchmarks inside this process.
    pub fn coordinator(&self) -> &Arc<Coordinator> {
        &self.coordinator
    }

    /// Calls these destinations from here on, as the configuration of the start otherwise says.
    pub fn replace_destinations(&self, rules: &BTreeMap<String, Rule>) -> Result<(), ServeError> {
        let idle_max = self.config.limits.destination_calls_max;
        let destinations = Destinations::new(rules, self.config.urls(), idle_max)
            .map_err(ServeError::Destination)?;
        self.coordinator.shell.egress().replace(destinations);
        self.coordinator.shell.limit_destinations();
        Ok(())
    }

    /// Stops in good order: takes no new transactions, lets the requests at hand end within
    /// `requests.stop_ms_max`, makes durable what was queued. What is open goes on at the next
    /// start.
    pub async fn stop(self) -> Result<(), ServeError> {
        self.coordinator.shell.drain();
        // The other end is gone only if serving has ended already.
        let _ = self.stop.send(());
        let _ = self.serving.await;
        self.coordinator.shell.stop();
        let log = Arc::clone(&self.coordinator.log);
        // On a thread of its own: those of the runtime may all be waiting for something slow.
        let (done, stopped) = oneshot::channel();
        let stopping = std::thread::Builder::new().name("wholly-stop".to_owned()).spawn({
            let log = Arc::clone(&log);
            move || {
                log.stop();
                // Whoever waited for it may be gone.
                let _ = done.send(());
            }
        });
        match stopping {
            Ok(_thread) => stopped.await.expect("stopping the log does not panic"),
            Err(_no_thread) => log.stop(),
        }
        match &*self.coordinator.shell.standing().borrow() {
            Standing::Failed(why) => Err(ServeError::Failed { why: Arc::clone(why) }),
            Standing::Starting | Standing::Ready | Standing::Stopped => Ok(()),
        }
    }

    /// Stops at once, as a process that dies: nothing leaves any more.
    pub fn abandon(self) {
        self.serving.abort();
        self.coordinator.shell.stop();
    }
}

async fn changed(standing: &mut watch::Receiver<Standing>) {
    if standing.changed().await.is_err() {
        // The shell is gone without having failed.
        std::future::pending::<()>().await;
    }
}

impl Coordinator {
    /// How the driver stands, for tests and benchmarks inside this process.
    pub fn shell(&self) -> &Arc<Shell> {
        &self.shell
    }

    /// Runs a read of the store beside the runtime: it may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Log) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refused> {
        let log = Arc::clone(&self.log);
        match tokio::task::spawn_blocking(move || read(&log)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                tracing::error!(%error, "reading back from the log failed");
                Err(EdgeRejection::Internal.into())
            }
            Err(error) => {
                tracing::error!(%error, "reading back from the log broke off");
                Err(EdgeRejection::Internal.into())
            }
        }
    }
}

impl Coordinates for Coordinator {
    async fn request(&self, request: Request) -> Result<Response, Refused> {
        match self.shell.ask(request).await {
            Ok(reply) => reply.map_err(Refused::from),
            Err(Stopped) => Err(EdgeRejection::Unavailable.into()),
        }
    }

    async fn history(&self, gid: &Gid) -> Result<Vec<Record>, Refused> {
        let gid = gid.clone();
        self.read(move |log| log.history(&gid)).await
    }

    async fn list(&self, filter: Filter, page: Page) -> Result<Listing, Refused> {
        self.read(move |log| Ok(log.list(&filter, &page))).await
    }

    fn capability_key(&self) -> &CapabilityKey {
        &self.key
    }

    fn knows_destination(&self, destination: &Destination) -> bool {
        self.shell.egress().check(destination).is_ok()
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn now(&self) -> Timestamp {
        self.shell.now().wall
    }

    fn is_ready(&self) -> bool {
        self.shell.is_ready()
    }

    fn metrics_text(&self) -> String {
        self.metrics.text(&self.shell.gauges(), &self.log.stats())
    }

    fn requested(&self, route: &'static str, status: u16) {
        self.metrics.requested(route, status);
    }
}
