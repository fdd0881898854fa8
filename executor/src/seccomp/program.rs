//! Compiles rules per system call to a BPF program that finds its rule by binary search.
//!
//! The kernel runs the program for each call whose answer depends on arguments, and once for every number when the
//! filter is installed. A list of comparisons would take hundreds of instructions each time; a tree takes ten.

use std::collections::BTreeMap;

use super::conditions::Condition;

/// Value of `seccomp_data.arch` for native calls (`AUDIT_ARCH_X86_64`, `AUDIT_ARCH_AARCH64`).
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

/// Calls of the x32 ABI have this bit set in their number.
#[cfg(target_arch = "x86_64")]
const FOREIGN_NUMBERS: u32 = 0x4000_0000;
#[cfg(target_arch = "aarch64")]
const FOREIGN_NUMBERS: u32 = u32::MAX;

/// Offsets in `struct seccomp_data`.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Allow,
    Refuse(i32),
    /// Allowed, and written to the kernel's log.
    Log,
    /// SIGSYS, which a process may handle.
    Trap,
    KillThread,
    KillProcess,
    /// It waits for whoever has the listener of the filter.
    Ask,
}

impl Answer {
    fn value(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Refuse(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
            Self::Log => libc::SECCOMP_RET_LOG,
            Self::Trap => libc::SECCOMP_RET_TRAP,
            Self::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Self::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
            Self::Ask => libc::SECCOMP_RET_USER_NOTIF,
        }
    }
}

/// What happens to all calls of one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    Always(Answer),
    /// `listed` if the low 32 bits of the argument, masked, are one of the values; `otherwise` if not. The kernel itself
    /// looks at no more than 32 bits of the arguments that are compared.
    Argument {
        index: u32,
        mask: u32,
        values: Vec<u32>,
        listed: Answer,
        otherwise: Answer,
    },
    /// That of the first clause which holds.
    Clauses {
        clauses: Vec<Clause>,
        otherwise: Answer,
    },
}

/// An answer, and what must be true of the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    /// All of them hold; none always holds. On different arguments, so at most six.
    pub(super) conditions: Vec<Condition>,
    pub(super) answer: Answer,
}

impl Clause {
    /// Ends in the answer, or behind itself when it does not hold.
    fn compile(&self) -> Vec<u64> {
        let mut block = vec![answer(self.answer)];
        for condition in self.conditions.iter().rev() {
            let fail = u8::try_from(block.len()).expect("six conditions are short");
            block.splice(0..0, condition.compile(fail));
        }
        block
    }
}

/// The program, one instruction per word as [`crate::sys::install_filter`] takes it.
///
/// Numbers without a rule up to `known_max` get `unlisted`, higher ones `unknown`, calls of another ABI `foreign`.
pub(super) fn compile(
    rules: &BTreeMap<u32, Rule>,
    known_max: u32,
    unlisted: Answer,
    unknown: Answer,
    foreign: Answer,
) -> Vec<u64> {
    let mut program = vec![load(OFFSET_ARCH), jump_equal(ARCH, 1, 0), answer(foreign), load(OFFSET_NUMBER)];
    program.extend([jump_at_least(FOREIGN_NUMBERS, 0, 1), answer(foreign)]);
    program.extend(search(&segments(rules, known_max, unlisted, unknown)));
    program
}

/// Ranges of numbers with the same rule, by their first number. The first one is 0.
fn segments(
    rules: &BTreeMap<u32, Rule>,
    known_max: u32,
    unlisted: Answer,
    unknown: Answer,
) -> Vec<(u32, Rule)> {
    let mut segments: Vec<(u32, Rule)> = Vec::new();
    for number in 0..=known_max {
        let rule = rules.get(&number).cloned().unwrap_or(Rule::Always(unlisted));
        if segments.last().is_none_or(|(_, last)| *last != rule) {
            segments.push((number, rule));
        }
    }
    segments.push((known_max + 1, Rule::Always(unknown)));
    segments
}

