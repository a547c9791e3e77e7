//! Pages of lists: each filter alone, at the first page, in the middle and at the end.

use super::filling::{LEGS, order};
use super::{ms, read};
use crate::client::{Broken, Client, Target};
use crate::report::{median, round};
use serde_json::{Value, json};
use std::time::Instant;

/// The list without a filter.
pub(super) const PATH: &str = "/v1/transactions?limit=50";
/// Rows of a page that is measured.
pub(super) const LIMIT: usize = 50;
/// Rows of a page where only the end counts.
const LIMIT_MAX: usize = 500;
/// Pages that are measured of each filter at each place.
const PAGES: usize = 50;
/// More pages than a list of this many takes.
const PAGES_MAX: usize = 100_000;

/// Columns of [`Measured::rows`].
pub(super) const COLUMNS: &[&str] = &[
    "filter",
    "rows_a_page",
    "first_ms",
    "first_ms_max",
    "middle_ms",
    "middle_ms_max",
    "last_ms",
    "last_ms_max",
];
/// Columns of [`Measured::followed`].
pub(super) const FOLLOWED: &[&str] = &["filter", "limit", "pages", "rows", "ms"];

/// What pages cost.
pub(super) struct Measured {
    /// Each filter's pages.
    pub(super) rows: Vec<Value>,
    /// Whole lists.
    pub(super) followed: Vec<Value>,
    /// The slowest page of all.
    pub(super) page_ms_max: f64,
}

/// Places in the list of all.
struct Places {
    /// The cursor in the middle.
    middle: String,
    /// The cursor of the last page but one.
    last: String,
    /// When the one was begun before which a tenth, half and six tenths of all were.
    tenth: String,
    half: String,
    six_tenths: String,
}

/// A filter, and how many it finds where that is few.
struct Sieve {
    name: &'static str,
    query: String,
    rare: Option<u64>,
}

/// Follows the list of all to its end, then measures each filter.
pub(super) async fn measure(target: &Target, rows: u64) -> Result<Measured, Broken> {
    let mut client = Client::connect(target).await?;
    let began = Instant::now();
    let walked = walk(&mut client, rows).await?;
    let mut followed = vec![json!({
        "filter": "none", "limit": LIMIT_MAX, "pages": walked.pages, "rows": rows,
        "ms": round(ms(began.elapsed()), 0),
    })];
    let (mut table, mut page_ms_max) = (Vec::new(), 0.0);
    for sieve in sieves(rows, &walked.places) {
        let Sieve { name, query, rare } = &sieve;
        let mut row = json!({ "filter": name });
        let places = [("first", None), ("middle", Some(&walked.places.middle))];
        for (place, from) in places.into_iter().chain([("last", Some(&walked.places.last))]) {
            let timed = time(&mut client, query, from.map(String::as_str)).await?;
            let most = timed.ms.iter().copied().fold(0.0, f64::max);
            page_ms_max = f64::max(page_ms_max, most);
            row[format!("{place}_ms")] = json!(round(median(timed.ms), 2));
            row[format!("{place}_ms_max")] = json!(round(most, 2));
            if place == "first" {
                row["rows_a_page"] = json!(round(timed.rows as f64 / PAGES as f64, 1));
            }
        }
        table.push(row);
        if let Some(expected) = rare {
            followed.push(follow(&mut client, name, query, *expected).await?);
        }
    }
    Ok(Measured { rows: table, followed, page_ms_max: round(page_ms_max, 2) })
}

fn sieves(rows: u64, places: &Places) -> Vec<Sieve> {
    let Places { tenth, half, six_tenths, .. } = places;
    let sieve = |name, query: &str| Sieve { name, query: query.to_owned(), rare: None };
    let rare = |name, query: &str| Sieve { rare: Some(LEGS), ..sieve(name, query) };
    let nowhere = |name, query: &str| Sieve { rare: Some(0), ..sieve(name, query) };
    let middle = order(rows / 2);
    let beginning = |digits: usize| format!("&gid_prefix={}", &middle[..middle.len() - digits]);
    vec![
        sieve("none", ""),
        sieve("state=ended", "&state=ended"),
        sieve("outcome=as_decided", "&outcome=as_decided"),
        rare("outcome=mixed, rare", "&outcome=mixed"),
        nowhere("outcome=hazard, nowhere", "&outcome=hazard"),
        sieve("mode=saga", "&mode=saga"),
        rare("mode=tcc, rare", "&mode=tcc"),
        sieve("name=place-order", "&name=place-order"),
        rare("name=refund, rare", "&name=refund"),
        nowhere("name=other, nowhere", "&name=other"),
        sieve("begun before, the first tenth", &format!("&begun_until={tenth}")),
        sieve("begun from, the last half", &format!("&begun_from={half}")),
        sieve("begun within, a tenth", &format!("&begun_from={half}&begun_until={six_tenths}")),
        sieve("gid prefix, all but the rare", "&gid_prefix=order-"),
        sieve("gid prefix, ten thousand", &beginning(4)),
        sieve("gid prefix, a thousand", &beginning(3)),
        rare("gid prefix, rare", "&gid_prefix=rare-"),
        nowhere("gid prefix, nowhere", "&gid_prefix=other-"),
    ]
}

