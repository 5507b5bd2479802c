//! What goes to standard output: tables for people, and a pipe whose reader may leave when it has seen enough.

use std::io::{ErrorKind, Write};

use crate::failure::Failure;

/// Characters of one cell; longer ones are cut off. JSON has the whole.
const CELL_MAX: usize = 60;

/// Writes to standard output. A reader that closed the pipe, such as `head`, has what it wanted.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// The same, of what may be no text.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("can't write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Rows below a header. The first column holds numbers and is set to the right, the others to the left.
pub(super) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut cells = vec![header.map(str::to_owned)];
    cells.extend(rows.into_iter().map(|row| row.map(|text| cell(&text, CELL_MAX))));
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let padded = |column: usize| match column {
            0 => format!("{:>1$}", row[column], widths[column]),
            _ => format!("{:<1$}", row[column], widths[column]),
        };
        let line = (0..N).map(padded).collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned() + "\n"
    };
    cells.iter().map(line).collect()
}

/// A text that fits a column. Names come from strangers' articles: what could command a terminal is not printed.
pub(super) fn cell(text: &str, chars_max: usize) -> String {
    let is_long = text.chars().nth(chars_max).is_some();
    let kept = text.chars().take(if is_long { chars_max - 1 } else { chars_max });
    let shown = kept.map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    shown.chain(is_long.then_some('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [["7".to_owned(), "zoë".to_owned(), "a".to_owned()], ["10".into(), "x".into(), "b".into()]];
        assert_eq!(table(["count", "name", "of"], rows), "count  name  of\n    7  zoë   a\n   10  x     b\n");
    }

    #[test]
    fn no_name_commands_the_terminal_or_fills_it() {
        assert_eq!(cell("a\u{1b}[2J\nb\u{9b}", CELL_MAX), "a\u{fffd}[2J\u{fffd}b\u{fffd}");
        assert_eq!(cell(&"ü".repeat(61), CELL_MAX), "ü".repeat(59) + "…");
        assert_eq!(cell(&"ü".repeat(60), CELL_MAX), "ü".repeat(60));
    }
}
