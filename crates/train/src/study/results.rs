//! What a study found: words, tables, figures; as JSON, as Markdown, and as a page.
use crate::{
    diagnose::figures,
    report::{document, heading, plot::Picture, section, text, write_atomically},
};
use serde::Serialize;
use std::{io, path::Path};

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
}

/// One part of a study: what the paper says, what was run, what came out.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Its heading.
    pub title: String,
    /// Paragraphs.
    pub words: Vec<String>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Figures.
    #[serde(skip)]
    pub pictures: Vec<Picture>,
}

/// All that a study found.
#[derive(Debug, Clone, Serialize)]
pub struct Results {
    /// The study.
    pub name: &'static str,
    /// The paper.
    pub paper: &'static str,
    /// Whether less of everything was run.
    pub quick: bool,
    /// The program.
    pub secateur_version: &'static str,
    /// Threads that were used.
    pub threads: usize,
    /// Wall time of all of it, or training time of runs that processes shared.
    pub seconds: f64,
    /// Which of the two.
    #[serde(skip)]
    shared: bool,
    /// Runs that are not in it: other processes are at them, or nobody asked for them yet.
    pub missing: usize,
    /// The parts.
    pub parts: Vec<Part>,
}

impl Results {
    pub(super) fn new(name: &'static str, paper: &'static str, quick: bool) -> Self {
        let (secateur_version, threads) = (env!("CARGO_PKG_VERSION"), rayon::current_num_threads());
        Results {
            name,
            paper,
            quick,
            secateur_version,
            threads,
            seconds: 0.0,
            shared: false,
            missing: 0,
            parts: Vec::new(),
        }
    }

    /// One more part.
    pub(super) fn part(&mut self, title: &str, words: Vec<String>, tables: Vec<Table>, pictures: Vec<Picture>) {
        self.parts.push(Part { title: title.into(), words, tables, pictures });
    }

    /// Says how long the runs trained together, where processes shared them.
    pub(super) fn clock(&mut self, seconds: f64) {
        (self.seconds, self.shared) = (seconds, true);
    }

    /// The table with this title, for tests and readers of results.
    pub fn table(&self, title: &str) -> Option<&Table> {
        self.parts.iter().flat_map(|p| &p.tables).find(|t| t.title == title)
    }

    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        write_atomically(&folder.join("results.json"), &serde_json::to_vec_pretty(self)?)?;
        write_atomically(&folder.join("README.md"), self.markdown().as_bytes())?;
        write_atomically(&folder.join("page.html"), self.html().as_bytes())
    }

    fn how(&self) -> String {
        let size = if self.quick { "A quick run, on less of everything: not for comparison." } else { "A full run." };
        let took = match self.shared {
            true => format!("{:.0} s of training, shared by several processes", self.seconds),
            false => format!("{} threads, {:.0} s of wall time", self.threads, self.seconds),
        };
        let missing = match self.missing {
            0 => String::new(),
            n => format!(" {n} of its runs are not made yet, and not in the tables."),
        };
        let quick = if self.quick { " --quick" } else { "" };
        format!("{size} {took}; `secateur study {}{quick}` repeats it.{missing}", self.name)
    }

    /// The results as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n\n{}\n", self.name, self.paper, self.how());
        for part in &self.parts {
            out += &format!("\n## {}\n", part.title);
            out.extend(part.words.iter().map(|words| format!("\n{words}\n")));
            for table in &part.tables {
                let rule = "| --- ".repeat(table.head.len());
                out += &format!("\n{}\n\n| {} |\n{rule}|\n", table.title, table.head.join(" | "));
                out.extend(table.rows.iter().map(|row| format!("| {} |\n", row.join(" | "))));
            }
        }
        out
    }

    /// The results as a self-contained page.
    pub fn html(&self) -> String {
        let part = |part: &Part| {
            let words: String = part.words.iter().map(|w| format!("<p>{}</p>\n", text(w))).collect();
            let tables: String = part.tables.iter().map(table).collect();
            section(&text(&part.title), &(words + &figures(&part.pictures) + &tables))
        };
        let parts: String = self.parts.iter().map(part).collect();
        let how = format!("<p class=\"lead\">{}</p>\n<p>{}</p>\n", text(self.paper), text(&self.how()));
        let (name, body) = (format!("Study {}", self.name), format!("<main>\n{how}{parts}</main>\n"));
        document(&format!("{name} - Secateur"), &(heading("study", &name) + &body))
    }
}

fn table(table: &Table) -> String {
    let cells = |tag: &str, row: &[String]| -> String {
        row.iter().map(|cell| format!("<{tag}>{}</{tag}>", text(cell))).collect()
    };
    let rows: String = table.rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    format!(
        "<h3>{}</h3>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
        text(&table.title),
        cells("th", &table.head)
    )
}
