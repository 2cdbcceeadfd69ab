//! How the flows spread over the nodes, while it happens: bars on a terminal, lines elsewhere.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lb_daemon::snapshot::{NodeStatus, ServiceStatus, Status};
use lb_tests::lab::{edgelb::Instance, report::Finding};

/// How often a terminal shows a new picture.
const FRAME: Duration = Duration::from_millis(150);
/// How often there is a line elsewhere.
const LINE: Duration = Duration::from_secs(2);

/// What is shown.
pub struct Live {
    bars: MultiProgress,
    headline: ProgressBar,
    watched: bool,
}

/// Shows what edgelb says of its flows while `work` goes on.
pub fn during(edgelb: &Instance, watched: bool, work: impl FnOnce(&Live)) -> Result<()> {
    let bars = MultiProgress::with_draw_target(if watched {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    });
    let headline = bars.add(
        ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}")?),
    );
    let live = Live {
        bars,
        headline,
        watched,
    };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let follower = scope.spawn(|| live.follow(edgelb, &done));
        work(&live);
        done.store(true, Ordering::Relaxed);
        follower
            .join()
            .map_err(|_| anyhow!("showing the flows has failed"))?
    })?;
    live.bars.clear()?;
    Ok(())
}

impl Live {
    /// What is asked next.
    pub fn asking(&self, what: &str) {
        self.headline.set_message(what.replace('_', " "));
    }

    /// What came of it.
    pub fn found(&self, finding: &Finding) {
        let mark = if finding.passed() { "pass" } else { "FAIL" };
        self.line(&format!(
            "  {mark}  {:<6} {:<48} {}",
            finding.id, finding.asked, finding.answered
        ));
    }

    fn line(&self, text: &str) {
        // Not drawn to a hidden target.
        if !self.watched || self.bars.println(text).is_err() {
            println!("{text}");
        }
    }

    fn follow(&self, edgelb: &Instance, done: &AtomicBool) -> Result<()> {
        let mut bars: Vec<ProgressBar> = Vec::new();
        let mut last_line = Instant::now();
        let mut last_summary = String::new();
        while !done.load(Ordering::Relaxed) {
            let Status { services, .. } = edgelb.status()?;
            if self.watched {
                self.draw(&mut bars, &services)?;
            } else if last_line.elapsed() > LINE {
                let summary = summary(&services);
                if summary != last_summary {
                    self.line(&summary);
                }
                last_summary = summary;
                last_line = Instant::now();
            }
            thread::sleep(FRAME);
        }
        for bar in bars {
            bar.finish_and_clear();
        }
        self.headline.finish_and_clear();
        Ok(())
    }

    fn draw(&self, bars: &mut Vec<ProgressBar>, services: &[ServiceStatus]) -> Result<()> {
        let rows: Vec<_> = in_use(services)
            .flat_map(|service| service.nodes.iter().map(move |node| (service, node)))
            .collect();
        while bars.len() < rows.len() {
            let style = ProgressStyle::with_template("{prefix:>28} {bar:40.green} {msg}")?;
            bars.push(self.bars.add(ProgressBar::new(1).with_style(style)));
        }
        for (bar, (service, node)) in bars.iter().zip(rows) {
            let opened: u64 = service.nodes.iter().map(|node| node.opened).sum();
            bar.set_prefix(format!("{} {}", service.name, node.name));
            bar.set_length(opened);
            bar.set_position(node.opened);
            bar.set_message(describe(node));
        }
        self.headline.tick();
        Ok(())
    }
}

fn in_use(services: &[ServiceStatus]) -> impl Iterator<Item = &ServiceStatus> {
    services
        .iter()
        .filter(|service| service.nodes.iter().any(|node| node.opened > 0))
}

fn describe(node: &NodeStatus) -> String {
    format!(
        "{} flows opened, {} open, {}",
        node.opened,
        node.flows.half_open + node.flows.established,
        HumanBytes(node.traffic.bytes_in + node.traffic.bytes_out)
    )
}

fn summary(services: &[ServiceStatus]) -> String {
    let services: Vec<_> = in_use(services)
        .map(|service| {
            let nodes: Vec<_> = service
                .nodes
                .iter()
                .map(|node| format!("{} {}", node.name, node.opened))
                .collect();
            format!("{} {}", service.name, nodes.join(" "))
        })
        .collect();
    format!("  flows opened: {}", services.join("; "))
}
