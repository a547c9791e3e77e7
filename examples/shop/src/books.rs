//! The books: reads all three databases and says whether every order happened wholly or not at all.

use crate::database;
use crate::service::Role;
use serde::Serialize;
use sqlx::SqlitePool;
use std::collections::BTreeMap;
use std::path::Path;

/// What the three databases hold, and what is wrong with it.
#[derive(Debug, Serialize)]
pub struct Books {
    /// Orders that happened wholly.
    pub whole: Vec<String>,
    /// Orders that did not happen at all, though something had been tried.
    pub nothing: Vec<String>,
    /// Orders under way: something is still locked.
    pub pending: Vec<String>,
    /// Orders that happened by half, which a saga does while it is under way.
    pub torn: Vec<String>,
    /// Everything that must not be once all has ended, in words; empty if all is well.
    pub wrong: Vec<String>,
}

/// What one order left behind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Traces {
    /// Its row: state, pieces, points.
    row: Option<(String, i64, i64)>,
    /// Pieces moved: free, locked, sold.
    stock: (i64, i64, i64),
    /// Points moved: free, locked, spent.
    points: (i64, i64, i64),
}

/// How an order stands.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Whole,
    Nothing,
    Pending,
    Torn,
}

impl Books {
    /// Reads the databases of a shop, each as it stands; what runs meanwhile counts as pending.
    pub async fn read(folder: &Path) -> sqlx::Result<Books> {
        let order = database::open_to_read(&Role::Order.file(folder)).await?;
        let stock = database::open_to_read(&Role::Stock.file(folder)).await?;
        let points = database::open_to_read(&Role::Points.file(folder)).await?;
        let mut traces = BTreeMap::new();
        read_orders(&order, &mut traces).await?;
        let mut wrong = read_stock(&stock, &mut traces).await?;
        wrong.extend(read_points(&points, &mut traces).await?);
        for pool in [order, stock, points] {
            pool.close().await;
        }
        Ok(judge(traces, wrong))
    }

    /// Whether nothing is wrong and nothing is under way.
    pub fn balance(&self) -> bool {
        self.wrong.is_empty() && self.pending.is_empty()
    }
}

fn judge(traces: BTreeMap<String, Traces>, wrong: Vec<String>) -> Books {
    let mut books = Books {
        whole: Vec::new(),
        nothing: Vec::new(),
        pending: Vec::new(),
        torn: Vec::new(),
        wrong,
    };
    for (order, left) in traces {
        match left.verdict() {
            Verdict::Whole => books.whole.push(order),
            Verdict::Nothing => books.nothing.push(order),
            Verdict::Pending => books.pending.push(order),
            Verdict::Torn => {
                books.wrong.push(format!("order {order} is torn: {left:?}"));
                books.torn.push(order);
            }
        }
    }
    books
}

impl Traces {
    fn verdict(&self) -> Verdict {
        let nothing = self.stock == (0, 0, 0) && self.points == (0, 0, 0);
        if self.stock.1 != 0 || self.points.1 != 0 {
            return Verdict::Pending;
        }
        match &self.row {
            Some((state, quantity, points)) if state == "placed" => {
                let stock = self.stock == (-quantity, 0, *quantity);
                let paid = self.points == (-points, 0, *points);
                if stock && paid { Verdict::Whole } else { Verdict::Torn }
            }
            Some(_) | None => {
                if nothing {
                    Verdict::Nothing
                } else {
                    Verdict::Torn
                }
            }
        }
    }
}

async fn read_orders(pool: &SqlitePool, traces: &mut BTreeMap<String, Traces>) -> sqlx::Result<()> {
    let rows: Vec<(String, String, i64, i64)> =
        sqlx::query_as("select id, state, quantity, points from orders").fetch_all(pool).await?;
    for (order, state, quantity, points) in rows {
        traces.entry(order).or_default().row = Some((state, quantity, points));
    }
    Ok(())
}

async fn read_stock(
    pool: &SqlitePool,
    traces: &mut BTreeMap<String, Traces>,
) -> sqlx::Result<Vec<String>> {
    let mut reading = pool.begin().await?;
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "select order_id, sum(free), sum(locked), sum(sold) from entries group by order_id",
    )
    .fetch_all(&mut *reading)
    .await?;
    for (order, free, locked, sold) in rows {
        traces.entry(order).or_default().stock = (free, locked, sold);
    }
    let rows: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(
        "select s.sku, received - s.free - s.locked - s.sold,
                s.free - received - coalesce(sum(e.free), 0),
                s.locked - coalesce(sum(e.locked), 0), s.sold - coalesce(sum(e.sold), 0)
         from stock s left join entries e using (sku) group by s.sku",
    )
    .fetch_all(&mut *reading)
    .await?;
    Ok(rows.into_iter().filter_map(|row| off("stock of", row)).collect())
}

