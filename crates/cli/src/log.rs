//! Logs on stderr: which by `WHOLLY_LOG`, how by `--log-format`.

use crate::arguments::LogFormat;
use crate::complaint::{Complaint, Kind};
use std::io::IsTerminal;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Names the targets and levels, as `info,wholly=debug`.
const VARIABLE: &str = "WHOLLY_LOG";
/// What is logged where nothing is said.
const DEFAULT: &str = "info";

/// Sends all events of this process to stderr.
pub(crate) fn start(format: LogFormat) -> Result<(), Complaint> {
    let wanted = std::env::var(VARIABLE).unwrap_or_else(|_| DEFAULT.to_owned());
    let targets: Targets = wanted.parse().map_err(|error| {
        Complaint::because(Kind::Usage, format!("{VARIABLE}={wanted} cannot be read"), &error)
            .means("nothing was started")
            .advice("write levels and targets, as WHOLLY_LOG=info,wholly=debug")
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            let lines = lines.with_ansi(std::io::stderr().is_terminal()).with_filter(targets);
            tracing_subscriber::registry().with(lines).init();
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter(targets);
            tracing_subscriber::registry().with(lines).init();
        }
    }
    Ok(())
}
