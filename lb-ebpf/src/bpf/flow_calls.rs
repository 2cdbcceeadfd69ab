//! Calls into the flow table.
//!
//! The verifier looks at a function again for each way to each call of it, but for those that can be called from
//! outside of the object: these it looks at once, as they are called with any numbers and return any. So their
//! parameters are numbers.

use lb_common::flow::FlowKey;
use lb_ebpf::{
    flow_table::{self, Among},
    tables::InsertError,
};

use super::flows::FlowMemory;

/// [`flow_table::put`].
#[inline(always)]
pub fn put(key: &FlowKey, number: u32) -> Result<(), InsertError> {
    let [addresses, rest] = key.words();
    match edgelb_put(addresses, rest, number) {
        PUT => Ok(()),
        TAKEN => Err(InsertError::Taken),
        _ => Err(InsertError::Full),
    }
}

const PUT: u32 = 0;
const TAKEN: u32 = 1;
const FULL: u32 = 2;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edgelb_put(addresses: u64, rest: u64, number: u32) -> u32 {
    let key = FlowKey::of_words([addresses, rest]);
    match flow_table::put(&FlowMemory, &key, number) {
        Ok(()) => PUT,
        Err(InsertError::Taken | InsertError::Known) => TAKEN,
        Err(InsertError::Full) => FULL,
    }
}

/// [`flow_table::take_out`].
#[inline(always)]
pub fn take_out(key: &FlowKey, number: u32) -> bool {
    let [addresses, rest] = key.words();
    edgelb_take_out(addresses, rest, number) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edgelb_take_out(addresses: u64, rest: u64, number: u32) -> u32 {
    let key = FlowKey::of_words([addresses, rest]);
    flow_table::take_out(&FlowMemory, &key, number).into()
}

/// [`flow_table::search`].
#[inline(always)]
pub fn search(key: &FlowKey, among: Among) -> Option<u32> {
    let [addresses, rest] = key.words();
    match edgelb_search(addresses, rest, among as u32) {
        NO_CELL => None,
        number => Some(number),
    }
}

const NO_CELL: u32 = u32::MAX;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edgelb_search(addresses: u64, rest: u64, among: u32) -> u32 {
    let key = FlowKey::of_words([addresses, rest]);
    let among = if among == Among::Claims as u32 {
        Among::Claims
    } else {
        Among::Words
    };
    flow_table::search(&FlowMemory, &key, among).unwrap_or(NO_CELL)
}
