//! The interfaces that carry the program.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::net::{Ip4, Mac, Zone};

/// Cells of the interface array. An interface's cell is its kernel index modulo this number: one
/// array access per packet. Two interfaces that fall into one cell are refused at start.
pub const INTERFACE_CELLS: u32 = 1024;

/// One interface.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Interface {
    /// Kernel index; 0 in a free cell.
    pub index: u32,
    /// The interface's own Ethernet address: frames to any other are not ours.
    pub mac: Mac,
    /// [`Zone`] as a number.
    pub zone: u8,
    /// Keeps the layout free of padding.
    pub reserved: u8,
    /// Address that ICMP errors to hosts on this side come from; 0.0.0.0 for none.
    pub address: Ip4,
}

impl Interface {
    /// The side that the interface is on.
    #[inline(always)]
    pub const fn zone(&self) -> Zone {
        if self.zone == Zone::Internal as u8 {
            Zone::Internal
        } else {
            Zone::External
        }
    }
}
