//! What may pass to and from a node's own addresses, which are routed and never translated.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::net::{Port, Protocol, Zone};

/// Ports of one protocol that may pass, in both directions of a connection.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PortRule {
    /// Number of the protocol; 0 ends a list of rules.
    pub protocol: u8,
    kind: u8,
    /// First port (a number, host order).
    pub first: u16,
    /// Last port (a number, host order).
    pub last: u16,
}

/// Whose port a rule is about, and who may open a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RuleKind {
    /// The node's port; others open (`node-in`).
    ToNodePort = 0,
    /// The node's port; the node opens (`node-out` from a fixed port, such as media).
    FromNodePort = 1,
    /// The other's port; the node opens (`node-out` to a fixed port, such as DNS).
    ToOtherPort = 2,
}

impl PortRule {
    /// A rule.
    pub const fn new(protocol: Protocol, kind: RuleKind, first: u16, last: u16) -> Self {
        Self {
            protocol: protocol as u8,
            kind: kind as u8,
            first,
            last,
        }
    }

    /// True when the rule lets a packet pass.
    #[inline(always)]
    pub const fn allows(&self, question: &Question) -> bool {
        let of_other = self.kind == RuleKind::ToOtherPort as u8;
        let port = if of_other {
            question.other_port
        } else {
            question.node_port
        };
        let node_opens = self.kind != RuleKind::ToNodePort as u8;
        // Without state, only the SYN tells who opens a TCP connection.
        let right_way = !question.opens || question.from_node == node_opens;
        self.protocol == question.protocol && self.first <= port && port <= self.last && right_way
    }
}

/// What is asked of the rules about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Number of the protocol.
    pub protocol: u8,
    /// The node's port (a number, host order).
    pub node_port: u16,
    /// The other end's port (a number, host order).
    pub other_port: u16,
    /// True for a packet that the node sends.
    pub from_node: bool,
    /// True for a SYN that opens a TCP connection.
    pub opens: bool,
}

/// Rules that fit for one address.
pub const MAX_RULES: usize = 24;

/// A node's own address.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct NodeAddress {
    /// What may pass; ends at the first rule with protocol 0.
    pub rules: [PortRule; MAX_RULES],
    zone: u8,
    /// Not 0 where there are more ports like the next.
    several_balanced: u8,
    /// UDP port that a VIP balances to this address without SNAT; 0 for none.
    pub balanced_udp: Port,
}

impl NodeAddress {
    /// An address in `zone` with these rules, of which the first [`MAX_RULES`] count. `balanced_udp` are the UDP ports
    /// that a VIP balances to it without SNAT.
    pub fn new(zone: Zone, list: &[PortRule], balanced_udp: &[Port]) -> Self {
        let mut rules = [PortRule::default(); MAX_RULES];
        for (place, rule) in rules.iter_mut().zip(list) {
            *place = *rule;
        }
        Self {
            rules,
            zone: zone as u8,
            several_balanced: u8::from(balanced_udp.len() > 1),
            balanced_udp: balanced_udp.first().copied().unwrap_or_default(),
        }
    }

    /// The side that the address is on.
    #[inline(always)]
    pub const fn is_in(&self, zone: Zone) -> bool {
        self.zone == zone as u8
    }

    /// True where a datagram that the node sends from `port` to a client may be of a flow: it may answer one that
    /// was balanced to it.
    #[inline(always)]
    pub fn may_answer_from(&self, port: Port) -> bool {
        self.balanced_udp == port || self.several_balanced != 0
    }

    /// True when some rule lets a packet pass.
    #[inline(always)]
    pub fn allows(&self, question: &Question) -> bool {
        self.rules.iter().any(|rule| rule.allows(question))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(from_node: bool, opens: bool, node_port: u16, other_port: u16) -> Question {
        Question {
            protocol: Protocol::Tcp as u8,
            node_port,
            other_port,
            from_node,
            opens,
        }
    }

    #[test]
    fn a_syn_passes_in_the_rules_direction_only() {
        use RuleKind as K;
        for (kind, from_node, opens, node_port, other_port, allowed) in [
            (K::ToNodePort, false, true, 443, 40_000, true),
            (K::ToNodePort, true, false, 443, 40_000, true),
            (K::ToNodePort, true, true, 443, 40_000, false),
            (K::ToNodePort, false, true, 444, 443, false),
            (K::FromNodePort, true, true, 443, 40_000, true),
            (K::FromNodePort, false, true, 443, 40_000, false),
            (K::FromNodePort, false, false, 443, 40_000, true),
            (K::ToOtherPort, true, true, 40_000, 443, true),
            (K::ToOtherPort, false, false, 40_000, 443, true),
            (K::ToOtherPort, false, true, 40_000, 443, false),
            (K::ToOtherPort, true, true, 443, 40_000, false),
        ] {
            let rule = PortRule::new(Protocol::Tcp, kind, 443, 443);
            let asked = question(from_node, opens, node_port, other_port);
            assert_eq!(rule.allows(&asked), allowed, "{kind:?} {asked:?}");
        }
    }

    #[test]
    fn a_node_answers_from_the_ports_that_are_balanced_to_it() {
        let ports = [3478, 3479].map(Port::new);
        for (balanced, from_first, from_other) in [
            (&ports[..0], false, false),
            (&ports[..1], true, false),
            // Which they are is not known then.
            (&ports[..], true, true),
        ] {
            let address = NodeAddress::new(Zone::External, &[], balanced);
            assert_eq!(address.may_answer_from(Port::new(3478)), from_first);
            assert_eq!(address.may_answer_from(Port::new(50_000)), from_other);
        }
    }

    #[test]
    fn no_rule_allows_nothing() {
        let address = NodeAddress::new(Zone::External, &[], &[]);
        assert!(!address.allows(&question(false, false, 0, 0)));
    }
}
