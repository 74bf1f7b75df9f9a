//! A plain text table with aligned columns.

/// Lines of a table: the first column to the left, the others to the right, a rule under the head.
pub fn render(head: &[String], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        std::iter::once(head).chain(rows.iter().map(Vec::as_slice)).map(|row| row[column].chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (cell, &width))| if i == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let rule = widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>().join("  ");
    let mut lines = vec![line(head), rule];
    lines.extend(rows.iter().map(|row| line(row)));
    lines.join("\n") + "\n"
}

/// A cell of CSV (RFC 4180).
pub fn csv_cell(cell: &str) -> String {
    if cell.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// The same as a Markdown table.
pub fn markdown(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | "));
    let rule: Vec<&str> = (0..head.len()).map(|i| if i == 0 { "---" } else { "---:" }).collect();
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("{}|{}|\n{body}", line(head), rule.join("|"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn markdown_keeps_its_columns() {
        let cells = |row: [&str; 2]| row.map(str::to_owned).to_vec();
        let text = super::markdown(&cells(["level", "pass@4"]), &[cells(["a|b", "0.98"])]);
        assert_eq!(text, "| level | pass@4 |\n|---|---:|\n| a\\|b | 0.98 |\n");
    }

    #[test]
    fn columns_are_aligned() {
        let cells = |row: [&str; 2]| row.map(str::to_owned).to_vec();
        let text = super::render(&cells(["level", "pass@4"]), &[cells(["1", "0.98"]), cells(["all", "0.5 ± 0.01"])]);
        assert_eq!(text, "level      pass@4\n-----  ----------\n1            0.98\nall    0.5 ± 0.01\n");
    }
}
