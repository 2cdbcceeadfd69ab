//! Every row of the requirements: what stands here, and nowhere else, is what people read about it.

use std::ops::RangeInclusive;

use lb_common::net::Protocol;

use super::{End, Path, Row, Table};
use crate::config::Role;

/// A row, in the order of the columns of the requirements.
#[expect(clippy::too_many_arguments, reason = "the columns of a table")]
const fn row(
    id: &'static str,
    table: Table,
    role: &'static str,
    protocol: Protocol,
    ports: RangeInclusive<u16>,
    source: End,
    destination: End,
    path: Path,
    purpose: &'static str,
) -> Row {
    Row {
        id,
        table,
        role,
        protocol,
        ports,
        source,
        destination,
        path,
        purpose,
    }
}

/// The rows of the four tables.
#[rustfmt::skip] // a table is read line by line
pub const ROWS: [Row; 33] = {
    use End::{Any, Node, Vip};
    use Path::{Balanced, BalancedNoSnat, NodeIn, NodeOut, VipOut};
    use Protocol::{Tcp, Udp};
    use Role::{Access, Av, Internal, Webconf};
    use Table::{ExternalNode, ExternalVip, InternalNode, InternalVip};
    [
        row("EN1", ExternalNode, "Access", Tcp, 80..=80, Node(Access), Any, NodeOut, "CRL and revocation checks over HTTP"),
        row("EN2", ExternalNode, "Access", Tcp, 53..=53, Node(Access), Any, NodeOut, "DNS over TCP"),
        row("EN3", ExternalNode, "Access", Udp, 53..=53, Node(Access), Any, NodeOut, "DNS over UDP"),
        row("EN4", ExternalNode, "A/V RTP", Tcp, 50_000..=59_999, Node(Av), Any, NodeOut, "media to federation partners and remote users"),
        row("EN5", ExternalNode, "A/V RTP", Udp, 50_000..=59_999, Node(Av), Any, NodeOut, "media to federation partners and remote users"),
        row("EN6", ExternalNode, "A/V RTP", Tcp, 50_000..=59_999, Any, Node(Av), NodeIn, "media from federation partners and remote users"),
        row("EN7", ExternalNode, "A/V RTP", Udp, 50_000..=59_999, Any, Node(Av), NodeIn, "media from federation partners and remote users"),
        row("EN8", ExternalNode, "A/V STUN/MS-TURN", Udp, 3478..=3478, Node(Av), Any, NodeOut, "edge-to-edge media negotiation"),
        row("EN9", ExternalNode, "A/V STUN/MS-TURN", Udp, 3478..=3478, Any, Node(Av), NodeIn, "STUN/TURN candidate negotiation"),
        row("EN10", ExternalNode, "A/V STUN/MS-TURN", Tcp, 443..=443, Any, Node(Av), NodeIn, "STUN/TURN candidate negotiation"),
        row("EN11", ExternalNode, "A/V STUN/MS-TURN", Tcp, 443..=443, Node(Av), Any, NodeOut, "STUN/TURN candidate negotiation"),
        row("IN1", InternalNode, "XMPP/MTLS", Tcp, 23_456..=23_456, Any, Node(Internal), NodeIn, "outbound XMPP from the front-end XMPP gateway"),
        row("IN2", InternalNode, "HTTPS", Tcp, 4443..=4443, Any, Node(Internal), NodeIn, "central management store replication"),
        row("IN3", InternalNode, "PSOM/MTLS", Tcp, 8057..=8057, Any, Node(Internal), NodeIn, "web conferencing from internal deployments"),
        row("IN4", InternalNode, "STUN/MS-TURN", Udp, 3478..=3478, Any, Node(Internal), NodeIn, "preferred A/V media path between internal and external users"),
        row("IN5", InternalNode, "STUN/MS-TURN", Tcp, 443..=443, Any, Node(Internal), NodeIn, "fallback A/V path, file transfer, desktop sharing"),
        row("IN6", InternalNode, "MTLS", Tcp, 50_001..=50_001, Any, Node(Internal), NodeIn, "centralized logging service"),
        row("IN7", InternalNode, "MTLS", Tcp, 50_002..=50_002, Any, Node(Internal), NodeIn, "centralized logging service"),
        row("IN8", InternalNode, "MTLS", Tcp, 50_003..=50_003, Any, Node(Internal), NodeIn, "centralized logging service"),
        row("EV1", ExternalVip, "XMPP", Tcp, 5269..=5269, Any, Vip(Access), Balanced, "XMPP federation in (XMPP proxy shares the Access address)"),
        row("EV2", ExternalVip, "XMPP", Tcp, 5269..=5269, Vip(Access), Any, VipOut, "XMPP federation out, opened by a node, leaves from the VIP"),
        row("EV3", ExternalVip, "Access SIP/TLS", Tcp, 443..=443, Any, Vip(Access), Balanced, "client-to-server SIP for external users"),
        row("EV4", ExternalVip, "Access SIP/MTLS", Tcp, 5061..=5061, Any, Vip(Access), Balanced, "SIP federation and public IM in"),
        row("EV5", ExternalVip, "Access SIP/MTLS", Tcp, 5061..=5061, Vip(Access), Any, VipOut, "SIP federation and public IM out, opened by a node, leaves from the VIP"),
        row("EV6", ExternalVip, "Web Conferencing PSOM/TLS", Tcp, 443..=443, Any, Vip(Webconf), Balanced, "web conferencing media"),
        row("EV7", ExternalVip, "A/V STUN/MS-TURN", Udp, 3478..=3478, Any, Vip(Av), BalancedNoSnat, "STUN/TURN candidate negotiation"),
        row("EV8", ExternalVip, "A/V STUN/MS-TURN", Tcp, 443..=443, Any, Vip(Av), BalancedNoSnat, "STUN/TURN candidate negotiation"),
        row("IV1", InternalVip, "Access SIP/MTLS", Tcp, 5061..=5061, Any, Vip(Internal), Balanced, "outbound SIP from Director or Front End to the edge pool"),
        row("IV2", InternalVip, "Access SIP/MTLS", Tcp, 5061..=5061, Vip(Internal), Any, VipOut, "inbound SIP from the edge pool to Director or Front End, opened by a node, leaves from the VIP"),
        row("IV3", InternalVip, "SIP/MTLS (A/V auth)", Tcp, 5062..=5062, Any, Vip(Internal), Balanced, "A/V user authentication from Front End or SBA"),
        row("IV4", InternalVip, "STUN/MS-TURN", Udp, 3478..=3478, Any, Vip(Internal), BalancedNoSnat, "preferred A/V media path between internal and external users"),
        row("IV5", InternalVip, "STUN/MS-TURN", Tcp, 443..=443, Any, Vip(Internal), BalancedNoSnat, "fallback A/V path, file transfer, desktop sharing"),
        row("IV6", InternalVip, "STUN/MS-TURN", Tcp, 443..=443, Vip(Internal), Any, VipOut, "fallback A/V path opened by a node towards the inside, leaves from the VIP"),
    ]
};

/// What stands for a rule of `[[policy.allow]]`: protocol and ports are those of the rule.
#[rustfmt::skip] // a table is read line by line
pub const ALLOWED: [Row; 8] = {
    use End::{Any, Node};
    use Path::{NodeIn, NodeOut};
    use Role::{Access, Av, Internal, Webconf};
    use Table::{ExternalNode, InternalNode};
    const fn allowed(table: Table, source: End, destination: End, path: Path) -> Row {
        row("policy", table, "any", Protocol::Tcp, 1..=u16::MAX, source, destination, path, "allowed by [[policy.allow]] of the configuration")
    }
    [
        allowed(ExternalNode, Any, Node(Access), NodeIn),
        allowed(ExternalNode, Node(Access), Any, NodeOut),
        allowed(ExternalNode, Any, Node(Webconf), NodeIn),
        allowed(ExternalNode, Node(Webconf), Any, NodeOut),
        allowed(ExternalNode, Any, Node(Av), NodeIn),
        allowed(ExternalNode, Node(Av), Any, NodeOut),
        allowed(InternalNode, Any, Node(Internal), NodeIn),
        allowed(InternalNode, Node(Internal), Any, NodeOut),
    ]
};
