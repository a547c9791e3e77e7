//! How the disk spells it: what every store offers, the record encoding, the log, the archive.
//!
//! A store gives no meaning to what it keeps: what it indexes comes as a summary in the draft.
//! Reading order: `contract`, `index`, `encoding`, `disk`, `embedded`, `archive`, `memory`,
//! `suite`.

pub mod archive;
pub mod contract;
pub mod disk;
pub mod embedded;
pub mod encoding;
mod gids;
mod index;
pub mod memory;
pub mod mutants;
mod retention;
pub mod spread;
pub mod suite;
