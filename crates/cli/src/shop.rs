//! `wholly shop-service` and `wholly shop-books`: the parts of the shop that the demonstration and
//! the kill test start.

use crate::arguments::{Role, ShopBooks, ShopService};
use crate::complaint::{Complaint, Kind};
use crate::demo::{BOUND, READY};
use crate::lifeline::Lifeline;
use std::time::Duration;
use tokio::net::TcpListener;
use wholly_shop::books::Books;
use wholly_shop::service::{self, Settings};

/// Serves until it is killed.
pub(crate) async fn serve(service: ShopService) -> Result<(), Complaint> {
    let failed = |what: &str, error: &dyn std::error::Error| {
        Complaint::because(Kind::NotDone, what, error).means("this service did not start")
    };
    std::fs::create_dir_all(&service.data)
        .map_err(|error| failed("its folder cannot be made", &error))?;
    let listener = TcpListener::bind(service.listen)
        .await
        .map_err(|error| failed(&format!("cannot listen on {}", service.listen), &error))?;
    let address =
        listener.local_addr().map_err(|error| failed("the socket has no address", &error))?;
    say!("{BOUND}http://{address}");
    let mut lifeline = service.until_stdin_ends.then(Lifeline::start);
    let coordinator = match (service.coordinator, &mut lifeline) {
        (Some(url), _) => url,
        (None, Some(lifeline)) => lifeline.line().await?,
        (None, None) => {
            return Err(Complaint::new(Kind::Usage, "no coordinator was named")
                .advice("say --coordinator URL, or --until-stdin-ends and tell it by stdin"));
        }
    };
    let patience = Duration::from_millis(service.patience_ms);
    let settings = Settings { folder: service.data, coordinator, patience };
    let router = role(service.role)
        .router(&settings)
        .await
        .map_err(|error| failed("a part is missing", &error))?;
    say!("{READY}http://{address}");
    let gone = async {
        match &mut lifeline {
            Some(lifeline) => lifeline.ended().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // What it was doing is asked again, as after a crash.
        () = gone => Ok(()),
        ended = service::serve(listener, router) => ended
            .map_err(|error| Complaint::because(Kind::NotDone, "the service ended", &error)),
    }
}

fn role(role: Role) -> service::Role {
    match role {
        Role::Order => service::Role::Order,
        Role::Stock => service::Role::Stock,
        Role::Points => service::Role::Points,
    }
}

/// Prints the books; fails if they are wrong.
pub(crate) async fn print_books(asked: ShopBooks) -> Result<(), Complaint> {
    let books = Books::read(&asked.folder).await.map_err(|error| {
        Complaint::because(Kind::NotDone, "the books cannot be read", &error)
            .means("nothing was changed")
            .advice("name the folder that holds order.db, stock.db and points.db")
    })?;
    match asked.json {
        true => say!("{}", serde_json::to_string(&books).expect("books are JSON")),
        false => {
            say!(
                "{} whole, {} undone, {} under way, {} wrong",
                books.whole.len(),
                books.nothing.len(),
                books.pending.len(),
                books.wrong.len()
            );
            for line in &books.wrong {
                say!("wrong: {line}");
            }
        }
    }
    if books.wrong.is_empty() {
        return Ok(());
    }
    Err(Complaint::new(Kind::NotDone, "the books are wrong")
        .means("an order happened by half, or a sum is off")
        .advice("`wholly tx show order-N` tells what became of it"))
}
