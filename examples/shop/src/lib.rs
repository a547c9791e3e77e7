//! The shop: order, stock and points, three services that each own a database.
//!
//! Read [`stock`], [`points`] and [`order`]: they are the whole business, in TCC and as a saga.
//! [`service`] starts one of them, [`books`] reads all three databases and says whether every
//! order happened wholly or not at all, and [`faults`] breaks what a demonstration wants broken.

pub mod order;
pub mod points;
pub mod stock;

pub mod books;
pub mod database;
pub mod faults;
pub mod service;
