//! The command line of the simulator.

use wholly_sim::order::{Order, TRANSACTIONS};

pub(crate) const USAGE: &str = "\
cargo xtask sim [--from SEED] [--seeds N] [--transactions N] [--json]      many seeds
cargo xtask sim --seed N [--trace] [--shrink] [WHAT IS LEFT OUT]           one seed
cargo xtask mutants [--from SEED] [--json | --page]                        every seeded bug

many seeds
  --from SEED        from here on (1)
  --seeds N          at most so many (all it takes for the transactions)
  --transactions N   until so many are decided, all together (100000 without --seeds)
  --json             one document for programs
  --hashes           one line per seed with its trace hash, to compare builds
  --threads N        as many as there are cores; what is shown does not depend on it

one seed
  --trace            one line per event, and a legend
  --shrink           of a broken promise, the smallest run found that breaks it too
  --transactions N   the run's transactions (50)
  --only 3,7         only the clients of these transactions come; `none` is none
  --without a,b      these faults do not strike
  --strikes 4,17     of the others, only these strikes happen, by name

either
  --mutant NAME      with a seeded bug switched on
  --page             seeded bugs as a table for a page";

/// What a run is asked to show.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// One run, and whether it was asked for.
    pub(crate) order: Order,
    pub(crate) one: bool,
    pub(crate) trace: bool,
    pub(crate) shrink: bool,
    pub(crate) hashes: bool,
    pub(crate) from: u64,
    pub(crate) seeds: Option<u64>,
    pub(crate) transactions: Option<u64>,
    pub(crate) threads: Option<usize>,
    pub(crate) json: bool,
    pub(crate) page: bool,
    pub(crate) mutant: Option<String>,
    pub(crate) mutants: bool,
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Arguments {
            order: Order::new(1),
            one: false,
            trace: false,
            shrink: false,
            hashes: false,
            from: 1,
            seeds: None,
            transactions: None,
            threads: None,
            json: false,
            page: false,
            mutant: None,
            mutants: false,
        };
        while let Some(word) = words.next() {
            arguments.take(&word, || words.next().ok_or(format!("{word} needs a value")))?;
        }
        match arguments.one {
            true => arguments.order.transactions = arguments.transactions.unwrap_or(TRANSACTIONS),
            false if arguments.order != Order::new(1) || arguments.trace || arguments.shrink => {
                return Err("that is for one seed: add --seed N".into());
            }
            false => {}
        }
        Ok(arguments)
    }

    fn take(
        &mut self,
        word: &str,
        mut value: impl FnMut() -> Result<String, String>,
    ) -> Result<(), String> {
        let mut number = || -> Result<u64, String> {
            let text = value()?;
            text.parse().map_err(|_| format!("{text} is no number"))
        };
        match word {
            "--from" => self.from = number()?,
            "--seeds" => self.seeds = Some(number()?),
            "--transactions" => self.transactions = Some(number()?),
            "--threads" => self.threads = Some(number()?.max(1) as usize),
            "--trace" => self.trace = true,
            "--shrink" => self.shrink = true,
            "--hashes" => self.hashes = true,
            "--json" => self.json = true,
            "--page" => self.page = true,
            "--mutant" => self.mutant = Some(value()?),
            "mutants" => self.mutants = true,
            "--help" | "-h" => return Err(String::new()),
            other => {
                self.one |= other == "--seed";
                if !self.order.take(other, value)? {
                    return Err(format!("{other} is not known"));
                }
            }
        }
        Ok(())
    }
}
