//! The coordinator, a library: the shell around the driver, the way in, the only way out.

pub mod access;
pub mod transport;
