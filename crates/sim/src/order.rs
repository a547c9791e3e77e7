//! Order: what one run is asked for, and the words that ask for it again.

use crate::tally::Fault;
use crate::trace::Lines;

/// Transactions of one seed.
pub const TRANSACTIONS: u64 = 50;

/// What a run is asked for. Everything but the seed leaves something out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Decides everything.
    pub seed: u64,
    /// How many transactions.
    pub transactions: u64,
    /// Of these, the ones whose clients come, by number from zero; without a list, all.
    pub only: Option<Vec<u64>>,
    /// Faults that do not strike.
    pub without: Vec<Fault>,
    /// Of the others, the strikes that happen, by name; without a list, all.
    pub strikes: Option<Vec<u64>>,
    /// Whether every event is printed.
    pub lines: Lines,
}

impl Order {
    /// A whole run of a seed.
    pub fn new(seed: u64) -> Self {
        Order {
            seed,
            transactions: TRANSACTIONS,
            only: None,
            without: Vec::new(),
            strikes: None,
            lines: Lines::Hashed,
        }
    }

    /// Whether the clients of a transaction come.
    pub fn seats(&self, number: u64) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&number))
    }

    /// Takes a word of the command line that begins with two dashes; false if it is another's.
    pub fn take(
        &mut self,
        word: &str,
        mut value: impl FnMut() -> Result<String, String>,
    ) -> Result<bool, String> {
        match word {
            "--seed" => self.seed = number(&value()?)?,
            "--transactions" => self.transactions = number(&value()?)?,
            "--only" => self.only = Some(numbers(&value()?)?),
            "--strikes" => self.strikes = Some(numbers(&value()?)?),
            "--without" => {
                self.without = value()?.split(',').map(fault).collect::<Result<_, _>>()?
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The words of the command line that ask for the same.
    pub fn words(&self) -> String {
        let mut words = format!("--seed {}", self.seed);
        if self.transactions != TRANSACTIONS {
            words += &format!(" --transactions {}", self.transactions);
        }
        if let Some(only) = &self.only {
            words += &format!(" --only {}", joined(only));
        }
        if !self.without.is_empty() {
            let slugs: Vec<String> = self.without.iter().map(|fault| slug(*fault)).collect();
            words += &format!(" --without {}", slugs.join(","));
        }
        if let Some(strikes) = &self.strikes {
            words += &format!(" --strikes {}", joined(strikes));
        }
        words
    }
}

/// Which strikes really happen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mercy {
    without: Vec<Fault>,
    strikes: Option<Vec<u64>>,
    happened: Vec<u64>,
}

impl Mercy {
    /// As a run was asked for.
    pub(crate) fn of(order: &Order) -> Self {
        let (without, strikes) = (order.without.clone(), order.strikes.clone());
        Mercy { without, strikes, happened: Vec::new() }
    }

    /// The names of those that happened, in order.
    pub(crate) fn happened(&self) -> &[u64] {
        &self.happened
    }

    /// Whether a strike that was drawn happens.
    pub(crate) fn permits(&mut self, fault: Fault, name: u64) -> bool {
        let asked_for = self.strikes.as_ref().is_none_or(|strikes| strikes.contains(&name));
        let happens = asked_for && !self.without.contains(&fault);
        if happens {
            self.happened.push(name);
        }
        happens
    }
}

/// A fault as one word.
fn slug(fault: Fault) -> String {
    let words = fault.words().split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

fn fault(text: &str) -> Result<Fault, String> {
    let found = Fault::ALL.iter().find(|fault| slug(**fault) == text).copied();
    found.ok_or_else(|| {
        let known: Vec<String> = Fault::ALL.iter().map(|fault| slug(*fault)).collect();
        format!("there is no fault {text}; there are {}", known.join(" "))
    })
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// No number at all is an empty word or `none`.
fn numbers(text: &str) -> Result<Vec<u64>, String> {
    match text {
        "" | "none" => Ok(Vec::new()),
        text => text.split(',').map(number).collect(),
    }
}

fn joined(numbers: &[u64]) -> String {
    match numbers.is_empty() {
        true => "none".into(),
        false => numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let mut order = Order::new(0);
        let mut words = text.split(' ').map(str::to_owned);
        while let Some(word) = words.next() {
            let taken = order.take(&word, || Ok(words.next().unwrap_or_default()));
            assert_eq!(taken, Ok(true), "{word}");
        }
        assert_eq!(order.words(), text);
    }

    #[test]
    fn an_order_is_asked_for_again_by_its_own_words() {
        check("--seed 7");
        check("--seed 7 --transactions 12 --only 3,7");
        check("--seed 7 --without call-dropped,refused-not-kept --strikes 1,30");
        check("--seed 7 --only none --strikes none");
        assert!(Order::new(1).take("--without", || Ok("no-such".into())).is_err());
        assert_eq!(Order::new(1).take("--json", || Ok(String::new())), Ok(false));
    }

    #[test]
    fn every_fault_has_a_word_of_its_own() {
        let mut slugs: Vec<String> = Fault::ALL.iter().map(|fault| slug(*fault)).collect();
        slugs.sort();
        slugs.dedup();
        assert_eq!(slugs.len(), Fault::ALL.len());
    }

    #[test]
    fn only_the_strikes_asked_for_happen() {
        let mut order = Order::new(1);
        (order.without, order.strikes) = (vec![Fault::Refused], Some(vec![2]));
        let mut mercy = Mercy::of(&order);
        let drawn = [(Fault::Working, 1), (Fault::Refused, 2), (Fault::Working, 2)];
        let happened = drawn.map(|(fault, name)| mercy.permits(fault, name));
        assert_eq!(happened, [false, false, true]);
        assert_eq!(mercy.happened(), [2]);
    }
}
