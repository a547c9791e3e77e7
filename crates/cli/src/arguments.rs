//! The command line: every command, flag and default.

pub(crate) use crate::audit::Audit;
pub(crate) use crate::span::Span;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What every help page ends with.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  not done: the outside failed, or what was checked is wrong
  2  the command line is wrong; nothing was tried
  3  the coordinator did not answer; a change may have been made, or not
  4  the coordinator refused

Logs go to stderr: WHOLLY_LOG=info,wholly=debug and --log-format choose which and how.";

/// Distributed transactions, wholly or not at all.
#[derive(Debug, Parser)]
#[command(name = "wholly", version, about, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    /// How logs are written to stderr
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// For programs: one JSON object a line
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the coordinator
    Serve(Serve),
    /// Show the shop under every fault: services and coordinator as processes of this machine
    Demo(Demo),
    /// Back a data folder up, whether its coordinator runs or not
    Backup(Backup),
    /// Put a copy of a data folder back, and say so to the coordinator that starts on it
    Restore(Restore),
    /// Show what operators asked for, and whether it still stands as it was written
    Audit(Audit),
    /// Show how the coordinator stands: backlog, what is stuck, destinations, disk, version
    Status(Reading),
    /// See how destinations stand, let one rest, have it called again
    #[command(subcommand)]
    Destination(DestinationVerb),
    /// Let nothing more begin, through every start, and wait until what is open has ended
    Drain(Drain),
    /// Look at transactions and act on them
    #[command(subcommand)]
    Tx(Box<Tx>),
    /// Print or create the tables that a participant's database needs
    #[command(subcommand)]
    Schema(Schema),
    /// Look whether something keeps its side of the contract
    #[command(subcommand)]
    Check(Check),
    /// Run one service of the shop
    #[command(hide = true)]
    ShopService(ShopService),
    /// Print the books of a shop
    #[command(hide = true)]
    ShopBooks(ShopBooks),
}

/// `wholly serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Try it out: loopback only, any loopback address may be called, data in ./wholly-data
    #[arg(long)]
    pub(crate) dev: bool,
    /// The folder that holds the log, ./wholly-data if not said; one process per folder
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen, 127.0.0.1:7700 if not said; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// A configuration file, wholly.toml; flags win over environment, environment over file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A service that may be called, by name; repeatable
    #[arg(long = "destination", value_name = "NAME=URL")]
    pub(crate) destinations: Vec<String>,
    /// One setting or limit of the file, as calls.timeout_ms=300; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Listen beyond loopback without authentication
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Write each effect with the position it needed and the one that was durable, a line each
    #[arg(long, value_name = "FILE")]
    pub(crate) trace_effects: Option<PathBuf>,
    /// Print every setting as it is in effect, its unit and who said so, and start nothing
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Stop when stdin ends, so that no child outlives its parent
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,
}

/// `wholly backup`
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The data folder; its coordinator may be running, and goes on
    #[arg(long, value_name = "DIR", default_value = "wholly-data")]
    pub(crate) data: PathBuf,
    /// The folder to make; it must not exist yet, be empty, or hold a backup that was cut short
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `wholly restore`
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The copy; nobody may be using it
    #[arg(value_name = "COPY")]
    pub(crate) copy: PathBuf,
    /// The data folder to make of it; it must not exist yet, or be empty
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

/// `wholly demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Leave a shop with a few hundred mixed orders running, to look at
    #[arg(long)]
    pub(crate) keep: bool,
    /// How many scenes run side by side
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = at_once())]
    pub(crate) side_by_side: u16,
    /// Print the verdicts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where the coordinator is and how to print what it says.
#[derive(Clone, Debug, Args)]
pub(crate) struct Reading {
    /// The coordinator's address
    #[arg(long, value_name = "URL", env = "WHOLLY_URL", default_value = "http://127.0.0.1:7700")]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) certificates: Certificates,
    /// Print JSON for programs instead of a table for people
    #[arg(long)]
    pub(crate) json: bool,
}

/// By what a command is known.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Identity {
    /// The id of a credential, where the coordinator asks for one
    #[arg(long, value_name = "ID", env = "WHOLLY_ID")]
    pub(crate) id: Option<String>,
    /// The file with its secret; without it, the secret is what WHOLLY_SECRET holds
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
}

/// Whom a command believes within TLS, and what it shows there.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Certificates {
    /// The authorities by which an https:// address is known, as PEM; the system's if not said
    #[arg(long, value_name = "FILE", env = "WHOLLY_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// A certificate to show where one is wanted
    #[arg(long, value_name = "FILE", env = "WHOLLY_CERTIFICATE", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", env = "WHOLLY_KEY", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
}

