//! A coordinator put together: folder, log, driver, way out, way in; started and stopped in order.

mod asked;
mod calling;
mod greeting;
mod rows;

pub use rows::Said;
pub(crate) use rows::branches;

use crate::access::Access;
use crate::audit::Audit;
use crate::clocks::{now, stopwatch};
use crate::config::Config;
use crate::descriptors::{self, TooFew};
use crate::disk;
use crate::egress::{Destinations, Rule, RuleError};
use crate::folder::{self, FolderError, Identity, LogUse};
use crate::keyring::Keyring;
use crate::observe::Metrics;
use crate::orders::{OrderBook, Orders};
use crate::shell::{EffectTrace, Mailbox, Parts, Shell, Standing};
use crate::spans::{Exporter, Flushing};
use crate::transport::http::{self, Api, Entrance, EntranceError};
use calling::{destinations, egress};
use greeting::Clients;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use wholly_core::document::Pause;
use wholly_core::driver::Driver;
use wholly_core::ids::{Origin, Position};
use wholly_core::input::Loaded;
use wholly_core::limits::Limits;
use wholly_core::time::Timestamp;
use wholly_store::archive::ArchiveLimits;
use wholly_store::contract::{OnCompletion, Store};
use wholly_store::embedded::{ArchiveUse, Log, OpenError, Options};
use wholly_store::memory::{self, Memory};
use wholly_tls::TlsError;
use wholly_wire::capability::{CapabilityKey, KEY_BYTES};

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
    /// The files of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The files of TLS that were read again are not gone by.
    #[error(transparent)]
    Entrance(#[from] EntranceError),
    /// A destination cannot stand.
    #[error("a destination cannot stand")]
    Destination(#[source] RuleError),
    /// The collector of spans has no address that is called.
    #[error("the collector's URL (tracing.otlp) {why}")]
    Collector {
        /// What is wrong with it.
        why: String,
    },
    /// The configuration that was read again knows nobody, where the one before knew somebody.
    #[error(
        "it names no credential, and this coordinator was started with some; stop it and start it \
         again to let everybody in"
    )]
    NobodyKnown,
    /// More destinations rest than may, and none is called because of that.
    #[error(
        "{paused} destinations rest, and calls.destinations_max is {max}; start with a higher one, \
         and resume some"
    )]
    Paused {
        /// How many.
        paused: usize,
        /// How many may.
        max: usize,
    },
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
    store: Arc<dyn Store>,
    key: CapabilityKey,
    /// None in memory.
    on_disk: Option<OnDisk>,
    orders: Arc<OrderBook>,
    origin: Origin,
    started: Timestamp,
    /// What log and archive may take.
    disk_max: (u64, u64),
    /// Where clients come in.
    entrance: Arc<Entrance>,
    /// Places for those who are asked for their rows.
    asking: Arc<Semaphore>,
    limits: Limits,
    metrics: Arc<Metrics>,
}

/// What a coordinator has besides, that keeps its records on a disk.
struct OnDisk {
    folder: PathBuf,
    audit: Arc<Audit>,
}

/// A coordinator that accepts requests.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    coordinator: Arc<Coordinator>,
    access: Access,
    entrance: Arc<Entrance>,
    config: Config,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    /// None where nothing is traced.
    exporting: Option<Flushing>,
}

impl Coordinator {
    /// Starts a coordinator inside this process. When this returns, it accepts transactions.
    pub async fn start(config: Config) -> Result<Running, ServeError> {
        Coordinator::start_on(config, open_log).await
    }

    /// The same on a store in memory, for tests: no file is touched, and all it knows is gone
    /// with it. Of what the configuration says of folder and log only `log.ended_max` counts.
    pub async fn start_in_memory(config: Config) -> Result<Running, ServeError> {
        Coordinator::start_on(config, open_memory).await
    }

