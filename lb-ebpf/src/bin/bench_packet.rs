//! What the bench of single packets runs edgelb by, and the floors that it holds edgelb against.
//!
//! A program that is run many times by `BPF_PROG_TEST_RUN` gets the frame back as it has left it. So
//! `driver` writes the frame anew each time, from templates that lie in the order in which they are used,
//! and goes on in the program under test by a tail call.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(clippy::inline_always)]

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{
        bindings::{
            BPF_F_MMAPABLE,
            xdp_action::{XDP_ABORTED, XDP_DROP, XDP_TX},
        },
        btf_maps::{Array, HashMap, ProgramArray},
        macros::{btf_map, xdp},
        programs::XdpContext,
    };
    use lb_common::bench_packet::{ClassicEntry, ClassicKey, Series, TEMPLATE};
    use lb_ebpf::checksum;

    // The bench sets the sizes at load time, and writes the templates by way of memory.
    #[btf_map]
    static TEMPLATES: Array<[u64; TEMPLATE / 8], 1, { BPF_F_MMAPABLE as usize }> = Array::new();
    #[btf_map]
    static SERIES: Array<Series, 1> = Array::new();
    #[btf_map]
    static UNDER_TEST: ProgramArray<1> = ProgramArray::new();
    #[btf_map]
    static CLASSIC: HashMap<ClassicKey, ClassicEntry, 1> = HashMap::new();

    const ETHER_TYPE_IPV4: u16 = 0x0800_u16.to_be();
    /// Version 4, header of five words.
    const PLAIN_HEADER: u8 = 0x45;
    /// "More fragments" and the offset.
    const FRAGMENTED: u16 = 0x3fff_u16.to_be();
    const TCP: u8 = 6;
    const UDP: u8 = 17;

    /// Ethernet and IPv4 without options, and the ports.
    #[repr(C, packed)]
    struct Headers {
        macs: [u16; 6],
        ether_type: u16,
        version: u8,
        service: u8,
        length: u16,
        identification: u16,
        fragment: u16,
        ttl: u8,
        protocol: u8,
        checksum: u16,
        source: u32,
        destination: u32,
        source_port: u16,
        destination_port: u16,
    }

    /// The rest of a TCP header as far as the checksum.
    #[repr(C, packed)]
    struct TcpRest {
        numbers: [u32; 2],
        flags: [u16; 2],
        checksum: u16,
    }

    /// The rest of a UDP header.
    #[repr(C, packed)]
    struct UdpRest {
        length: u16,
        checksum: u16,
    }

    /// What lies `at` bytes into the frame, if it is long enough.
    #[inline(always)]
    fn at<T>(context: &XdpContext, at: usize) -> Option<*mut T> {
        let place = context.data() + at;
        (place + size_of::<T>() <= context.data_end()).then_some(place as *mut T)
    }

    /// Writes the next template over the frame and goes on in the program under test.
    #[xdp]
    #[allow(clippy::needless_pass_by_value)] // The macro's signature.
    pub fn driver(context: XdpContext) -> u32 {
        if write_next(&context).is_some() {
            // SAFETY: nothing here is to be dropped.
            unsafe { UNDER_TEST.tail_call(&context, 0) };
        }
        XDP_ABORTED
    }

    #[inline(always)]
    fn write_next(context: &XdpContext) -> Option<()> {
        let series = SERIES.get_ptr_mut(0)?;
        // SAFETY: the one cell, and test runs are one at a time.
        let series = unsafe { &mut *series };
        let next = series.next;
        series.next = if next + 1 >= series.count {
            0
        } else {
            next + 1
        };
        let template = TEMPLATES.get_ptr(series.first + next)?;
        let frame = at::<[u64; TEMPLATE / 8]>(context, 0)?;
        // SAFETY: both are of this size, and nobody else has the frame. A frame is aligned to two bytes.
        unsafe { frame.write_unaligned(*template) };
        Some(())
    }

    /// The floor of all floors.
    #[xdp]
    pub fn floor_return(_: XdpContext) -> u32 {
        XDP_TX
    }

    /// What a balancer cannot do without: whose packet it is.
    #[xdp]
    #[allow(clippy::needless_pass_by_value)] // The macro's signature.
    pub fn floor_parse(context: XdpContext) -> u32 {
        match parse(&context) {
            // The key is used for something, or the compiler would not read it.
            Some((_, key)) if key != ClassicKey::default() => XDP_TX,
            _ => XDP_DROP,
        }
    }

    /// The classical design: parse, one look-up in the kernel's hash table, rewrite everything.
    #[xdp]
    #[allow(clippy::needless_pass_by_value)] // The macro's signature.
    pub fn floor_classic(context: XdpContext) -> u32 {
        forward(&context).map_or(XDP_DROP, |()| XDP_TX)
    }

    #[inline(always)]
    fn forward(context: &XdpContext) -> Option<()> {
        let (place, key) = parse(context)?;
        // SAFETY: it is in the frame, which nobody else has.
        let headers = unsafe { &mut *place };
        let entry = CLASSIC.get_ptr(key)?;
        // SAFETY: an element of a preallocated table, which stays in place until the program returns.
        let entry = unsafe { &*entry };
        let after = size_of::<Headers>();
        if headers.protocol == TCP {
            // SAFETY: `at` has seen that the frame holds it, and nobody else has the frame.
            let tcp = unsafe { &mut *at::<TcpRest>(context, after)? };
            tcp.checksum = checksum::update(tcp.checksum, entry.transport_delta);
        } else {
            // SAFETY: likewise.
            let udp = unsafe { &mut *at::<UdpRest>(context, after)? };
            udp.checksum = checksum::update_udp(udp.checksum, entry.transport_delta);
        }
        headers.macs = entry.macs;
        headers.ttl -= 1;
        headers.checksum = checksum::update(headers.checksum, entry.address_delta);
        headers.source = entry.source;
        headers.destination = entry.destination;
        headers.source_port = entry.source_port;
        headers.destination_port = entry.destination_port;
        Some(())
    }

    /// Where the headers of a TCP or UDP packet are that is no fragment and has a hop left, and its key.
    #[inline(always)]
    fn parse(context: &XdpContext) -> Option<(*mut Headers, ClassicKey)> {
        let place = at::<Headers>(context, 0)?;
        // SAFETY: `at` has seen that the frame holds it, and nobody else has the frame.
        let headers = unsafe { &*place };
        let plain = headers.ether_type == ETHER_TYPE_IPV4
            && headers.version == PLAIN_HEADER
            && headers.fragment & FRAGMENTED == 0
            && headers.ttl > 1;
        if !plain || !matches!(headers.protocol, TCP | UDP) {
            return None;
        }
        let key = ClassicKey {
            source: headers.source,
            destination: headers.destination,
            source_port: headers.source_port,
            destination_port: headers.destination_port,
            protocol: u32::from(headers.protocol),
        };
        Some((place, key))
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
