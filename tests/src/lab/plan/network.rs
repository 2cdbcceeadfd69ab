//! The networks of the lab, and who has which address in them besides the pool.

use std::{fmt, net::Ipv4Addr};

use super::vip;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its address.
    pub address: Ipv4Addr,
    /// Length of its prefix.
    pub prefix: u8,
}

impl Network {
    pub(super) const fn new(address: [u8; 4], prefix: u8) -> Self {
        let [a, b, c, d] = address;
        Self {
            address: Ipv4Addr::new(a, b, c, d),
            prefix,
        }
    }

    /// Whether an address is in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let differing = self.address.to_bits() ^ address.to_bits();
        differing
            .checked_shr(32 - u32::from(self.prefix))
            .unwrap_or(0)
            == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The networks of one side.
#[derive(Debug)]
pub struct Networks {
    /// Where the askers are, behind the router.
    pub askers: Network,
    /// Everything that nodes reach through edgelb on this side.
    pub beyond: Network,
    /// The nodes' segment. With one arm, router and edgelb are on it too.
    pub nodes: Network,
    /// The router on the nodes' segment (one arm).
    pub router: Ipv4Addr,
    /// edgelb's own address on the nodes' segment.
    pub balancer: Ipv4Addr,
    /// The VIP that the nodes' routes lead to.
    pub gateway: Ipv4Addr,
    /// Between router and edgelb (two arms).
    pub transit: Network,
    /// The router's end of it.
    pub transit_router: Ipv4Addr,
    /// edgelb's end of it.
    pub transit_balancer: Ipv4Addr,
}

pub(super) const EXTERNAL: Networks = Networks {
    askers: Network::new([198, 51, 100, 0], 24),
    beyond: Network::new([0, 0, 0, 0], 0),
    nodes: Network::new([203, 0, 113, 0], 24),
    router: Ipv4Addr::new(203, 0, 113, 1),
    balancer: Ipv4Addr::new(203, 0, 113, 2),
    // H11.
    gateway: vip::ACCESS,
    transit: Network::new([192, 0, 2, 0], 30),
    transit_router: Ipv4Addr::new(192, 0, 2, 1),
    transit_balancer: Ipv4Addr::new(192, 0, 2, 2),
};

pub(super) const INTERNAL: Networks = Networks {
    askers: Network::new([10, 30, 0, 0], 24),
    beyond: Network::new([10, 30, 0, 0], 16),
    nodes: Network::new([10, 20, 0, 0], 24),
    router: Ipv4Addr::new(10, 20, 0, 1),
    balancer: Ipv4Addr::new(10, 20, 0, 2),
    // H10.
    gateway: vip::INTERNAL,
    transit: Network::new([10, 20, 1, 0], 30),
    transit_router: Ipv4Addr::new(10, 20, 1, 1),
    transit_balancer: Ipv4Addr::new(10, 20, 1, 2),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses() {
        let Networks { askers, beyond, .. } = EXTERNAL;
        assert!(askers.contains(Ipv4Addr::new(198, 51, 100, 0)));
        assert!(askers.contains(Ipv4Addr::new(198, 51, 100, 255)));
        assert!(!askers.contains(Ipv4Addr::new(198, 51, 101, 0)));
        assert!(!askers.contains(vip::ACCESS));
        assert!(beyond.contains(vip::INTERNAL));
    }
}
