//! `edgelb check` as it is called: exit code, standard output, standard error.

use std::process::{Command, Output};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/");

fn check(file: &str, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edgelb"))
        .args(["check", "--config", file])
        .args(options)
        .output()
        .expect("the program under test starts")
}

#[test]
fn a_right_file_is_ok() {
    let file = format!("{CONFIG}edgelb.toml");
    let output = check(&file, &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.starts_with(&format!("{file}: ok: ")), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn print_shows_the_plan() {
    let output = check(&format!("{CONFIG}minimal.toml"), &["--print"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for word in [
        "access-5061",
        "EV4",
        "balance hash",
        "affinity source-ip",
        "203.0.113.11:5061",
        "ext0",
        "1024-64511",
        "ms-turn",
        "refuse",
        "10.20.0.10",
    ] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let output = check("/nonexistent/edgelb.toml", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("/nonexistent/edgelb.toml: cannot be read: "),
        "{text}"
    );
}

#[test]
fn a_wrong_file_is_an_error() {
    // A TOML file of another kind is a wrong configuration.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = check(file, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&format!("{file}:1: pool: missing")), "{text}");
    assert!(text.contains("unknown key \"dependencies\""), "{text}");
}

#[test]
fn warnings_go_to_standard_error_and_are_no_error() {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/doubtful.toml");
    let text = include_str!("../../config/edgelb.toml").replace("\"60m\"", "\"10m\"");
    std::fs::write(file, text).expect("the folder for temporary files can be written to");
    let output = check(file, &[]);
    assert!(output.status.success(), "{output:?}");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.starts_with(&format!("{file}: ok: ")), "{out}");
    let error = String::from_utf8_lossy(&output.stderr);
    let key = "timeouts.tcp_established: warning: 10m is shorter than";
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with(&format!("{file}:")), "{error}");
    assert!(error.contains(key), "{error}");
}