/// `wholly destination`
#[derive(Debug, Subcommand)]
pub(crate) enum DestinationVerb {
    /// Each with its calls, and whether it answers
    List(Reading),
    /// Do not call it until it is resumed, through every start
    Pause(Pausing),
    /// Call it again
    Resume(Pausing),
}

/// `wholly destination pause` and `resume`
#[derive(Debug, Args)]
pub(crate) struct Pausing {
    /// Which destination
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Why; shown to whoever looks, and kept in the audit; asked for on a terminal
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

/// `wholly drain`
#[derive(Debug, Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Why; shown to whoever looks, and kept in the audit; asked for on a terminal
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Give up waiting after this long; the coordinator stays drained
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub(crate) within: Span,
    /// Let transactions begin again
    #[arg(long)]
    pub(crate) cancel: bool,
}

/// `wholly tx`
#[derive(Debug, Subcommand)]
pub(crate) enum Tx {
    /// List transactions, the latest first
    List(List),
    /// Show one: its branches, and its records, attempts and replies as a timeline
    Show(Show),
    /// Let stuck branches be called again, and call what waits at once
    Retry(Retry),
    /// Abort what is not decided
    Abort(Operate),
    /// Commit what a restored copy of the data folder left undecided
    Commit(Operate),
    /// Stop calling: every unfinished branch waits until a retry
    Park(Operate),
    /// Say how a stuck branch stands, when its participant cannot
    Resolve(Resolve),
}

/// `wholly tx list`
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Read this data folder of a coordinator that does not run, instead of asking one
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Only those that ended so: as_decided, mixed, hazard
    #[arg(long)]
    pub(crate) outcome: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: u32,
    /// Go on where an earlier list ended
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

/// Which transactions.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Filter {
    /// Only those with a branch that waits for an operator
    #[arg(long)]
    pub(crate) stuck: bool,
    /// Only those in this state
    #[arg(long, value_enum)]
    pub(crate) state: Option<State>,
    /// Only those of this name, as place-order
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Only those that wait for this destination
    #[arg(long, value_name = "DESTINATION")]
    pub(crate) waits_for: Option<String>,
    /// Only those begun at least so long ago, as 10m
    #[arg(long, value_name = "TIME")]
    pub(crate) older_than: Option<Span>,
    /// Only those with a branch of this mode, as saga
    #[arg(long)]
    pub(crate) mode: Option<String>,
    /// Only those whose gid begins so
    #[arg(long, value_name = "TEXT")]
    pub(crate) gid_prefix: Option<String>,
    /// Only those begun then or later, as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) begun_from: Option<String>,
    /// Only those begun before then
    #[arg(long, value_name = "TIME")]
    pub(crate) begun_until: Option<String>,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    /// The initiator will decide
    Open,
    /// The steps will decide
    Forward,
    /// Every branch is being told
    Finishing,
    /// Over
    Ended,
}

/// `wholly tx show`
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Which transaction
    pub(crate) gid: String,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Read this data folder of a coordinator that does not run, instead of asking one
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Ask each participant what its barrier row says; nothing is changed by it
    #[arg(long, conflicts_with = "data")]
    pub(crate) ask: bool,
    /// Show the payloads; that you looked is written to the audit, with the reason
    #[arg(long, requires = "reason", conflicts_with = "data")]
    pub(crate) payloads: bool,
    /// The payload of this branch only
    #[arg(long, requires = "payloads")]
    pub(crate) branch: Option<String>,
    /// Why you look at payloads
    #[arg(long, requires = "payloads")]
    pub(crate) reason: Option<String>,
}

/// The flags of [`Filter`].
const FILTERS: [&str; 9] = [
    "name",
    "stuck",
    "waits_for",
    "older_than",
    "state",
    "mode",
    "gid_prefix",
    "begun_from",
    "begun_until",
];

/// Transactions that one command acts on, if --at-most does not say more.
const SET_MAX: usize = 1_000;

/// Which transactions, where it is not one, and how sure the operator is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Many {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Only say how many it would be
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it for all that match without being asked
    #[arg(long)]
    pub(crate) yes: bool,
    /// Do nothing if more than so many match
    #[arg(long, value_name = "N", default_value_t = SET_MAX)]
    pub(crate) at_most: usize,
}

/// `wholly tx retry`
#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// Which transaction; or all that match --name, --stuck, --state and the other filters
    #[arg(required_unless_present_any = FILTERS, conflicts_with_all = FILTERS)]
    pub(crate) gid: Option<String>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    #[command(flatten)]
    pub(crate) many: Many,
    /// One branch only
    #[arg(long, requires = "gid")]
    pub(crate) branch: Option<String>,
    /// Why; kept in the transaction's history
    #[arg(long, required_unless_present = "dry_run")]
    pub(crate) reason: Option<String>,
}

