//! Standing orders: what operators said that holds until they take it back, through every start.
//! Destinations that rest, and an intake that is closed. One file, whole or not at all.

use crate::folder::{FolderError, write_durably};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, RwLock};
use wholly_core::document::Pause;
use wholly_core::ids::{Destination, Principal, Text};
use wholly_wire::v1::time::Time;

/// The file, in the data folder; none if nothing was ever ordered.
pub(crate) const FILE: &str = "orders.json";

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Destinations that rest.
    pub paused: BTreeMap<Destination, Pause>,
    /// Who lets nothing begin, where somebody does.
    pub drained: Option<Pause>,
}

/// What changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A destination rests.
    Pause(Destination, Pause),
    /// A destination is called again.
    Resume(Destination),
    /// Nothing begins.
    Drain(Pause),
    /// Transactions begin again.
    Admit,
}

/// Why an order was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    /// As many destinations rest as may.
    #[error("as many destinations rest as may")]
    Full,
    /// Whether the next start knows of it cannot be said.
    #[error("write {} failed", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// How an order stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    by: String,
    since: Time,
    reason: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    paused: BTreeMap<String, Said>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drained: Option<Said>,
}

impl Orders {
    /// Reads what a data folder says; a folder without the file has none.
    pub fn read(folder: &Path) -> Result<Orders, FolderError> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Orders::default()),
            Err(source) => return Err(FolderError::Disk { act: "read", path, source }),
        };
        // Whoever guesses calls a destination that should rest.
        parse(&bytes).map_err(|why| FolderError::Orders { path, why })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let paused = self.paused.iter();
        let written = Written {
            paused: paused.map(|(name, pause)| (name.to_string(), said(pause))).collect(),
            drained: self.drained.as_ref().map(said),
        };
        let text = serde_json::to_vec_pretty(&written).expect("names and texts are JSON");
        write_durably(path, &text)
    }

    fn with(&self, order: &Order, paused_max: usize) -> Result<Orders, OrderError> {
        let mut next = self.clone();
        match order {
            Order::Pause(destination, pause) => {
                next.paused.insert(destination.clone(), pause.clone());
                if next.paused.len() > paused_max && next.paused.len() > self.paused.len() {
                    return Err(OrderError::Full);
                }
            }
            Order::Resume(destination) => drop(next.paused.remove(destination)),
            Order::Drain(pause) => next.drained = Some(pause.clone()),
            Order::Admit => next.drained = None,
        }
        Ok(next)
    }
}

fn said(pause: &Pause) -> Said {
    let Pause { by, reason, since } = pause;
    Said { by: by.to_string(), since: Time(*since), reason: reason.as_str().to_owned() }
}

fn parse(bytes: &[u8]) -> Result<Orders, String> {
    let written: Written = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let read = |said: Said| -> Result<Pause, String> {
        let by = Principal::new(&said.by).map_err(|error| format!("`by` {error}"))?;
        let reason = Text::new(&said.reason).map_err(|error| format!("`reason` {error}"))?;
        Ok(Pause { by, reason, since: said.since.0 })
    };
    let mut paused = BTreeMap::new();
    for (name, said) in written.paused {
        let name = Destination::new(&name).map_err(|error| format!("`{name}` {error}"))?;
        paused.insert(name, read(said)?);
    }
    Ok(Orders { paused, drained: written.drained.map(read).transpose()? })
}

/// The orders of a coordinator that runs.
#[derive(Debug)]
pub(crate) struct OrderBook {
    /// None in memory.
    path: Option<PathBuf>,
    paused_max: usize,
    /// Held while an order is written and obeyed, so that file and driver agree.
    giving: Mutex<()>,
    /// Held for a moment only.
    orders: RwLock<Orders>,
}

impl OrderBook {
    /// Goes on with these orders, in the file of this folder; at most so many destinations rest.
    pub(crate) fn new(folder: Option<&Path>, orders: Orders, paused_max: usize) -> OrderBook {
        let path = folder.map(|folder| folder.join(FILE));
        OrderBook { path, paused_max, giving: Mutex::default(), orders: RwLock::new(orders) }
    }

