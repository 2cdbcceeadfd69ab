//! `edgelb flows`.

use std::{
    io::{self, BufRead, BufWriter, ErrorKind, Write},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use serde_json::value::RawValue;

use crate::{api::FlowStream, cli, snapshot::FlowStatus};

/// Prints the live flows, each as it comes.
pub fn run(options: &cli::Query) -> Result<ExitCode> {
    let mut flows = FlowStream::open(&options.control_socket)?;
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let printed = if options.json {
        list(&mut flows, &mut output)
    } else {
        table(&mut flows, &mut output)
    };
    match printed.and_then(|()| Ok(output.flush()?)) {
        // That the reader (`| head`) has heard enough is no error.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// A JSON list with a line for each flow.
fn list(flows: &mut FlowStream<impl BufRead>, output: &mut impl Write) -> Result<()> {
    let mut before = "[\n";
    while let Some(flow) = flows.read::<Box<RawValue>>()? {
        write!(output, "{before}{flow}")?;
        before = ",\n";
    }
    // A list of none is a list, too.
    let end = if before == "[\n" { "[]" } else { "\n]" };
    writeln!(output, "{end}").context("standard output")
}

/// A row: text to the left, numbers to the right. Widths are fixed, as nobody knows what comes later; a longer
/// name moves the rest of its row.
macro_rules! row {
    ($output:expr, $($column:expr),+ $(,)?) => {
        writeln!(
            $output,
            "{:<5} {:<9} {:<16} {:<12} {:<21} {:<21} {:<21} {:<21} {:<11} {:>8} {:>6} {:>10} {:>11}",
            $($column),+
        )
    };
}

fn table(flows: &mut FlowStream<impl BufRead>, output: &mut impl Write) -> Result<()> {
    row!(
        output,
        "PROTO",
        "TREATMENT",
        "SERVICE",
        "NODE",
        "CLIENT",
        "VIP",
        "SOURCE AT NODE",
        "NODE ADDRESS",
        "STATE",
        "AGE",
        "IDLE",
        "PACKETS IN",
        "PACKETS OUT",
    )?;
    while let Some(flow) = flows.read::<FlowStatus>()? {
        row!(
            output,
            flow.protocol,
            flow.treatment,
            flow.service,
            flow.node,
            flow.client,
            flow.vip,
            flow.source,
            flow.node_address,
            flow.state,
            format!("{}s", flow.age_seconds),
            format!("{}s", flow.idle_seconds),
            flow.packets_in,
            flow.packets_out,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: &str = r#"{"flow":{"protocol":"tcp","treatment":"snat","service":"access-443","node":"edge1","client":"198.51.100.7:50000","vip":"203.0.113.10:443","source":"203.0.113.10:1024","node_address":"203.0.113.11:443","state":"established","age_seconds":61,"idle_seconds":2,"packets_in":5,"packets_out":4,"bytes_in":300,"bytes_out":200}}
"#;

    fn answer(flows: usize) -> String {
        format!("{}{{\"end\":{flows}}}\n", FLOW.repeat(flows))
    }

    #[test]
    fn json_is_one_list_however_many_flows_there_are() {
        for flows in 0..3 {
            let mut output = Vec::new();
            let answer = answer(flows);
            list(&mut FlowStream::new(answer.as_bytes()), &mut output).expect("a list");
            let read: Vec<FlowStatus> = serde_json::from_slice(&output).expect("JSON");
            assert_eq!(read.len(), flows);
            assert!(read.iter().all(|flow| flow.client.port() == 50_000));
        }
    }

    #[test]
    fn columns_stand_below_their_headings() {
        let mut output = Vec::new();
        let answer = answer(1);
        table(&mut FlowStream::new(answer.as_bytes()), &mut output).expect("a table");
        let text = String::from_utf8(output).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        for (heading, value) in [
            ("SERVICE", "access-443 "),
            ("NODE ADDRESS", "203.0.113.11:443 "),
            ("STATE", "established "),
        ] {
            let at = lines[0].find(heading).expect("a heading");
            assert!(lines[1][at..].starts_with(value), "{text}");
        }
        for (heading, value) in [("AGE", " 61s"), ("PACKETS OUT", " 4")] {
            let end = lines[0].find(heading).expect("a heading") + heading.len();
            assert!(lines[1][..end].ends_with(value), "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let flows = FLOW.repeat(2);
        let mut output = Vec::new();
        let listed = list(&mut FlowStream::new(flows.as_bytes()), &mut output);
        let error = listed.expect_err("there is no end");
        assert!(!is_broken_pipe(&error), "{error:#}");
    }
}
