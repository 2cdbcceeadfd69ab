//! The XDP program of edgelb: a packet's way in one screen.
//!
//! On a host target this is an empty program, so that the workspace builds without a BPF compiler.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// For the atomic instructions of `bpf::atomic`; the BPF build allows unstable features.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![allow(clippy::inline_always)]

#[cfg(target_arch = "bpf")]
mod bpf;
#[cfg(target_arch = "bpf")]
mod upkeep;

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{
        bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX},
        helpers::generated::bpf_redirect,
        macros::xdp,
        programs::XdpContext,
    };
    use lb_common::{
        drop_reason::{ANSWERED_CELL, DropReason, ROUTED_CELL},
        next_hop::NextHop,
    };
    use lb_ebpf::{
        answer,
        apply::{apply, apply_route, icmp_error},
        decide::decide,
        packet::Packet,
        parse::{Parsed, parse},
        tables::Tables as _,
        verdict::{Verdict, Way},
    };

    use super::bpf::{
        clock,
        frame::XdpFrame,
        maps,
        maps::{Maps, Work},
    };

    /// Runs for every packet of every interface that edgelb is attached to.
    #[xdp]
    #[allow(clippy::needless_pass_by_value)] // The macro's signature.
    pub fn edgelb(context: XdpContext) -> u32 {
        let ingress = context.ingress_ifindex() as u32;
        let tables = Maps::new(&context);
        let Some(interface) = tables.interface(ingress) else {
            return XDP_PASS;
        };
        let mut frame = XdpFrame::new(&context);
        let Some(work) = Work::place() else {
            return XDP_PASS;
        };
        match parse(&mut frame, &interface, &mut work.packet) {
            Ok(Parsed::Packet) => {}
            Ok(Parsed::Foreign) => return pass(),
            Err(reason) => return drop(reason),
        }
        let now = work.clock.now();
        let (packet, way) = work.forgotten();
        match decide(packet, &tables, now, way) {
            Verdict::Forward => match apply(&mut frame, packet, way) {
                Ok(()) => send(packet, way, ingress),
                Err(reason) => unfit(&context, packet, reason, &way.next_hop),
            },
            Verdict::ForwardError => error(&context, packet, way),
            Verdict::Route => match apply_route(&mut frame, packet, &way.next_hop) {
                Ok(()) => {
                    maps::count_verdict(ROUTED_CELL);
                    transmit(&way.next_hop, ingress)
                }
                Err(reason) => unfit(&context, packet, reason, &way.next_hop),
            },
            Verdict::Pass => pass(),
            Verdict::Drop(reason) => refuse(&context, packet, reason),
        }
    }

    /// Sends on an ICMP error about a packet of a flow.
    #[inline(never)]
    fn error(context: &XdpContext, packet: &Packet, way: &Way) -> u32 {
        let ingress = context.ingress_ifindex() as u32;
        match icmp_error::apply(&mut XdpFrame::new(context), packet, way) {
            Ok(()) => send(packet, way, ingress),
            Err(reason) => drop(reason),
        }
    }

    /// Drops a packet that could not be sent to its next hop.
    #[inline(always)]
    fn unfit(context: &XdpContext, packet: &Packet, reason: DropReason, to: &NextHop) -> u32 {
        if reason == DropReason::TooBig {
            too_big(context, packet, to.mtu)
        } else {
            drop(reason)
        }
    }

    /// Drops a packet, and tells its sender so where that helps.
    #[inline(never)]
    fn refuse(context: &XdpContext, packet: &Packet, reason: DropReason) -> u32 {
        answer(context, packet, reason, 0)
    }

    /// The same for a packet that is larger than `mtu` of the next link.
    #[inline(never)]
    fn too_big(context: &XdpContext, packet: &Packet, mtu: u16) -> u32 {
        answer(context, packet, DropReason::TooBig, mtu)
    }

    #[inline(always)]
    fn answer(context: &XdpContext, packet: &Packet, reason: DropReason, mtu: u16) -> u32 {
        maps::count_verdict(reason as u32);
        let ingress = context.ingress_ifindex() as u32;
        let tables = Maps::new(context);
        let mut frame = XdpFrame::new(context);
        let now = clock::now();
        match answer::write(&mut frame, packet, reason, mtu, ingress, &tables, now) {
            Some(()) => {
                maps::count_verdict(ANSWERED_CELL);
                XDP_TX
            }
            None => XDP_DROP,
        }
    }

    #[inline(always)]
    fn send(packet: &Packet, way: &Way, ingress: u32) -> u32 {
        maps::count_forwarded(way.node_cell, way.direction, packet.length);
        transmit(&way.next_hop, ingress)
    }

    #[inline(always)]
    fn transmit(to: &NextHop, ingress: u32) -> u32 {
        if to.interface == ingress {
            return XDP_TX;
        }
        // SAFETY: the helper only notes the interface for when the program has returned.
        let action = unsafe { bpf_redirect(to.interface, 0) };
        // It refuses flags only, and there are none.
        if action == i64::from(XDP_REDIRECT) {
            XDP_REDIRECT
        } else {
            XDP_DROP
        }
    }

    #[inline(always)]
    fn pass() -> u32 {
        maps::count_verdict(DropReason::Passed as u32);
        XDP_PASS
    }

    #[inline(always)]
    fn drop(reason: DropReason) -> u32 {
        maps::count_verdict(reason as u32);
        XDP_DROP
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        // The verifier proves that nothing gets here: it refuses a program that could loop for ever.
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
