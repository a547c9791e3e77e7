//! The rules, in the order of STYLE.

mod arrows;
mod dependencies;
mod forms;
mod limits;
mod quotes;
mod rooms;
mod words;

use super::{Rule, map};

pub(super) const ALL: &[Rule] = &[
    Rule {
        name: "arrows",
        says: "a crate uses only the crates and outside libraries its room allows (STYLE 1.1)",
        check: arrows::check,
    },
    Rule {
        name: "rooms",
        says: "clocks, chance, sockets and serialization stay in the rooms that may have them, \
               and a mode is named only in the files ARCHITECTURE lists (1.2, 1.3, 1.5)",
        check: rooms::check,
    },
    Rule {
        name: "names",
        says: "no Manager, Helper, Util, Processor, Data, Info, no get_ (4.4)",
        check: words::names,
    },
    Rule {
        name: "length",
        says: "70 lines a function, 600 a file without its tests, 100 columns (5.1)",
        check: forms::length,
    },
    Rule {
        name: "caption",
        says: "line one of every file says what it is; the map is drawn from it (7.1)",
        check: forms::caption,
    },
    Rule {
        name: "map",
        says: "the map in ARCHITECTURE.md is the one the captions give (7.1)",
        check: map::check,
    },
    Rule {
        name: "quotes",
        says: "the Rust code on a page is quoted from a file that compiles, so that it is true (7)",
        check: quotes::check,
    },
    Rule {
        name: "limits",
        says: "every limit has a row on its page, with its value and a test that is there (2.6)",
        check: limits::check,
    },
    Rule {
        name: "promises",
        says: "every promise of security has a row on its page, with a test that is there",
        check: limits::promises,
    },
    Rule {
        name: "words",
        says: "comments are timeless, promise nothing for later, and use the glossary (7.3, 4.1)",
        check: words::comments,
    },
    Rule {
        name: "tests",
        says: "no ignored test, and no sleep in a test (8.6)",
        check: forms::tests,
    },
    Rule {
        name: "silence",
        says: "a lint is silenced by `expect` with a reason, never by `allow` (9.3)",
        check: forms::silence,
    },
    Rule {
        name: "reasons",
        says: "every member, shared dependency and lint in Cargo.toml says why (9.2)",
        check: dependencies::reasons,
    },
    Rule {
        name: "bans",
        says: "no banned library, no source but the registry, no version twice (9.2)",
        check: dependencies::bans,
    },
    Rule {
        name: "licences",
        says: "every dependency's licence is on the list of permissive ones",
        check: dependencies::licences,
    },
];
