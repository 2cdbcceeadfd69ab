//! The addresses that the configuration names, in their maps.

use lb_common::{
    address::{AddressIndex, KnownAddress},
    net::Ip4,
};

use super::{Result, table::Cells};
use crate::address_table::AddressTable;

/// The maps, and what is where in them.
pub struct Addresses {
    table: AddressTable,
    cells: Cells<KnownAddress>,
    indexes: Cells<AddressIndex>,
    hash: Cells<u64>,
}

impl Addresses {
    /// Empty maps.
    pub fn new(cells: Cells<KnownAddress>, indexes: Cells<AddressIndex>, hash: Cells<u64>) -> Self {
        Self {
            table: AddressTable::default(),
            cells,
            indexes,
            hash,
        }
    }

    /// Says what an address is. A packet meets all of it, or what the address was before.
    pub fn set(&mut self, address: Ip4, known: &KnownAddress) -> Result<()> {
        let cell = self.table.set(address.into(), known)?;
        self.cells.set(u32::from(cell), known)?;
        self.put_in_force()
    }

    /// Forgets a VIP or a node's address, unless it has become the other of the two.
    pub fn remove(&mut self, address: Ip4, is_vip: bool) -> Result<()> {
        if self.table.remove(address.into(), is_vip) {
            self.put_in_force()?;
        }
        Ok(())
    }

    fn put_in_force(&mut self) -> Result<()> {
        let hash = self.table.hash();
        self.indexes.set(hash.index(), &self.table.index())?;
        self.hash.set(0, &hash.word())
    }
}