    async fn start_on(mut config: Config, open: Open) -> Result<Running, ServeError> {
        descriptors::fit(&mut config)?;
        let metrics = Arc::<Metrics>::default();
        metrics.show_limits(&config);
        let (spans, exporter) = Exporter::new(&config.tracing, &metrics)
            .map_err(|why| ServeError::Collector { why: why.to_string() })?;
        let egress = egress(&config, &metrics, spans)?;
        let entrance = Entrance::open(config.listening().as_ref())?;
        // A port that is taken is found out before any file is touched. Who connects early waits.
        let (listener, addr) = bind(config.listen).await?;
        let mailbox = Arc::<Mailbox>::default();
        let Opened { store, loaded, identity, on_disk, orders } =
            opened(open, &config, mailbox.handler()).await?;
        // It empties its file, which may be that of the process that has the folder.
        let trace = config.trace_effects.as_deref().map(trace).transpose()?;
        let seed = random()?;
        let restored = loaded.restored.is_some();
        let exporting = exporter.map(|exporter| exporter.start(&identity.origin));
        let mut driver = Driver::new(config.limits.clone(), identity.origin.clone(), seed, loaded);
        let paused_max = config.limits.destinations_max;
        obey_again(&mut driver, &orders, paused_max)?;
        let folder = on_disk.as_ref().map(|on_disk| on_disk.folder.as_path());
        let orders = Arc::new(OrderBook::new(folder, orders, paused_max));
        let shell = Shell::start(Parts {
            driver,
            store: Arc::clone(&store),
            mailbox: Arc::clone(&mailbox),
            egress,
            metrics: Arc::clone(&metrics),
            trace,
        });
        if let Some(OnDisk { folder, .. }) = &on_disk {
            let place = (folder.clone(), config.log.disk_free_bytes_min);
            tokio::spawn(disk::watch(place, mailbox, Arc::downgrade(&shell)));
        }
        let limits = config.limits.clone();
        let coordinator = Coordinator {
            shell,
            store,
            key: identity.key,
            on_disk,
            orders,
            origin: identity.origin,
            started: now(),
            disk_max: (config.log.log_bytes_max, config.archive.archive_bytes_max),
            entrance: Arc::clone(&entrance),
            asking: Arc::new(Semaphore::new(rows::ASKED_MAX)),
            limits,
            metrics,
        };
        coordinator.ready().await?;
        if restored {
            coordinator.says_it_was_restored(&config)?;
        }
        Ok(coordinator.serve(config, (listener, addr), entrance, exporting))
    }

    /// Waits until the driver accepts transactions.
    async fn ready(&self) -> Result<(), ServeError> {
        self.shell.limit_destinations();
        let mut standing = self.shell.standing();
        let settled = standing.wait_for(|standing| *standing != Standing::Starting).await;
        match &*settled.expect("the shell holds the sender") {
            Standing::Failed(why) => Err(ServeError::Failed { why: Arc::clone(why) }),
            Standing::Starting | Standing::Ready | Standing::Stopped => Ok(()),
        }
    }

    /// The log says durably that it was restored, so the folder need not. Done before anything is
    /// begun, which a start that finds the folder's mark would hold as well.
    fn says_it_was_restored(&self, config: &Config) -> Result<(), ServeError> {
        folder::forget_restored(&config.data)?;
        let gauges = self.shell.gauges();
        let undecided = gauges.open + gauges.forward;
        tracing::warn!(
            undecided,
            "the data folder is an older copy: what was undecided in it is decided by the \
             participants' rows or by an operator, and what was begun since is unknown"
        );
        Ok(())
    }

    /// Answers from here on.
    fn serve(
        self,
        config: Config,
        (listener, addr): (TcpListener, SocketAddr),
        entrance: Arc<Entrance>,
        exporting: Option<Flushing>,
    ) -> Running {
        let coordinator = Arc::new(self);
        let access = Access::new(addr, &config.hosts, config.keyring());
        let (asked, limits) = (Arc::clone(&coordinator), config.requests.clone());
        let api = Api::new(asked, access.clone(), limits, Arc::clone(&entrance));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(http::serve(listener, Arc::new(api), async move {
            // A handle that was dropped stops the listener as one that says so.
            let _ = stopped.await;
        }));
        Running { addr, coordinator, access, entrance, config, stop, serving, exporting }
    }
}

