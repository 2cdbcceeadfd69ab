//! Where the addresses of the configuration are in the maps (pure): the cell of each, and an index in which no two
//! of them meet.

use std::{collections::BTreeMap, net::Ipv4Addr};

use lb_common::address::{
    ADDRESS_CELLS, ADDRESS_INDEXES, ADDRESS_SLOTS, AddressHash, AddressIndex, KnownAddress,
};

/// Hashes that are tried for a set of addresses. With 500 of them one hash in 2,000 is good, and with the 60 of a
/// large pool nine in ten.
const TRIES: usize = 100_000;

/// There is no room for a further address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for a further address")]
pub struct Full;

/// Who is where.
#[derive(Clone, Debug)]
pub struct AddressTable {
    seats: BTreeMap<Ipv4Addr, Seat>,
    hash: AddressHash,
    /// The cell that was given out last. One that is given back is not given out again for long: a packet may still
    /// read there.
    latest: u16,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    cell: u16,
    is_vip: bool,
}

impl Default for AddressTable {
    fn default() -> Self {
        Self {
            seats: BTreeMap::new(),
            hash: AddressHash::new(FIRST_MULTIPLIER, 0),
            latest: 0,
        }
    }
}

/// Any number without a pattern (of xxHash).
const FIRST_MULTIPLIER: u64 = 0x9e37_79b1_85eb_ca87;

impl AddressTable {
    /// Gives an address a cell that it has not had, which what is known of it goes into, and chooses the next index.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn set(&mut self, address: Ipv4Addr, known: &KnownAddress) -> Result<u16, Full> {
        let taken = |cell: u16| self.seats.values().any(|seat| seat.cell == cell);
        let cells = (self.latest + 1..ADDRESS_CELLS).chain(1..=self.latest);
        let cell = cells.into_iter().find(|cell| !taken(*cell)).ok_or(Full)?;
        let is_vip = known.vip_zone().is_some();
        let mut seats = self.seats.clone();
        seats.insert(address, Seat { cell, is_vip });
        self.hash = without_collision(&seats, self.hash).ok_or(Full)?;
        self.seats = seats;
        self.latest = cell;
        Ok(cell)
    }

    /// Removes a VIP or a node's address, and chooses the next index. False where there is none, because the address
    /// has become the other of the two, for instance.
    pub fn remove(&mut self, address: Ipv4Addr, is_vip: bool) -> bool {
        if self
            .seats
            .get(&address)
            .is_none_or(|seat| seat.is_vip != is_vip)
        {
            return false;
        }
        self.seats.remove(&address);
        self.hash = other_index(self.hash, self.hash.word());
        true
    }

    /// The hash and the number of the index that is to come into force.
    pub const fn hash(&self) -> AddressHash {
        self.hash
    }

    /// What is in it.
    #[expect(
        clippy::large_stack_arrays,
        reason = "32 KiB for a moment, which the stack has plenty of"
    )]
    pub fn index(&self) -> AddressIndex {
        let mut index = [0; ADDRESS_SLOTS];
        for (address, seat) in &self.seats {
            index[self.hash.slot((*address).into())] = seat.cell;
        }
        index
    }
}

/// The same hash, if it is still good, or another one; for the other index.
fn without_collision(seats: &BTreeMap<Ipv4Addr, Seat>, hash: AddressHash) -> Option<AddressHash> {
    let mut multiplier = hash.word();
    let mut taken = vec![false; ADDRESS_SLOTS];
    for _ in 0..TRIES {
        let tried = other_index(hash, multiplier);
        let slots = || seats.keys().map(|address| tried.slot((*address).into()));
        let met = slots().position(|slot| std::mem::replace(&mut taken[slot], true));
        for slot in slots().take(met.unwrap_or(seats.len())) {
            taken[slot] = false;
        }
        if met.is_none() {
            return Some(tried);
        }
        // The next of a long series of numbers (Knuth, MMIX).
        multiplier = multiplier
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
    }
    None
}

fn other_index(hash: AddressHash, multiplier: u64) -> AddressHash {
    AddressHash::new(multiplier, (hash.index() + 1) % ADDRESS_INDEXES)
}

#[cfg(test)]
mod tests {
    use lb_common::{
        net::{Ip4, Zone},
        policy::NodeAddress,
    };

    use super::*;

    fn vip(address: Ipv4Addr) -> KnownAddress {
        KnownAddress::vip(address.into(), Zone::External)
    }

    fn node(address: Ipv4Addr) -> KnownAddress {
        KnownAddress::node(address.into(), NodeAddress::default())
    }

    /// As the data path does.
    fn look_up(table: &AddressTable, address: Ipv4Addr) -> u16 {
        table.index()[table.hash().slot(Ip4::from(address))]
    }

    /// As many addresses as two configurations of the largest size have together: one after the other, as they are in
    /// most networks, and all over the place.
    #[test]
    fn every_address_has_a_slot_of_its_own() {
        let neighbours = |number: u32| 0xcb00_7100 + number;
        let scattered = |number: u32| 0x0a00_0000 + number.wrapping_mul(2_654_435_761) % 0xff_ffff;
        let networks = |number: u32| 0x0a00_000a + (number << 8);
        for address in [neighbours, scattered, networks] {
            let mut table = AddressTable::default();
            let mut cells = BTreeMap::new();
            for number in 0..520 {
                let address = Ipv4Addr::from(address(number));
                cells.insert(address, table.set(address, &node(address)).expect("room"));
            }
            for (address, cell) in &cells {
                assert_eq!(look_up(&table, *address), *cell, "{address}");
            }
            let used = table.index().iter().filter(|cell| **cell != 0).count();
            assert_eq!(used, cells.len());
        }
    }

    #[test]
    fn who_changes_gets_another_cell_and_another_index() {
        let address = Ipv4Addr::new(203, 0, 113, 10);
        let mut table = AddressTable::default();
        let first = table.set(address, &vip(address)).expect("room");
        let hash = table.hash();
        let second = table.set(address, &vip(address)).expect("room");
        assert_ne!(first, second);
        assert_ne!(hash.index(), table.hash().index());
        assert_eq!(look_up(&table, address), second);
    }

    /// In a new configuration, a node may have the address that was a VIP, or the other way round.
    #[test]
    fn an_address_is_removed_only_as_what_it_is() {
        let address = Ipv4Addr::new(203, 0, 113, 10);
        let mut table = AddressTable::default();
        table.set(address, &node(address)).expect("room");
        table.set(address, &vip(address)).expect("room");
        assert!(!table.remove(address, false));
        assert_ne!(look_up(&table, address), 0);
        assert!(table.remove(address, true));
        assert_eq!(look_up(&table, address), 0);
    }

    #[test]
    fn a_cell_is_not_given_out_again_at_once() {
        let address = Ipv4Addr::new(203, 0, 113, 10);
        let mut table = AddressTable::default();
        for round in 0..3_u32 {
            for number in 1..ADDRESS_CELLS {
                let cell = table.set(address, &vip(address)).expect("room");
                assert_eq!(cell, number, "round {round}");
                table.remove(address, true);
            }
        }
    }

    #[test]
    fn full_is_full() {
        let mut table = AddressTable::default();
        let mut set = |number: u32| {
            let address = Ipv4Addr::from(0xcb00_7100 + number);
            table.set(address, &vip(address))
        };
        let room = (0..2000).take_while(|number| set(*number).is_ok()).count();
        assert!((520..usize::from(ADDRESS_CELLS)).contains(&room), "{room}");
    }
}
