//! The checks: each is one promise of the contract.

use super::drafts::Writer;
use super::{Bench, Opened};
use crate::contract::{Completion, Cursor, Filter, Listing, Page, Stuck};
use std::collections::BTreeMap;
use wholly_core::effect::{Content, Draft};
use wholly_core::ids::{Destination, Gid, Position};
use wholly_core::input::Loaded;
use wholly_core::record::{ClockMark, PhaseName, Record, Summary};
use wholly_core::time::Timestamp;

pub(super) type Check = fn(&mut dyn Bench);

pub(super) const ALL: [(&str, Check); 7] = [
    ("what is durable is seen, what is not is not", durable_is_seen),
    ("a crash keeps what is durable and loses the rest in order", crash_keeps_the_durable),
    ("a second crash finds the same", crash_is_idempotent),
    ("a list is paged newest first", list_is_paged),
    ("filters agree with a plain search", filters_agree),
    ("a forgotten gid is used again", gid_is_used_again),
    ("a stop makes durable what has arrived, and nothing later", stop_ends_it),
];

/// Checks of a store that forgets the ended one by one.
pub(super) const ONE_BY_ONE: [(&str, Check); 3] = [
    ("the ended are forgotten by age", forgotten_by_age),
    ("the ended are known to the last millisecond", forgotten_to_the_millisecond),
    ("the ended are forgotten for want of room, and counted", forgotten_for_room),
];

/// What a store should know.
#[derive(Clone, Debug, Default)]
struct Model {
    records: BTreeMap<Gid, Vec<Record>>,
    summaries: BTreeMap<Gid, Summary>,
    mark: Option<ClockMark>,
    position: Position,
}

impl Model {
    fn apply(&mut self, draft: &Draft) {
        self.position = draft.position;
        match &draft.content {
            Content::Transaction { gid, after, records, summary } => {
                let known = self.records.entry(gid.clone()).or_default();
                known.truncate(after.0 as usize);
                known.extend(records.iter().cloned());
                self.summaries.insert(gid.clone(), summary.clone());
            }
            Content::Mark(mark) => self.mark = Some(*mark),
        }
    }

    fn newest_first(&self) -> Vec<(Timestamp, Gid)> {
        let keys = self.summaries.iter().map(|(gid, summary)| (summary.begun, gid.clone()));
        let mut keys: Vec<_> = keys.collect();
        keys.sort();
        keys.reverse();
        keys
    }

    fn loaded(&self) -> Loaded {
        let open = self.records.iter();
        let open = open.filter(|(gid, _)| self.summaries[*gid].phase != PhaseName::Ended);
        let open = open.map(|(gid, records)| (gid.clone(), records.clone())).collect();
        Loaded { position: self.position, mark: self.mark, open, restored: None }
    }

    /// Says that a store knows this and no more.
    fn check(&self, opened: &Opened) {
        let page = Page { limit: self.summaries.len() + 1, after: None };
        let listing = opened.store.list(&Filter::default(), &page);
        let Listing { items, next } = listing.expect("it can be read");
        assert_eq!(next, None);
        assert_eq!(items.len(), self.summaries.len());
        for item in items {
            assert_eq!(Some(&item.summary), self.summaries.get(&item.gid), "{}", item.gid);
            let history = opened.store.history(&item.gid).expect("it can be read");
            assert_eq!(Some(&history), self.records.get(&item.gid), "{}", item.gid);
            let lookup = opened.store.lookup(&item.gid).expect("it can be read");
            assert_eq!(lookup.records, history);
            assert_eq!(opened.store.missing(&item.gid), None);
        }
        assert_eq!(opened.store.stats().durable, self.position);
    }
}

fn check_loaded(mut loaded: Loaded, model: &Model) {
    loaded.open.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(loaded, model.loaded());
}

fn page(limit: usize) -> Page {
    Page { limit, after: None }
}

