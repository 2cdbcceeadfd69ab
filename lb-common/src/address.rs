//! The addresses that the configuration names: VIPs, and the nodes' own.
//!
//! An address that is none of them is told by one look: the index has a slot for its hash, and the slot is empty. The
//! daemon chooses the hash so that no two of the addresses have the same slot, so there is nothing to search
//! in it. It keeps two indexes, one of which is in force, and names that one and its hash in one word.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    net::{Ip4, Port, Zone},
    policy::NodeAddress,
};

/// Cells for addresses: twice as many as a configuration can name, because those of the old one and of the new one
/// are there together for a moment. Cell 0 is nobody's.
pub const ADDRESS_CELLS: u16 = 1024;

/// Slots of an index.
pub const ADDRESS_SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 14;

/// An index: for every hash the cell of the address that has it, or 0.
pub type AddressIndex = [u16; ADDRESS_SLOTS];

/// Indexes that there is room for.
pub const ADDRESS_INDEXES: u32 = 2;

/// Which index is in force, and the hash that it goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressHash(u64);

impl AddressHash {
    /// For index 0 or 1; any multiplier, of which all bits but the lowest count.
    pub const fn new(multiplier: u64, index: u32) -> Self {
        Self(multiplier & !1 | (index & 1) as u64)
    }

    /// From the word that [`Self::word`] returned.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// As it is held in a map.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Number of the index.
    #[inline(always)]
    pub const fn index(self) -> u32 {
        (self.0 & 1) as u32
    }

    /// The slot of an address: multiplied by an odd number, as in Dietzfelbinger et al., "A Reliable Randomized
    /// Algorithm for the Closest-Pair Problem" (1997).
    #[inline(always)]
    pub const fn slot(self, address: Ip4) -> usize {
        ((address.wire() as u64).wrapping_mul(self.0 | 1) >> (64 - SLOT_BITS)) as usize
    }
}

/// An address that the configuration names.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct KnownAddress {
    address: Ip4,
    is_vip: u8,
    zone: u8,
    /// Keeps the layout free of padding.
    pub reserved: u16,
    /// What may pass to and from it, where it is a node's.
    pub node: NodeAddress,
}

impl KnownAddress {
    /// A VIP in `zone`.
    pub fn vip(address: Ip4, zone: Zone) -> Self {
        Self {
            address,
            is_vip: 1,
            zone: zone as u8,
            reserved: 0,
            node: NodeAddress::new(zone, &[], Port::default()),
        }
    }

    /// A node's own address.
    pub const fn node(address: Ip4, node: NodeAddress) -> Self {
        Self {
            address,
            is_vip: 0,
            zone: 0,
            reserved: 0,
            node,
        }
    }

    /// True for the address that this is.
    #[inline(always)]
    pub fn is(&self, address: Ip4) -> bool {
        self.address == address
    }

    /// The zone of a VIP; none for a node's address.
    #[inline(always)]
    pub const fn vip_zone(&self) -> Option<Zone> {
        if self.is_vip == 0 {
            None
        } else if self.zone == Zone::Internal as u8 {
            Some(Zone::Internal)
        } else {
            Some(Zone::External)
        }
    }
}
