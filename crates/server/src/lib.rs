//! The coordinator, a library: the shell around the driver, the ways in, the only way out.
//!
//! Reading order: `serve` puts it together, `shell` carries out what the driver asks, `transport`
//! lets clients in, `egress` calls participants, `observe` counts, `spans` says
//! what took how long in which trace, `config` is what an operator
//! says.

pub mod access;
pub mod audit;
pub mod backup;
mod clocks;
pub mod config;
pub mod descriptors;
mod disk;
pub mod egress;
pub mod folder;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod keyring;
pub mod observe;
pub mod orders;
pub mod restore;
pub mod serve;
pub mod shell;
pub mod spans;
pub mod transport;

pub use backup::{BackupError, backup};
pub use config::{Config, Flags};
pub use folder::FolderError;
pub use restore::{PutBack, RestoreError, restore};
pub use serve::{Coordinator, Running, ServeError};
pub use wholly_store::archive::ArchiveError;
pub use wholly_store::embedded::{Checked, CopyError, OpenError, check as check_data};
