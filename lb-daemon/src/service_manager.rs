//! What the service manager is told: that edgelb is ready, reloads, stops, and is alive.
//!
//! Where there is none (`NOTIFY_SOCKET`), nothing of this does anything.

use std::{future::pending, time::Duration};

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;

/// Everything is in place.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is read again; [`ready`] ends that.
pub fn reloading() {
    // systemd wants to know when, and takes it amiss without.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!("service manager: {error}"),
    }
}

/// The end has come.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!("service manager: {error}");
    }
}

/// The watchdog of the service manager, if it has set one: who is silent for too long is started anew.
pub struct Watchdog(Option<Interval>);

impl Watchdog {
    /// To be used within the runtime.
    pub fn new() -> Self {
        Self(sd_notify::watchdog_enabled().map(|patience| {
            // Half of it, as systemd advises; an interval of nothing would be an error.
            let mut ticks = interval((patience / 2).max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        }))
    }

    /// Waits until a sign of life is due; for ever without a watchdog.
    pub async fn due(&mut self) {
        match &mut self.0 {
            Some(ticks) => drop(ticks.tick().await),
            None => pending().await,
        }
    }

    /// Gives a sign of life.
    pub fn alive() {
        tell(&[NotifyState::Watchdog]);
    }
}

impl Default for Watchdog {
    fn default() -> Self {
        Self::new()
    }
}
