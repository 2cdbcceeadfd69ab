//! No text makes the parser panic, and whatever it refuses has a line.

use lb_daemon::config::Config;
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../config/edgelb.toml");

/// Every error has a line that is in the file, or the one after its last.
fn told_properly(text: &str) -> Result<(), TestCaseError> {
    if let Err(problems) = Config::parse(text) {
        prop_assert!(!problems.is_empty());
        for problem in problems {
            let lines = text.matches('\n').count() + 1;
            prop_assert!(
                (1..=lines).contains(&problem.line),
                "{problem} of {lines} lines"
            );
            prop_assert!(!problem.message.is_empty());
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        told_properly(&text)?;
    }

    #[test]
    fn nothing_that_looks_like_toml_makes_the_parser_panic(
        text in "([\\[\\]{}=,.\"'#\n a-c0-9:/-]|name|vips|nodes|services|weight){0,80}",
    ) {
        told_properly(&text)?;
    }

    #[test]
    fn no_change_of_the_example_makes_the_parser_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "[^a]{0,4}"), 1..4),
    ) {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for (place, length, new) in changes {
            let start = place.index(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, new.chars());
        }
        told_properly(&text.into_iter().collect::<String>())?;
    }

    #[test]
    fn no_value_in_the_place_of_another_makes_the_parser_panic(
        line in 0..EXAMPLE.lines().count(),
        value in prop::sample::select(vec![
            "0", "-1", "1e400", "true", "\"\"", "[]", "{}", "[[]]", "[{}]", "1979-05-27",
            "99999999999999999999999", "\"::1\"", "\"0.0.0.0:0/tcp\"", "\"1-0\"", "\"\u{1F980}\"",
        ]),
    ) {
        let text: Vec<String> = EXAMPLE
            .lines()
            .enumerate()
            .map(|(number, text)| match text.split_once('=') {
                Some((key, _)) if number == line => format!("{key} = {value}"),
                _ => text.to_owned(),
            })
            .collect();
        told_properly(&text.join("\n"))?;
    }
}
