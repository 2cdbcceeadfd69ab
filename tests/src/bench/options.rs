//! What was asked of the bench.

/// How much is measured.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Few flows and short runs: it shows that the bench works, and no figure of it is worth anything.
    pub quick: bool,
    /// Numbers of flows, where somebody has asked for certain ones.
    pub flows: Option<Vec<u64>>,
    /// How often each figure is taken, where somebody has asked for a number.
    pub rounds: Option<usize>,
}

impl Options {
    /// The numbers of flows to measure at: those asked for, or `usual`, or `few` in a quick run.
    pub fn flows_or(&self, usual: &[u64], few: &[u64]) -> Vec<u64> {
        let given = if self.quick { few } else { usual };
        self.flows.clone().unwrap_or_else(|| given.to_vec())
    }

    /// How often each figure is taken: as asked for, or `usual`, or twice in a quick run.
    pub fn rounds_or(&self, usual: usize) -> usize {
        let given = if self.quick { 2 } else { usual };
        self.rounds.unwrap_or(given)
    }

    /// Says to whoever waits what is measured now.
    pub fn progress(&self, what: &str) {
        eprintln!("bench: {what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_comes_before_quick_and_quick_before_the_usual() {
        let usual = Options::default();
        let quick = Options {
            quick: true,
            ..Options::default()
        };
        let asked = Options {
            flows: Some(vec![7]),
            rounds: Some(9),
            ..quick.clone()
        };
        for (options, flows, rounds) in [(usual, 3, 5), (quick, 1, 2), (asked, 7, 9)] {
            assert_eq!(options.flows_or(&[3], &[1]), [flows]);
            assert_eq!(options.rounds_or(5), rounds);
        }
    }
}
