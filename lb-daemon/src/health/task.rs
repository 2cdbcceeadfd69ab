//! The task of one target: asks, tells, closes, waits, and asks again.

use std::time::{Duration, Instant};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    Change,
    ask::{Leftover, ask},
    departure::{Ports, Ways},
    target::Target,
    tls::Client,
    verdict::Verdict,
};

/// What is known of a target.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whether it is healthy, and since when.
    pub verdict: Verdict,
    /// How long the last good answer took.
    pub latency: Option<Duration>,
    /// The last failure, and when that was; kept when all is well again.
    pub failure: Option<(String, Instant)>,
    /// When the last check was over.
    pub checked: Option<Instant>,
}

impl Report {
    /// Before the first check.
    pub const fn unknown(now: Instant) -> Self {
        Self {
            verdict: Verdict::unknown(now),
            latency: None,
            failure: None,
            checked: None,
        }
    }
}

/// A task that is running.
pub struct Running {
    /// Whom it asks.
    pub target: Target,
    report: watch::Receiver<Report>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What a task asks with.
pub struct Means {
    /// For the checks that need it.
    pub client: Option<Client>,
    /// Interfaces and routes.
    pub ways: Ways,
    /// Who hears of changes.
    pub changes: mpsc::Sender<Change>,
}

impl Running {
    /// Starts to ask, with what is known already. Where another task asks the same target still, its
    /// last connection is closed first.
    pub fn start(target: Target, means: Means, known: Report, before: Option<Self>) -> Self {
        let (tell, report) = watch::channel(known);
        let (stop, stopped) = oneshot::channel();
        let asked = target.clone();
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                before.stop().await;
            }
            Asker {
                target: asked,
                means,
                ports: Ports::new(rand::random()),
                tell,
            }
            .run(stopped)
            .await;
        });
        Self {
            target,
            report,
            stop,
            task,
        }
    }

    /// What is known.
    pub fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    /// Ends the task, once its connection is closed.
    pub async fn stop(self) {
        // It may have ended.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

struct Asker {
    target: Target,
    means: Means,
    ports: Ports,
    tell: watch::Sender<Report>,
}

impl Asker {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            let begun = tokio::time::Instant::now();
            let leftover = self.check().await;
            // One connection at a time: the next waits until this one is closed.
            leftover.close(self.target.timeout).await;
            let urgent = self.tell.borrow().verdict.is_urgent();
            let next = if urgent {
                begun
            } else {
                begun + jittered(self.target.interval)
            };
            tokio::select! {
                biased;
                _ = &mut stopped => return,
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Asks once, and tells what came of it.
    async fn check(&mut self) -> Leftover {
        let begun = Instant::now();
        let Means { client, ways, .. } = &self.means;
        let (outcome, leftover) = ask(&self.target, client.as_ref(), ways, &mut self.ports).await;
        let now = Instant::now();
        let failure = outcome.err().map(|failure| failure.to_string());
        let mut changed = false;
        self.tell.send_modify(|report| {
            changed = report
                .verdict
                .hear(failure.is_none(), &self.target.thresholds, now);
            report.checked = Some(now);
            match &failure {
                None => report.latency = Some(now - begun),
                Some(failure) => report.failure = Some((failure.clone(), now)),
            }
        });
        if changed {
            let change = Change {
                key: self.target.key.clone(),
                healthy: failure.is_none(),
                reason: failure,
            };
            // Nobody listens any more at the end.
            let _ = self.means.changes.send(change).await;
        }
        leftover
    }
}

/// The interval, up to a tenth shorter: checks that began together do not stay together, and a node that
/// is cut off is not noticed later for it.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(1.0 - rand::random::<f64>() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_little_shorter_and_never_longer() {
        let interval = Duration::from_secs(2);
        let all: Vec<Duration> = (0..1000).map(|_| jittered(interval)).collect();
        assert!(
            all.iter()
                .all(|one| *one <= interval && *one >= interval * 9 / 10)
        );
        assert!(all.iter().max() > all.iter().min());
    }
}
