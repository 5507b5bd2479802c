//! Little-endian fields, read without trust: every function answers nothing when the bytes run out. Used by the log and
//! by the wire.

/// Bytes still to be read.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(bytes)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of things of at least `each` bytes, refused if there can't be so many.
    pub(crate) fn count(&mut self, each: usize) -> Option<usize> {
        let count = self.u32()? as usize;
        (count.checked_mul(each)? <= self.0.len()).then_some(count)
    }

    /// UTF-8 text of `count` bytes.
    pub(crate) fn text(&mut self, count: usize) -> Option<String> {
        String::from_utf8(self.bytes(count)?.to_vec()).ok()
    }

    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    /// Nothing but success if everything was read.
    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Fields, written.
pub(crate) trait Output {
    fn bytes(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// A length or a count. Every caller has checked it against a limit far below 4 Gi.
    fn length(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX));
    }
}

impl Output for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_back_and_nothing_is_read_past_the_end() {
        let mut out = Vec::new();
        out.u8(1);
        out.u16(2);
        out.u32(3);
        out.u64(4);
        out.length(1);
        out.bytes(b"x");
        let mut input = Input::new(&out);
        assert_eq!((input.u8(), input.u16(), input.u32(), input.u64()), (Some(1), Some(2), Some(3), Some(4)));
        assert_eq!(input.count(1), Some(1));
        assert_eq!(input.text(1).as_deref(), Some("x"));
        assert_eq!((input.end(), input.u8()), (Some(()), None));
    }

    #[test]
    fn a_count_that_can_not_be_true_is_refused() {
        assert_eq!(Input::new(&u32::MAX.to_le_bytes()).count(1), None);
    }
}