/// What operators ordered before holds from the first call on.
fn obey_again(driver: &mut Driver, orders: &Orders, max: usize) -> Result<(), ServeError> {
    let paused = orders.paused.len();
    if paused > max {
        return Err(ServeError::Paused { paused, max });
    }
    for (destination, pause) in &orders.paused {
        let Pause { by, reason, .. } = pause;
        tracing::warn!(%destination, %by, reason = reason.as_str(), "a destination rests");
        let has_room = driver.pause(destination, pause.clone());
        assert!(has_room, "there are as many as may be, or fewer");
    }
    if let Some(Pause { by, reason, .. }) = &orders.drained {
        let reason = reason.as_str();
        tracing::warn!(%by, reason, "nothing may begin before `wholly drain --cancel`");
        driver.close_intake();
    }
    Ok(())
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

/// How a store is opened.
type Open = fn(&Config, OnCompletion) -> Result<Opened, ServeError>;

/// A store with what it knows.
struct Opened {
    store: Arc<dyn Store>,
    loaded: Loaded,
    identity: Identity,
    on_disk: Option<OnDisk>,
    orders: Orders,
}

/// A slice of the archive spans so small a part of the retention time: nothing is kept for much
/// longer than that.
const SLICES_PER_RETENTION: u64 = 14;

/// Reading back may take long, so it is done beside the runtime.
async fn opened(open: Open, config: &Config, handler: OnCompletion) -> Result<Opened, ServeError> {
    let config = config.clone();
    let opened = tokio::task::spawn_blocking(move || open(&config, handler));
    opened.await.expect("opening the store does not panic")
}

/// Takes the data folder into use.
fn open_log(config: &Config, handler: OnCompletion) -> Result<Opened, ServeError> {
    folder::refuse_backup(&config.data)?;
    let options = Options {
        restored: folder::restored(&config.data, now())?,
        log_bytes_max: config.log.log_bytes_max,
        segment_bytes: config.log.segment_bytes,
        log_per_open: config.log.log_per_open,
        salt: random()?,
        stopwatch,
        ..Options::default()
    };
    let limits = ArchiveLimits {
        archive_bytes_max: config.archive.archive_bytes_max,
        slice_rows_max: config.archive.slice_rows_max,
        slice_ms_max: config.limits.retention_ms / SLICES_PER_RETENTION,
        bulk_rows_max: config.archive.bulk_rows_max,
    };
    // The log first: it sees to it that no other process has this folder.
    let (log, loaded) =
        Log::open(&config.data, options, Some(ArchiveUse::sqlite(limits)), handler)?;
    // The first record is written only after both files are.
    let log_use = match loaded.position {
        Position(0) => LogUse::Fresh,
        Position(_) => LogUse::Used,
    };
    let identity = folder::identity(&config.data, log_use)?;
    let audit = Arc::new(Audit::open(&config.data)?);
    let orders = Orders::read(&config.data)?;
    let on_disk = Some(OnDisk { folder: config.data.clone(), audit });
    Ok(Opened { store: Arc::new(log), loaded, identity, on_disk, orders })
}

/// Nothing to read back, and nothing to keep a name and a key for.
fn open_memory(config: &Config, handler: OnCompletion) -> Result<Opened, ServeError> {
    let options = memory::Options { ended_max: config.log.ended_max };
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(no_chance)?;
    let origin = Origin::new(&format!("{:016x}", random()?));
    let identity =
        Identity { key: CapabilityKey::new(key), origin: origin.expect("hex digits are a name") };
    Ok(Opened {
        store: Arc::new(Memory::new(&options, handler)),
        loaded: Loaded::default(),
        identity,
        on_disk: None,
        orders: Orders::default(),
    })
}

fn random() -> Result<u64, ServeError> {
    getrandom::u64().map_err(no_chance)
}

fn no_chance(error: getrandom::Error) -> ServeError {
    ServeError::Random { why: error.to_string() }
}

impl Running {
    /// What the start says to people.
    pub fn greeting(&self) -> String {
        let clients = match self.access.keyring().is_empty() {
            true => Clients::Anonymous,
            false => Clients::Known,
        };
        let place = match &self.coordinator.on_disk {
            Some(OnDisk { folder, .. }) => format!("data in {}", folder.display()),
            None => "data in memory".to_owned(),
        };
        greeting::text(&self.config, &self.url(), &place, clients)
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        match self.entrance.is_secured() {
            true => format!("https://{}", self.addr),
            false => format!("http://{}", self.addr),
        }
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

    /// Takes no new transactions from here on, as a stop does first; what is open goes on.
    pub fn drain(&self) {
        self.coordinator.shell.drain();
    }

    /// How many requests wait for a decision or an end.
    pub fn waiters(&self) -> usize {
        self.coordinator.shell.gauges().waiters
    }

    /// What transports may ask, for tests inside this process.
    pub fn coordinator(&self) -> &Arc<Coordinator> {
        &self.coordinator
    }

    /// Calls these destinations from here on, as the configuration of the start otherwise says.
    pub fn replace_destinations(&self, rules: &BTreeMap<String, Rule>) -> Result<(), ServeError> {
        let ca = self.config.tls.ca.as_deref();
        self.call(destinations(&self.config, ca, rules, self.access.keyring())?);
        Ok(())
    }

    /// Calls the destinations and knows the credentials of this configuration from here on, and
    /// shows clients the certificate that its files hold; all else stays as the start was told.
    /// Where clients are known they stay so: one that lost its credentials opens nothing.
    pub fn reload(&self, config: &Config) -> Result<(), ServeError> {
        let keyring = match self.config.dev {
            true => Keyring::default(),
            false => Keyring::new(config.credentials.values()),
        };
        if keyring.is_empty() && !self.access.keyring().is_empty() {
            return Err(ServeError::NobodyKnown);
        }
        let ca = config.tls.ca.as_deref();
        let destinations = destinations(&self.config, ca, &config.destinations, keyring.clone())?;
        self.entrance.reload(config.listening().as_ref())?;
        self.access.replace(keyring);
        self.call(destinations);
        Ok(())
    }

    fn call(&self, destinations: Destinations) {
        self.coordinator.shell.egress().replace(destinations);
        self.coordinator.shell.limit_destinations();
    }

    /// Stops in good order: takes no new transactions, lets the requests at hand end within
    /// `requests.stop_ms_max`, makes durable what was queued. What is open goes on at the next
    /// start.
    pub async fn stop(self) -> Result<(), ServeError> {
        self.drain();
        // The other end is gone only if serving has ended already.
        let _ = self.stop.send(());
        let _ = self.serving.await;
        self.coordinator.shell.stop();
        let store = Arc::clone(&self.coordinator.store);
        // On a thread of its own: those of the runtime may all be waiting for something slow.
        let (done, stopped) = oneshot::channel();
        let stopping = std::thread::Builder::new().name("wholly-stop".to_owned()).spawn({
            let store = Arc::clone(&store);
            move || {
                store.stop();
                // The folder is free once nobody holds the store, and whoever waits counts on it.
                drop(store);
                // Whoever waited for it may be gone.
                let _ = done.send(());
            }
        });
        match stopping {
            Ok(_thread) => stopped.await.expect("stopping the store does not panic"),
            Err(_no_thread) => store.stop(),
        }
        if let Some(exporting) = self.exporting {
            exporting.flush().await;
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
