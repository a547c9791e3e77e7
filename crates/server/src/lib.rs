//! The coordinator, a library: the shell around the driver, the ways in, the only way out.
//!
//! Reading order: `serve` puts it together, `shell` carries out what the driver asks, `transport`
//! lets clients in, `egress` calls participants, `observe` counts, `spans` says
//! what took how long in which trace, `config` is what an operator
//! says.

mod access;
pub mod audit;
pub mod backup;
mod clocks;
pub mod config;
mod descriptors;
mod disk;
pub mod egress;
mod folder;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod keyring;
mod observe;
mod orders;
mod restore;
mod serve;
mod shell;
mod spans;
pub mod transport;

pub use backup::{BackupError, backup};
pub use config::{Config, Flags};
pub use descriptors::TooFew;
pub use folder::FolderError;
pub use observe::TurnedAway;
pub use orders::{Order, Orders};
pub use restore::{PutBack, RestoreError, restore};
pub use serve::{Coordinator, Running, Said, ServeError};
pub use spans::{Place, Spans, TracingConfig};
pub use wholly_store::archive::ArchiveError;
pub use wholly_store::embedded::{Checked, CopyError, OpenError, check as check_data};
