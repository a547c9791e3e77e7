//! Participants against real databases: the barrier's SQL equals its rules, and no order, copy or
//! crash of calls has a second effect.

mod asking;
mod clearing;
mod handlers;
mod http;
mod outside;
mod races;
mod same_as_core;
mod world;
