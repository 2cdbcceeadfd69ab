//! What the bench puts around a balancer, and the least that one could do.
//!
//! `generate` is run by `BPF_PROG_TEST_RUN` with live frames: each frame leaves by an interface as the
//! next template says. `far_end` is at both ends of the wire: it counts what arrives, or completes the
//! handshakes that the generator begins. `redirect` and `reflect` stand in the balancer's place.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// One program each, and an action is a small number.
#![allow(clippy::inline_always, clippy::cast_sign_loss)]

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{
        bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX},
        btf_maps::{Array, PerCpuArray},
        helpers::generated::{bpf_get_smp_processor_id, bpf_redirect},
        macros::{btf_map, xdp},
        programs::XdpContext,
    };
    use lb_common::bench_wire::{
        Lane, MAX_LANES, Onward, TEMPLATE, arrived, behaviour, first_sequence,
    };

    // The bench sets the size at load time.
    #[btf_map]
    static TEMPLATES: Array<[u64; TEMPLATE / 8], 1> = Array::new();
    #[btf_map]
    static LANES: Array<Lane, { MAX_LANES as usize }> = Array::new();
    #[btf_map]
    static BEHAVIOUR: Array<u32, 1> = Array::new();
    #[btf_map]
    static ARRIVED: PerCpuArray<u64, { arrived::CELLS as usize }> = PerCpuArray::new();
    #[btf_map]
    static ONWARD: Array<Onward, 1> = Array::new();

    const ETHER_TYPE_IPV4: u16 = 0x0800_u16.to_be();
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    /// Ethernet, IPv4 and TCP without options.
    #[repr(C, packed)]
    struct Headers {
        macs: [u16; 6],
        ether_type: u16,
        version: u8,
        service: u8,
        length: u16,
        identification: u16,
        fragment: u16,
        time_to_live: u8,
        protocol: u8,
        ip_checksum: u16,
        source: u32,
        destination: u32,
        source_port: u16,
        destination_port: u16,
        sequence: u32,
        acknowledgment: u32,
        offset: u8,
        flags: u8,
        window: u16,
        checksum: u16,
        urgent: u16,
    }

    /// The first bytes of the frame, if it is long enough.
    #[inline(always)]
    fn start<T>(context: &XdpContext) -> Option<*mut T> {
        let data = context.data();
        (data + size_of::<T>() <= context.data_end()).then_some(data as *mut T)
    }

    /// Writes the calling CPU's next template over the frame and sends it.
    #[xdp]
    #[allow(clippy::needless_pass_by_value)] // The macro's signature.
    pub fn generate(context: XdpContext) -> u32 {
        try_generate(&context).unwrap_or(XDP_ABORTED)
    }

    #[inline(always)]
    fn try_generate(context: &XdpContext) -> Option<u32> {
        // SAFETY: takes nothing and returns a number.
        let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
        let lane = LANES.get_ptr_mut(cpu)?;
        // SAFETY: a cell of an array map, which only this CPU uses while it generates.
        let lane = unsafe { &mut *lane };
        let next = lane.next;
        lane.next = if next + 1 >= lane.count { 0 } else { next + 1 };
        let template = TEMPLATES.get_ptr(lane.first + next)?;
        let frame = start::<[u64; TEMPLATE / 8]>(context)?;
        // SAFETY: both are of this size, and nobody else has the frame. A frame is aligned to two bytes.
        unsafe { frame.write_unaligned(*template) };
        // SAFETY: plain numbers.
        Some(unsafe { bpf_redirect(lane.interface, 0) } as u32)
    }

    /// Counts what arrives at an end of the wire, or answers it.
    #[xdp]
    #[allow(clippy::needless_pass_by_value)] // The macro's signature.
    pub fn far_end(context: XdpContext) -> u32 {
        try_far_end(&context).unwrap_or(XDP_PASS)
    }

    #[inline(always)]
    fn try_far_end(context: &XdpContext) -> Option<u32> {
        // SAFETY: a cell of an array map that user space writes now and then.
        let behaviour = unsafe { *BEHAVIOUR.get_ptr(0)? };
        if behaviour == behaviour::PASS {
            return None;
        }
        let headers = start::<Headers>(context)?;
        // SAFETY: the frame is that long, and nobody else has it.
        let headers = unsafe { &mut *headers };
        if headers.ether_type != ETHER_TYPE_IPV4 {
            return None;
        }
        match headers.protocol {
            UDP => Some(datagram(context, headers, behaviour)),
            TCP => Some(segment(context, headers, behaviour)),
            _ => None,
        }
    }

    /// A client asks, the node answers, the client sends again: as much as makes a flow of it. The first byte
    /// of the data counts. It has no checksum.
    #[inline(always)]
    fn datagram(context: &XdpContext, headers: &mut Headers, behaviour: u32) -> u32 {
        let [step, ..] = headers.acknowledgment.to_ne_bytes();
        if behaviour != behaviour::SHAKE || step > 1 {
            count(arrived::DATA);
            return XDP_DROP;
        }
        count(if step == 0 {
            arrived::SYN
        } else {
            arrived::SYN_ACK
        });
        turn_round(headers);
        headers.acknowledgment = u32::from_ne_bytes([step + 1, 0, 0, 0]);
        send_back(context)
    }

    #[inline(always)]
    fn segment(context: &XdpContext, headers: &mut Headers, behaviour: u32) -> u32 {
        match headers.flags & (SYN | ACK | RST | FIN) {
            SYN => {
                count(arrived::SYN);
                if behaviour != behaviour::SHAKE {
                    return XDP_DROP;
                }
                // Its own sequence number is the client's: what is written is the acknowledgment.
                let sequence = headers.sequence;
                become_answer(headers, sequence, following(sequence), SYN | ACK);
            }
            flags if flags == SYN | ACK => {
                let first = first_sequence(headers.destination, headers.destination_port);
                if headers.acknowledgment != following(u32::to_be(first)) {
                    count(arrived::STRAY);
                    return XDP_DROP;
                }
                count(arrived::SYN_ACK);
                if behaviour != behaviour::SHAKE {
                    return XDP_DROP;
                }
                let (sequence, acknowledgment) = (headers.acknowledgment, headers.sequence);
                become_answer(headers, sequence, following(acknowledgment), ACK);
            }
            flags if flags & RST != 0 => {
                count(arrived::RST);
                return XDP_DROP;
            }
            _ => {
                count(arrived::DATA);
                return XDP_DROP;
            }
        }
        send_back(context)
    }

    /// Not by `XDP_TX`, which wakes only a peer that has a program too.
    #[inline(always)]
    fn send_back(context: &XdpContext) -> u32 {
        let interface = context.ingress_ifindex() as u32;
        // SAFETY: plain numbers.
        unsafe { bpf_redirect(interface, 0) as u32 }
    }

    /// The sequence number after one, both in wire order.
    #[inline(always)]
    fn following(sequence: u32) -> u32 {
        u32::from_be(sequence).wrapping_add(1).to_be()
    }

    /// Sends a packet to whom it comes from. No checksum changes.
    #[inline(always)]
    fn turn_round(headers: &mut Headers) {
        let [a, b, c, d, e, f] = headers.macs;
        headers.macs = [d, e, f, a, b, c];
        (headers.source, headers.destination) = (headers.destination, headers.source);
        (headers.source_port, headers.destination_port) =
            (headers.destination_port, headers.source_port);
    }

    /// Turns a segment round. Numbers are in wire order.
    #[inline(always)]
    fn become_answer(headers: &mut Headers, sequence: u32, acknowledgment: u32, flags: u8) {
        turn_round(headers);
        // RFC 1624; the order of words does not matter, and flags are the second byte of theirs.
        let mut sum = u32::from(!headers.checksum);
        for (old, new) in [
            (headers.sequence, sequence),
            (headers.acknowledgment, acknowledgment),
        ] {
            sum += (!old & 0xffff) + (!old >> 16) + (new & 0xffff) + (new >> 16);
        }
        let word = |flags: u8| u32::from(u16::from_ne_bytes([0, flags]));
        sum += (!word(headers.flags) & 0xffff) + word(flags);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        headers.checksum = !(sum as u16);
        headers.sequence = sequence;
        headers.acknowledgment = acknowledgment;
        headers.flags = flags;
    }

    #[inline(always)]
    fn count(cell: u32) {
        if let Some(counter) = ARRIVED.get_ptr_mut(cell) {
            // SAFETY: this CPU's own cell.
            unsafe { *counter += 1 };
        }
    }

    /// The least that a balancer with two arms could do: every frame goes on to the same neighbour.
    #[xdp]
    #[allow(clippy::needless_pass_by_value)] // The macro's signature.
    pub fn redirect(context: XdpContext) -> u32 {
        let (Some(macs), Some(onward)) = (start::<[u16; 6]>(&context), ONWARD.get_ptr(0)) else {
            return XDP_PASS;
        };
        // SAFETY: the frame is that long; user space writes the cell before the program runs.
        unsafe {
            *macs = (*onward).macs;
            bpf_redirect((*onward).interface, 0) as u32
        }
    }

    /// The least that a balancer with one arm could do: every frame goes back to the same neighbour.
    #[xdp]
    #[allow(clippy::needless_pass_by_value)] // The macro's signature.
    pub fn reflect(context: XdpContext) -> u32 {
        let (Some(macs), Some(onward)) = (start::<[u16; 6]>(&context), ONWARD.get_ptr(0)) else {
            return XDP_PASS;
        };
        // SAFETY: as in `redirect`.
        unsafe { *macs = (*onward).macs };
        XDP_TX
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
