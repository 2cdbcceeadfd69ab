//! Atomic changes of 64-bit words in array maps.
//!
//! The BPF target of rustc declares no read-modify-write atomics (BPF had none when it was made), so
//! the instructions are written out. They exist since instruction set version 3, Linux 5.12.

use core::arch::asm;

use aya_ebpf::btf_maps::Array;

/// A word of an array map, which other CPUs change at the same time.
#[derive(Clone, Copy)]
pub struct Word(*mut u64);

impl Word {
    /// # Safety
    ///
    /// `pointer` comes from a look-up in an array map in this run of the program.
    #[inline(always)]
    pub const unsafe fn new(pointer: *mut u64) -> Self {
        Self(pointer)
    }

    /// The word as it is now.
    #[inline(always)]
    pub fn load(self) -> u64 {
        // SAFETY: see `new`; volatile, because it may have changed since it was last read.
        unsafe { self.0.read_volatile() }
    }

    /// Replaces the word, whatever it is.
    #[inline(always)]
    pub fn store(self, word: u64) {
        // SAFETY: see `new`; an aligned word is written as a whole.
        unsafe { self.0.write_volatile(word) }
    }

    /// Adds one and returns what the word was before.
    #[inline(always)]
    pub fn increment(self) -> u64 {
        let mut value = 1_u64;
        // SAFETY: see `new`; an aligned word of eight bytes.
        unsafe {
            asm!("{v} = atomic_fetch_add((u64 *)({p} + 0), {v})", p = in(reg) self.0, v = inout(reg) value);
        }
        value
    }

    /// Adds to the word.
    #[inline(always)]
    pub fn add(self, number: u64) {
        // SAFETY: see `new`; an aligned word of eight bytes.
        unsafe {
            asm!("lock *(u64 *)({p} + 0) += {v}", p = in(reg) self.0, v = in(reg) number);
        }
    }

    /// Puts `new` in the place of `old`; false where the word is something else.
    #[inline(always)]
    pub fn exchange(self, old: u64, new: u64) -> bool {
        let mut seen = old;
        // SAFETY: see `new`; an aligned word of eight bytes. The instruction takes and returns r0.
        unsafe {
            asm!("r0 = cmpxchg_64({p} + 0, r0, {v})", p = in(reg) self.0, v = in(reg) new, inout("r0") seen);
        }
        seen == old
    }

    /// The same for a word of four bytes at `pointer`.
    ///
    /// # Safety
    ///
    /// As for [`Self::new`].
    #[inline(always)]
    pub unsafe fn exchange_half(pointer: *mut u32, old: u32, new: u32) -> bool {
        let mut seen = old;
        // SAFETY: see above; an aligned word of four bytes. The instruction takes and returns w0.
        unsafe {
            asm!("w0 = cmpxchg32_32({p} + 0, w0, {v})", p = in(reg) pointer, v = in(wreg) new, inout("w0") seen);
        }
        seen == old
    }

    /// Sets bits and returns what the word was before.
    #[inline(always)]
    pub fn set(self, bits: u64) -> u64 {
        let mut value = bits;
        // SAFETY: see `new`; an aligned word of eight bytes.
        unsafe {
            asm!("{v} = atomic_fetch_or((u64 *)({p} + 0), {v})", p = in(reg) self.0, v = inout(reg) value);
        }
        value
    }

    /// Clears bits.
    #[inline(always)]
    pub fn clear(self, bits: u64) {
        // SAFETY: see `new`; an aligned word of eight bytes.
        unsafe {
            asm!("lock *(u64 *)({p} + 0) &= {v}", p = in(reg) self.0, v = in(reg) !bits);
        }
    }
}

/// The word in a cell of an array.
#[inline(always)]
pub fn word<const CELLS: usize>(array: &Array<u64, CELLS>, cell: u32) -> Option<Word> {
    // SAFETY: just looked up in an array map.
    array
        .get_ptr_mut(cell)
        .map(|pointer| unsafe { Word::new(pointer) })
}
