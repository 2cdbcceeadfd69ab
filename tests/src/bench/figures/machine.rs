//! The machine that a run of the bench was on.

use std::{fs, thread};

use serde::{Deserialize, Serialize};

/// What a reader of the figures must know of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// Processors that the bench may use.
    pub processors: usize,
    /// Release of the kernel.
    pub kernel: String,
    /// `net.core.bpf_jit_enable`: without it no figure is worth anything.
    pub jit: bool,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        // Where only JIT is compiled in, the switch cannot be read by all.
        let jit = read("/proc/sys/net/core/bpf_jit_enable");
        Self {
            processor: model(&read("/proc/cpuinfo")).unwrap_or_else(|| "unknown".to_owned()),
            processors: thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            jit: jit.trim() != "0",
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        format!(
            "{} x {}, Linux {}, BPF JIT {}",
            self.processors,
            self.processor,
            self.kernel,
            if self.jit { "on" } else { "OFF" }
        )
    }
}

/// The model that `/proc/cpuinfo` names, if it does.
fn model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_where_it_is_named() {
        let x86 = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nmodel name\t: another\n";
        assert_eq!(model(x86).as_deref(), Some("A CPU @ 2 GHz"));
        assert_eq!(model("processor\t: 0\n"), None);
    }
}