fn durable_is_seen(bench: &mut dyn Bench) {
    let opened = bench.fresh(100);
    assert_eq!(opened.loaded, Loaded::default());
    let mut writer = Writer::new(1);
    let mut model = Model::default();
    let mut waiting = Vec::new();
    for _ in 0..40 {
        let draft = writer.any();
        waiting.push(draft.clone());
        opened.store.append(draft);
    }
    model.check(&opened);
    opened.settle(writer.position);
    waiting.iter().for_each(|draft| model.apply(draft));
    model.check(&opened);
    let absent = Gid::new("absent").expect("a gid");
    let lookup = opened.store.lookup(&absent).expect("nothing to read");
    assert_eq!(lookup.records, []);
    assert_eq!(opened.store.missing(&absent), Some(lookup.forgotten));
}

fn crash_keeps_the_durable(bench: &mut dyn Bench) {
    let mut opened = bench.fresh(1_000);
    let mut writer = Writer::new(2);
    let mut model = Model::default();
    for round in 0..5 {
        for _ in 0..20 + round {
            let draft = writer.any();
            model.apply(&draft);
            opened.store.append(draft);
        }
        opened.settle(writer.position);
        let mut lost = writer.clone();
        opened.store.append(lost.any());
        opened.store.append(lost.any());
        opened = bench.crash(opened);
        check_loaded(opened.loaded.clone(), &model);
        model.check(&opened);
    }
}

fn crash_is_idempotent(bench: &mut dyn Bench) {
    let mut opened = bench.fresh(1_000);
    let mut writer = Writer::new(3);
    let mut model = Model::default();
    for _ in 0..60 {
        let draft = writer.any();
        model.apply(&draft);
        opened.store.append(draft);
    }
    opened.settle(writer.position);
    for _ in 0..4 {
        opened = bench.crash(opened);
        check_loaded(opened.loaded.clone(), &model);
        model.check(&opened);
    }
}

fn list_is_paged(bench: &mut dyn Bench) {
    let opened = bench.fresh(1_000);
    let mut writer = Writer::new(4);
    let mut model = Model::default();
    for _ in 0..200 {
        let draft = writer.any();
        model.apply(&draft);
        opened.store.append(draft);
    }
    opened.settle(writer.position);
    let expected = model.newest_first();
    for limit in [1, 3, expected.len(), expected.len() + 1] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let listing = opened.store.list(&Filter::default(), &Page { limit, after });
            let listing = listing.expect("it can be read");
            assert!(listing.items.len() <= limit);
            seen.extend(listing.items.into_iter().map(|item| (item.summary.begun, item.gid)));
            after = listing.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
    // A cursor is a place, not an item: what it names need not be there.
    let gid = Gid::new("zzz").expect("a gid");
    let middle = Cursor { begun: expected[expected.len() / 2].0, gid };
    let page = Page { limit: 1, after: Some(middle) };
    let listing = opened.store.list(&Filter::default(), &page).expect("it can be read");
    assert_eq!(listing.items[0].gid, expected[expected.len() / 2].1);
}

