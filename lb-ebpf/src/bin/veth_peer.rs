//! An XDP program that lets every packet pass.
//!
//! A veth only takes frames that were sent to it by XDP when there is a program at the receiving end
//! too. The lab puts this one there.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{bindings::xdp_action::XDP_PASS, macros::xdp, programs::XdpContext};

    /// Lets every packet pass.
    #[xdp]
    pub fn veth_peer(_: XdpContext) -> u32 {
        XDP_PASS
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
