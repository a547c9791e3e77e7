//! The tables of the page of all keys, `docs/operate/configuration.md`, drawn from the code.

use super::settings::{SETTINGS, Setting};
use super::{Config, credentials, rule};
use std::fmt::Write;

/// What stands before a table on the page, and the name of what is in it.
const BEGIN: (&str, &str) = ("<!-- keys of ", ": drawn by `cargo xtask tidy --write-keys` -->");
/// What stands behind it.
const END: &str = "<!-- end of keys -->";
const HEAD: &str = "| key | default | may be | says |\n|---|---|---|---|\n";

/// A key of a table that may stand several times, under names.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    pub(super) may_be: &'static str,
    pub(super) says: &'static str,
}

/// The page with each of its tables as the code has it; what stands around them stays.
pub fn with_tables(page: &str) -> Result<String, String> {
    let mut drawn = page.to_owned();
    let tables = [("destinations", keys(&rule::KEYS)), ("credentials", keys(&credentials::KEYS))];
    for (name, table) in tables.into_iter().chain([("all else", settings())]) {
        let begin = format!("{}{name}{}", BEGIN.0, BEGIN.1);
        let missing = |what: &str| format!("the page lacks a line `{what}`");
        let (before, rest) = drawn.split_once(&begin).ok_or_else(|| missing(&begin))?;
        let (_, after) = rest.split_once(END).ok_or_else(|| missing(END))?;
        drawn = format!("{before}{begin}\n{table}{END}{after}");
    }
    Ok(drawn)
}

fn keys(keys: &[Key]) -> String {
    let mut table = HEAD.to_owned();
    for Key { name, default, may_be, says } in keys {
        row(&mut table, name, default, may_be, says);
    }
    table
}

/// Every setting, a table for each section.
fn settings() -> String {
    let (mut text, mut section) = (String::new(), None);
    for setting in SETTINGS {
        let Setting { key, meaning, .. } = setting;
        let own = key.split_once('.').map_or("", |(section, _)| section);
        if section.replace(own) != Some(own) {
            let caption = match own {
                "" => "\n### Before every section\n\n".to_owned(),
                own => format!("\n### `[{own}]`\n\n"),
            };
            text.push_str(&caption);
            text.push_str(HEAD);
        }
        row(&mut text, key, &default(setting), &setting.may_be(), meaning);
    }
    text + "\n"
}

fn default(setting: &Setting) -> String {
    let written = setting.written(&Config::default()).unwrap_or_default();
    written.trim_matches(['"', '[', ']']).to_owned()
}

fn row(table: &mut String, key: &str, default: &str, may_be: &str, says: &str) {
    writeln!(table, "| `{key}` | {default} | {may_be} | {says} |")
        .expect("a string takes every text");
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/operate/configuration.md");

    #[test]
    fn the_page_of_all_keys_is_drawn_from_the_code() {
        let drawn = with_tables(PAGE).unwrap();
        assert!(drawn == PAGE, "configuration.md differs: cargo xtask tidy --write-keys");
        let rows = PAGE.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, SETTINGS.len() + rule::KEYS.len() + credentials::KEYS.len(), "by hand");
    }

    #[test]
    fn a_section_stands_in_one_place() {
        let text = settings();
        let captions: Vec<&str> = text.lines().filter(|line| line.starts_with("###")).collect();
        let mut once = captions.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), captions.len(), "{captions:?}");
    }

    #[test]
    fn a_page_without_a_place_for_a_table_is_refused() {
        let refused = with_tables(&PAGE.replace("keys of credentials", "keys")).unwrap_err();
        assert!(refused.contains("keys of credentials"), "{refused}");
        assert!(with_tables(&PAGE.replace(END, "")).is_err());
    }
}
