//! The ways in: each speaks one protocol to clients and the same words to the coordinator.

pub mod http;

use crate::audit::Act;
use crate::observe::TurnedAway;
use crate::orders::{Order, Orders};
use crate::serve::Said;
use crate::shell::Weight;
use crate::spans::Spans;
use std::future::Future;
use wholly_core::document::{Response, Standing};
use wholly_core::ids::{Destination, Gid};
use wholly_core::input::Request;
use wholly_core::limits::Limits;
use wholly_core::record::Record;
use wholly_core::rejection::Rejection;
use wholly_core::time::Timestamp;
use wholly_store::contract::{Filter, Listing, Page};
use wholly_wire::capability::CapabilityKey;
use wholly_wire::edge::EdgeRejection;
use wholly_wire::trace::TraceContext;
use wholly_wire::v1::standing::{Backup, Certificate, Disk};

/// What a transport may ask of the coordinator: everything, and nothing else.
pub trait Coordinator: Send + Sync + 'static {
    /// Asks the driver, and resolves when its reply may leave. Dropped before, the driver is told
    /// that the asker is gone. What the request weighs is let go once the driver counts it.
    fn request(
        &self,
        request: Request,
        trace: Option<TraceContext>,
        weight: Weight,
    ) -> impl Future<Output = Result<Response, Refused>> + Send;

    /// Writes down what an operator asks for, durably, before it is asked.
    fn audit(&self, act: Act) -> impl Future<Output = Result<(), Refused>> + Send;

    /// Obeys what an operator orders, once it is durable.
    fn order(&self, order: Order) -> impl Future<Output = Result<(), Refused>> + Send;

    /// What operators ordered and is in force.
    fn orders(&self) -> Orders;

    /// The durable records of a transaction in order; none if it is not known.
    fn history(&self, gid: &Gid) -> impl Future<Output = Result<Vec<Record>, Refused>> + Send;

    /// A page of transactions, as the store knows them.
    fn list(
        &self,
        filter: Filter,
        page: Page,
    ) -> impl Future<Output = Result<Listing, Refused>> + Send;

    /// What capabilities and derived gids are made with.
    fn capability_key(&self) -> &CapabilityKey;

    /// Whether the configuration names a destination, or lets it stand for itself.
    fn knows_destination(&self, destination: &Destination) -> bool;

    /// What the participants of a transaction say of its branches, in the order in which these
    /// records name them.
    fn rows(&self, gid: &Gid, records: &[Record]) -> impl Future<Output = Vec<Said>> + Send;

    /// How the process stands, for operators.
    fn vitals(&self) -> Vitals;

    /// How everything stands, for operators.
    fn overview(&self) -> Standing;

    /// The limits of the protocol.
    fn limits(&self) -> &Limits;

    /// What time it is.
    fn now(&self) -> Timestamp;

    /// Whether transactions can be begun.
    fn is_ready(&self) -> bool;

    /// All figures, in Prometheus' text form.
    fn metrics_text(&self) -> String;

    /// Where spans go.
    fn spans(&self) -> &Spans;

    /// The place of a transaction in its trace.
    fn place(&self, gid: &Gid) -> TraceContext;

    /// Counts somebody who was not let in, by why.
    fn turned_away(&self, why: TurnedAway);

    /// Counts a request; the route is its pattern, so that labels stay bounded.
    fn requested(&self, route: &'static str, status: u16);

    /// Counts a client whose handshake came to nothing, by a word for why.
    fn unaccepted(&self, why: &'static str);
}

/// How the process stands.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// When it started.
    pub started: Timestamp,
    /// How late the alarm rang the last time.
    pub late_ms: u64,
    /// How late it rang at most.
    pub late_ms_max: u64,
    /// How full the disk is.
    pub disk: Disk,
    /// What is known of backups.
    pub backup: Option<Backup>,
    /// Certificates, each with its time.
    pub certificates: Vec<Certificate<'static>>,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The rules say so.
    ByRules(Rejection),
    /// It was not understood, may not be asked, or the coordinator could not answer.
    AtEdge(EdgeRejection),
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Refused {
        Refused::ByRules(rejection)
    }
}

impl From<EdgeRejection> for Refused {
    fn from(rejection: EdgeRejection) -> Refused {
        Refused::AtEdge(rejection)
    }
}
