//! Flows that are not confirmed yet, and their turns ([`lb_common::turn`]).
//!
//! What makes it right on several CPUs: a turn is held by one of them, who got it by compare and exchange, and the
//! same operation confirms a flow. So a flow is confirmed, removed or pushed out, and never two of these; and
//! whether cells belong to a turn is what the turn says.

use lb_common::{
    flow::{FlowEntry, FlowKey, FlowState, Opened},
    turn::Turn,
};

use super::{Cell, Memory, TurnWord, enter, take_both, vacate};
use crate::tables::{FlowSlot, InsertError};

/// A flow that is not confirmed, as its turn was a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    number: u32,
    turn: Turn,
}

impl Unconfirmed {
    /// The acknowledgment number that confirms the flow (TCP).
    #[inline(always)]
    pub const fn expected(&self) -> u32 {
        self.turn.expected()
    }
}

/// Enters both directions of a flow that is not confirmed, in the place of the one that was opened longest ago;
/// `write` fills in the entry of the client's packets and that of the answers.
///
/// # Errors
///
/// What keeps the flow out.
#[inline(always)]
pub fn open<M: Memory>(
    memory: &M,
    question: &FlowKey,
    answer: &FlowKey,
    write: impl FnOnce(&<M::Cell as Cell>::Slot, &<M::Cell as Cell>::Slot),
) -> Result<(), InsertError> {
    let mut number = memory.next_turn();
    let mut pair = take(memory, number);
    if pair == NO_PAIR {
        number = memory.next_turn();
        pair = take(memory, number);
    }
    if pair == NO_PAIR {
        return Err(InsertError::Full);
    }
    let entered = enter(memory, pair, question, answer, |to_node, to_client| {
        write(to_node, to_client);
        to_client.with(|entry| entry.opened = Opened::in_turn(number));
    });
    if let Some(turn) = memory.turn(number) {
        turn.set(Turn::of_pair(pair).0);
    }
    entered
}

/// No cell has this number.
const NO_PAIR: u32 = u32::MAX;

/// Takes hold of a turn and pushes out the flow that has it. Returns the first of its cells, [`NO_PAIR`] where
/// somebody is at it: the flow is just being confirmed or removed.
#[inline(never)]
fn take<M: Memory>(memory: &M, number: u32) -> u32 {
    let Some(word) = memory.turn(number) else {
        return NO_PAIR;
    };
    let turn = Turn(word.load());
    if turn.is_held() || !word.exchange(turn.0, turn.held().0) {
        return NO_PAIR;
    }
    let pair = turn.pair(number);
    if push_out(memory, pair) {
        return pair;
    }
    word.set(turn.0);
    NO_PAIR
}

/// Empties the words that lead to two cells; false where somebody else is about to.
#[inline(always)]
fn push_out<M: Memory>(memory: &M, pair: u32) -> bool {
    let Some(question) = memory.cell(pair).map(|cell| cell.key()) else {
        return false;
    };
    let Some(answer) = memory.cell(pair | 1).map(|cell| cell.key()) else {
        return false;
    };
    question.is_vacant() || take_both(memory, &question, &answer, pair)
}

/// Removes a flow that is not confirmed and has this turn; false where somebody else is about to confirm or to
/// remove it.
#[inline(never)]
pub fn remove<M: Memory>(
    memory: &M,
    number: u32,
    pair: u32,
    question: &FlowKey,
    answer: &FlowKey,
) -> bool {
    let Some(word) = memory.turn(number) else {
        return false;
    };
    let turn = Turn(word.load());
    if turn.is_held() || turn.pair(number) != pair || !word.exchange(turn.0, turn.held().0) {
        return false;
    }
    let is_ours = take_both(memory, question, answer, pair);
    if is_ours {
        vacate(memory, pair);
    }
    word.set(turn.0);
    is_ours
}

/// The turn of the flow whose answers have the key `answer` and the entry `answers`; nothing where it is
/// confirmed, or somebody holds its turn.
#[inline(always)]
pub fn of_answers<M: Memory>(
    memory: &M,
    answer: &FlowKey,
    answers: &<M::Cell as Cell>::Slot,
) -> Option<Unconfirmed> {
    let number = answers.with(|entry| entry.opened.turn())?;
    let turn = Turn(memory.turn(number)?.load());
    let is_its_own = memory.cell(turn.pair(number) | 1)?.key() == *answer;
    (is_its_own && !turn.is_held()).then_some(Unconfirmed { number, turn })
}

/// Notes what the client is to acknowledge. Lost where somebody is about to confirm or to remove the flow.
#[inline(always)]
pub fn expect<M: Memory>(memory: &M, flow: &Unconfirmed, acknowledgment: u32) {
    if let Some(word) = memory.turn(flow.number) {
        word.exchange(flow.turn.0, flow.turn.expecting(acknowledgment).0);
    }
}

/// Confirms a flow with these entries: it keeps its cells, and its turn is given others.
///
/// # Errors
///
/// [`InsertError::Full`] where there are none, [`InsertError::Known`] where somebody else was first.
#[inline(always)]
pub fn confirm<M: Memory>(
    memory: &M,
    flow: &Unconfirmed,
    questions: &<M::Cell as Cell>::Slot,
    answers: &<M::Cell as Cell>::Slot,
) -> Result<(), InsertError> {
    let word = memory.turn(flow.number).ok_or(InsertError::Full)?;
    let pair = memory.take_pair().ok_or(InsertError::Full)?;
    if !word.exchange(flow.turn.0, Turn::of_pair(pair).0) {
        memory.give_pair(pair);
        return Err(InsertError::Known);
    }
    let opened = questions.with(|entry| entry.opened);
    answers.with(|entry| {
        entry.opened = opened;
        establish(entry);
    });
    questions.with(establish);
    Ok(())
}

#[inline(always)]
fn establish(entry: &mut FlowEntry) {
    // A RST that overtook the client's acknowledgment still counts.
    if !entry.state.is_closing() {
        entry.state = FlowState::ESTABLISHED;
    }
}
