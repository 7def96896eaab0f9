//! What the tests of the command share.
#![allow(dead_code, reason = "each test file uses its part")]
use assert_cmd::Command;
use serde_json::Value;
use std::{fs, path::Path};

pub fn secateur() -> Command {
    let mut command = Command::cargo_bin("secateur").unwrap();
    command.env_remove("SECATEUR_DATA");
    command
}

pub fn json(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

pub fn answer(command: &mut Command) -> Value {
    serde_json::from_slice(&command.assert().success().get_output().stdout).unwrap()
}
