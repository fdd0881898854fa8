//! Random numbers that a seed repeats.

use std::time::Duration;

/// The generator of Steele, Lea and Flood, SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    /// An instant within `time`.
    pub(crate) fn within(&mut self, time: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }

    /// One of several.
    pub(crate) fn one_of<'a, T>(&mut self, several: &'a [T]) -> &'a T {
        &several[usize::try_from(self.below(several.len() as u64)).unwrap_or(0)]
    }

    /// Sixteen random bytes as the kernel writes a boot id.
    pub(crate) fn boot_id(&mut self) -> String {
        let mut part = |end| self.below(end);
        let (a, b, c) = (part(1 << 32), part(1 << 16), part(1 << 16));
        format!("{a:08x}-{b:04x}-4{:03x}-8{:03x}-{c:012x}\n", a & 0xfff, b & 0xfff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats() {
        let numbers = || {
            let mut random = Random::new(5);
            (0..100).map(|_| random.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(), numbers());
        assert!((0..10).all(|number| numbers().contains(&number)));
        assert_eq!(Random::new(1).boot_id().len(), 37);
    }
}
