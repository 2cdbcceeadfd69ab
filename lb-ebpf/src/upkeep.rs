//! The programs that the daemon runs, on frames that it makes, to change the flow table: they use the data
//! path's own operations, and are as safe beside it as it is beside itself. They are on no interface.

use aya_ebpf::{macros::xdp, programs::XdpContext};
use lb_common::{
    flow::FlowState,
    upkeep::{ENDED, ENTERED, EndedFlow, EnteredFlow},
};
use lb_ebpf::{
    decide::removal,
    flow_table,
    frame::{Frame as _, Header},
    tables::{FlowSlot as _, InsertError, Tables as _},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::bpf::{
    flows::{FlowMemory, Slot},
    frame::XdpFrame,
    maps::Maps,
};

/// Takes the flows of an [`lb_common::upkeep::Ended`] off the table; returns how many it took.
#[xdp]
#[allow(clippy::needless_pass_by_value)] // The macro's signature.
pub fn edgelb_forget(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    let tables = Maps::new(&context);
    let mut forgotten = 0;
    for number in 0..ENDED {
        let at = number * size_of::<EndedFlow>();
        let Some(ended) = frame.header(at, |listed: &mut Listed<EndedFlow>| listed.0) else {
            break;
        };
        if !ended.key.is_vacant() && removal::end(&ended, &tables) {
            forgotten += 1;
        }
    }
    forgotten
}

/// Enters the flows of an [`lb_common::upkeep::Entered`]; returns how many found no room. A flow that is there
/// already is as good.
#[xdp]
#[allow(clippy::needless_pass_by_value)] // The macro's signature.
pub fn edgelb_enter(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    let tables = Maps::new(&context);
    let mut refused = 0;
    for number in 0..ENTERED {
        let at = number * size_of::<EnteredFlow>();
        let entered = frame.header(at, |listed: &mut Listed<EnteredFlow>| {
            enter(&listed.0, &tables)
        });
        match entered {
            Some(true) => {}
            Some(false) => refused += 1,
            None => break,
        }
    }
    refused
}

/// Enters one flow; false where there is no room.
#[inline(always)]
fn enter(flow: &EnteredFlow, tables: &Maps) -> bool {
    let [question, answer] = &flow.cells;
    if question.key.is_vacant() {
        return true;
    }
    let is_confirmed = answer.entry.opened.turn().is_none();
    let (question_key, answer_key) = (question.key, answer.key);
    let write = |to_node: &Slot, to_client: &Slot| {
        to_node.with(|entry| *entry = question.entry);
        to_client.with(|entry| *entry = answer.entry);
    };
    let entered = if is_confirmed {
        flow_table::insert(&FlowMemory, &question_key, &answer_key, write)
    } else {
        tables
            .open(&question_key, &answer_key, |to_node, to_client, opened| {
                write(to_node, to_client);
                to_client.with(|entry| entry.opened = opened);
            })
            .map(|_| ())
    };
    if entered == Err(InsertError::Full) {
        return false;
    }
    // It may have been there already, and be further now in the table that it comes from.
    let Some(answers) = tables.look_up(&answer_key) else {
        return true;
    };
    let Some(unconfirmed) = tables.unconfirmed(&answer_key, &answers) else {
        return true;
    };
    if is_confirmed {
        return tables.confirm(&unconfirmed) != Err(InsertError::Full);
    }
    if answer.entry.state == FlowState::ANSWERED && tables.expect(&unconfirmed, flow.expected) {
        answers.with(|entry| entry.state = FlowState::ANSWERED);
    }
    true
}

/// An element of a list in a frame.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
struct Listed<T>(T);

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Copy> Header for Listed<T> {}
