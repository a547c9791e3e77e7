//! What operators ask that concerns no single transaction: how all stands, destinations that rest,
//! a coordinator that is drained.

use super::super::{Coordinator, Refused};
use super::Api;
use super::answer::{self, Answer};
use super::handlers::Parts;
use crate::audit::{Act, Deed};
use crate::orders::Order;
use http::StatusCode;
use wholly_core::document::Pause;
use wholly_core::ids::Text;
use wholly_wire::v1;
use wholly_wire::v1::standing;
use wholly_wire::v1::time::Time;

impl<C: Coordinator> Api<C> {
    pub(super) fn status(&self) -> Answer {
        let standing = self.coordinator.overview();
        let mut status = standing::status(env!("CARGO_PKG_VERSION"), &standing);
        let vitals = self.coordinator.vitals();
        status.started = Some(Time(vitals.started));
        status.late_ms = Some(vitals.late_ms);
        status.late_ms_max = Some(vitals.late_ms_max);
        status.disk = Some(vitals.disk);
        status.backup = vitals.backup;
        status.certificates = vitals.certificates;
        let orders = self.coordinator.orders();
        if let Some(drained) = &orders.drained {
            status.drained_since = Some(Time(drained.since));
            status.drained_by = Some(drained.by.as_str().into());
            status.drained_reason = Some(drained.reason.as_str().into());
        }
        answer::json(StatusCode::OK, &status)
    }

    pub(super) async fn pause(&self, parts: &Parts<'_>) -> Result<Answer, Refused> {
        let (destination, reason) = v1::read_pause(&parts.body.bytes)?;
        self.check_destination(&destination, || "destination".to_string())?;
        let pause = self.by(parts, &reason);
        let deed = Deed::Pause { destination: destination.clone() };
        self.do_order(deed, Order::Pause(destination, pause), parts, reason).await
    }

    /// One that the configuration names no more can be resumed as well.
    pub(super) async fn resume(&self, parts: &Parts<'_>) -> Result<Answer, Refused> {
        let (destination, reason) = v1::read_pause(&parts.body.bytes)?;
        let deed = Deed::Resume { destination: destination.clone() };
        self.do_order(deed, Order::Resume(destination), parts, reason).await
    }

    pub(super) async fn drain(&self, parts: &Parts<'_>) -> Result<Answer, Refused> {
        let reason = v1::read_reason(&parts.body.bytes)?;
        let drained = self.by(parts, &reason);
        self.do_order(Deed::Drain, Order::Drain(drained), parts, reason).await
    }

    pub(super) async fn admit_again(&self, parts: &Parts<'_>) -> Result<Answer, Refused> {
        let reason = v1::read_reason(&parts.body.bytes)?;
        self.do_order(Deed::Admit, Order::Admit, parts, reason).await
    }

    fn by(&self, parts: &Parts<'_>, reason: &Text) -> Pause {
        let by = parts.principal.clone();
        Pause { by, reason: reason.clone(), since: self.coordinator.now() }
    }

    /// What is refused afterwards stands in the audit too: it was asked for.
    async fn do_order(
        &self,
        deed: Deed,
        order: Order,
        parts: &Parts<'_>,
        reason: Text,
    ) -> Result<Answer, Refused> {
        let by = parts.principal.clone();
        self.coordinator.audit(Act { deed, by, reason }).await?;
        self.coordinator.order(order).await?;
        Ok(self.status())
    }
}
