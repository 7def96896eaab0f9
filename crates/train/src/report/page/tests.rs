//! Tests of the whole page: what it says, that nothing in it acts, and that strings of a record stay text.

use super::super::example;
use super::*;

/// What a reader sees: the page without style sheet, charts and tags, one line a block.
fn read(page: &str) -> String {
    let body = page.split("</style>").nth(1).unwrap();
    let without = |text: &str, open: &str, close: &str| -> String {
        let mut parts = text.split(open);
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |out, part| out + part.split_once(close).unwrap().1)
    };
    let text = without(&without(body, "<svg", "</svg>"), "<", ">").replace([super::super::words::THIN, '\u{a0}'], " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.to_owned() + "\n").collect()
}

fn assert_reads(record: &Record, expected: &str) {
    let actual = read(&html(record));
    for (at, (actual, expected)) in actual.lines().zip(expected.lines()).enumerate() {
        assert_eq!(actual, expected, "line {}", at + 1);
    }
    assert_eq!(actual.lines().count(), expected.lines().count(), "{actual}");
}

/// The record with two points only, to keep the expected text short.
fn short(mut record: Record) -> Record {
    record.points.truncate(2);
    record
}

#[test]
fn a_private_run_reads_like_this() {
    assert_reads(&short(example::private()), include_str!("private.txt"));
}

#[test]
fn two_points_do_not_tell_when_half_was_spent() {
    let mut record = short(example::private());
    record.points[0].epsilon = 0.0;
    assert!(!html(&record).contains("Half of the final epsilon"));
}

#[test]
fn an_ordinary_run_reads_like_this() {
    assert_reads(&short(example::ordinary()), include_str!("ordinary.txt"));
}

#[test]
fn strings_of_a_record_stay_text() {
    let attack = "<script>alert('x')</script>\" onload=\"y\u{0}";
    let mut record = example::interrupted();
    record.title = attack.into();
    record.config_toml = attack.into();
    record.statement.warnings = vec![attack.into()];
    record.summary.model = attack.into();
    record.summary.optimizer = attack.into();
    let statement = &mut record.statement;
    for field in [
        &mut statement.secateur_version,
        &mut statement.accountant,
        &mut statement.neighbouring_definition,
        &mut statement.unit_of_privacy,
        &mut statement.sampling.kind,
    ] {
        *field = attack.into();
    }
    statement.mechanism.as_mut().unwrap().name = attack.into();
    statement.clip.as_mut().unwrap().rule = attack.into();
    statement.assumptions = vec![attack.into()];
    let page = html(&record);
    assert!(!page.contains("<script") && !page.contains("\" onload") && !page.contains('\0'));
    assert_eq!(page.matches("&lt;script&gt;alert(&#39;x&#39;)").count(), 15);
}

#[test]
fn the_page_is_self_contained() {
    for record in
        [example::private(), example::ordinary(), example::interrupted(), example::unevaluated(), example::blocks()]
    {
        let page = html(&record).replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for outside in ["http:", "https:", "<script", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}

#[test]
fn elements_are_closed() {
    for record in [example::private(), example::ordinary(), example::interrupted(), example::unevaluated()] {
        let page = html(&record);
        for tag in [
            "div", "section", "p", "ul", "li", "svg", "text", "figure", "details", "table", "dl", "pre", "main", "span",
        ] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}

#[test]
fn infinite_epsilon_and_no_points_make_a_page() {
    let mut record = example::private();
    record.statement.epsilon = f64::INFINITY;
    record.points.clear();
    let page = html(&record);
    assert!(page.contains("NOT PRIVATE: epsilon is infinite") && page.contains("Nothing was evaluated"));
    assert!(!page.contains("NaN") && !page.contains("calm\" role"));
}

/// Writes the four pages into the system's temporary folder, to be looked at: `cargo test -- --ignored look`. The text
/// files beside them are what the snapshots above expect.
#[test]
#[ignore = "writes pages for people to look at"]
fn pages_to_look_at() {
    let folder = std::env::temp_dir().join("secateur-report");
    std::fs::create_dir_all(&folder).unwrap();
    let records = [example::private(), example::ordinary(), example::interrupted(), example::unevaluated()];
    for (name, record) in ["private", "ordinary", "interrupted", "unevaluated"].into_iter().zip(&records) {
        std::fs::write(folder.join(name).with_extension("html"), html(record)).unwrap();
        std::fs::write(folder.join(name).with_extension("txt"), read(&html(&short(record.clone())))).unwrap();
    }
}
