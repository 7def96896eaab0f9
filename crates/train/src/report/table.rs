//! Tables of results, as printed: for pages and for Markdown.
use super::text;
use serde::Serialize;

/// A table of results.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Names of columns.
    pub head: Vec<String>,
    /// Rows, as printed.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, head: &[&str]) -> Self {
        Table { title: title.into(), head: head.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new() }
    }

    /// One more row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as Markdown, after an empty line.
    pub fn markdown(&self) -> String {
        let rule = "| --- ".repeat(self.head.len());
        let rows: String = self.rows.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
        format!("\n{}\n\n| {} |\n{rule}|\n{rows}", self.title, self.head.join(" | "))
    }

    /// The table as part of a page; where it is wide it scrolls by itself.
    pub fn html(&self) -> String {
        let cells = |tag: &str, row: &[String]| -> String {
            row.iter().map(|cell| format!("<{tag}>{}</{tag}>", text(cell))).collect()
        };
        let rows: String = self.rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
        format!(
            "<h3>{}</h3>\n<div class=\"scroll\" tabindex=\"0\"><table class=\"results\">\n<thead><tr>{}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
            text(&self.title),
            cells("th", &self.head)
        )
    }
}
