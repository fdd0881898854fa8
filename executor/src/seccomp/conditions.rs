//! Conditions on the arguments of a call, which have 64 bits where the program's words have 32.

use super::program::{and, jump_at_least, jump_equal, jump_greater, load};

/// Where the argument `index` begins in `struct seccomp_data`; its low half comes first on the machines that we know.
const OFFSET_ARGUMENTS: u32 = 16;

/// What must be true of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) comparison: Comparison,
    pub(super) value: u64,
}

/// How an argument is compared with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    /// The bits of the mask are those of the value.
    MaskedEqual {
        mask: u64,
    },
}

impl Condition {
    /// Instructions that go on behind themselves when the condition holds, and `fail` instructions further when not.
    pub(super) fn compile(&self, fail: u8) -> Vec<u64> {
        let low = OFFSET_ARGUMENTS + 8 * self.index;
        let (high_value, low_value) = ((self.value >> 32) as u32, self.value as u32);
        let (high, low) = (load(low + 4), load(low));
        // The jumps count instructions behind them: `fail` is counted from the end of the block.
        match self.comparison {
            Comparison::Equal => {
                vec![high, jump_equal(high_value, 0, fail + 2), low, jump_equal(low_value, 0, fail)]
            }
            Comparison::NotEqual => {
                vec![high, jump_equal(high_value, 0, 2), low, jump_equal(low_value, fail, 0)]
            }
            Comparison::MaskedEqual { mask } => vec![
                high,
                and((mask >> 32) as u32),
                jump_equal(high_value, 0, fail + 3),
                low,
                and(mask as u32),
                jump_equal(low_value, 0, fail),
            ],
            Comparison::Greater => vec![
                high,
                jump_greater(high_value, 3, 0),
                jump_equal(high_value, 0, fail + 2),
                low,
                jump_greater(low_value, 0, fail),
            ],
            Comparison::AtLeast => vec![
                high,
                jump_greater(high_value, 3, 0),
                jump_equal(high_value, 0, fail + 2),
                low,
                jump_at_least(low_value, 0, fail),
            ],
            Comparison::Less => vec![
                high,
                jump_greater(high_value, fail + 3, 0),
                jump_equal(high_value, 0, 2),
                low,
                jump_at_least(low_value, fail, 0),
            ],
            Comparison::AtMost => vec![
                high,
                jump_greater(high_value, fail + 3, 0),
                jump_equal(high_value, 0, 2),
                low,
                jump_greater(low_value, fail, 0),
            ],
        }
    }
}
