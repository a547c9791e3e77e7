//! What transports may ask of a coordinator, and who carries it out.

use super::rows::{self, Asking, Said};
use super::{Coordinator, OnDisk};
use crate::audit::Act;
use crate::backup;
use crate::observe::{Accepting, CertificateOf, Snapshot, TurnedAway, Upkeep};
use crate::orders::{Order, OrderError, Orders};
use crate::shell::Stopped;
use crate::shell::Weight;
use crate::spans::Spans;
use crate::transport::{Coordinator as Coordinates, Refused, Vitals};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use wholly_core::document::{Response, Standing as Overview};
use wholly_core::ids::{Destination, Gid};
use wholly_core::input::Request;
use wholly_core::limits::Limits;
use wholly_core::record::Record;
use wholly_core::rejection::Rejection;
use wholly_core::time::Timestamp;
use wholly_store::contract::{Filter, Listing, Page, ReadError, Store};
use wholly_wire::capability::CapabilityKey;
use wholly_wire::edge::EdgeRejection;
use wholly_wire::trace::TraceContext;
use wholly_wire::v1::standing::{Backup, Certificate, Disk};
use wholly_wire::v1::time::Time;

impl Coordinator {
    /// None in memory.
    fn folder(&self) -> Option<&Path> {
        self.on_disk.as_ref().map(|on_disk| on_disk.folder.as_path())
    }

    /// Runs a read of the store beside the runtime: it may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refused> {
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || read(store.as_ref())).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                tracing::error!(%error, "reading back from the store failed");
                Err(EdgeRejection::Internal.into())
            }
            Err(error) => {
                tracing::error!(%error, "reading back from the store broke off");
                Err(EdgeRejection::Internal.into())
            }
        }
    }
}

impl Coordinator {
    /// When certificates cease to hold, in seconds since 1970.
    fn certificates(&self) -> Vec<(CertificateOf, u64)> {
        let now_s = self.shell.now().wall.0 / MS_PER_S;
        let all = [
            (CertificateOf::Listener, self.entrance.own().first()),
            (CertificateOf::Clients, self.entrance.clients().next(now_s)),
            (CertificateOf::Destinations, self.shell.egress().authorities().next(now_s)),
        ];
        all.into_iter().filter_map(|(of, expiry)| Some((of, expiry?))).collect()
    }

    /// What an operator must see to in time.
    fn upkeep(&self) -> Upkeep {
        let note = self.folder().and_then(backup::noted);
        let seconds = |time: Time| time.0.0 / MS_PER_S;
        Upkeep {
            disk_bytes: self.folder().and_then(disk_room),
            backup_tried_s: note.as_ref().map(|note| seconds(note.tried)),
            backup_s: note.and_then(|note| note.whole).map(|whole| seconds(whole.asked)),
            certificates: self.certificates(),
        }
    }
}

const MS_PER_S: u64 = 1_000;

/// What a data folder knows of its backups, as it is told.
fn told(note: backup::Note) -> Backup {
    let backup::Note { tried, whole, .. } = note;
    Backup {
        tried,
        asked: whole.as_ref().map(|whole| whole.asked),
        bytes: whole.as_ref().map(|whole| whole.bytes),
        to: whole.map(|whole| whole.to.display().to_string()),
    }
}

/// What is left for this process where a folder lies, and how large that disk is.
fn disk_room(folder: &Path) -> Option<(u64, u64)> {
    let room = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(room.f_frsize);
    Some((bytes(room.f_bavail), bytes(room.f_blocks)))
}

impl Coordinates for Coordinator {
    async fn request(
        &self,
        request: Request,
        trace: Option<TraceContext>,
        weight: Weight,
    ) -> Result<Response, Refused> {
        match self.shell.ask_in(request, trace, weight).await {
            Ok(reply) => reply.map_err(Refused::from),
            Err(Stopped) => Err(EdgeRejection::Unavailable.into()),
        }
    }

