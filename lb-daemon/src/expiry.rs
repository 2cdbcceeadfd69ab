//! When an idle flow is over (pure).

use lb_common::{
    flow::{FlowEntry, FlowKey},
    net::Protocol,
};

use crate::{datapath::FlowTable, plan::Timeouts};

/// Seconds since the entry's direction last carried a packet. The clock of the data path is a tick
/// behind at most, so an entry may seem to be of the future.
pub const fn idle(entry: &FlowEntry, now: u32) -> u32 {
    now.saturating_sub(entry.last_seen)
}

/// Seconds a flow with this entry, or with this pair of entries, may be idle.
pub fn timeout(
    table: FlowTable,
    key: &FlowKey,
    entry: &FlowEntry,
    peer: Option<&FlowEntry>,
    timeouts: &Timeouts,
) -> u32 {
    let closing = entry.state.is_closing() || peer.is_some_and(|peer| peer.state.is_closing());
    let timeout = if key.protocol == Protocol::Udp as u8 {
        timeouts.udp
    } else if closing {
        timeouts.tcp_closing
    } else {
        match table {
            FlowTable::Established => timeouts.tcp_established,
            FlowTable::HalfOpen => timeouts.tcp_half_open,
        }
    };
    u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX)
}

/// True when the flow is over: neither direction has carried a packet for as long as its state
/// allows. An entry without its peer is a flow's rest and goes by its own clock.
pub fn is_over(
    table: FlowTable,
    key: &FlowKey,
    entry: &FlowEntry,
    peer: Option<&FlowEntry>,
    timeouts: &Timeouts,
    now: u32,
) -> bool {
    let idle = peer
        .map_or(u32::MAX, |peer| idle(peer, now))
        .min(idle(entry, now));
    idle >= timeout(table, key, entry, peer, timeouts)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lb_common::{
        flow::{FlowState, Rewrite, Role},
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
            opened: 0,
            packets: 0,
            bytes: 0,
        }
    }

    #[test]
    fn a_flow_is_over_when_both_directions_have_been_quiet_for_long_enough() {
        use FlowState as S;
        use FlowTable::{Established, HalfOpen};
        use Protocol::{Tcp, Udp};
        let seen = 10_000;
        for (table, protocol, own, peer, idle, over) in [
            (
                Established,
                Tcp,
                S::ESTABLISHED,
                S::ESTABLISHED,
                3599,
                false,
            ),
            (Established, Tcp, S::ESTABLISHED, S::ESTABLISHED, 3600, true),
            (Established, Tcp, S::FIN, S::ESTABLISHED, 29, false),
            (Established, Tcp, S::FIN, S::ESTABLISHED, 30, true),
            (Established, Tcp, S::ESTABLISHED, S::RESET, 30, true),
            (Established, Udp, S::ESTABLISHED, S::ESTABLISHED, 119, false),
            (Established, Udp, S::ESTABLISHED, S::ESTABLISHED, 120, true),
            (HalfOpen, Tcp, S::OPENING, S::OPENING, 29, false),
            (HalfOpen, Tcp, S::OPENING, S::OPENING, 30, true),
            (HalfOpen, Udp, S::OPENING, S::OPENING, 30, false),
            (HalfOpen, Udp, S::OPENING, S::OPENING, 120, true),
        ] {
            let name = format!("{table:?} {protocol:?} {own:?} {peer:?} {idle}");
            let now = seen + idle;
            let (quiet, busy) = (entry(own, seen), entry(peer, now));
            let key = key(protocol);
            let peer = entry(peer, seen);
            assert_eq!(
                is_over(table, &key, &quiet, Some(&peer), &timeouts(), now),
                over,
                "{name}"
            );
            // The other direction alone keeps a flow alive.
            assert!(
                !is_over(table, &key, &quiet, Some(&busy), &timeouts(), now),
                "{name}"
            );
        }
    }

    #[test]
    fn an_entry_of_the_future_is_not_idle() {
        assert_eq!(idle(&entry(FlowState::ESTABLISHED, 11), 10), 0);
    }

    #[test]
    fn a_rest_goes_by_its_own_clock() {
        let rest = entry(FlowState::ESTABLISHED, 0);
        let key = key(Protocol::Tcp);
        assert!(is_over(
            FlowTable::Established,
            &key,
            &rest,
            None,
            &timeouts(),
            3600
        ));
        assert!(!is_over(
            FlowTable::Established,
            &key,
            &rest,
            None,
            &timeouts(),
            3599
        ));
    }
}
