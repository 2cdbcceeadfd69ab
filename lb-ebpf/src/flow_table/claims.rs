//! Which of several that put in the same key does so.
//!
//! A key is put in as a claim, which becomes its word when whoever put it in has looked at all slots of the key
//! afterwards and found neither its word nor a claim to a cell with a lower number; claims to cells with higher ones are
//! emptied meanwhile. So of two that put in a key one at least sees the other, the one with the lower number takes
//! the slot of the other, and one of them stays, wherever each of them is interrupted and for how long.

use lb_common::flow_index::{ELSEWHERE, Hash, SLOTS};

use super::{BUCKETS, Bucket, Memory, Place, bucket_of};
use crate::tables::InsertError;

/// Makes a claim the word, or takes it back.
#[inline(always)]
pub fn settle<M: Memory>(
    memory: &M,
    first: M::Bucket,
    hash: Hash,
    number: u32,
    place: &Place<M::Bucket>,
) -> Result<(), InsertError> {
    let claim = hash.claim(number);
    let stands = (is_only(first, hash, claim) && first.load(ELSEWHERE) == 0)
        || is_lowest(memory, hash, claim);
    let Place { bucket, slot, .. } = *place;
    if stands && bucket.exchange(slot, claim, hash.word(number)) {
        return Ok(());
    }
    // Somebody with a lower number may have emptied it.
    bucket.exchange(slot, claim, 0);
    first.count_elsewhere(place.counted.wrapping_neg());
    Err(InsertError::Taken)
}

/// True where a bucket has no other word or claim with the tag of a claim.
#[inline(always)]
fn is_only<B: Bucket>(bucket: B, hash: Hash, claim: u64) -> bool {
    for slot in 0..SLOTS {
        let word = bucket.load(slot);
        if hash.has_tag_or_claim(word) && word != claim {
            return false;
        }
    }
    true
}

/// True where no other has the tag of a claim and none has claimed it with a lower number. Empties the claims with
/// higher ones.
#[inline(never)]
fn is_lowest<M: Memory>(memory: &M, hash: Hash, claim: u64) -> bool {
    for number in 0..BUCKETS {
        let Some(bucket) = bucket_of(memory, hash, number) else {
            return false;
        };
        for slot in 0..SLOTS {
            let word = bucket.load(slot);
            if !hash.has_tag_or_claim(word) || word == claim {
                continue;
            }
            if hash.has_tag(word) || word < claim {
                return false;
            }
            // It may be the word by now: whoever has it has not seen ours.
            if !bucket.exchange(slot, word, 0) && hash.has_tag(bucket.load(slot)) {
                return false;
            }
        }
    }
    true
}
