//! What an operator looks at beside documents and histories: what participants say of their rows,
//! and payloads. The latter are shown to nobody else, and each look stands in the audit.

use super::super::{Coordinator, Refused};
use super::Api;
use super::answer::{self, Answer};
use super::handlers::Parts;
use crate::audit::{Act, Deed};
use crate::serve::{Said, branches};
use http::StatusCode;
use wholly_core::branch::BranchSpec;
use wholly_core::ids::Gid;
use wholly_core::input::Action;
use wholly_core::record::Record;
use wholly_core::rejection::Rejection;
use wholly_wire::v1::looking::{Asked, Payload, Payloads, Row, Rows};
use wholly_wire::v1::{self, Operation};

/// Payloads in one answer take no more than so many bytes; one that is asked for alone comes
/// whatever its size.
const PAYLOADS_BYTES_MAX: usize = 1024 * 1024;

impl<C: Coordinator> Api<C> {
    pub(super) async fn rows(&self, gid: Gid) -> Result<Answer, Refused> {
        let records = self.records(&gid).await?;
        let said = self.coordinator.rows(&gid, &records).await;
        let (_, specs) = branches(&records);
        let rows = specs.into_iter().zip(&said).map(|(spec, said)| row(spec, said)).collect();
        Ok(answer::json(StatusCode::OK, &Rows { gid: gid.as_str().into(), rows }))
    }

    /// What is refused afterwards stands in the audit too: it was asked for.
    pub(super) async fn payloads(&self, gid: Gid, parts: &Parts<'_>) -> Result<Answer, Refused> {
        let (asked, reason) = v1::read_operation(Operation::Retry, &parts.body.bytes)?;
        let Action::Retry { branch } = asked else { unreachable!("it is read as a retry") };
        let (deed, by) = (Deed::Payloads { gid: gid.clone() }, parts.principal.clone());
        self.coordinator.audit(Act { deed, by, reason }).await?;
        let records = self.records(&gid).await?;
        let (_, mut specs) = branches(&records);
        let mut left = PAYLOADS_BYTES_MAX;
        if let Some(branch) = branch {
            specs.retain(|spec| spec.id == branch);
            if specs.is_empty() {
                return Err(Rejection::BranchUnknown { gid, branch }.into());
            }
            left = usize::MAX;
        }
        let payloads = specs.into_iter().map(|spec| payload(spec, &mut left)).collect();
        let shown = Payloads { gid: gid.as_str().into(), payloads };
        Ok(answer::json(StatusCode::OK, &shown))
    }

    async fn records(&self, gid: &Gid) -> Result<Vec<Record>, Refused> {
        let records = self.coordinator.history(gid).await?;
        match records.is_empty() {
            true => Err(Rejection::GidUnknown { gid: gid.clone() }.into()),
            false => Ok(records),
        }
    }
}

fn payload<'a>(spec: &'a BranchSpec, left: &mut usize) -> Payload<'a> {
    let bytes = spec.payload.len();
    let fits = bytes <= *left;
    *left -= if fits { bytes } else { 0 };
    Payload {
        branch: spec.id.as_str().into(),
        bytes: bytes as u64,
        payload: fits.then(|| v1::raw(&spec.payload)),
    }
}

fn row<'a>(spec: &'a BranchSpec, said: &'a Said) -> Row<'a> {
    let (asked, row, detail) = match said {
        Said::Row(row) => (Asked::Answered, v1::row_word(row), ""),
        Said::NotKept => (Asked::NotKept, None, ""),
        Said::Refused(detail) => (Asked::Refused, None, detail.as_str()),
        Said::Unanswered(detail) => (Asked::Unanswered, None, detail.as_str()),
        Said::Paused => (Asked::Paused, None, ""),
        Said::NotAsked => (Asked::NotAsked, None, ""),
    };
    Row {
        branch: spec.id.as_str().into(),
        to: spec.destination.as_str().into(),
        operation: spec.operation.as_str().into(),
        asked: asked.into(),
        row: row.map(Into::into),
        detail: detail.into(),
    }
}
