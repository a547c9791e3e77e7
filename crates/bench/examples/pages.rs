//! What a page of a list costs beside so many ended transactions: each filter alone, what matches
//! and what does not.

use std::error::Error;
use std::time::{Duration, Instant};
use wholly_core::branch::Mode;
use wholly_core::effect::Content;
use wholly_core::ids::{Gid, Name};
use wholly_core::record::{Outcome, PhaseName, Summary};
use wholly_core::time::Timestamp;
use wholly_store::archive::{ArchiveLimits, ArchiveReader, Archived, OpenedArchive, Slice, sqlite};
use wholly_store::contract::{Cursor, Filter, Page};
use wholly_store::encoding::encode_record;
use wholly_store::suite::drafts::Writer;

const ROWS: u64 = 1_000_000;
const BULK: u64 = 2_048;
const LIMIT: usize = 50;
/// Pages followed for each filter.
const PAGES: usize = 200;
const BEGUN: u64 = 1_790_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let rows = std::env::args().nth(1).map_or(Ok(ROWS), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let limits = ArchiveLimits::default();
    let began = Instant::now();
    let mut archive = sqlite::open(folder.path(), limits)?;
    fill(&mut archive, rows, limits.slice_rows_max)?;
    let took = began.elapsed();
    println!("{rows} rows in {:.1} s", took.as_secs_f64());
    drop(archive);
    let archive = sqlite::open(folder.path(), limits)?;
    println!("{:<32}{:>8}{:>8}{:>12}{:>12}", "filter", "pages", "rows", "median ms", "slowest ms");
    for (name, filter) in filters(rows) {
        measure(&*archive.reader, name, &filter, rows)?;
    }
    Ok(())
}

/// Ten a millisecond; one in a hundred thousand ended mixed, is a saga's, or has a name of its own.
fn fill(archive: &mut OpenedArchive, rows: u64, slice_rows: u64) -> Result<(), Box<dyn Error>> {
    let mut writer = Writer::new(1);
    let mut end = 0;
    while end < rows {
        let until = (end + BULK).min(rows);
        let slice = Slice(u32::try_from(end / slice_rows)? + 1);
        let bulk: Result<Vec<Archived>, _> = (end..until).map(|n| one(&mut writer, n)).collect();
        archive.writer.put(slice, &bulk?)?;
        archive.writer.commit(slice, end..until)?;
        end = until;
    }
    Ok(())
}

fn one(writer: &mut Writer, number: u64) -> Result<Archived, Box<dyn Error>> {
    let rare = number % 100_000 == 77;
    let gid = Gid::new(&format!("{}-{number:07}", if rare { "rare" } else { "order" }))?;
    let (begin, end) = (writer.begin_as(&gid), writer.end(&gid));
    let (mut records, mut count, mut last) = (Vec::new(), 0, None);
    for draft in [begin, end] {
        let Content::Transaction { records: some, summary, .. } = draft.content else { continue };
        count += some.len() as u64;
        some.iter().for_each(|record| encode_record(&gid, record, &mut records));
        last = Some(summary);
    }
    let summary = last.ok_or("a transaction has drafts")?;
    let begun = Timestamp(BEGUN + number / 10);
    let name = Name::new(if rare { "refund" } else { "place-order" })?;
    let outcome = Some(if rare { Outcome::Mixed } else { Outcome::AsDecided });
    let modes = vec![if rare { Mode::Saga } else { Mode::Tcc }];
    let ended = Some(begun);
    let summary = Summary { name, begun, outcome, modes, ended, changed: begun, ..summary };
    Ok(Archived { end: number, gid, summary, count, records })
}

fn filters(rows: u64) -> Vec<(&'static str, Filter)> {
    let name = |name: &str| Name::new(name).ok();
    let old = Some(Timestamp(BEGUN + rows / 100));
    let any = Filter::default;
    let gids = |prefix: &str| Filter { gid_prefix: prefix.to_owned(), ..any() };
    vec![
        ("none", any()),
        ("state=ended", Filter { state: Some(PhaseName::Ended), ..any() }),
        ("outcome=as_decided", Filter { outcome: Some(Outcome::AsDecided), ..any() }),
        ("outcome=mixed, rare", Filter { outcome: Some(Outcome::Mixed), ..any() }),
        ("outcome=hazard, nowhere", Filter { outcome: Some(Outcome::Hazard), ..any() }),
        ("mode=tcc", Filter { mode: Some(Mode::Tcc), ..any() }),
        ("mode=saga, rare", Filter { mode: Some(Mode::Saga), ..any() }),
        ("name=place-order", Filter { name: name("place-order"), ..any() }),
        ("name=refund, rare", Filter { name: name("refund"), ..any() }),
        ("name=other, nowhere", Filter { name: name("other"), ..any() }),
        ("begun before, the first tenth", Filter { begun_before: old, ..any() }),
        (
            "begun from, the last half",
            Filter { begun_from: Some(Timestamp(BEGUN + rows / 20)), ..any() },
        ),
        ("gid prefix, all but the rare", gids("order-")),
        ("gid prefix, ten thousand", gids("order-050")),
        ("gid prefix, a thousand", gids("order-0500")),
        ("gid prefix, rare", gids("rare-")),
        ("gid prefix, nowhere", gids("other-")),
    ]
}

/// Follows a list to its end, or for so many pages.
fn measure(
    reader: &dyn ArchiveReader,
    name: &str,
    filter: &Filter,
    rows: u64,
) -> Result<(), Box<dyn Error>> {
    let mut times: Vec<Duration> = Vec::new();
    let (mut listed, mut after): (usize, Option<Cursor>) = (0, None);
    loop {
        let page = Page { limit: LIMIT, after };
        let began = Instant::now();
        let listing = reader.list(filter, &page, 0..rows)?;
        times.push(began.elapsed());
        listed += listing.items.len();
        after = listing.next;
        if after.is_none() || times.len() == PAGES {
            break;
        }
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let (median, slowest) = (ms(times[times.len() / 2]), ms(times[times.len() - 1]));
    println!("{name:<32}{:>8}{listed:>8}{median:>12.2}{slowest:>12.2}", times.len());
    Ok(())
}
