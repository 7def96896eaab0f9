//! `secateur completions`: a script that completes verbs and flags in a shell.
use crate::{Cli, Failure};
use clap::CommandFactory;

/// Which shell.
#[derive(clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "secateur", &mut script);
    print!("{}", String::from_utf8(script)?);
    Ok(())
}