fn search(segments: &[(u32, Rule)]) -> Vec<u64> {
    if let [(_, rule)] = segments {
        return decide(rule);
    }
    let (low, high) = segments.split_at(segments.len() / 2);
    let (first, _) = high[0];
    let (low, high) = (search(low), search(high));
    let mut block = match u8::try_from(low.len()) {
        Ok(skip) => vec![jump_at_least(first, skip, 0)],
        Err(_) => vec![jump_at_least(first, 0, 1), jump(low.len())],
    };
    block.extend(low);
    block.extend(high);
    block
}

fn decide(rule: &Rule) -> Vec<u64> {
    match rule {
        Rule::Always(result) => vec![answer(*result)],
        Rule::Argument { index, mask, values, listed, otherwise } => {
            let mut block = vec![load(OFFSET_ARGUMENTS + 8 * index), and(*mask)];
            for (position, value) in values.iter().enumerate() {
                let rest = values.len() - position;
                block.push(jump_equal(*value, u8::try_from(rest).expect("rules have few values"), 0));
            }
            block.extend([answer(*otherwise), answer(*listed)]);
            block
        }
        Rule::Clauses { clauses, otherwise } => {
            let mut block: Vec<u64> = clauses.iter().flat_map(Clause::compile).collect();
            block.push(answer(*otherwise));
            block
        }
    }
}

fn instruction(code: u32, if_true: u8, if_false: u8, operand: u32) -> u64 {
    u64::from(code) | u64::from(if_true) << 16 | u64::from(if_false) << 24 | u64::from(operand) << 32
}

pub(super) fn load(offset: u32) -> u64 {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

pub(super) fn and(mask: u32) -> u64 {
    instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, mask)
}

pub(super) fn jump_equal(value: u32, if_true: u8, if_false: u8) -> u64 {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, if_true, if_false, value)
}

pub(super) fn jump_at_least(value: u32, if_true: u8, if_false: u8) -> u64 {
    instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, if_true, if_false, value)
}

pub(super) fn jump_greater(value: u32, if_true: u8, if_false: u8) -> u64 {
    instruction(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, if_true, if_false, value)
}

fn jump(skip: usize) -> u64 {
    instruction(libc::BPF_JMP | libc::BPF_JA, 0, 0, u32::try_from(skip).expect("a program is short"))
}

fn answer(result: Answer) -> u64 {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, result.value())
}

#[cfg(test)]
mod tests {
    use super::super::conditions::Comparison;
    use super::*;

    const EPERM: Answer = Answer::Refuse(libc::EPERM);
    const ENOSYS: Answer = Answer::Refuse(libc::ENOSYS);

