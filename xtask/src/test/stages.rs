//! One command after the other, and what came of each.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Write},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::tally::Tally;

/// The commands that were run.
#[derive(Default)]
pub struct Stages(Vec<Stage>);

struct Stage {
    name: &'static str,
    took: Duration,
    succeeded: bool,
    tests: Tally,
}

impl Stages {
    /// Runs a command, whatever came of those before: one run shows all that is wrong.
    pub fn run(&mut self, name: &'static str, command: impl Into<Command>) -> Result<()> {
        let mut command = command.into();
        let words = [command.get_program()]
            .into_iter()
            .chain(command.get_args());
        let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
        println!("\n$ {}", words.join(" "));

        let begun = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context(name)?;
        let output = child.stdout.take().context("the output is piped")?;
        let tests = pass_on(BufReader::new(output), io::stdout())?;
        let succeeded = child.wait()?.success();
        self.0.push(Stage {
            name,
            took: begun.elapsed(),
            succeeded,
            tests,
        });
        Ok(())
    }

    /// Prints what came of each, and the count of all tests as the last line.
    pub fn report(&self) -> ExitCode {
        println!();
        for stage in &self.0 {
            let outcome = if stage.succeeded { "passed" } else { "FAILED" };
            let tests = match stage.tests {
                Tally {
                    passed: 0,
                    failed: 0,
                } => String::new(),
                tests => format!("  {tests}"),
            };
            let took = stage.took.as_secs_f32();
            println!("{:<12} {took:>7.1} s  {outcome}{tests}", stage.name);
        }
        let all = self.count();
        println!("{all}");
        if all.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// All tests. A command that has failed without a test that did counts as one: the last line alone
    /// must not look like success.
    fn count(&self) -> Tally {
        let counts = self.0.iter().map(|stage| match stage.tests {
            Tally { passed, failed: 0 } if !stage.succeeded => Tally { passed, failed: 1 },
            tests => tests,
        });
        counts.sum()
    }
}

/// Prints what a command prints as it comes, and counts the tests that it speaks of.
fn pass_on(mut output: impl BufRead, mut to: impl Write) -> io::Result<Tally> {
    let mut tests = Tally::default();
    let mut line = Vec::new();
    loop {
        // Not line by line: the name of a test that hangs has no end of line.
        let chunk = output.fill_buf()?;
        if chunk.is_empty() {
            return Ok(tests);
        }
        to.write_all(chunk)?;
        to.flush()?;
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            if line.ends_with(b"\n") {
                tests = tests + Tally::in_line(&String::from_utf8_lossy(&line)).unwrap_or_default();
                line.clear();
            }
        }
        let length = chunk.len();
        output.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNERS: &str = "test a ... ok\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\
                           test b ... FAILED\ntest result: FAILED. 1 passed; 3 failed; 0 ignored\n";

    #[test]
    fn all_runners_of_a_command_count_however_their_output_is_cut() {
        for size in 1..RUNNERS.len() {
            let output = BufReader::with_capacity(size, RUNNERS.as_bytes());
            let mut passed_on = Vec::new();
            let tests = pass_on(output, &mut passed_on).expect("a count");
            assert_eq!(
                tests,
                Tally {
                    passed: 3,
                    failed: 3
                },
                "{size}"
            );
            assert_eq!(passed_on, RUNNERS.as_bytes(), "{size}");
        }
    }

    #[test]
    fn a_command_that_fails_counts_as_its_failed_tests_or_as_one() {
        for (succeeded, (passed, failed), counted) in [
            (true, (0, 0), 0),
            (true, (7, 0), 0),
            (false, (0, 0), 1),
            (false, (7, 0), 1),
            (false, (7, 3), 3),
        ] {
            let tests = Tally { passed, failed };
            let stage = Stage {
                name: "",
                took: Duration::ZERO,
                succeeded,
                tests,
            };
            let expected = Tally {
                passed,
                failed: counted,
            };
            assert_eq!(Stages(vec![stage]).count(), expected, "{succeeded} {tests}");
        }
    }

    #[test]
    fn the_exit_code_of_a_command_is_heard() {
        let mut stages = Stages::default();
        stages.run("good", Command::new("true")).expect("it runs");
        assert_eq!(stages.report(), ExitCode::SUCCESS);
        stages.run("bad", Command::new("false")).expect("it runs");
        assert_eq!(stages.report(), ExitCode::FAILURE);
    }
}
