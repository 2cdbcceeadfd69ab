//! Internet checksums by difference (RFC 1624).
//!
//! All sums are over 16-bit words in memory order. A ones' complement sum comes out right in either
//! byte order as long as every word is read the same way (RFC 1071, section 2(B)), so nothing here
//! is ever swapped.

/// Adds the carries of a sum of 16-bit words back in.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

/// What the change of one word adds to the complement of a checksum: `~m + m'` of RFC 1624,
/// equation 3.
#[inline(always)]
pub const fn word_change(old: u16, new: u16) -> u32 {
    !old as u32 + new as u32
}

/// The same for two words at once, an IPv4 address.
#[inline(always)]
pub const fn address_change(old: u32, new: u32) -> u32 {
    word_change(old as u16, new as u16) + word_change((old >> 16) as u16, (new >> 16) as u16)
}

/// The checksum after words have changed by `delta`: `HC' = ~(~HC + ~m + m')`.
#[inline(always)]
pub const fn update(checksum: u16, delta: u16) -> u16 {
    !fold(!checksum as u32 + delta as u32)
}

/// The same for UDP over IPv4 (RFC 768): 0 means that the sender computed none and stays; a sum that
/// comes out as 0 is sent as its other representation.
#[inline(always)]
pub const fn update_udp(checksum: u16, delta: u16) -> u16 {
    if checksum == 0 {
        return 0;
    }
    match update(checksum, delta) {
        0 => 0xffff,
        updated => updated,
    }
}

/// The checksum of words whose sum is `sum`.
#[inline(always)]
pub const fn of_sum(sum: u32) -> u16 {
    !fold(sum)
}

/// The sum of words.
#[inline(always)]
pub fn sum<const WORDS: usize>(words: [u16; WORDS]) -> u32 {
    let mut sum = 0;
    for word in words {
        sum += u32::from(word);
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The checksum of `words`, computed from nothing (RFC 1071).
    fn full(words: &[u16]) -> u16 {
        !words
            .iter()
            .fold(0_u16, |sum, word| fold(u32::from(sum) + u32::from(*word)))
    }

    /// Both zeros of ones' complement are the same number to a receiver.
    fn same(a: u16, b: u16) -> bool {
        a == b || (a | b == 0xffff && a & b == 0)
    }

    #[test]
    fn the_example_of_rfc_1624_section_4() {
        // HC = 0xDD2F, m = 0x5555, m' = 0x3285: the old equation gave 0xFFFF, the right one 0x0000.
        let delta = fold(word_change(0x5555, 0x3285));
        assert_eq!(update(0xdd2f, delta), 0x0000);
    }

    #[test]
    fn no_udp_checksum_stays_none() {
        assert_eq!(update_udp(0, 0x1234), 0);
    }

    #[test]
    fn a_udp_checksum_never_becomes_none() {
        let delta = fold(word_change(0x5555, 0x3285));
        assert_eq!(update_udp(0xdd2f, delta), 0xffff);
    }

    proptest! {
        #[test]
        fn an_update_equals_a_new_sum(
            mut words in prop::collection::vec(any::<u16>(), 1..40),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u16>()), 1..8),
        ) {
            let before = full(&words);
            let mut delta = 0_u16;
            for (at, new) in changes {
                let at = at.index(words.len());
                delta = fold(u32::from(delta) + u32::from(fold(word_change(words[at], new))));
                words[at] = new;
            }
            let updated = update(before, delta);
            prop_assert!(same(updated, full(&words)), "{updated:04x} {:04x}", full(&words));
        }

        #[test]
        fn an_address_is_two_words(old: u32, new: u32) {
            let [a, b] = [old as u16, (old >> 16) as u16];
            let [c, d] = [new as u16, (new >> 16) as u16];
            prop_assert_eq!(address_change(old, new), word_change(a, c) + word_change(b, d));
        }

        #[test]
        fn there_and_back_is_nothing(checksum: u16, old: u32, new: u32) {
            let there = fold(address_change(old, new));
            let back = fold(address_change(new, old));
            prop_assert!(same(update(update(checksum, there), back), checksum));
        }
    }
}
