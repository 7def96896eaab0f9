//! The page of a diagnosis: what it comes to in words, then every figure.
use super::{ALL, Diagnosis, Visit, source::Standing};
use crate::report::{
    Table, banner, document, figures,
    followed::{Glance, along},
    heading, section, text, words,
};

/// The page for a diagnosis: self-contained, readable in print and in dark mode.
pub fn html(diagnosis: &Diagnosis) -> String {
    let visits: String = diagnosis.visits.iter().map(|v| visit(v, diagnosis.visits.len() > 1)).collect();
    let body = format!(
        "<main>\n{}{}{}{visits}</main>\n{}",
        standing(diagnosis),
        summary(diagnosis),
        along(&diagnosis.visits.iter().map(Visit::followed).collect::<Vec<Glance>>()),
        footer(diagnosis)
    );
    let title = format!("{} - Secateur diagnosis", diagnosis.title);
    document(&title, &(heading("gradient diagnosis", &diagnosis.title) + &body))
}

fn standing(d: &Diagnosis) -> String {
    let n = words::count(d.examples as u64);
    match &d.standing {
        Standing::Evaluation => {
            let (class, headline) = d.origin.headline();
            let whose =
                format!("The gradients are those of {n} evaluation examples, which the configuration declares public.");
            banner(class, "h2", headline, &format!("{whose} {}", d.origin.sentence()))
        }
        Standing::Declared(reason) => banner(
            "amber",
            "h2",
            "Made from training data that were declared public",
            &format!("{n} training examples. The reason that was given: {reason}. {}", d.origin.sentence()),
        ),
        Standing::Revealed => banner(
            "red",
            "h2",
            "NOT PRIVATE: this page shows private training data",
            &format!(
                "The gradients are those of {n} private training examples. The ledger says so, at infinite cost: whatever was \
                 trained on these data has no privacy guarantee once this page, or a choice made from it, is used."
            ),
        ),
    }
}

fn summary(d: &Diagnosis) -> String {
    let Some(last) = d.visits.last() else { return String::new() };
    let sentences = last.findings.iter().filter_map(|f| f.words.first());
    let list: String = sentences.map(|s| format!("<li>{}</li>\n", text(s))).collect();
    let advice = last.findings.iter().find(|f| f.name == "step").and_then(|f| f.words.get(1));
    let lead = advice.map_or_else(String::new, |s| format!("<p class=\"lead\">{}</p>\n", text(s)));
    let noise = match d.noise_multiplier {
        0.0 => "no noise".to_owned(),
        z => format!("noise multiplier {}", words::significant(z, 4)),
    };
    let setting = format!(
        "<p>{} parameters; clip rule {} with bound {}, {noise}, lot {}.</p>\n",
        words::count(d.parameters as u64),
        text(&d.rule),
        words::significant(d.bound, 4),
        words::significant(d.lot, 5)
    );
    let notes: String = d.notes.iter().map(|note| format!("<p>{}</p>\n", text(note))).collect();
    section(
        &format!("What it comes to, at {}", text(&last.label)),
        &format!("{lead}{setting}<ul>\n{list}</ul>\n{notes}"),
    )
}

fn visit(v: &Visit, several: bool) -> String {
    let mut out = String::new();
    for finding in &v.findings {
        let heading = ALL.iter().find(|e| e.name == finding.name).map_or(finding.name, |e| e.diagnostic.heading());
        let heading = if several { format!("{heading}, {}", v.label) } else { heading.to_owned() };
        let sentences: String = finding.words.iter().map(|s| format!("<p>{}</p>\n", text(s))).collect();
        let table = finding.table.as_ref().map_or_else(String::new, Table::html);
        out += &section(&text(&heading), &(sentences + &figures(&finding.pictures) + &table));
    }
    out
}

fn footer(d: &Diagnosis) -> String {
    format!(
        "<footer>Written by Secateur {} next to <code>diagnose.json</code>, which holds every number.</footer>\n",
        text(d.secateur_version)
    )
}