/// A page.
struct Page {
    items: Vec<Value>,
    next: Option<String>,
    ms: f64,
}

async fn page(
    client: &mut Client,
    limit: usize,
    query: &str,
    cursor: Option<&str>,
) -> Result<Page, Broken> {
    let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
    let path = format!("/v1/transactions?limit={limit}{query}{cursor}");
    let began = Instant::now();
    let mut list = read(client, &path).await?;
    let ms = ms(began.elapsed());
    match (list["items"].take(), list["next"].take()) {
        (Value::Array(items), Value::String(next)) => Ok(Page { items, next: Some(next), ms }),
        (Value::Array(items), Value::Null) => Ok(Page { items, next: None, ms }),
        (_, _) => Err(Broken(format!("{path}: no list"))),
    }
}

/// What following everything found.
struct Walked {
    pages: usize,
    places: Places,
}

/// Follows the list of all: each must be there once, begun last first.
async fn walk(client: &mut Client, rows: u64) -> Result<Walked, Broken> {
    let (mut seen, mut pages, mut before): (u64, usize, Option<(String, String)>) = (0, 0, None);
    let (mut cursors, mut begun) = (Vec::new(), Vec::new());
    loop {
        let page = page(client, LIMIT_MAX, "", cursors.last().map(String::as_str)).await?;
        pages += 1;
        for item in &page.items {
            let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
            let place = (text("begun"), text("gid"));
            if before.as_ref().is_some_and(|before| *before <= place) {
                return Err(Broken(format!("{place:?} is listed after {before:?}")));
            }
            if seen.is_multiple_of(rows / 10) {
                begun.push(place.0.clone());
            }
            before = Some(place);
            seen += 1;
        }
        match page.next {
            Some(next) => cursors.push(next),
            None => break,
        }
    }
    if seen != rows {
        return Err(Broken(format!("{seen} of {rows} are listed")));
    }
    let cursor = |at: usize| cursors.get(at).cloned();
    let places = (cursor(cursors.len() / 2), cursor(cursors.len().saturating_sub(2)));
    let (Some(middle), Some(last)) = places else {
        return Err(Broken("the list has too few pages".into()));
    };
    let begun = |tenths: usize| begun[10 - tenths].clone();
    let places = Places { middle, last, tenth: begun(1), half: begun(5), six_tenths: begun(6) };
    Ok(Walked { pages, places })
}

/// What so many pages took.
struct Timed {
    ms: Vec<f64>,
    rows: usize,
}

/// Follows from a place on; from the end goes back to that place.
async fn time(client: &mut Client, query: &str, from: Option<&str>) -> Result<Timed, Broken> {
    let mut timed = Timed { ms: Vec::new(), rows: 0 };
    let mut cursor = from.map(str::to_owned);
    while timed.ms.len() < PAGES {
        let page = page(client, LIMIT, query, cursor.as_deref()).await?;
        timed.ms.push(page.ms);
        timed.rows += page.items.len();
        cursor = page.next.or_else(|| from.map(str::to_owned));
    }
    Ok(timed)
}

/// Follows a list that finds few to its end, and counts them.
async fn follow(
    client: &mut Client,
    name: &str,
    query: &str,
    expected: u64,
) -> Result<Value, Broken> {
    let began = Instant::now();
    let (mut rows, mut cursor): (u64, Option<String>) = (0, None);
    for pages in 1..=PAGES_MAX {
        let page = page(client, LIMIT, query, cursor.as_deref()).await?;
        rows += page.items.len() as u64;
        cursor = page.next;
        if cursor.is_none() {
            let took = round(ms(began.elapsed()), 0);
            return match rows == expected {
                true => Ok(json!({
                    "filter": name, "limit": LIMIT, "pages": pages, "rows": rows, "ms": took,
                })),
                false => Err(Broken(format!("{name}: {rows} found instead of {expected}"))),
            };
        }
    }
    Err(Broken(format!("{name}: no end after {PAGES_MAX} pages")))
}
