//! The programs that the daemon runs, on frames that it makes, to change the flow tables: they use the data
//! path's own operations, and are as safe beside it as it is beside itself. They are on no interface.

use aya_ebpf::{macros::xdp, programs::XdpContext};
use lb_common::{
    flow::FlowCell,
    upkeep::{ENDED, ENTERED, EndedFlow},
};
use lb_ebpf::{
    decide::removal,
    frame::{Frame as _, Header},
    tables::{FlowSlot as _, InsertError, Tables as _},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::bpf::{frame::XdpFrame, maps::Maps};

/// Takes the flows of an [`lb_common::upkeep::Ended`] off the tables; returns how many it took.
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

/// Enters the flows of an [`lb_common::upkeep::Entered`] into the established table; returns how many found no
/// room. A flow that is there already is as good.
#[xdp]
#[allow(clippy::needless_pass_by_value)] // The macro's signature.
pub fn edgelb_enter(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    let tables = Maps::new(&context);
    let mut refused = 0;
    for number in 0..ENTERED {
        let at = number * size_of::<[FlowCell; 2]>();
        let entered = frame.header(at, |listed: &mut Listed<[FlowCell; 2]>| {
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
fn enter([question, answer]: &[FlowCell; 2], tables: &Maps) -> bool {
    if question.key.is_vacant() {
        return true;
    }
    let (question_key, answer_key) = (question.key, answer.key);
    let entered = tables.establish(&question_key, &answer_key, |to_node, to_client| {
        to_node.with(|entry| *entry = question.entry);
        to_client.with(|entry| *entry = answer.entry);
    });
    entered != Err(InsertError::Full)
}

/// An element of a list in a frame.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
struct Listed<T>(T);

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Copy> Header for Listed<T> {}