/// `wholly tx abort`, `wholly tx commit` and `wholly tx park`
#[derive(Debug, Args)]
pub(crate) struct Operate {
    /// Which transaction; or all that match --name, --stuck, --state and the other filters
    #[arg(required_unless_present_any = FILTERS, conflicts_with_all = FILTERS)]
    pub(crate) gid: Option<String>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    #[command(flatten)]
    pub(crate) many: Many,
    /// Why; kept in the transaction's history
    #[arg(long, required_unless_present = "dry_run")]
    pub(crate) reason: Option<String>,
}

/// `wholly tx resolve`
#[derive(Debug, Args)]
pub(crate) struct Resolve {
    /// Which transaction; or, with --waits-for, every branch that is stuck at that destination
    #[arg(required_unless_present = "waits_for", conflicts_with_all = FILTERS)]
    pub(crate) gid: Option<String>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    #[command(flatten)]
    pub(crate) many: Many,
    /// Which branch
    #[arg(long, required_unless_present = "waits_for", conflicts_with_all = FILTERS)]
    pub(crate) branch: Option<String>,
    #[command(flatten)]
    pub(crate) word: Word,
    /// Why; kept in the transaction's history
    #[arg(long, required_unless_present = "dry_run")]
    pub(crate) reason: Option<String>,
}

/// An operator's word on a branch.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Word {
    /// The branch's effect stands
    #[arg(long)]
    pub(crate) applied: bool,
    /// The branch has no effect
    #[arg(long)]
    pub(crate) not_applied: bool,
    /// It cannot be known
    #[arg(long)]
    pub(crate) unknown: bool,
}

/// `wholly schema`
#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Print the tables, to be put among your migrations
    Print {
        /// For which database
        #[arg(value_enum)]
        dialect: Dialect,
    },
    /// Create the tables in a database
    Apply {
        /// As sqlite:///var/lib/shop/stock.db
        #[arg(value_name = "DATABASE-URL")]
        database: String,
    },
}

/// A database that a barrier can stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// SQLite
    Sqlite,
    /// PostgreSQL
    Postgres,
    /// MySQL and MariaDB
    Mysql,
}

/// `wholly check`
#[derive(Debug, Subcommand)]
pub(crate) enum Check {
    /// Play duplicate, late, reordered and stale calls against a participant
    Participant(Box<CheckParticipant>),
    /// Read a data folder that nobody uses, compare every checksum, change nothing
    Data(CheckFolder),
}

/// `wholly check data`
#[derive(Debug, Args)]
pub(crate) struct CheckFolder {
    /// The folder, or a copy of one
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// `wholly check participant`
#[derive(Debug, Args)]
pub(crate) struct CheckParticipant {
    /// Where it listens, as http://stock:8080; one for tests, for a TCC branch is left confirmed
    pub(crate) url: String,
    /// The operation to play with, as stock.lock
    #[arg(long)]
    pub(crate) operation: Option<String>,
    /// Its mode
    #[arg(long, value_enum)]
    pub(crate) mode: Option<CheckMode>,
    /// A payload that it does not refuse
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) payload: String,
    /// Send every call in an envelope, as where a destination has `body = "envelope"`
    #[arg(long)]
    pub(crate) envelope: bool,
    /// A page that shows its books: they must be the same after whatever was undone
    #[arg(long, value_name = "URL")]
    pub(crate) books: Option<String>,
    #[command(flatten)]
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) certificates: Certificates,
    /// The name under which the coordinator calls it; that of its credential if not said
    #[arg(long, value_name = "DESTINATION", requires = "id")]
    pub(crate) audience: Option<String>,
    /// How long one call may take
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    pub(crate) timeout_ms: u64,
    /// Print the verdicts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A mode that a participant can be checked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckMode {
    /// Try, confirm, cancel
    Tcc,
    /// Action, compensate
    Saga,
}

/// `wholly shop-service`
#[derive(Debug, Args)]
pub(crate) struct ShopService {
    /// Which
    #[arg(value_enum)]
    pub(crate) role: Role,
    /// The folder of its database
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The coordinator's address; without it, the first line of stdin says it
    #[arg(long, value_name = "URL")]
    pub(crate) coordinator: Option<String>,
    /// How long an order may take before it is undone
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    pub(crate) patience_ms: u64,
    /// Stop when stdin ends, so that no child outlives its parent
    #[arg(long)]
    pub(crate) until_stdin_ends: bool,
}

/// A service of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// It takes orders
    Order,
    /// It has the pieces
    Stock,
    /// It has the points
    Points,
}

