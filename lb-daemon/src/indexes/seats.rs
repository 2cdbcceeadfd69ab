//! Numbered seats, of which each has one owner at a time.

use std::{collections::BTreeMap, ops::Range};

/// How long an owner will stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tenure {
    /// For as long as it is wanted.
    Stays,
    /// Until no flow carries the seat.
    Leaves,
    /// The same, and no flow has carried it the last time.
    Quiet,
}

#[derive(Clone, Debug)]
struct Seat<K> {
    owner: K,
    tenure: Tenure,
}

/// Seats by their number.
#[derive(Clone, Debug)]
pub struct Seats<K>(BTreeMap<u32, Seat<K>>);

impl<K> Default for Seats<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: PartialEq> Seats<K> {
    /// The number of the owner's seat: the one that it has, which it may have been about to leave, or
    /// the first within `range` that is free. `None` when none is.
    pub fn take(&mut self, owner: K, range: Range<u32>) -> Option<u32> {
        let number = self
            .of(&owner)
            .or_else(|| range.clone().find(|number| !self.0.contains_key(number)))?;
        let tenure = Tenure::Stays;
        self.0.insert(number, Seat { owner, tenure });
        Some(number)
    }

    /// The number of the owner's seat, if it has one.
    pub fn of(&self, owner: &K) -> Option<u32> {
        let mut seats = self.0.iter();
        seats.find_map(|(number, seat)| (seat.owner == *owner).then_some(*number))
    }

    /// From here on everybody leaves who does not take a seat again.
    pub fn leave_all(&mut self) {
        for seat in self.0.values_mut() {
            if seat.tenure == Tenure::Stays {
                seat.tenure = Tenure::Leaves;
            }
        }
    }

    /// Every seat that is taken, and by whom.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &K)> {
        self.0.iter().map(|(number, seat)| (*number, &seat.owner))
    }

    /// The numbers of those who leave.
    pub fn leaving(&self) -> impl Iterator<Item = u32> {
        let leaving = |seat: &Seat<K>| seat.tenure != Tenure::Stays;
        let seats = self.0.iter();
        seats.filter_map(move |(number, seat)| leaving(seat).then_some(*number))
    }

    /// Whether a seat within `range` is taken.
    pub fn any_in(&self, range: Range<u32>) -> bool {
        self.0.range(range).next().is_some()
    }

    /// Frees the seats of those who leave and were not in use now and the last time; returns their
    /// numbers.
    pub fn release(&mut self, in_use: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut freed = Vec::new();
        self.0.retain(|number, seat| {
            seat.tenure = match seat.tenure {
                Tenure::Stays => return true,
                Tenure::Leaves | Tenure::Quiet if in_use(*number) => Tenure::Leaves,
                Tenure::Leaves => Tenure::Quiet,
                Tenure::Quiet => {
                    freed.push(*number);
                    return false;
                }
            };
            true
        });
        freed
    }
}