    /// Runs a program on one call, as the kernel would.
    fn run(program: &[u64], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_le_bytes());
        data.extend(arch.to_le_bytes());
        data.extend(0u64.to_le_bytes());
        arguments.iter().for_each(|argument| data.extend(argument.to_le_bytes()));
        let (mut at, mut accumulator) = (0, 0u32);
        loop {
            let word = program[at];
            let (code, operand) = (word as u16, (word >> 32) as u32);
            let (if_true, if_false) = ((word >> 16) as u8 as usize, (word >> 24) as u8 as usize);
            at += 1;
            match code {
                0x20 => {
                    let offset = operand as usize;
                    accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
                }
                0x54 => accumulator &= operand,
                0x15 => at += if accumulator == operand { if_true } else { if_false },
                0x35 => at += if accumulator >= operand { if_true } else { if_false },
                0x25 => at += if accumulator > operand { if_true } else { if_false },
                0x05 => at += operand as usize,
                0x06 => return operand,
                other => panic!("unknown code {other:#x}"),
            }
        }
    }

    fn every_third(known_max: u32) -> BTreeMap<u32, Rule> {
        (0..=known_max).step_by(3).map(|number| (number, Rule::Always(Answer::Allow))).collect()
    }

    #[test]
    fn every_number_gets_its_own_answer() {
        // Enough segments that jumps over 255 instructions are needed.
        let known_max = 900;
        let program = compile(&every_third(known_max), known_max, EPERM, ENOSYS, EPERM);
        for number in 0..=known_max {
            let expected = if number % 3 == 0 { Answer::Allow } else { EPERM };
            assert_eq!(run(&program, ARCH, number, [0; 6]), expected.value(), "number {number}");
        }
        assert_eq!(run(&program, ARCH, known_max + 1, [0; 6]), ENOSYS.value());
        assert_eq!(run(&program, ARCH, u32::MAX >> 2, [0; 6]), ENOSYS.value());
    }

    #[test]
    fn another_abi_is_foreign() {
        let program = compile(&every_third(9), 9, EPERM, ENOSYS, EPERM);
        assert_eq!(run(&program, 0x4000_0003, 3, [0; 6]), EPERM.value());
        assert_eq!(run(&program, ARCH, FOREIGN_NUMBERS, [0; 6]), EPERM.value());
    }

    #[test]
    fn all_64_bits_of_an_argument_are_compared() {
        type Holds = fn(u64, u64) -> bool;
        let comparisons: [(Comparison, Holds); 7] = [
            (Comparison::Equal, |argument, value| argument == value),
            (Comparison::NotEqual, |argument, value| argument != value),
            (Comparison::Less, |argument, value| argument < value),
            (Comparison::AtMost, |argument, value| argument <= value),
            (Comparison::Greater, |argument, value| argument > value),
            (Comparison::AtLeast, |argument, value| argument >= value),
            (Comparison::MaskedEqual { mask: 0xf0_0000_00f0 }, |argument, value| {
                argument & 0xf0_0000_00f0 == value
            }),
        ];
        let numbers =
            [0, 1, 0x10, 0xffff_ffff, 1 << 32, (1 << 32) + 1, 0x10_0000_0010, 0x2f_0000_0010, u64::MAX];
        for (comparison, holds) in comparisons {
            for value in numbers {
                let one = Condition { index: 2, comparison, value };
                let other = Condition { index: 0, comparison: Comparison::NotEqual, value: 7 };
                let clauses = vec![
                    Clause { conditions: vec![one, other], answer: Answer::Allow },
                    Clause { conditions: Vec::new(), answer: ENOSYS },
                ];
                let rule = Rule::Clauses { clauses, otherwise: EPERM };
                let program = compile(&BTreeMap::from([(5, rule)]), 9, EPERM, ENOSYS, EPERM);
                for argument in numbers {
                    let expected = if holds(argument, value) { Answer::Allow } else { ENOSYS };
                    let found = run(&program, ARCH, 5, [0, 0, argument, 0, 0, 0]);
                    assert_eq!(found, expected.value(), "{comparison:?}: {argument:#x} and {value:#x}");
                    assert_eq!(run(&program, ARCH, 5, [7, 0, argument, 0, 0, 0]), ENOSYS.value());
                }
            }
        }
    }

    #[test]
    fn arguments_decide() {
        let rule = Rule::Argument {
            index: 1,
            mask: 0xff,
            values: vec![2, 7],
            listed: Answer::Allow,
            otherwise: EPERM,
        };
        let program = compile(&BTreeMap::from([(5, rule)]), 9, EPERM, ENOSYS, EPERM);
        let ask = |argument| run(&program, ARCH, 5, [0, argument, 0, 0, 0, 0]);
        assert_eq!(ask(2), Answer::Allow.value());
        assert_eq!(ask(7), Answer::Allow.value());
        assert_eq!(ask(0x102), Answer::Allow.value());
        assert_eq!(ask(3), EPERM.value());
        // The kernel ignores what is above 32 bits in these arguments, and so do we.
        assert_eq!(ask(0xffff_ffff_0000_0002), Answer::Allow.value());
    }
}
