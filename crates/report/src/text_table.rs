//! Rows of cells as plain text for a terminal or a notebook, whatever stands in them.

use attention_probes_errors::escaped_character;
use attention_probes_metrics::Interval;

use crate::number::fixed;

/// Characters of a cell that are shown; a value of a file may have any number of them.
const MAX_WIDTH: usize = 200;

/// Where the text of a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    /// At the left of its column.
    Left,
    /// At the right of its column.
    Right,
}

/// Appends rows with columns as wide as their widest cell, two spaces apart.
///
/// A cell is cut after 200 characters, and what a terminal would obey is escaped.
///
/// # Examples
///
/// ```
/// use attention_probes::report::aligned;
///
/// let mut text = String::new();
/// aligned(&mut text, &[["layer", "AUROC"], ["10", "0.9"]].map(|row| row.map(str::to_owned)));
/// assert_eq!(text, "  layer  AUROC\n  10     0.9\n");
/// ```
pub fn aligned(text: &mut String, rows: &[impl AsRef<[String]>]) {
    push(text, rows, Align::Left);
}

/// As [`aligned`], with every cell at the right of its column.
///
/// # Examples
///
/// ```
/// use attention_probes::report::aligned_right;
///
/// let mut text = String::new();
/// aligned_right(&mut text, &[["8", "12"], ["111", "7"]].map(|row| row.map(str::to_owned)));
/// assert_eq!(text, "    8  12\n  111   7\n");
/// ```
pub fn aligned_right(text: &mut String, rows: &[impl AsRef<[String]>]) {
    push(text, rows, Align::Right);
}

fn push(text: &mut String, rows: &[impl AsRef<[String]>], align: Align) {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.as_ref().iter().map(|cell| shown(cell)).collect()).collect();
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    for row in &rows {
        let mut line = String::from("  ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // By hand: a width in a format string ends at 65,535.
            let padding = " ".repeat(width - cell.chars().count());
            let gap = if column == 0 { "" } else { "  " };
            line += gap;
            match align {
                Align::Left => line.extend([cell.as_str(), &padding]),
                Align::Right => line.extend([padding.as_str(), cell]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// A value and its interval, with three decimals.
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::Interval;
/// use attention_probes::report::with_interval;
///
/// let interval = Interval { lower: 0.5, upper: 0.75, level: 0.95 };
/// assert_eq!(with_interval(0.625, &interval), "0.625 [0.500, 0.750]");
/// ```
pub fn with_interval(value: f64, interval: &Interval) -> String {
    let [value, lower, upper] = [value, interval.lower, interval.upper].map(|of| fixed(of, 3));
    format!("{value} [{lower}, {upper}]")
}

/// A cell as it is shown.
fn shown(cell: &str) -> String {
    let mut all = cell.chars().flat_map(escaped_character);
    let mut text: String = all.by_ref().take(MAX_WIDTH).collect();
    if all.next().is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_to_either_side() {
        let rows = [["a".to_owned(), "b".to_owned()], ["long".to_owned(), "c".to_owned()]];
        let mut text = String::new();
        aligned(&mut text, &rows);
        assert_eq!(text, "  a     b\n  long  c\n");
        text.clear();
        push(&mut text, &rows, Align::Right);
        assert_eq!(text, "     a  b\n  long  c\n");
    }

    #[test]
    fn a_cell_of_any_width_is_cut() {
        let mut text = String::new();
        aligned(&mut text, &[["é".repeat(70_000), "b".to_owned()]]);
        assert_eq!(text, format!("  {}…  b\n", "é".repeat(200)));
        text.clear();
        aligned(&mut text, &[["é".repeat(200)]]);
        assert_eq!(text, format!("  {}\n", "é".repeat(200)));
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let mut text = String::new();
        aligned(&mut text, &[["\u{1b}[2J\n".to_owned(), "b".to_owned()]]);
        assert_eq!(text, "  \\u{1b}[2J\\n  b\n");
    }
}
