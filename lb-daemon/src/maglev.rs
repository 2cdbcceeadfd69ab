//! Maglev consistent hashing: which node takes which slot of a service's ring.
//!
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016),
//! section 3.4. Every node walks the slots in an order of its own and takes, in turn, the first that
//! is free. When a node goes, its slots go to the others and nearly all other slots stay where they
//! are. A node of twice the weight has twice as many turns.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lb_common::service::{NO_NODE, RING_SLOTS, Ring};

/// A node that can take flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// What the order of the slots is made from. It must not change while the node is the same.
    pub name: &'a str,
    /// Index of the node within its service.
    pub index: u8,
    /// Share of the slots, relative to the other candidates.
    pub weight: u16,
}

/// The ring for these nodes; with none, a ring on which nobody takes a flow.
pub fn ring(candidates: &[Candidate]) -> Ring {
    let mut ring = Ring {
        slots: [NO_NODE; RING_SLOTS],
        reserved: [0; 3],
    };
    let mut walks: Vec<Walk> = candidates
        .iter()
        .filter(|candidate| candidate.weight > 0)
        .map(Walk::new)
        .collect();
    let Some(heaviest) = walks.iter().map(|walk| walk.weight).max() else {
        return ring;
    };
    let mut free = RING_SLOTS;
    loop {
        for walk in &mut walks {
            // A node has a turn each time its credit reaches that of the heaviest.
            walk.credit += walk.weight;
            if walk.credit < heaviest {
                continue;
            }
            walk.credit -= heaviest;
            let slot = walk.next_free(&ring);
            ring.slots[slot] = walk.index;
            free -= 1;
            if free == 0 {
                return ring;
            }
        }
    }
}

/// A node's way over the slots: every slot once, because the number of slots is prime.
struct Walk {
    index: u8,
    weight: u32,
    credit: u32,
    position: usize,
    step: usize,
}

impl Walk {
    fn new(candidate: &Candidate) -> Self {
        Self {
            index: candidate.index,
            weight: u32::from(candidate.weight),
            credit: 0,
            position: hash(candidate.name, "offset") % RING_SLOTS,
            step: hash(candidate.name, "skip") % (RING_SLOTS - 1) + 1,
        }
    }

    /// The next free slot; there must be one.
    fn next_free(&mut self, ring: &Ring) -> usize {
        while ring.slots[self.position] != NO_NODE {
            self.position = (self.position + self.step) % RING_SLOTS;
        }
        self.position
    }
}

/// `DefaultHasher::new` has fixed keys: the same ring after every restart and on every machine.
fn hash(name: &str, purpose: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    (name, purpose).hash(&mut hasher);
    (hasher.finish() >> 16) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 12] = [
        "edge1", "edge2", "edge3", "edge4", "edge5", "edge6", "edge7", "edge8", "edge9", "edge10",
        "edge11", "edge12",
    ];

    fn candidates(weights: &[u16]) -> Vec<Candidate<'static>> {
        weights
            .iter()
            .enumerate()
            .map(|(index, weight)| Candidate {
                name: NAMES[index],
                index: index as u8,
                weight: *weight,
            })
            .collect()
    }

    fn share(ring: &Ring, index: u8) -> f64 {
        let hits: u16 = ring
            .slots
            .iter()
            .map(|slot| u16::from(*slot == index))
            .sum();
        f64::from(hits) / RING_SLOTS as f64
    }

    #[test]
    fn nobody_takes_a_flow_without_nodes() {
        for ring in [ring(&[]), ring(&candidates(&[0, 0]))] {
            assert!(ring.slots.iter().all(|slot| *slot == NO_NODE));
        }
    }

    #[test]
    fn a_node_that_goes_moves_hardly_any_slot_of_the_others() {
        for gone in 0..12 {
            let mut weights = [100; 12];
            let before = ring(&candidates(&weights));
            weights[gone] = 0;
            let after = ring(&candidates(&weights));
            let moved = before
                .slots
                .iter()
                .zip(&after.slots)
                .filter(|(before, after)| before != after && usize::from(**before) != gone)
                .count();
            assert!(
                moved * 100 <= RING_SLOTS * 2,
                "{gone}: {moved} of {RING_SLOTS}"
            );
        }
    }

    proptest! {
        #[test]
        fn shares_follow_the_weights(weights in prop::collection::vec(1_u16..=1000, 1..=12)) {
            let ring = ring(&candidates(&weights));
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for (index, weight) in weights.iter().enumerate() {
                let wanted = f64::from(*weight) / total;
                let got = share(&ring, index as u8);
                // Two slots of rounding.
                prop_assert!((wanted - got).abs() <= 0.01 * wanted + 2.0 / RING_SLOTS as f64,
                    "{index}: {wanted} {got}");
            }
        }
    }
}