    /// What is in force.
    pub(crate) fn orders(&self) -> Orders {
        self.orders.read().expect("nothing panics under this lock").clone()
    }

    /// Writes an order down durably, then has it obeyed. It waits for the disk.
    pub(crate) fn give(&self, order: Order, obey: impl FnOnce(Order)) -> Result<(), OrderError> {
        let _giving = self.giving.lock().unwrap_or_else(|broken| broken.into_inner());
        let next = self.orders().with(&order, self.paused_max)?;
        if let Some(path) = &self.path {
            let failed = |source| OrderError::Disk { path: path.clone(), source };
            next.write(path).map_err(failed)?;
        }
        *self.orders.write().expect("nothing panics under this lock") = next;
        obey(order);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use wholly_core::time::Timestamp;

    fn pause(reason: &str) -> Pause {
        Pause {
            by: "anna".parse().unwrap(),
            reason: Text::new(reason).unwrap(),
            since: Timestamp(5),
        }
    }

    fn name(text: &str) -> Destination {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_ordered_is_found_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        assert_eq!(Orders::read(at).unwrap(), Orders::default());
        let book = OrderBook::new(Some(at), Orders::default(), 2);
        let mut obeyed = Vec::new();
        for order in [
            Order::Pause(name("stock"), pause("\"migration\"")),
            Order::Pause(name("http://127.0.0.1:9"), pause("gone")),
            Order::Drain(pause("upgrade")),
            Order::Resume(name("stock")),
        ] {
            book.give(order, |order| obeyed.push(order)).unwrap();
            assert_eq!(Orders::read(at).unwrap(), book.orders());
        }
        assert_eq!(obeyed.len(), 4);
        let read = Orders::read(at).unwrap();
        assert_eq!(read.paused.keys().collect::<Vec<_>>(), [&name("http://127.0.0.1:9")]);
        assert_eq!(read.drained, Some(pause("upgrade")));
        let mode = std::fs::metadata(at.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let book = OrderBook::new(Some(at), read, 2);
        book.give(Order::Admit, |_| {}).unwrap();
        assert_eq!(Orders::read(at).unwrap().drained, None);
    }

    #[test]
    fn one_more_than_may_rest_is_refused_and_changes_nothing() {
        let book = OrderBook::new(None, Orders::default(), 1);
        book.give(Order::Pause(name("a"), pause("x")), |_| {}).unwrap();
        let refused = book.give(Order::Pause(name("b"), pause("x")), |_| panic!("obeyed"));
        assert!(matches!(refused, Err(OrderError::Full)), "{refused:?}");
        book.give(Order::Pause(name("a"), pause("y")), |_| {}).unwrap();
        assert_eq!(book.orders().paused[&name("a")], pause("y"));
        assert_eq!(book.orders().paused.len(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_not_obeyed() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let book = OrderBook::new(Some(&gone), Orders::default(), 1);
        let failed = book.give(Order::Drain(pause("x")), |_| panic!("obeyed"));
        assert!(matches!(failed, Err(OrderError::Disk { .. })), "{failed:?}");
        assert_eq!(book.orders(), Orders::default());
    }

    #[test]
    fn a_file_that_cannot_be_read_refuses_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let said = r#"{"by":"anna","since":"1970-01-01T00:00:00.000Z","reason":"x"}"#;
        for wrong in [
            String::new(),
            "{".to_owned(),
            format!(r#"{{"resting":{{"stock":{said}}}}}"#),
            format!(r#"{{"paused":{{"":{said}}}}}"#),
            said.replace("anna", ""),
        ] {
            std::fs::write(folder.path().join(FILE), &wrong).unwrap();
            let refused = Orders::read(folder.path()).unwrap_err().to_string();
            assert!(refused.contains(FILE) && refused.contains("pause"), "{wrong}: {refused}");
        }
    }
}
