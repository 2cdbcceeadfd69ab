//! How the stages reach the bytes of a frame.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A header of fixed size without padding: any bytes are a valid value of it.
pub trait Header: FromBytes + IntoBytes + Immutable + KnownLayout + Copy {}

/// A received frame. In the kernel this is the packet itself, in host tests a vector.
pub trait Frame {
    /// Bytes in the frame, from the first byte of the Ethernet header.
    fn length(&self) -> usize;

    /// Gives the header `H` that starts `at` bytes into the frame to `f`, to be read or changed in
    /// place. `None` where the frame ends before the header does.
    fn header<H: Header, R>(&mut self, at: usize, f: impl FnOnce(&mut H) -> R) -> Option<R>;

    /// Cuts the frame off after `length` bytes, which it must have. `None` where it cannot be.
    fn truncate(&mut self, length: usize) -> Option<()>;

    /// Makes room for `bytes` more before the first byte. `None` where there is none.
    fn grow_front(&mut self, bytes: usize) -> Option<()>;
}