fn filters_agree(bench: &mut dyn Bench) {
    let opened = bench.fresh(1_000);
    let mut writer = Writer::new(5);
    let mut model = Model::default();
    for _ in 0..300 {
        let draft = writer.any();
        model.apply(&draft);
        opened.store.append(draft);
    }
    opened.settle(writer.position);
    let points = Destination::new("points").expect("a destination");
    let any = model.summaries.values().next().expect("there are some").clone();
    let middle = model.newest_first()[model.summaries.len() / 2].0;
    // Every draft tries; those that go on have steps besides.
    let mode = wholly_core::branch::Mode::Saga;
    let filter = Filter::default;
    for (filter, expected) in [
        (Filter { state: Some(PhaseName::Open), ..filter() }, 0),
        (Filter { state: Some(PhaseName::Ended), ..filter() }, 1),
        (Filter { stuck: Stuck::Only, ..filter() }, 2),
        (Filter { stuck: Stuck::Without, ..filter() }, 3),
        (Filter { name: Some(any.name.clone()), ..filter() }, 4),
        (Filter { waits_for: Some(points.clone()), ..filter() }, 5),
        (Filter { begun_before: Some(middle), ..filter() }, 6),
        (Filter { outcome: Some(wholly_core::record::Outcome::Mixed), ..filter() }, 7),
        (Filter { gid_prefix: "order-00001".to_owned(), ..filter() }, 8),
        (Filter { begun_from: Some(middle), ..filter() }, 9),
        (Filter { mode: Some(mode), ..filter() }, 10),
    ] {
        let search = |gid: &Gid, summary: &Summary| match expected {
            0 => summary.phase == PhaseName::Open,
            1 => summary.phase == PhaseName::Ended,
            2 => summary.stuck > 0,
            3 => summary.stuck == 0,
            4 => summary.name == any.name,
            5 => summary.waits_for.contains(&points),
            6 => summary.begun < middle,
            7 => summary.outcome == Some(wholly_core::record::Outcome::Mixed),
            9 => summary.begun >= middle,
            10 => summary.modes.contains(&mode),
            _ => gid.as_str().starts_with("order-00001"),
        };
        let found = opened.store.list(&filter, &page(1_000)).expect("it can be read");
        let found: Vec<Gid> = found.items.into_iter().map(|item| item.gid).collect();
        let mut searched: Vec<Gid> = Vec::new();
        for (_, gid) in model.newest_first() {
            if search(&gid, &model.summaries[&gid]) {
                searched.push(gid);
            }
        }
        assert!(!searched.is_empty(), "{filter:?} finds something");
        assert!(searched.len() < model.summaries.len(), "{filter:?} leaves something out");
        assert_eq!(found, searched, "{filter:?}");
    }
}

/// Begins and ends so many, each durable by itself; gives their gids and begins.
fn end_some(opened: &Opened, writer: &mut Writer, count: usize) -> Vec<(Gid, Timestamp)> {
    let mut ended = Vec::new();
    for _ in 0..count {
        let begin = writer.begin();
        let Content::Transaction { gid, summary, .. } = begin.content.clone() else {
            panic!("a begin is of a transaction")
        };
        opened.store.append(begin);
        opened.store.append(writer.end(&gid));
        opened.settle(writer.position);
        ended.push((gid, summary.begun));
    }
    ended
}

fn is_known(opened: &Opened, gid: &Gid) -> bool {
    !opened.store.lookup(gid).expect("it can be read").records.is_empty()
}

fn forgotten(opened: &Opened) -> Timestamp {
    opened.store.lookup(&Gid::new("absent").expect("a gid")).expect("nothing to read").forgotten
}

fn forgotten_by_age(bench: &mut dyn Bench) {
    let mut opened = bench.fresh(1_000);
    let mut writer = Writer::new(6);
    let ended = end_some(&opened, &mut writer, 6);
    let (clock, third) = (writer.clock, ended[3].1);
    // Both bounds count: the begin below the limit, the end before its time.
    for mark in [
        ClockMark { clock, limit: third, ended_before: Timestamp(0) },
        ClockMark { clock, limit: Timestamp(0), ended_before: clock },
    ] {
        opened.store.append(writer.mark(mark));
        opened.settle(writer.position);
        opened.store.append(writer.mark(mark));
        assert_eq!(opened.settle(writer.position).len(), 0);
        assert!(ended.iter().all(|(gid, _)| is_known(&opened, gid)));
        assert_eq!(forgotten(&opened), Timestamp(0));
    }
    let mark = ClockMark { clock, limit: third, ended_before: clock };
    for _ in 0..2 {
        opened.store.append(writer.mark(mark));
        opened.settle(writer.position);
    }
    for _ in 0..2 {
        let known: Vec<bool> = ended.iter().map(|(gid, _)| is_known(&opened, gid)).collect();
        assert_eq!(known, [false, false, false, true, true, true]);
        assert_eq!(forgotten(&opened), ended[2].1);
        assert_eq!(opened.store.stats().lost, 0);
        opened = bench.crash(opened);
        assert_eq!(opened.loaded.mark, Some(mark));
    }
}