/// `wholly shop-books`
#[derive(Debug, Args)]
pub(crate) struct ShopBooks {
    /// The folder of the three databases
    pub(crate) folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn at_once() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a line; what comes back is `ok` or the lines of the complaint.
    fn check(line: &str, expected: &str) {
        let words = std::iter::once("wholly").chain(line.split_whitespace());
        let seen = match Arguments::try_parse_from(words) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(seen.contains(expected), "wholly {line}\nexpected: {expected}\nseen: {seen}");
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn lines_of_the_manual_are_understood() {
        check("serve --dev", "ok");
        check("serve --data d --listen 127.0.0.1:0 --destination stock=http://s:1", "ok");
        check("serve --data d --set calls.timeout_ms=300 --set calls.backoff_ms=20", "ok");
        check("serve --listen 0.0.0.0:7700 --insecure --config wholly.toml", "ok");
        check("backup --data d --to /backup/monday", "ok");
        check("restore /backup/monday --data d", "ok");
        check("check data wholly-data", "ok");
        check("demo", "ok");
        check("demo --keep", "ok");
        check("status --json", "ok");
        check("status --url https://w:7700 --ca a --certificate c --key k", "ok");
        check("destination list", "ok");
        check("destination pause stock --reason migration", "ok");
        check("destination resume stock --reason done", "ok");
        check("destination pause stock", "ok");
        check("destination resume stock", "ok");
        check("drain", "ok");
        check("audit --data d --who anna --what retry --gid g --from 2026-01-31T12:00:00Z", "ok");
        check("check participant http://stock:1", "ok");
        check("tx retry --mode saga --gid-prefix order- --dry-run", "ok");
        check("tx park --begun-from 2026-01-31T12:00:00Z --dry-run", "ok");
        check("drain --reason upgrade --within 5m", "ok");
        check("drain --reason upgrade --cancel", "ok");
        check("tx list --stuck", "ok");
        check("tx list --waits-for stock --older-than 10m", "ok");
        check("tx show order-4711 --url http://127.0.0.1:1", "ok");
        check("tx list --data d --outcome mixed", "ok");
        check("tx show order-4711 --data d", "ok");
        check("tx retry order-4711 --reason restored", "ok");
        check("tx retry --name place-order --stuck --dry-run", "ok");
        check("tx resolve order-4711 --branch stock --not-applied --reason seen", "ok");
        check("tx abort order-4711 --reason late", "ok");
        check("tx commit order-4711 --reason told", "ok");
        check("tx park order-4711 --reason look", "ok");
        check("tx abort --name place-order --older-than 10m --reason late --yes", "ok");
        check("tx park --waits-for stock --dry-run", "ok");
        check("tx commit --stuck --reason told --yes --at-most 5", "ok");
        check("tx resolve --waits-for stock --applied --reason seen --yes", "ok");
        check("tx show order-4711 --ask", "ok");
        check("tx show order-4711 --payloads --branch stock --reason dispute", "ok");
        check("schema print postgres", "ok");
        check("schema print mysql", "ok");
        check("schema apply sqlite://stock.db", "ok");
    }

    #[test]
    fn wrong_lines_are_told_what_is_missing() {
        check("serve --dta d", "a similar argument exists: '--data'");
        check("shop-service stock --data d --listen here", "invalid socket address");
        check("tx retry --reason r", "required");
        check("tx retry order-1", "--reason <REASON>");
        for filter in ["--stuck", "--name a", "--state open", "--waits-for a", "--older-than 1m"] {
            let line = format!("tx retry order-1 --reason r {filter}");
            check(&line, "cannot be used with");
        }
        check("tx abort --reason r", "required");
        check("tx resolve --stuck --applied --reason r", "required");
        check("tx resolve g --applied --reason r", "--branch <BRANCH>");
        check("tx resolve --waits-for s --branch b --applied --reason r", "cannot be used with");
        check("tx show g --payloads", "--reason <REASON>");
        check("tx show g --reason r", "--payloads");
        check("tx resolve g --branch b --reason r", "--applied|--not-applied|--unknown");
        check("tx resolve g --branch b --reason r --applied --unknown", "cannot be used with");
        check("audit --what eat", "[possible values: retry, ");
        check("audit --from yesterday", "invalid value 'yesterday'");
        check("tx retry --outcome mixed", "unexpected argument");
        check("status --certificate c.pem", "--key <FILE>");
        check("status --key k.pem", "--certificate <FILE>");
        check("tx lst", "a similar subcommand exists: 'list'");
        check("tx list --older-than 10x", "is no unit of time");
        check("tx list --older-than h", "does not begin with a number");
        check("check participant", "required arguments were not provided");
        check("demo --side-by-side 0", "0 is not in 1..=64");
    }

    #[test]
    fn what_is_hidden_stays_out_of_the_help() {
        use clap::CommandFactory;
        let help = Arguments::command().render_help().to_string();
        assert!(help.contains("Exit codes:"), "{help}");
        for word in ["shop-service", "shop-books"] {
            assert!(!help.contains(&format!("  {word}")), "{help}");
        }
    }
}
