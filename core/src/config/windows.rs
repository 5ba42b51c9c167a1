//! Windows along one dimension: those of a convolution or of a pool.

use std::ops::Range;

/// Windows of equally spaced numbers that move along a dimension in equal steps, over numbers that fill it up at both
/// ends.
///
/// ```text
/// window o holds the places o stride - padding + i dilation,        i = 0 .. kernel - 1
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Windows {
    /// How many numbers a window has, at least 1.
    pub kernel: usize,
    /// How far each window is from the one before it, at least 1.
    pub stride: usize,
    /// How many numbers are added at either end.
    pub padding: usize,
    /// How far the numbers of a window are from each other, at least 1.
    pub dilation: usize,
    /// Whether windows may end behind the padding, as long as they begin before it.
    pub ceil: bool,
}

impl Windows {
    /// How many places there are from a window's first number to its last, both included.
    pub fn extent(self) -> usize {
        self.kernel.saturating_sub(1).saturating_mul(self.dilation).saturating_add(1)
    }

    /// How many windows there are over this many numbers; `None` where the first one does not fit.
    ///
    /// ```text
    /// (size + 2 padding - extent) / stride + 1        rounded down, or up with `ceil`
    /// ```
    pub fn count(self, size: usize) -> Option<usize> {
        let padded = self.padding.saturating_mul(2).saturating_add(size);
        let steps = padded.checked_sub(self.extent())?;
        let stride = self.stride.max(1);
        if !self.ceil {
            return Some(steps / stride + 1);
        }
        // A window that begins in the padding behind the last number would hold no number at all.
        let begins = (size.saturating_add(self.padding)).saturating_sub(1) / stride;
        Some(steps.div_ceil(stride).min(begins) + 1)
    }

    /// The numbers of window `o` that lie within `size` numbers, by `i`.
    pub fn within(self, o: usize, size: usize) -> Range<usize> {
        let start = o * self.stride;
        let first = self.padding.saturating_sub(start).div_ceil(self.dilation);
        let room = (size + self.padding).saturating_sub(start);
        let end = room.div_ceil(self.dilation).min(self.kernel);
        first.min(end)..end
    }

    /// Those of the first `count` windows whose number `i` lies within `size` numbers.
    pub fn holding(self, i: usize, size: usize, count: usize) -> Range<usize> {
        let offset = i * self.dilation;
        let first = self.padding.saturating_sub(offset).div_ceil(self.stride).min(count);
        let end = (size + self.padding).saturating_sub(offset).div_ceil(self.stride).min(count);
        first..end.max(first)
    }

    /// The place of number `i` of window `o`, which lies within the dimension.
    pub fn place(self, o: usize, i: usize) -> usize {
        o * self.stride + i * self.dilation - self.padding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = (Windows, usize)> {
        let numbers = |n: usize| 0..n;
        numbers(4 * 3 * 3 * 3 * 2 * 8).map(|at| {
            let windows = Windows {
                kernel: at % 4 + 1,
                stride: at / 4 % 3 + 1,
                padding: at / 12 % 3,
                dilation: at / 36 % 3 + 1,
                ceil: at / 108 % 2 == 1,
            };
            (windows, at / 216 + 1)
        })
    }

    #[test]
    fn as_many_as_fit() {
        for (windows, size) in all() {
            let end = size + 2 * windows.padding;
            let begins = |o: &usize| o * windows.stride < size + windows.padding;
            let fits = |o: &usize| o * windows.stride + windows.extent() <= end;
            // With `ceil`, one more than fit, if numbers are left over and it begins before the padding at the end.
            let whole = (0..100).take_while(fits).count();
            let over = whole > 0 && (whole - 1) * windows.stride + windows.extent() < end;
            let more = windows.ceil && over && begins(&whole);
            let cut = if windows.ceil { (0..whole).take_while(begins).count() } else { whole };
            let expected = (whole > 0).then_some(cut + usize::from(more));
            assert_eq!(windows.count(size), expected, "{windows:?} over {size}");
        }
    }

    #[test]
    fn places_within_are_those_of_the_definition() {
        for (windows, size) in all() {
            for o in 0..windows.count(size).unwrap_or(0) {
                let at = |i: usize| {
                    (o * windows.stride + i * windows.dilation).checked_sub(windows.padding)
                };
                let inside = (0..windows.kernel).filter(|i| at(*i).is_some_and(|at| at < size));
                let within = windows.within(o, size);
                assert!(within.clone().eq(inside), "{windows:?} over {size}");
                assert!(within.clone().all(|i| Some(windows.place(o, i)) == at(i)));
                for i in 0..windows.kernel {
                    let holds = windows.holding(i, size, o + 1).contains(&o);
                    assert_eq!(holds, within.contains(&i), "{windows:?} over {size}");
                }
            }
        }
    }
}
