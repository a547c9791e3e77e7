//! The world, simulated: the shipped driver, committer and barrier in one thread, on one clock,
//! from one seed, with everything breaking that can break, and the promises watched.
//!
//! Reading order: `world` (the agenda), `coordinator`, `participant`, `client`, `workloads` (who
//! is there), `network`, `disk`, `clock`, `odds` (what breaks), `evidence`, `model`, `wishes`,
//! `register`, `checkers`
//! (what is promised), `tally`, `cells`, `trace`, `report` (what is told).

pub mod agenda;
mod answers;
pub mod cells;
pub mod chance;
pub mod checkers;
pub mod client;
pub mod clock;
pub mod coordinator;
pub mod disk;
mod edge;
pub mod evidence;
#[cfg(feature = "mutants")]
pub mod hunt;
pub mod log;
pub mod model;
pub mod mutants;
pub mod network;
pub mod odds;
pub mod order;
pub mod participant;
pub mod print;
pub mod register;
pub mod report;
pub mod row;
pub mod shrink;
mod sights;
pub mod tally;
pub mod trace;
mod watch;
mod weather;
pub mod wishes;
pub mod workloads;
pub mod world;