async fn read_points(
    pool: &SqlitePool,
    traces: &mut BTreeMap<String, Traces>,
) -> sqlx::Result<Vec<String>> {
    let mut reading = pool.begin().await?;
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "select order_id, sum(free), sum(locked), sum(spent) from entries group by order_id",
    )
    .fetch_all(&mut *reading)
    .await?;
    for (order, free, locked, spent) in rows {
        traces.entry(order).or_default().points = (free, locked, spent);
    }
    let rows: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(
        "select a.customer, received - a.free - a.locked - a.spent,
                a.free - received - coalesce(sum(e.free), 0),
                a.locked - coalesce(sum(e.locked), 0), a.spent - coalesce(sum(e.spent), 0)
         from accounts a left join entries e using (customer) group by a.customer",
    )
    .fetch_all(&mut *reading)
    .await?;
    Ok(rows.into_iter().filter_map(|row| off("points of", row)).collect())
}

/// What is wrong with a row whose four differences should all be zero.
fn off(what: &str, row: (String, i64, i64, i64, i64)) -> Option<String> {
    let (name, total, free, locked, gone) = row;
    if (total, free, locked, gone) == (0, 0, 0, 0) {
        return None;
    }
    Some(format!(
        "{what} {name}: {total} missing in sum; off by {free} free, {locked} locked, {gone} gone \
         against the entries"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        row: Option<&str>,
        stock: (i64, i64, i64),
        points: (i64, i64, i64),
        expected: Verdict,
    ) {
        let row = row.map(|state| (state.to_owned(), 2, 60));
        let traces = Traces { row, stock, points };
        assert_eq!(traces.verdict(), expected, "{traces:?}");
    }

    /// Reads the books after something was done to the stock database.
    async fn check_stock(statement: &'static str, wrong: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        for (role, schema) in [
            (Role::Order, crate::order::SCHEMA),
            (Role::Stock, crate::stock::SCHEMA),
            (Role::Points, crate::points::SCHEMA),
        ] {
            let pool = database::open(&role.file(folder.path()), schema).await.unwrap();
            if role == Role::Stock {
                sqlx::raw_sql(statement).execute(&pool).await.unwrap();
            }
            pool.close().await;
        }
        let books = Books::read(folder.path()).await.unwrap();
        assert_eq!(books.wrong, wrong, "{statement}");
    }

    #[tokio::test]
    async fn a_sum_that_is_off_is_found() {
        check_stock("select 1", &[]).await;
        check_stock(
            "update stock set free = free - 2, sold = sold + 2 where sku = 'tea'",
            &["stock of tea: 0 missing in sum; off by -2 free, 0 locked, 2 gone against the \
               entries"],
        )
        .await;
        check_stock(
            "update stock set free = free - 2 where sku = 'tea'; \
             insert into entries values ('1', 'tea', -2, 0, 0)",
            &[
                "stock of tea: 2 missing in sum; off by 0 free, 0 locked, 0 gone against the \
               entries",
                "order 1 is torn: Traces { row: None, stock: (-2, 0, 0), \
               points: (0, 0, 0) }",
            ],
        )
        .await;
    }

    #[test]
    fn an_order_happened_wholly_or_not_at_all_or_the_books_say_so() {
        check(Some("placed"), (-2, 0, 2), (-60, 0, 60), Verdict::Whole);
        check(Some("cancelled"), (0, 0, 0), (0, 0, 0), Verdict::Nothing);
        check(None, (0, 0, 0), (0, 0, 0), Verdict::Nothing);
        check(None, (-2, 2, 0), (0, 0, 0), Verdict::Pending);
        check(Some("placed"), (-2, 0, 2), (-60, 60, 0), Verdict::Pending);
        check(Some("placed"), (0, 0, 0), (0, 0, 0), Verdict::Torn);
        check(Some("placed"), (-2, 0, 2), (0, 0, 0), Verdict::Torn);
        check(Some("placed"), (-4, 0, 4), (-60, 0, 60), Verdict::Torn);
        check(Some("cancelled"), (-2, 0, 2), (0, 0, 0), Verdict::Torn);
        check(None, (0, 0, 0), (-60, 0, 60), Verdict::Torn);
    }
}
