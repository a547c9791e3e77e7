//! The query of a list: every filter, the limit, the cursor.

use wholly_core::time::Timestamp;
use wholly_server::fuzzing::list_query;
use wholly_store::contract::{Filter, Page, Stuck};
use wholly_wire::words::Spelled;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// What is read, and printed as a query, is read the same.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match list_query(text, NOW) {
        Ok((filter, page)) => {
            assert!((1..=500).contains(&page.limit), "a page is bounded: {}", page.limit);
            let printed = print(&filter, &page);
            let read = list_query(&printed, NOW).expect("what was printed is read");
            assert_eq!(read, (filter, page), "{printed}");
        }
        Err(rejection) => assert!(!rejection.to_string().is_empty(), "it says what is wrong"),
    }
}

fn print(filter: &Filter, page: &Page) -> String {
    let mut query = format!("limit={}", page.limit);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            query.push('&');
            query.push_str(name);
            query.push('=');
            query.extend(value.bytes().map(|byte| format!("%{byte:02x}")));
        }
    };
    add("state", filter.state.map(|state| state.spell().to_owned()));
    add(
        "stuck",
        match filter.stuck {
            Stuck::Any => None,
            Stuck::Only => Some("true".to_owned()),
            Stuck::Without => Some("false".to_owned()),
        },
    );
    add("name", filter.name.as_ref().map(ToString::to_string));
    add("waits_for", filter.waits_for.as_ref().map(ToString::to_string));
    add("outcome", filter.outcome.map(|outcome| outcome.spell().to_owned()));
    let age = |before: Timestamp| NOW.since_ms(before).to_string();
    add("older_than_ms", filter.begun_before.map(age));
    add("gid_prefix", Some(filter.gid_prefix.clone()).filter(|prefix| !prefix.is_empty()));
    let cursor =
        |cursor: &wholly_store::contract::Cursor| format!("{}.{}", cursor.begun.0, cursor.gid);
    add("cursor", page.after.as_ref().map(cursor));
    query
}
