//! From a flow to a slot of its service's ring.

use lb_common::{flow::FlowKey, service::RING_SLOTS};

/// The ring slot of a new flow: the same 5-tuple always falls into the same slot.
#[inline(always)]
pub fn slot(key: &FlowKey) -> u32 {
    of_hash(tuple(key))
}

/// Two ring slots of a new flow, which have nothing to do with each other.
#[inline(always)]
pub fn two_slots(key: &FlowKey) -> (u32, u32) {
    let hash = tuple(key);
    (of_hash(hash), of_hash(mix(!hash)))
}

/// The ring slot of a client: the same for all its flows, of whatever service.
#[inline(always)]
pub fn slot_of_source(key: &FlowKey) -> u32 {
    of_hash(mix(u64::from(key.source.wire())))
}

#[inline(always)]
fn tuple(key: &FlowKey) -> u64 {
    let addresses = (u64::from(key.source.wire()) << 32) | u64::from(key.destination.wire());
    let ports = (u64::from(key.source_port.wire()) << 24)
        | (u64::from(key.destination_port.wire()) << 8)
        | u64::from(key.protocol);
    mix(addresses ^ mix(ports))
}

#[inline(always)]
const fn of_hash(hash: u64) -> u32 {
    ((hash >> 32) as u32) % RING_SLOTS as u32
}

/// The finalizer of `MurmurHash3`: every bit of the input reaches every bit of the output.
#[inline(always)]
const fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use std::vec;

    use lb_common::net::{Port, Protocol, Zone};

    use super::*;

    /// Clients behind one NAT differ in the port alone, a campus in the last bytes of the address:
    /// both must use the whole ring evenly.
    #[test]
    fn neighbouring_clients_spread_evenly() {
        let vip = (Ipv4Addr::new(203, 0, 113, 10).into(), Port::new(443));
        let mut hits = vec![0_u32; RING_SLOTS];
        for host in 0..100_u8 {
            for port in 0..1000_u16 {
                let client = (
                    Ipv4Addr::new(198, 51, 100, host).into(),
                    Port::new(20_000 + port),
                );
                hits[slot(&FlowKey::new(Zone::External, Protocol::Tcp, client, vip)) as usize] += 1;
            }
        }
        // 24.4 flows a slot; a Poisson spread of them over 4,093 slots stays far inside these bounds.
        assert!(
            hits.iter().all(|hits| (2..70).contains(hits)),
            "{:?}",
            hits.iter().max()
        );
        for half in hits.chunks(RING_SLOTS.div_ceil(2)) {
            let share: u32 = half.iter().sum();
            assert!((49_000..51_000).contains(&share), "{share}");
        }
    }
}
