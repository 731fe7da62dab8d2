//! Columns that line up and fit.

use super::output::{WIDTH, wrap};

/// A column that gives way stays this wide.
const NARROW: usize = 20;
/// Space between two columns.
const GAP: usize = 2;

/// A table under construction: rows of cells, the first row being the heading.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Which columns give way where the table is too wide, the first one first.
    elastic: &'static [usize],
}

impl Table {
    pub(super) fn new(heading: &[&str], elastic: &'static [usize]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| (*cell).to_owned()).collect()], elastic }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The rows, each as wide as [`WIDTH`] less `indent` at most, without trailing space. A cell that does not fit is cut,
    /// and stands below its row whole, on lines that begin after `indent`.
    pub(super) fn lines(&self, indent: usize) -> Vec<String> {
        let mut widths = self.widths();
        let total = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let mut excess = (total + indent).saturating_sub(WIDTH);
        for column in self.elastic {
            let Some(width) = widths.get_mut(*column) else { continue };
            let given = excess.min(width.saturating_sub(NARROW));
            *width -= given;
            excess -= given;
        }
        let row = |(number, row): (usize, &Vec<String>)| {
            let whole = if number == 0 { String::new() } else { self.whole(row, &widths, indent) };
            line(row, &widths) + whole.as_str()
        };
        self.rows.iter().enumerate().map(row).collect()
    }

    /// The cells of a row that are cut, each on a line of its own, with its heading.
    fn whole(&self, row: &[String], widths: &[usize], indent: usize) -> String {
        let columns = row.iter().zip(widths).zip(self.rows.iter().flatten());
        let cut = columns.filter(|((cell, width), _)| cell.chars().count() > **width);
        let line = |((cell, _), heading): ((&String, &usize), &String)| {
            let before = format!("{}{}: ", " ".repeat(indent + GAP), heading.to_lowercase());
            format!("\n{before}{}", wrap(cell, before.chars().count()))
        };
        cut.map(line).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max()
        };
        (0..columns).map(|column| width(column).unwrap_or(0)).collect()
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells: Vec<String> =
        row.iter().zip(widths).map(|(cell, width)| format!("{:<width$}", cut(cell, *width))).collect();
    cells.join(&" ".repeat(GAP)).trim_end().to_owned()
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    let mut short: String = cell.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_elastic_one_gives_way() {
        let mut table = Table::new(&["A", "B", "C"], &[1]);
        table.row(["one".into(), "long words ".repeat(20), "c".into()]);
        table.row(["é".into(), "y".into(), "c".into()]);
        let lines = table.lines(10);
        let rows = lines.iter().filter_map(|line| line.lines().next());
        assert!(rows.clone().all(|row| row.chars().count() <= 90), "{lines:?}");
        let below: Vec<&str> = lines[1].lines().skip(1).collect();
        assert!(
            below[0].starts_with("            b: long words") && below.iter().all(|line| line.len() <= WIDTH),
            "{below:?}"
        );
        assert_eq!(below.concat().matches("words").count(), 20, "nothing of it is lost");
        assert_eq!(lines[0].find('C'), lines[2].chars().position(|c| c == 'c'));
        assert!(lines[1].contains('…'));
    }
}
