//! The hash that features are known by. It is part of the model's format: the same on every machine, for ever.

const LEFT: u64 = 0x9e37_79b9_7f4a_7c15;
const RIGHT: u64 = 0xd1b5_4a32_d192_ed03;

/// Combines two values by a folded multiplication; the order matters.
#[inline(always)]
pub fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ LEFT) * u128::from(b.rotate_left(23) ^ RIGHT);
    (product as u64) ^ ((product >> 64) as u64)
}

/// A hash of characters, fed one at a time.
#[derive(Debug, Clone, Copy)]
pub struct Chars(u64);

impl Chars {
    /// Of no characters.
    pub const EMPTY: Chars = Chars(LEFT);

    /// Adds one. Cheap on purpose: [`Chars::value`] does the mixing.
    #[inline(always)]
    pub fn push(&mut self, c: char) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(c as u32)).wrapping_mul(RIGHT);
    }

    /// The hash of what was pushed.
    #[inline(always)]
    pub fn value(self) -> u64 {
        mix(self.0, LEFT)
    }
}
