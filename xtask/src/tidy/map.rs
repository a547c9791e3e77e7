//! The map in ARCHITECTURE.md, drawn from the first line of every file.

use super::Finding;
use super::source::Source;
use super::tree::Tree;
use crate::Failure;
use std::fmt::Write;
use std::path::Path;

const PAGE: &str = "ARCHITECTURE.md";
const BEGIN: &str = "<!-- map: drawn by `cargo xtask tidy --write-map` -->\n```text\n";
const END: &str = "```\n<!-- end of map -->\n";

/// The map on the page is the one that the captions give.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let page = tree.text(PAGE);
    match split(page) {
        Some((_, map, _)) if map == draw(tree) => vec![],
        Some((before, _, _)) => {
            let line = before.lines().count();
            let what = "the map differs from the captions: `cargo xtask tidy --write-map`";
            vec![Finding::new(PAGE, line, what)]
        }
        None => vec![Finding::new(PAGE, 0, format!("has no map between `{BEGIN}` and `{END}`"))],
    }
}

/// Draws the map anew.
pub(crate) fn write(root: &Path) -> Result<(), Failure> {
    let tree = Tree::read(root)?;
    let (before, _, after) = split(tree.text(PAGE))
        .ok_or_else(|| Failure::new(format!("{PAGE} has no place for the map")))?;
    let text = format!("{before}{BEGIN}{}{END}{after}", draw(&tree));
    std::fs::write(root.join(PAGE), text)
        .map_err(|e| Failure::new(format!("writing {PAGE} failed: {e}")))
}

fn split(page: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (map, after) = rest.split_once(END)?;
    Some((before, map, after))
}

fn draw(tree: &Tree) -> String {
    let mut map = String::new();
    let mut folder = "";
    let split = |source: &'_ Source| match source.path.rsplit_once('/') {
        Some((home, file)) => (home.to_owned(), file.to_owned()),
        None => (String::new(), source.path.clone()),
    };
    let mut sources: Vec<_> = tree.sources.iter().collect();
    sources.sort_by_key(|source| split(source));
    for source in sources {
        let (home, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
        if home != folder {
            folder = home;
            writeln!(map, "{home}/").expect("a string takes all");
        }
        let caption = source.caption().unwrap_or_default();
        writeln!(map, "  {file:<20} {caption}").expect("a string takes all");
    }
    map
}
