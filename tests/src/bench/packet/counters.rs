//! What the processor counts while packets are run.

use std::io;

use perf_event::{Builder, Counter, events::Hardware};

/// Counters of the calling thread, in the kernel as well.
pub struct Counters(Vec<(&'static str, Counter)>);

impl Counters {
    /// Cycles, instructions and cache misses; an error where the processor counts none, as in most virtual
    /// machines.
    pub fn of_processor() -> io::Result<Self> {
        Self::of([
            ("cycles", Builder::new(Hardware::CPU_CYCLES)),
            ("instructions", Builder::new(Hardware::INSTRUCTIONS)),
            ("cache misses", Builder::new(Hardware::CACHE_MISSES)),
        ])
    }

    fn of<const EVENTS: usize>(events: [(&'static str, Builder); EVENTS]) -> io::Result<Self> {
        let counters = events.into_iter().map(|(name, mut builder)| {
            let counter = builder.observe_self().include_kernel().build()?;
            Ok((name, counter))
        });
        Ok(Self(counters.collect::<io::Result<_>>()?))
    }

    /// Counts from here on.
    pub fn start(&mut self) -> io::Result<()> {
        for (_, counter) in &mut self.0 {
            counter.reset()?;
            counter.enable()?;
        }
        Ok(())
    }

    /// What has happened since.
    pub fn stop(&mut self) -> io::Result<Vec<(&'static str, u64)>> {
        for (_, counter) in &mut self.0 {
            counter.disable()?;
        }
        let counters = self.0.iter_mut();
        counters
            .map(|(name, counter)| Ok((*name, counter.read()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use perf_event::events::Software;

    use super::*;

    #[test]
    fn only_what_happens_in_between_is_counted() {
        // What every machine has.
        let events = [("page faults", Builder::new(Software::PAGE_FAULTS))];
        let mut counters = Counters::of(events).expect("software events");
        let touch = |pages: usize| {
            let memory = vec![1_u8; pages * 4096];
            black_box(&memory);
        };
        let mut counted = |pages| {
            counters.start().expect("started");
            touch(pages);
            counters.stop().expect("stopped")[0].1
        };
        let few = counted(1);
        // Large pages may make it fewer than there are.
        let many = counted(16_384);
        touch(16_384);
        assert!(few < many && many >= 16, "{few} {many}");
        assert!(counted(1) < many);
    }
}
