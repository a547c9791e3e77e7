//! Tables and times for people.

use comfy_table::{ContentArrangement, Table, presets};
use std::time::Duration;

/// A table without frames, its columns as wide as they need.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table
}

/// The table as text, without blanks at line ends.
pub(crate) fn print(table: &mut Table) -> String {
    let columns: Vec<_> = table.column_iter_mut().collect();
    for column in columns {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// A time span as people say it: the largest unit that fits.
pub(crate) fn span(span: Duration) -> String {
    let ms = span.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// A text cut to so many characters.
pub(crate) fn cut(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(characters_max.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_the_largest_unit_that_fits() {
        let check = |ms: u64, text: &str| assert_eq!(span(Duration::from_millis(ms)), text);
        check(0, "0 ms");
        check(999, "999 ms");
        check(40_500, "40 s");
        check(720_000, "12 min");
        check(7_200_000, "2 h");
        check(172_800_000, "2 d");
    }

    #[test]
    fn tables_are_plain_columns() {
        let mut rows = table(&["GID", "STATE"]);
        rows.add_row(["order-4711", "open"]);
        rows.add_row(["o", ""]);
        assert_eq!(print(&mut rows), "GID         STATE\norder-4711  open\no");
    }

    #[test]
    fn long_texts_are_cut_at_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
