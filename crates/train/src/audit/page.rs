//! The page of an audit: the verdict, what each attack saw, and what a low number does not mean.
use super::{Finding, Proof};
use crate::report::{
    Neighbouring, Table, banner, document, figures, heading,
    plot::{Axis, Layer, Mark, Picture},
    section, words,
};

/// Bars of a histogram.
const BARS: usize = 30;

/// The page: self-contained, readable in print and in dark mode.
pub fn html(finding: &Finding) -> String {
    let attacks: String = finding.attacks.iter().map(|proof| attack(finding, proof)).collect();
    let body = [
        heading("privacy audit", &finding.title),
        "<main>\n".into(),
        verdict(finding),
        section("Proven and claimed", &(table(finding).html() + NOTE)),
        attacks,
        section("What this means, and what not", MEANING),
        "</main>\n".into(),
        format!(
            "<footer>Written by Secateur {} next to <code>audit.json</code>, which holds every number, and \
             <code>ledger.jsonl</code>.</footer>\n",
            finding.secateur_version
        ),
    ];
    document(&format!("{} - Secateur audit", finding.title), &body.concat())
}

const NOTE: &str = "<p>The last column is what the error rates of all guesses would prove had each canary been in a run of its own. They shared one: it says \
    how well the attack does, and is no proof.</p>\n";

const MEANING: &str = "<p>An attack that finds little proves little: another one may find more. What is proven is a lower bound, and the \
    epsilon of the accountant is an upper bound; the truth lies between them. Even an attack that does as well as can be done \
    proves less than is true, since a number of canaries is only so large: of a correct build, one half to two thirds of the claim \
    is the most that a thousand canaries prove.</p>\n\
    <p>This was a run on the data of the configuration, some of which gave place to canaries. It released noisy sums of real people's gradients, and the \
    ledger beside this page is charged for them: whoever publishes this page, or chooses by it, has spent that, besides what the run to be published \
    spends. No weights were left: they would have canaries in them.</p>\n";

fn claimed(finding: &Finding) -> String {
    let relation = match finding.neighbouring {
        Neighbouring::AddRemove => "add/remove one example",
        Neighbouring::ReplaceOne => "replace one example",
    };
    format!(
        "epsilon {} at delta {:e} ({relation}, {})",
        words::bound(finding.epsilon),
        finding.delta,
        finding.accountant
    )
}

fn verdict(finding: &Finding) -> String {
    let confidence = words::percent(1.0 - finding.significance);
    let proven = words::significant(finding.proven(), 3);
    let seeded = match finding.seeded {
        true => " The seed is fixed: whoever knows it needs no attack.",
        false => "",
    };
    let cut = match finding.steps {
        (made, planned) if made < planned => {
            format!(" The run was stopped: all of this is of {made} of {planned} steps.")
        }
        _ => String::new(),
    };
    if finding.is_broken() {
        let words = format!(
            "Who was there shows more than {} allows: epsilon is above {proven}, with {confidence} confidence. The implementation \
             or the claim is wrong. Publish nothing that was made so.{seeded}{cut}",
            claimed(finding)
        );
        return banner("red", "h2", "BROKEN: more was proven than is claimed", &words);
    }
    let words = format!(
        "Claimed: {}. No attack of these proved more than epsilon {proven}, with {confidence} confidence. That does not prove the \
         claim; it failed to refute it.{seeded}{cut}",
        claimed(finding)
    );
    banner("calm", "h2", &format!("Not refuted: proven {proven}, claimed {}", words::bound(finding.epsilon)), &words)
}

fn table(finding: &Finding) -> Table {
    let head = [
        "attack",
        "canaries",
        "guesses",
        "right",
        "epsilon above",
        "whatever the shape, above",
        "were canaries independent",
    ];
    let mut table = Table::new(
        format!(
            "{} steps with rule {}, noise multiplier {}, sample rate {}",
            words::count(finding.steps.0),
            finding.rule,
            words::significant(finding.noise_multiplier, 4),
            words::significant(finding.sample_rate, 3)
        ),
        &head,
    );
    for proof in &finding.attacks {
        let counts = proof.counts;
        let numbers = [counts.canaries, counts.guesses, counts.right].map(words::count);
        let epsilons = [proof.proven, proof.proven_of_any, proof.if_independent].map(|e| words::significant(e, 3));
        table.row([proof.attack.clone()].into_iter().chain(numbers).chain(epsilons));
    }
    table.row([
        "claimed".into(),
        String::new(),
        String::new(),
        String::new(),
        words::bound(finding.epsilon),
        words::bound(finding.epsilon),
        words::bound(finding.epsilon),
    ]);
    table
}

fn attack(finding: &Finding, proof: &Proof) -> String {
    let pictures = figures(&[histogram(proof), trade_off(finding, proof)]);
    section(&format!("Attack by {}", proof.attack), &format!("<p>{}</p>\n{pictures}", proof.sees))
}

fn histogram(proof: &Proof) -> Picture {
    let all = || proof.scores.iter().map(|score| score.0);
    let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let width = if high > low { (high - low) / BARS as f64 } else { 1.0 };
    let layer = |name: &str, there: bool, tone: u8, mark: Mark| {
        let mut counts = [0u32; BARS];
        for (score, _) in proof.scores.iter().filter(|score| score.1 == there) {
            counts[(((score - low) / width) as usize).min(BARS - 1)] += 1;
        }
        let edges = counts.iter().enumerate().map(|(k, n)| (low + k as f64 * width, f64::from(*n)));
        Layer::new(name, mark, tone, edges.chain([(low + BARS as f64 * width, 0.0)]).collect())
    };
    Picture {
        title: "Scores of canaries".into(),
        x: Axis::new("score"),
        y: Axis::new("canaries").including(0.0).within(0.0, f64::INFINITY),
        layers: vec![layer("not there", false, 3, Mark::Bars), layer("there", true, 1, Mark::Bars)],
        marks: Vec::new(),
    }
}

fn trade_off(finding: &Finding, proof: &Proof) -> Picture {
    Picture {
        title: "Members found, by wrong alarms: claimed and seen".into(),
        x: Axis::new("wrong alarms").within(0.0, 1.0),
        y: Axis::new("members found").within(0.0, 1.0),
        layers: vec![
            Layer::new("claim", Mark::Line, 2, finding.allowed.clone()),
            Layer::new("blind", Mark::Dashed, 3, vec![(0.0, 0.0), (1.0, 1.0)]),
            Layer::new("seen", Mark::Line, 1, proof.observed()),
        ],
        marks: Vec::new(),
    }
}
