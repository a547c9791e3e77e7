//! The suite: what every backend must pass.
//!
//! A backend's test gives a [`Bench`] and calls [`run`]; each check begins with an empty store.

mod checks;
pub mod drafts;

use crate::contract::{Completion, Store};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, mpsc};
use wholly_core::ids::Position;
use wholly_core::input::Loaded;

/// What a check asks of the backend under test.
pub trait Bench {
    /// An empty store that knows so many ended transactions, at most.
    fn fresh(&mut self, ended_max: usize) -> Opened;

    /// The same store after its process was killed: what is not durable is lost.
    fn crash(&mut self, before: Opened) -> Opened;
}

/// A store that has been opened.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What it found.
    pub loaded: Loaded,
    /// What it reports.
    pub completions: Receiver<Completion>,
}

/// A handler of completions, and where they come out.
pub fn listener() -> (crate::contract::OnCompletion, Receiver<Completion>) {
    let (sender, receiver) = mpsc::channel();
    // Once a check is over, nobody listens.
    let on_completion = Box::new(move |completion| drop(sender.send(completion)));
    (on_completion, receiver)
}

impl Opened {
    /// Flushes and waits until everything up to a position is durable; gives what was reported
    /// meanwhile besides.
    pub fn settle(&self, through: Position) -> Vec<Completion> {
        self.store.flush(through);
        let mut others = Vec::new();
        loop {
            let completion = self.completions.recv().expect("the store is there and reports");
            match completion {
                Completion::Durable(durable) if durable >= through => return others,
                Completion::Durable(_) => {}
                Completion::Failed(failure) => panic!("{failure}: {}", failure.cause),
                Completion::Room(_) | Completion::Lost { .. } => others.push(completion),
            }
        }
    }
}

/// Runs every check.
pub fn run(bench: &mut dyn Bench) {
    run_all(bench, &checks::ALL);
    run_all(bench, &checks::ONE_BY_ONE);
}

/// Runs every check on a backend that forgets what has ended in slices, not one by one.
pub fn run_with_slices(bench: &mut dyn Bench) {
    run_all(bench, &checks::ALL);
}

fn run_all(bench: &mut dyn Bench, checks: &[(&str, checks::Check)]) {
    for (name, check) in checks {
        eprintln!("{name}");
        check(bench);
    }
}
