//! The packet behind an XDP context.

use aya_ebpf::programs::XdpContext;
use lb_ebpf::frame::{Frame, Header};

/// A received frame. Its bounds are read once: the verifier ties what it knows to that reading.
pub struct XdpFrame {
    start: usize,
    end: usize,
}

impl XdpFrame {
    /// The frame of `context`.
    #[inline(always)]
    pub fn new(context: &XdpContext) -> Self {
        Self {
            start: context.data(),
            end: context.data_end(),
        }
    }
}

impl Frame for XdpFrame {
    #[inline(always)]
    fn length(&self) -> usize {
        self.end - self.start
    }

    #[inline(always)]
    fn header<H: Header, R>(&mut self, at: usize, f: impl FnOnce(&mut H) -> R) -> Option<R> {
        let header = self.start + at;
        if header + size_of::<H>() > self.end {
            return None;
        }
        // SAFETY: the header lies within the frame, which is ours alone until the program returns;
        // any bytes are a valid `H`. `H` may be less aligned than its type asks for: BPF has loads and
        // stores of every width at any address on the machines that have native XDP, and the verifier
        // refuses the program where they are not allowed.
        Some(f(unsafe { &mut *(header as *mut H) }))
    }
}
