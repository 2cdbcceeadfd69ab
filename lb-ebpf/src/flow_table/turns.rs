//! Flows that are not confirmed yet, and their turns ([`lb_common::turn`]).
//!
//! What makes it right on several CPUs: a turn is held by one of them, who got it by compare and exchange, and the
//! same operation confirms a flow. So a flow is confirmed, removed or pushed out, and never two of these; and
//! whether cells belong to a turn is what the turn says.

use lb_common::{
    flow::{FlowEntry, FlowKey, FlowState, Opened},
    turn::Turn,
};

use super::{Cell, Memory, TurnWord, enter, vacate};
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
/// `write` fills in the entry of the client's packets and that of the answers, and is told when those say that the flow
/// was opened. Returns the cell of the client's packets.
///
/// # Errors
///
/// What keeps the flow out.
#[inline(always)]
pub fn open<M: Memory>(
    memory: &M,
    question: &FlowKey,
    answer: &FlowKey,
    write: impl FnOnce(&<M::Cell as Cell>::Slot, &<M::Cell as Cell>::Slot, Opened),
) -> Result<u32, InsertError> {
    // There is one at least, which the compiler does not know.
    let turns = memory.turns().max(1);
    let mut taken = memory.next_turn();
    let mut pair = take(memory, taken % turns);
    if pair == NO_PAIR {
        taken = memory.next_turn();
        pair = take(memory, taken % turns);
    }
    let number = taken % turns;
    if pair == NO_PAIR {
        return Err(InsertError::Full);
    }
    let entered = enter(memory, pair, question, answer, |to_node, to_client| {
        write(to_node, to_client, Opened::in_turn(number));
    });
    if let Some(turn) = memory.turn(number) {
        turn.set(Turn::of_pair(pair).expecting(taken).0);
    }
    entered.map(|()| pair)
}

/// No cell has this number.
const NO_PAIR: u32 = u32::MAX;

/// Takes hold of a turn and pushes out the flow that has it. Returns the first of its cells, [`NO_PAIR`] where
/// somebody is at it: the flow is just being opened, confirmed or removed.
#[inline(always)]
fn take<M: Memory>(memory: &M, number: u32) -> u32 {
    let Some(word) = memory.turn(number) else {
        return NO_PAIR;
    };
    let turn = Turn(word.load());
    if !hold(&word, turn) {
        return NO_PAIR;
    }
    let pair = turn.pair(number);
    if let Some(question) = memory.cell(pair).map(|cell| cell.key())
        && !question.is_vacant()
    {
        memory.take_out(&question, pair);
        take_answers(memory, pair);
    }
    pair
}

/// Takes hold of a turn that was so a moment ago; false where somebody else has done so.
#[inline(always)]
fn hold(word: &impl TurnWord, turn: Turn) -> bool {
    !turn.is_held() && word.exchange(turn.0, turn.held().0)
}

/// Empties the word that leads to the cell of a flow's answers.
#[inline(always)]
fn take_answers<M: Memory>(memory: &M, pair: u32) {
    if let Some(answers) = memory.cell(pair | 1) {
        memory.take_out(&answers.key(), pair | 1);
    }
}

/// Removes a flow that is not confirmed and has this turn; false where somebody else is about to confirm or to
/// remove it.
#[inline(never)]
pub fn remove<M: Memory>(memory: &M, number: u32, pair: u32, question: &FlowKey) -> bool {
    let Some(word) = memory.turn(number) else {
        return false;
    };
    let turn = Turn(word.load());
    if turn.pair(number) != pair || !hold(&word, turn) {
        return false;
    }
    // Before it was held the cells may have gone to another flow.
    let is_there = memory.take_out(question, pair);
    if is_there {
        take_answers(memory, pair);
        vacate(memory, pair);
    }
    word.set(turn.0);
    is_there
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

/// Notes what the client is to acknowledge; false where somebody is about to confirm or to remove the flow.
#[inline(always)]
pub fn expect<M: Memory>(memory: &M, flow: &Unconfirmed, acknowledgment: u32) -> bool {
    memory
        .turn(flow.number)
        .is_some_and(|word| word.exchange(flow.turn.0, flow.turn.expecting(acknowledgment).0))
}

/// Confirms a flow: it keeps its cells, and its turn is given others.
///
/// # Errors
///
/// [`InsertError::Full`] where there are none, [`InsertError::Known`] where somebody else was first.
#[inline(always)]
pub fn confirm<M: Memory>(memory: &M, flow: &Unconfirmed) -> Result<(), InsertError> {
    let word = memory.turn(flow.number).ok_or(InsertError::Full)?;
    let spare = memory.take_pair().ok_or(InsertError::Full)?;
    let next = Turn::of_pair(spare).expecting(flow.turn.expected());
    if !word.exchange(flow.turn.0, next.0) {
        memory.give_pair(spare);
        return Err(InsertError::Known);
    }
    // The cells that the turn has had, and no others that a look-up has led to: those may be another flow's by now.
    let pair = flow.turn.pair(flow.number);
    let Some(questions) = memory.cell(pair).map(Cell::slot) else {
        return Err(InsertError::Full);
    };
    let Some(answers) = memory.cell(pair | 1).map(Cell::slot) else {
        return Err(InsertError::Full);
    };
    let opened = questions.with(|entry| {
        establish(entry);
        entry.opened
    });
    answers.with(|entry| {
        entry.opened = opened;
        establish(entry);
    });
    Ok(())
}

#[inline(always)]
fn establish(entry: &mut FlowEntry) {
    // A RST that overtook the client's acknowledgment still counts.
    if !entry.state.is_closing() {
        entry.state = FlowState::ESTABLISHED;
    }
}
