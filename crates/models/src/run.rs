//! Running: a model explored whole, and its wrong twins until each is caught.

use stateright::{Checker, Expectation, Model};
use std::hash::Hash;

/// A model and what it takes to believe it.
pub(crate) struct Subject {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Explores it whole.
    pub(crate) explore: fn() -> Explored,
    /// The same with a bug, by name: each must yield a counter-example.
    pub(crate) wrong: &'static [Wrong],
}

/// A wrong twin: its bug's name, and a search for a state that shows it.
pub(crate) type Wrong = (&'static str, fn() -> Option<CounterExample>);

/// What came of exploring a model.
#[derive(Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    /// Names of what must always hold.
    pub(crate) always: Vec<&'static str>,
    /// Names of what must be reached.
    pub(crate) sometimes: Vec<&'static str>,
    /// What did not hold.
    pub(crate) violations: Vec<CounterExample>,
    /// What was not reached.
    pub(crate) missed: Vec<&'static str>,
}

/// A way to a state in which something does not hold.
#[derive(Debug)]
pub(crate) struct CounterExample {
    pub(crate) property: &'static str,
    pub(crate) steps: Vec<String>,
}

/// Explores every state of a model.
pub(crate) fn explore<M>(model: M) -> Explored
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + PartialEq + Hash + Send + Sync,
    M::Action: Clone + std::fmt::Debug + PartialEq + Send + Sync,
{
    let names = |sought: &Expectation| -> Vec<&'static str> {
        let properties = model.properties();
        properties.iter().filter(|p| p.expectation == *sought).map(|p| p.name).collect()
    };
    let (always, sometimes) = (names(&Expectation::Always), names(&Expectation::Sometimes));
    let checker = model.checker().spawn_bfs().join();
    let found = checker.discoveries();
    let missed = sometimes.iter().filter(|name| !found.contains_key(*name)).copied().collect();
    let violations = found
        .into_iter()
        .filter(|(name, _)| always.contains(name))
        .map(|(property, path)| CounterExample { property, steps: steps(path.into_actions()) })
        .collect();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    Explored { states, depth, always, sometimes, violations, missed }
}

/// Explores a model until something does not hold.
pub(crate) fn counter_example<M>(model: M) -> Option<CounterExample>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + PartialEq + Hash + Send + Sync,
    M::Action: Clone + std::fmt::Debug + PartialEq + Send + Sync,
{
    let properties = model.properties();
    let checker =
        model.checker().finish_when(stateright::HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries().into_iter();
    let violation = found.filter(|(name, _)| {
        properties.iter().any(|p| p.name == *name && p.expectation == Expectation::Always)
    });
    let (property, path) = violation.min_by_key(|(name, _)| *name)?;
    Some(CounterExample { property, steps: steps(path.into_actions()) })
}

fn steps<A: std::fmt::Debug>(actions: Vec<A>) -> Vec<String> {
    actions.iter().map(|action| format!("{action:?}")).collect()
}
