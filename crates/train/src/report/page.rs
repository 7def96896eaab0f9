//! `report.html`: one self-contained page for people.
//!
//! No script, no external resource: a content security policy inside the page forbids both. Every string that comes
//! from a record goes through [`text`]; each section is a file that returns markup.

mod charts;
mod facts;
mod privacy;
mod verdict;

use super::plot::Picture;
use super::record::Record;
pub(crate) use verdict::banner;

const STYLE: &str = include_str!("page/page.css");

/// A leaf, cut.
const MARK: &str = "<svg class=\"mark\" viewBox=\"0 0 32 32\" aria-hidden=\"true\"><path d=\"M5 24C4 11 12 4 26 4c.4 \
                    3.6-.1 6.8-1.3 9.6z\"/><path d=\"M7.5 27.5 24 16.8C20.6 23.6 14.6 27.6 7.5 27.5z\"/></svg>";

/// The page for `record`.
pub fn html(record: &Record) -> String {
    html_with(record, "")
}

/// The same with further sections (markup) before the statement of privacy.
pub(super) fn html_with(record: &Record, sections: &str) -> String {
    let body = [header(record), main(record, sections), footer(record)].concat();
    document(&format!("{} - Secateur report", record.title), &body)
}

/// A whole page of this title around `body`, which is markup.
pub(crate) fn document(title: &str, body: &str) -> String {
    let title = text(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

fn header(record: &Record) -> String {
    heading("training report", &record.title)
}

/// The head of a page: what kind of page it is, and its title.
pub(crate) fn heading(kind: &str, title: &str) -> String {
    format!(
        "<header class=\"top\">\n<p class=\"brand\">{MARK} Secateur <span>{}</span></p>\n<h1>{}</h1>\n</header>\n",
        text(kind),
        text(title)
    )
}

fn main(record: &Record, further: &str) -> String {
    let sections = [
        verdict::banners(record),
        facts::tiles(record),
        privacy::warnings(record),
        charts::learning(record),
        charts::spending(record),
        further.to_owned(),
        privacy::statement(record),
        privacy::assumptions(record),
        facts::run(record),
        privacy::check(record),
        facts::configuration(record),
    ];
    format!("<main>\n{}</main>\n", sections.concat())
}

fn footer(record: &Record) -> String {
    format!(
        "<footer>Written by Secateur {} next to <code>privacy.json</code>, <code>summary.json</code>, \
         <code>metrics.jsonl</code> and <code>ledger.jsonl</code>.</footer>\n",
        text(&record.statement.secateur_version)
    )
}

/// `content` as it may stand in markup, inside an element or a quoted attribute. Control characters are replaced.
pub(crate) fn text(content: &str) -> String {
    let mut out = String::with_capacity(content.len());
    for character in content.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' | '\t' => out.push(character),
            _ if character.is_control() => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

/// As [`text`], with what stands between backticks set as code.
pub(crate) fn prose(content: &str) -> String {
    let pieces: Vec<String> = content.split('`').map(text).collect();
    if pieces.len().is_multiple_of(2) {
        return text(content);
    }
    let set = |(k, piece): (usize, &String)| if k % 2 == 1 { format!("<code>{piece}</code>") } else { piece.clone() };
    pieces.iter().enumerate().map(set).collect()
}

/// A section with a heading; its second argument is markup.
pub(crate) fn section(heading: &str, body: &str) -> String {
    format!("<section>\n<h2>{heading}</h2>\n{body}</section>\n")
}

/// Charts side by side.
pub(crate) fn figures(pictures: &[Picture]) -> String {
    let one = |p: &Picture| format!("<figure class=\"card\">\n{}\n</figure>\n", p.svg());
    let all: String = pictures.iter().map(one).collect();
    if all.is_empty() { all } else { format!("<div class=\"charts\">\n{all}</div>\n") }
}

/// A list of strings of a record.
fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>\n", text(item))).collect();
    format!("<ul>\n{items}</ul>\n")
}

#[cfg(test)]
mod tests;
