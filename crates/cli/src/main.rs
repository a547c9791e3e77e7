//! The program `wholly`: the coordinator, the demonstration, and an operator's commands.

#[macro_use]
mod out;

mod arguments;
mod audit;
mod backup;
mod check;
mod complaint;
mod coordinator;
mod demo;
mod destination;
mod drain;
mod http_client;
mod identity;
mod lifeline;
mod log;
mod notify;
mod progress;
mod reason;
mod reload;
mod restore;
mod schema;
mod serve;
mod shop;
mod span;
mod status;
mod stop;
mod table;
mod tx;

use arguments::{Arguments, Command};
use clap::Parser;
use complaint::{Complaint, Kind};
use std::process::ExitCode;

/// Outgoing calls cost a tenth less with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("wholly: {complaint}");
            complaint.exit_code()
        }
    }
}

fn start(arguments: Arguments) -> Result<(), Complaint> {
    log::start(arguments.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Complaint::because(Kind::NotDone, "the runtime cannot start", &error)
            .means("nothing was started")
            .advice("see that this process may start threads")
    })?;
    runtime.block_on(run(arguments.command))
}

async fn run(command: Command) -> Result<(), Complaint> {
    match command {
        Command::Serve(serve) => serve::run(serve).await,
        Command::Backup(order) => backup::run(&order),
        Command::Restore(restore) => restore::run(&restore),
        Command::Audit(audit) => audit::run(&audit),
        Command::Demo(demo) => demo::run(demo).await,
        Command::Status(reading) => status::run(reading).await,
        Command::Destination(verb) => destination::run(verb).await,
        Command::Drain(drain) => drain::run(drain).await,
        Command::Tx(tx) => tx::run(*tx).await,
        Command::Schema(schema) => schema::run(schema).await,
        Command::Check(check) => check::run(check).await,
        Command::ShopService(service) => shop::serve(service).await,
        Command::ShopBooks(books) => shop::print_books(books).await,
    }
}
