//! Whom one looks at: a coordinator that runs, or the data folder of one that does not.

use crate::arguments::Reading;
use crate::complaint::{Complaint, Kind};
use crate::coordinator::{Coordinator, told};
use crate::serve::log;
use serde_json::Value;
use std::path::Path;
use wholly_server::OpenError;
use wholly_server::transport::http::Stopped;

/// Answers what only looks, either way the same.
pub(super) enum Looking {
    Running(Coordinator),
    Stopped(Box<Stopped>),
}

impl Looking {
    /// At a folder, if one is named; else at the coordinator.
    pub(super) fn at(reading: &Reading, data: Option<&Path>) -> Result<Looking, Complaint> {
        match data {
            None => Coordinator::of(reading).map(Looking::Running),
            Some(data) => match Stopped::open(data) {
                Ok(stopped) => Ok(Looking::Stopped(Box::new(stopped))),
                Err(error) => Err(unread(&error)),
            },
        }
    }

    /// Reads what stands at a path.
    pub(super) async fn read(&self, path: &str) -> Result<Value, Complaint> {
        match self {
            Looking::Running(coordinator) => coordinator.read(path).await,
            Looking::Stopped(stopped) => told(stopped.read(path, super::clock())),
        }
    }
}

fn unread(error: &OpenError) -> Complaint {
    let (means, advice) = match matches!(error, OpenError::InUse { .. }) {
        true => (
            "nothing was changed; the coordinator that has the folder goes on",
            "ask that coordinator: the same command without --data",
        ),
        false => log(error),
    };
    Complaint::because(Kind::NotDone, "the data folder cannot be read", error)
        .means(means)
        .advice(advice)
}
