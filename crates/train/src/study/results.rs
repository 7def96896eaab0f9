//! What a study found: words, tables, figures; as JSON, as Markdown, and as a page.
use crate::report::{Table, document, figures, heading, plot::Picture, prose, section, text, write_atomically};
use serde::Serialize;
use std::{io, path::Path};

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
    /// What its parts were made on.
    pub machines: Vec<String>,
    /// How long they took, one after the other; of runs, the training alone.
    pub seconds: f64,
    /// Parts of the book that are not in it: other processes are at them, or nobody asked for them yet.
    pub missing: usize,
    /// What it found.
    pub parts: Vec<Part>,
}

impl Results {
    pub(super) fn new(name: &'static str, paper: &'static str, quick: bool) -> Self {
        let secateur_version = env!("CARGO_PKG_VERSION");
        Results {
            name,
            paper,
            quick,
            secateur_version,
            machines: Vec::new(),
            seconds: 0.0,
            missing: 0,
            parts: Vec::new(),
        }
    }

    /// One more part.
    pub(super) fn part(&mut self, title: &str, words: Vec<String>, tables: Vec<Table>, pictures: Vec<Picture>) {
        self.parts.push(Part { title: title.into(), words, tables, pictures });
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
        let (took, machines) = (self.seconds, self.machines.join("; on "));
        let missing = match self.missing {
            0 => String::new(),
            n => format!(" {n} of its parts are not made yet, and not in the tables."),
        };
        let quick = if self.quick { " --quick" } else { "" };
        format!(
            "{size} {took:.0} s of work, part after part, on {machines}. `secateur study {}{quick}` repeats it.{missing}",
            self.name
        )
    }

    /// The results as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n\n{}\n", self.name, self.paper, self.how());
        for part in &self.parts {
            out += &format!("\n## {}\n", part.title);
            out.extend(part.words.iter().map(|words| format!("\n{words}\n")));
            out.extend(part.tables.iter().map(Table::markdown));
        }
        out
    }

    /// The results as a self-contained page.
    pub fn html(&self) -> String {
        let part = |part: &Part| {
            let words: String = part.words.iter().map(|w| format!("<p>{}</p>\n", prose(w))).collect();
            let tables: String = part.tables.iter().map(Table::html).collect();
            section(&text(&part.title), &(words + &figures(&part.pictures) + &tables))
        };
        let parts: String = self.parts.iter().map(part).collect();
        let how = format!("<p class=\"lead\">{}</p>\n<p>{}</p>\n", text(self.paper), prose(&self.how()));
        let (name, body) = (format!("Study {}", self.name), format!("<main>\n{how}{parts}</main>\n"));
        document(&format!("{name} - Secateur"), &(heading("study", &name) + &body))
    }
}
