//! The packet behind an XDP context.

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    programs::XdpContext,
};
use lb_ebpf::frame::{Frame, Header};

/// A received frame. Its bounds are read once: the verifier ties what it knows to that reading.
pub struct XdpFrame {
    context: *mut xdp_md,
    start: usize,
    end: usize,
}

impl XdpFrame {
    /// The frame of `context`.
    #[inline(always)]
    pub fn new(context: &XdpContext) -> Self {
        Self {
            context: context.ctx,
            start: context.data(),
            end: context.data_end(),
        }
    }

    /// Reads the bounds anew, after the kernel has moved them by `moved`.
    #[inline(always)]
    fn moved(&mut self, moved: i64) -> Option<()> {
        let context = XdpContext::new(self.context);
        self.start = context.data();
        self.end = context.data_end();
        (moved == 0).then_some(())
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

    #[inline(always)]
    #[allow(clippy::cast_possible_wrap)] // Lengths of frames.
    fn truncate(&mut self, length: usize) -> Option<()> {
        let mut held = self.length();
        // SAFETY: changes nothing, as no frame is so long. It keeps LLVM from computing with the lower
        // half of the two pointers, which the verifier does not let it keep on the stack.
        unsafe { core::arch::asm!("{0} &= 65535", inout(reg) held, options(nomem, nostack, pure)) };
        let by = length as i32 - held as i32;
        // SAFETY: the context is that of this run, and every bound is read anew afterwards.
        let moved = unsafe { bpf_xdp_adjust_tail(self.context, by) };
        self.moved(moved)
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_wrap)] // Lengths of headers.
    fn grow_front(&mut self, bytes: usize) -> Option<()> {
        // SAFETY: as in `truncate`.
        let moved = unsafe { bpf_xdp_adjust_head(self.context, -(bytes as i32)) };
        self.moved(moved)
    }
}
