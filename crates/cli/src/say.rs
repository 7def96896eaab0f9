//! What the command says. Whoever reads may stop at any time, as `secateur rules | head` does: that is a quiet end, and not the
//! panic of the standard macros, whose place these take in all of the crate. Words for people (standard error) that nobody can
//! read are dropped, and the work goes on.
use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::Path;
use train::report::{self, Verdict};

macro_rules! print {
    ($($words:tt)*) => { $crate::say::answer(format_args!($($words)*)) };
}

macro_rules! println {
    ($($words:tt)*) => { $crate::say::answer(format_args!("{}\n", format_args!($($words)*))) };
}

macro_rules! eprintln {
    ($($words:tt)*) => { $crate::say::remark(format_args!($($words)*)) };
}

/// Writes to standard output. Ends the process where that is closed (0), or cannot be written to (1).
pub fn answer(words: Arguments) {
    match stdout().write_fmt(words) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            remark(format_args!("error: standard output: {error}"));
            std::process::exit(1)
        }
    }
}

/// Writes a line to standard error, if anybody reads it.
pub fn remark(words: Arguments) {
    let _nobody_reads = stderr().write_fmt(format_args!("{words}\n"));
}

/// Warns of the model that a run left in `folder` where it is not private, or nothing says that it is, and so `may` do something.
pub fn caution(folder: &Path, may: &str) {
    match report::statement(folder).map(|statement| statement.verdict()) {
        Ok(Verdict::Private) => {}
        Ok(verdict) => eprintln!("warning: {}: the model {may}", verdict.words()),
        Err(error) => eprintln!("warning: nothing says whether the model is private, and it {may}: {error}"),
    }
}