    async fn audit(&self, act: Act) -> Result<(), Refused> {
        let Some(OnDisk { audit, .. }) = &self.on_disk else { return Ok(()) };
        let audit = Arc::clone(audit);
        let (now, by) = (self.now(), act.by.clone());
        match tokio::task::spawn_blocking(move || audit.record(now, &act)).await {
            Ok(Ok(chain)) => {
                let (line, hash) = (chain.lines, chain.last);
                tracing::info!(%by, line, hash, "an operator acts");
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "writing the audit failed; the operator's act is not done");
                Err(EdgeRejection::Internal.into())
            }
            Err(error) => {
                tracing::error!(%error, "writing the audit broke off");
                Err(EdgeRejection::Internal.into())
            }
        }
    }

    async fn order(&self, order: Order) -> Result<(), Refused> {
        let (book, shell) = (Arc::clone(&self.orders), Arc::clone(&self.shell));
        tracing::warn!(?order, "an operator orders");
        let give = move || book.give(order, |order| shell.obey(order));
        match tokio::task::spawn_blocking(give).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(OrderError::Full)) => {
                let max = self.limits.destinations_max as u64;
                Err(Rejection::DestinationsFull { max }.into())
            }
            Ok(Err(error @ OrderError::Disk { .. })) => {
                let source = error.source();
                tracing::error!(%error, source, "an order is not obeyed");
                Err(EdgeRejection::Internal.into())
            }
            Err(error) => {
                tracing::error!(%error, "giving an order broke off");
                Err(EdgeRejection::Internal.into())
            }
        }
    }

    fn orders(&self) -> Orders {
        self.orders.orders()
    }

    async fn history(&self, gid: &Gid) -> Result<Vec<Record>, Refused> {
        let gid = gid.clone();
        self.read(move |store| store.history(&gid)).await
    }

    async fn list(&self, filter: Filter, page: Page) -> Result<Listing, Refused> {
        self.read(move |store| store.list(&filter, &page)).await
    }

    async fn rows(&self, gid: &Gid, records: &[Record]) -> Vec<Said> {
        let asking = Asking {
            gid: gid.clone(),
            origin: self.origin.clone(),
            timeout_ms: self.limits.call_timeout_ms,
            paused: self.orders.orders().paused.into_keys().collect(),
        };
        let (egress, places) = (self.shell.egress().clone(), Arc::clone(&self.asking));
        rows::ask(asking, records, egress, places).await
    }

    fn vitals(&self) -> Vitals {
        let stats = self.store.stats();
        let room = self.folder().and_then(disk_room);
        let (log_bytes_max, archive_bytes_max) = self.disk_max;
        let (late_ms, late_ms_max) = self.metrics.late_ms();
        Vitals {
            started: self.started,
            late_ms,
            late_ms_max,
            disk: Disk {
                free_bytes: room.map(|(free, _)| free),
                size_bytes: room.map(|(_, size)| size),
                log_bytes: stats.log_bytes,
                log_bytes_max,
                archive_bytes: stats.archive_bytes,
                archive_bytes_max,
                ended: stats.ended,
                unarchived: stats.unarchived,
            },
            backup: self.folder().and_then(backup::noted).map(told),
            certificates: self
                .certificates()
                .into_iter()
                .map(|(of, expiry_s)| Certificate {
                    of: of.word().into(),
                    expires: Time(Timestamp(expiry_s.saturating_mul(MS_PER_S))),
                })
                .collect(),
        }
    }

    fn capability_key(&self) -> &CapabilityKey {
        &self.key
    }

    fn knows_destination(&self, destination: &Destination) -> bool {
        self.shell.egress().check(destination).is_ok()
    }

    fn overview(&self) -> Overview {
        self.shell.overview()
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
        let (backlog, lanes) = self.shell.backlog();
        self.metrics.text(&Snapshot {
            backlog,
            lanes: self.shell.egress().lanes(lanes, self.limits.destination_calls_max),
            stats: self.store.stats(),
            upkeep: self.upkeep(),
            accepting: match self.shell.is_ready() {
                true => Accepting::Yes,
                false => Accepting::No,
            },
        })
    }

    fn turned_away(&self, why: TurnedAway) {
        self.metrics.turned_away(why);
    }

    fn spans(&self) -> &Spans {
        self.shell.egress().spans()
    }

    fn place(&self, gid: &Gid) -> TraceContext {
        self.shell.place(gid)
    }

    fn requested(&self, route: &'static str, status: u16) {
        self.metrics.requested(route, status);
    }

    fn unaccepted(&self, why: &'static str) {
        self.metrics.unaccepted(why);
    }
}
