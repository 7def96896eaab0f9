//! Tables of results, as printed: for pages and for Markdown.
use super::{prose, text};
use serde::Serialize;

/// Longer cells may go over several lines; where letters are most of one, its column is one of words, which begin at the left.
const LONG: usize = 24;

/// A table of results.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Names of columns.
    pub head: Vec<String>,
    /// Rows, as printed.
    pub rows: Vec<Vec<String>>,
    /// Whether a page shades its numbers from the smallest to the largest.
    #[serde(skip)]
    shaded: bool,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, head: &[&str]) -> Self {
        let head = head.iter().map(|h| (*h).to_owned()).collect();
        Table { title: title.into(), head, rows: Vec::new(), shaded: false }
    }

    /// The same as a heat map.
    pub fn shaded(self) -> Self {
        Table { shaded: true, ..self }
    }

    /// One more row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| signless(&cell)).collect());
    }

    /// The table as Markdown, after an empty line.
    pub fn markdown(&self) -> String {
        let rule = "| --- ".repeat(self.head.len());
        let rows: String = self.rows.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
        format!("\n{}\n\n| {} |\n{rule}|\n{rows}", self.title, self.head.join(" | "))
    }

    /// The table as part of a page; where it is wide it scrolls by itself.
    pub fn html(&self) -> String {
        let classes: Vec<&str> = (0..self.head.len()).map(|k| self.class(k)).collect();
        let head = self.head.iter().zip(&classes).map(|(cell, class)| format!("<th{class}>{}</th>", prose(cell)));
        let (head, (low, high)) = (head.collect::<String>(), self.ends());
        let one = |(k, cell): (usize, &String)| match cell.parse::<f64>() {
            Ok(number) if self.shaded && high > low => {
                let heat = (number - low) / (high - low);
                format!("<td class=\"heat\" style=\"--heat:{heat:.3}\">{}</td>", text(cell))
            }
            _ => format!("<td{}>{}</td>", classes.get(k).unwrap_or(&""), prose(cell)),
        };
        let row = |row: &Vec<String>| format!("<tr>{}</tr>\n", row.iter().enumerate().map(one).collect::<String>());
        let rows: String = self.rows.iter().map(row).collect();
        format!(
            "<h3>{}</h3>\n<div class=\"scroll\" tabindex=\"0\"><table class=\"results\">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
            text(&self.title),
        )
    }

    /// How the cells of a column are set.
    fn class(&self, column: usize) -> &'static str {
        let long = self.rows.iter().filter_map(|row| row.get(column)).filter(|cell| cell.chars().count() > LONG);
        let words = |cell: &String| 2 * cell.chars().filter(|c| c.is_alphabetic()).count() > cell.chars().count();
        match long.map(words).reduce(|a, b| a || b) {
            None => "",
            Some(false) => " class=\"long\"",
            Some(true) => " class=\"long words\"",
        }
    }

    /// The smallest and the largest number.
    fn ends(&self) -> (f64, f64) {
        let numbers = self.rows.iter().flatten().filter_map(|cell| cell.parse::<f64>().ok());
        numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    }
}

/// A cell whose zeros have no sign: what rounds to nothing is below it by nothing.
fn signless(cell: &str) -> String {
    let nothing = |digits: &&str| digits.contains('0') && digits.chars().all(|c| c == '0' || c == '.');
    let word = |word| str::strip_prefix(word, '-').filter(nothing).unwrap_or(word);
    cell.split(' ').map(word).collect::<Vec<&str>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shaded_from_the_smallest_to_the_largest_and_words_never() {
        let mut table = Table::new("t", &["rule", "a", "b"]).shaded();
        table.row(["`flat` <x>".into(), "10".into(), "-".into()]);
        table.row(["auto".into(), "30".into(), "15".into()]);
        let html = table.html();
        for cell in
            ["--heat:0.000\">10<", "--heat:1.000\">30<", "--heat:0.250\">15<", "<td>-<", "<code>flat</code> &lt;x&gt;"]
        {
            assert!(html.contains(cell), "{cell}: {html}");
        }
        assert!(!Table { shaded: false, ..table }.html().contains("heat"));
        assert_eq!(["-0.00 ± 0.01", "-0.01", "-", "a  -b"].map(signless), ["0.00 ± 0.01", "-0.01", "-", "a  -b"]);
        let mut wide = Table::new("t", &["a", "words"]);
        wide.row(["1".into(), "x".repeat(LONG + 1)]);
        wide.row(["2, ".repeat(LONG), "y".into()]);
        wide.row(["-0.00".into(), "-".into()]);
        let html = wide.html();
        assert!(html.contains("<th class=\"long\">a</th><th class=\"long words\">words"), "{html}");
        assert!(
            html.contains("<td class=\"long\">1<")
                && html.contains(">0.00<")
                && html.contains("<td class=\"long words\">y<"),
            "{html}"
        );
    }
}
