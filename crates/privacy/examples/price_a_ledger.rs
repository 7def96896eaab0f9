//! Prices a made-up run with every accountant: `cargo run -p secateur-privacy --example price_a_ledger`.
//!
//! A count of everybody, then two phases of training; the second also releases a count from each draw.

use privacy::{Event, Ledger, Neighbouring, Sampling, account};

fn round(rate: f64, multipliers: &[f64]) -> Event {
    let releases = multipliers.iter().map(|z| Event::Gaussian { noise_multiplier: *z }).collect();
    Event::Round { sampling: Sampling::Poisson { rate }, releases }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ledger = Ledger::planned(
        Neighbouring::AddRemove,
        vec![
            (Event::Gaussian { noise_multiplier: 20.0 }, 1),
            (round(0.01, &[1.2]), 2000),
            (round(0.02, &[1.5, 30.0]), 1000),
        ],
    );
    for name in account::names() {
        match account::by_name(name).expect("names are names").report(&ledger, 1e-6) {
            Ok(price) => {
                let lower = price.lower.map_or(String::new(), |lower| format!(", at least {lower:.4}"));
                let kind = if price.estimate { "about" } else { "at most" };
                println!("{name:8} epsilon {kind} {:.4}{lower}  {}", price.epsilon, price.notes.join("; "));
            }
            Err(why) => println!("{name:8} {why}"),
        }
    }
    Ok(())
}
