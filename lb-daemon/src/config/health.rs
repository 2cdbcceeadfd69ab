//! `[health]`: how nodes are checked, and what their health decides.

mod check;
mod method;
mod parse;

use std::{path::PathBuf, time::Duration};

use lb_common::net::Protocol;

pub(super) use self::{
    check::check,
    parse::{Places, health},
};
use crate::node_state::{OnAllDown, OnNodeDown};

/// `[health]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether nodes are checked at all.
    pub enabled: bool,
    /// What holds for services that say nothing else.
    pub general: Settings,
    /// `[[health.services]]`.
    pub services: Vec<ServiceHealth>,
}

impl Health {
    /// What is said of a service by itself.
    pub fn of(&self, service: &str) -> Option<&ServiceHealth> {
        self.services.iter().find(|own| own.name == service)
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            enabled: true,
            general: Settings::default(),
            services: Vec::new(),
        }
    }
}

/// How often is checked, and what it takes to change a node's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From the beginning of one check to that of the next.
    pub interval: Duration,
    /// How long a check may take; no longer than the interval.
    pub timeout: Duration,
    /// Good checks in a row after which a node is up.
    pub rise: u32,
    /// Bad checks in a row after which a node is down.
    pub fall: u32,
    /// A node that falls within this time after it came up needs more good checks the next time.
    pub calm: Duration,
    /// What happens to new flows when no node is up.
    pub on_all_down: OnAllDown,
    /// What happens to the TCP flows of a node that goes down.
    pub on_node_down: OnNodeDown,
    /// How long clients with source-ip affinity stay with a node that drains.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let interval = Duration::from_secs(2);
        Self {
            interval,
            timeout: default_timeout(interval),
            rise: 2,
            fall: 3,
            calm: Duration::from_mins(1),
            on_all_down: OnAllDown::Refuse,
            on_node_down: OnNodeDown::Reset,
            drain_timeout: Duration::from_mins(5),
        }
    }
}

/// A second, or half the interval where that is less: so a node that is cut off is noticed after little
/// more than `fall` intervals.
pub fn default_timeout(interval: Duration) -> Duration {
    Duration::from_secs(1).min(interval / 2)
}

/// One of `[[health.services]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceHealth {
    /// Name of the service.
    pub name: String,
    /// How its nodes are asked; by the service's own default where nothing is said.
    pub check: Option<Check>,
    /// Another service that a node must be healthy for, by name or port.
    pub gate: Option<String>,
    /// What is not said here is that of `[health]`.
    pub settings: Settings,
}

/// How a node is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// Not at all.
    None,
    /// A TCP connection.
    Tcp,
    /// The beginning of a TLS handshake; all of it where the certificate is judged.
    Tls(Tls),
    /// SIP OPTIONS over TCP or TLS.
    Sip {
        /// Where it is over TLS.
        tls: Option<Tls>,
        /// The statuses of good health; none for the default: all below 500.
        status: Vec<u16>,
    },
    /// An MS-TURN Allocate request, over TCP after the pseudo-TLS handshake.
    MsTurn,
    /// A STUN Binding request.
    Stun,
    /// HTTP GET over TCP or TLS.
    Http {
        /// Where it is over TLS.
        tls: Option<Tls>,
        /// What is asked for.
        path: String,
        /// The name that is asked for; none for the node's address.
        host: Option<String>,
        /// The statuses of good health; none for the default: 200 to 399.
        status: Vec<u16>,
    },
}

/// What a check tells and asks of a TLS server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The name that the server is told, and that its certificate must be good for where it is judged.
    pub server_name: Option<String>,
    /// File of certificates (PEM), one of which must have issued the server's: without it, the
    /// certificate is not judged.
    pub ca: Option<PathBuf>,
}

impl Check {
    /// As in the configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tcp => "tcp",
            Self::Tls(_) => "tls",
            Self::Sip { .. } => "sip",
            Self::MsTurn => "ms-turn",
            Self::Stun => "stun",
            Self::Http { .. } => "http",
        }
    }

    /// Whether nodes can be asked so over a protocol.
    pub const fn fits(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Tcp => true,
            Protocol::Udp => matches!(self, Self::None | Self::MsTurn | Self::Stun),
        }
    }
}

#[cfg(test)]
mod tests;