/// The first ends at the moment at which it begins, the second a millisecond later: the mark that
/// lets the first go keeps the second.
fn forgotten_to_the_millisecond(bench: &mut dyn Bench) {
    let mut opened = bench.fresh(1_000);
    let mut writer = Writer::new(12);
    let ended = end_some(&opened, &mut writer, 2);
    let (clock, at) = (writer.clock, ended[0].1);
    assert_eq!(ended[1].1, at.plus_ms(1));
    for (limit, ended_before, expected) in [
        (at.plus_ms(1), at, [true, true]),
        (at, at.plus_ms(1), [true, true]),
        (at.plus_ms(1), at.plus_ms(1), [false, true]),
        (at.plus_ms(2), at.plus_ms(1), [false, true]),
        (at.plus_ms(2), at.plus_ms(2), [false, false]),
    ] {
        // What a mark forgets goes with what is written after it.
        for _ in 0..2 {
            opened.store.append(writer.mark(ClockMark { clock, limit, ended_before }));
            assert_eq!(opened.settle(writer.position).len(), 0, "nothing is lost");
        }
        for _ in 0..2 {
            let known: Vec<bool> = ended.iter().map(|(gid, _)| is_known(&opened, gid)).collect();
            assert_eq!(known, expected, "{limit:?} {ended_before:?}");
            opened = bench.crash(opened);
        }
    }
}

fn forgotten_for_room(bench: &mut dyn Bench) {
    let mut opened = bench.fresh(3);
    let mut writer = Writer::new(7);
    let lost = 2;
    let mut ended = end_some(&opened, &mut writer, 3);
    assert_eq!((opened.store.stats().ended, opened.store.stats().lost), (3, 0));
    for draft in [writer.begin(), writer.begin()] {
        let Content::Transaction { gid, summary, .. } = draft.content.clone() else {
            panic!("a begin is of a transaction")
        };
        opened.store.append(draft);
        ended.push((gid, summary.begun));
    }
    let mut others = Vec::new();
    for (gid, _) in &ended[3..] {
        opened.store.append(writer.end(gid));
        others.extend(opened.settle(writer.position));
    }
    opened.store.append(writer.mark(ClockMark::default()));
    others.extend(opened.settle(writer.position));
    let counts = others.iter().map(|completion| match completion {
        Completion::Lost { count } => *count,
        Completion::Durable(_) | Completion::Room(_) | Completion::Failed(_) => 0,
    });
    assert_eq!(counts.sum::<u64>(), lost);
    assert_eq!(opened.store.stats().lost, lost);
    for _ in 0..2 {
        let known: Vec<bool> = ended.iter().map(|(gid, _)| is_known(&opened, gid)).collect();
        assert_eq!(known, [false, false, true, true, true]);
        assert_eq!(forgotten(&opened), ended[1].1);
        assert_eq!(opened.store.stats().ended, 3);
        opened = bench.crash(opened);
    }
}

fn gid_is_used_again(bench: &mut dyn Bench) {
    let mut opened = bench.fresh(10);
    let mut writer = Writer::new(8);
    let mut model = Model::default();
    let gid = Gid::new("again").expect("a gid");
    for _ in 0..3 {
        let mut drafts = vec![writer.begin_as(&gid), writer.go_on(&gid)];
        drafts.push(writer.end(&gid));
        for draft in drafts {
            model.apply(&draft);
            opened.store.append(draft);
            opened.settle(writer.position.min(model.position));
        }
        model.check(&opened);
        opened = bench.crash(opened);
        check_loaded(opened.loaded.clone(), &model);
        model.check(&opened);
    }
}

fn stop_ends_it(bench: &mut dyn Bench) {
    let opened = bench.fresh(10);
    let mut writer = Writer::new(9);
    let mut model = Model::default();
    let draft = writer.begin();
    model.apply(&draft);
    opened.store.append(draft);
    opened.store.stop();
    let last = opened.completions.try_iter().last();
    assert!(matches!(last, Some(Completion::Durable(position)) if position == model.position));
    opened.store.append(writer.begin());
    opened.store.flush(writer.position);
    opened.store.stop();
    model.check(&opened);
    assert!(opened.completions.try_recv().is_err(), "nothing more becomes durable");
}
