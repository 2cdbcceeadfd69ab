//! When an idle flow is over (pure).

use lb_common::{flow::FlowEntry, net::Protocol};

use crate::{
    datapath::{Pair, Stage},
    plan::Timeouts,
};

/// Seconds since the entry's direction last carried a packet. The clock of the data path is a tick
/// behind at most, so an entry may seem to be of the future.
pub const fn idle(entry: &FlowEntry, now: u32) -> u32 {
    now.saturating_sub(entry.last_seen)
}

/// Seconds that a flow may be idle.
fn timeout(pair: &Pair, timeouts: &Timeouts) -> u32 {
    let closing = pair.iter().any(|cell| cell.entry.state.is_closing());
    let timeout = if pair[0].key.protocol == Protocol::Udp as u8 {
        timeouts.udp
    } else if closing {
        timeouts.tcp_closing
    } else {
        match Stage::of(pair) {
            Stage::Confirmed => timeouts.tcp_established,
            Stage::HalfOpen => timeouts.tcp_half_open,
        }
    };
    u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX)
}

/// True when a flow is over: neither direction has carried a packet for as long as its state allows.
pub fn is_over(pair: &Pair, timeouts: &Timeouts, now: u32) -> bool {
    let limit = timeout(pair, timeouts);
    pair.iter().all(|cell| idle(&cell.entry, now) >= limit)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lb_common::{
        flow::{FlowCell, FlowKey, FlowState, Opened, Rewrite, Role},
        net::{Ip4, Port, Zone},
        service::NO_POOL,
    };

    use super::*;

    fn timeouts() -> Timeouts {
        Timeouts {
            tcp_established: Duration::from_hours(1),
            tcp_half_open: Duration::from_secs(30),
            tcp_closing: Duration::from_secs(30),
            udp: Duration::from_mins(2),
        }
    }

    fn key(protocol: Protocol) -> FlowKey {
        let nowhere = (Ip4::UNSPECIFIED, Port::new(0));
        FlowKey::new(Zone::External, protocol, nowhere, nowhere)
    }

    fn entry(state: FlowState, last_seen: u32) -> FlowEntry {
        FlowEntry {
            rewrite: Rewrite {
                source: Ip4::UNSPECIFIED,
                destination: Ip4::UNSPECIFIED,
                source_port: Port::new(0),
                destination_port: Port::new(0),
                address_delta: 0,
                transport_delta: 0,
            },
            generation: 0,
            next_hop: 0,
            node_cell: 0,
            snat_pool: NO_POOL,
            role: Role::default(),
            state,
            last_seen,
            opened: Opened::at(0),
            packets: 0,
            bytes: 0,
        }
    }

    #[test]
    fn a_flow_is_over_when_both_directions_have_been_quiet_for_long_enough() {
        use FlowState as S;
        use Protocol::{Tcp, Udp};
        use Stage::{Confirmed, HalfOpen};
        let seen = 10_000;
        for (stage, protocol, own, peer, idle, over) in [
            (Confirmed, Tcp, S::ESTABLISHED, S::ESTABLISHED, 3599, false),
            (Confirmed, Tcp, S::ESTABLISHED, S::ESTABLISHED, 3600, true),
            (Confirmed, Tcp, S::FIN, S::ESTABLISHED, 29, false),
            (Confirmed, Tcp, S::FIN, S::ESTABLISHED, 30, true),
            (Confirmed, Tcp, S::ESTABLISHED, S::RESET, 30, true),
            (Confirmed, Udp, S::ESTABLISHED, S::ESTABLISHED, 119, false),
            (Confirmed, Udp, S::ESTABLISHED, S::ESTABLISHED, 120, true),
            (HalfOpen, Tcp, S::OPENING, S::OPENING, 29, false),
            (HalfOpen, Tcp, S::OPENING, S::OPENING, 30, true),
            (HalfOpen, Udp, S::OPENING, S::OPENING, 30, false),
            (HalfOpen, Udp, S::OPENING, S::OPENING, 120, true),
        ] {
            let name = format!("{stage:?} {protocol:?} {own:?} {peer:?} {idle}");
            let now = seen + idle;
            let pair = |asked, answered| {
                let mut cells = [entry(own, asked), entry(peer, answered)].map(|entry| FlowCell {
                    key: key(protocol),
                    entry,
                });
                if stage == HalfOpen {
                    cells[1].entry.opened = Opened::in_turn(0);
                }
                cells
            };
            let is_over = |asked, answered| is_over(&pair(asked, answered), &timeouts(), now);
            assert_eq!(is_over(seen, seen), over, "{name}");
            // Either direction alone keeps a flow alive.
            assert!(!is_over(now, seen) && !is_over(seen, now), "{name}");
        }
    }

    #[test]
    fn an_entry_of_the_future_is_not_idle() {
        assert_eq!(idle(&entry(FlowState::ESTABLISHED, 11), 10), 0);
    }
}
