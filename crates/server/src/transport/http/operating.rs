//! What operators ask that concerns no single transaction: how all stands, destinations that rest,
//! a coordinator that is drained.

use super::super::{Coordinator, Refused};
use super::Api;
use super::answer::{self, Answer};
use super::handlers::Parts;
use http::StatusCode;
use wholly_core::document::Pause;
use wholly_core::rejection::Rejection;
use wholly_wire::v1;
use wholly_wire::v1::standing;

impl<C: Coordinator> Api<C> {
    pub(super) fn status(&self) -> Answer {
        let standing = self.coordinator.overview();
        answer::json(StatusCode::OK, &standing::status(env!("CARGO_PKG_VERSION"), &standing))
    }

    pub(super) fn pause(&self, parts: &Parts<'_>) -> Result<Answer, Refused> {
        let (destination, reason) = v1::read_pause(&parts.body.bytes)?;
        self.check_destination(&destination, || "destination".to_string())?;
        let by = parts.principal.clone();
        tracing::warn!(%destination, %by, reason = reason.as_str(), "a destination is paused");
        let pause = Pause { by, reason, since: self.coordinator.now() };
        match self.coordinator.pause(&destination, pause) {
            true => Ok(self.status()),
            false => {
                let max = self.coordinator.limits().destinations_max as u64;
                Err(Rejection::DestinationsFull { max }.into())
            }
        }
    }

    /// One that the configuration names no more can be resumed as well.
    pub(super) fn resume(&self, parts: &Parts<'_>) -> Result<Answer, Refused> {
        let (destination, reason) = v1::read_pause(&parts.body.bytes)?;
        let by = &parts.principal;
        tracing::warn!(%destination, %by, reason = reason.as_str(), "a destination is resumed");
        self.coordinator.resume(&destination);
        Ok(self.status())
    }

    pub(super) fn drain(&self, parts: &Parts<'_>) -> Result<Answer, Refused> {
        let reason = v1::read_reason(&parts.body.bytes)?;
        let by = &parts.principal;
        tracing::warn!(%by, reason = reason.as_str(), "the coordinator is drained");
        self.coordinator.close_intake();
        Ok(self.status())
    }

    pub(super) fn admit_again(&self, parts: &Parts<'_>) -> Result<Answer, Refused> {
        let reason = v1::read_reason(&parts.body.bytes)?;
        let by = &parts.principal;
        tracing::warn!(%by, reason = reason.as_str(), "transactions are taken again");
        self.coordinator.open_intake();
        Ok(self.status())
    }
}
