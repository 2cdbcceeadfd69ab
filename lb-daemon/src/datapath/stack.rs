//! The stack that the programs take: kernels before 6.9 allow less than those on which they are tested.

use std::collections::{BTreeMap, BTreeSet};

use aya_obj::{Object, generated::bpf_insn};

use super::load::OBJECT;

/// Bytes that a program and the functions it calls may take together.
const MOST: usize = 512;
/// The kernel rounds what each of them takes up to a multiple of this; since 6.9 of less.
const ROUNDED_TO: usize = 32;
/// The register of the frame.
const FRAME: u8 = 10;

/// The functions of a program: where each begins, what it takes, and what it calls.
#[derive(Default)]
struct Functions {
    taken: BTreeMap<usize, usize>,
    calls: BTreeMap<usize, BTreeSet<usize>>,
}

impl Functions {
    fn of(instructions: &[bpf_insn]) -> Self {
        let mut functions = Self::default();
        functions.taken.insert(0, 0);
        for target in (0..instructions.len()).filter_map(|at| callee(instructions, at)) {
            functions.taken.insert(target, 0);
        }
        // Registers that hold the address of the frame.
        let mut frames = BTreeSet::from([FRAME]);
        for (at, instruction) in instructions.iter().enumerate() {
            let Some((&function, taken)) = functions.taken.range_mut(..=at).next_back() else {
                unreachable!("a program begins at its first instruction");
            };
            *taken = (*taken).max(reached(*instruction, &mut frames));
            if let Some(callee) = callee(instructions, at) {
                functions.calls.entry(function).or_default().insert(callee);
            }
        }
        functions
    }

    /// What a function takes with all that it calls.
    fn deepest(&self, function: usize) -> usize {
        let calls = self.calls.get(&function).into_iter().flatten();
        let below = calls.map(|callee| self.deepest(*callee)).max();
        self.taken[&function].max(1).next_multiple_of(ROUNDED_TO) + below.unwrap_or(0)
    }
}

/// The function that an instruction calls, if it is a call of one of ours.
fn callee(instructions: &[bpf_insn], at: usize) -> Option<usize> {
    const CALL: u8 = 0x85;
    const OF_OURS: u8 = 1;
    let instruction = instructions[at];
    (instruction.code == CALL && instruction.src_reg() == OF_OURS)
        .then(|| (at + 1).checked_add_signed(instruction.imm as isize))
        .flatten()
}

/// How far below the top of its frame an instruction reaches.
fn reached(instruction: bpf_insn, frames: &mut BTreeSet<u8>) -> usize {
    const LOAD: u8 = 1;
    const STORES: [u8; 2] = [2, 3];
    const OF_64_BITS: u8 = 7;
    const ADD_NUMBER: u8 = 0x07;
    const MOVE: u8 = 0xbf;
    let (to, from) = (instruction.dst_reg(), instruction.src_reg());
    let class = instruction.code & 7;
    let below = |offset: isize| offset.min(0).unsigned_abs();
    if STORES.contains(&class) && frames.contains(&to) {
        return below(instruction.off.into());
    }
    if class == LOAD && frames.contains(&from) {
        return below(instruction.off.into());
    }
    if instruction.code == MOVE && from == FRAME {
        frames.insert(to);
    } else if to != FRAME && !STORES.contains(&class) {
        let was_frame = frames.remove(&to);
        if class == OF_64_BITS && instruction.code == ADD_NUMBER && was_frame {
            return below(instruction.imm as isize);
        }
    }
    0
}

#[test]
fn the_programs_fit_the_stack_of_kernels_before_6_9() {
    assert!(!OBJECT.is_empty(), "the BPF compiler is missing");
    let mut object = Object::parse(OBJECT).unwrap_or_else(|error| panic!("the object: {error}"));
    let sections = object.functions.keys().map(|(section, _)| *section);
    let sections = sections.collect();
    object
        .relocate_calls(&sections)
        .unwrap_or_else(|error| panic!("its calls: {error}"));
    assert!(object.programs.len() >= 3, "{:?}", object.programs.keys());
    for (name, program) in &object.programs {
        let function = &object.functions[&program.function_key()];
        let functions = Functions::of(&function.instructions);
        assert!(functions.taken.len() > 5, "{name} has no functions");
        let deepest = functions.deepest(0);
        assert!(
            (100..=MOST).contains(&deepest),
            "{name} takes {deepest} bytes of stack, of {MOST}"
        );
    }
}
