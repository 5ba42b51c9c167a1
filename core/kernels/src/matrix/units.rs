//! The panels of a cell's gates, cut by the cell's units.

use std::marker::PhantomData;

use super::MatrixMut;
use crate::panels::{PanelLayout, width};
use crate::team::DisjointChunks;

/// Panels `[panels, rows, width]` of all gates, cut into those that hold gates of the same units.
#[derive(Debug)]
pub struct UnitBlocks<'a, T, const GATES: usize> {
    start: *mut T,
    /// Numbers from one panel to the next, and numbers of each that the blocks have.
    stride: usize,
    length: usize,
    layout: PanelLayout,
    /// How many units a block has.
    units: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: sharing it hands blocks to other threads, each to one of them, which is to send `&mut [T]`.
unsafe impl<T: Send, const GATES: usize> Sync for UnitBlocks<'_, T, GATES> {}

/// All gates of the same few units, at the same rows of their panels.
#[derive(Debug)]
pub struct UnitBlock<'a, T, const GATES: usize> {
    /// The first number of the first panel, the numbers from one to the next, and how many of each are the block's.
    start: *mut T,
    stride: usize,
    length: usize,
    /// The number of the first panel, and how many panels there are, as many numbers apart.
    first: usize,
    step: usize,
    panels: usize,
    /// How many units of a gate a panel has.
    share: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: it is an exclusive borrow of elements.
unsafe impl<T: Send, const GATES: usize> Send for UnitBlock<'_, T, GATES> {}

impl<'a, T, const GATES: usize> UnitBlocks<'a, T, GATES> {
    /// Blocks of `units` units each: as many as a panel has of each gate, or a panel's width. Each row of `panels` is
    /// some rows of a panel.
    ///
    /// # Panics
    /// When the panels are not those of the layout, or blocks are to have another number of units.
    pub fn new(panels: MatrixMut<'a, T>, layout: PanelLayout, units: usize) -> Self {
        let MatrixMut { start, rows, columns, stride, .. } = panels;
        assert_eq!((rows, layout.gates), (layout.panels::<T>(), GATES), "the panels of all gates");
        assert!(columns.is_multiple_of(width::<T>()), "whole rows of a panel");
        assert!([layout.units_a_panel::<T>(), width::<T>()].contains(&units), "units of panels");
        UnitBlocks { start, stride, length: columns, layout, units, lifetime: PhantomData }
    }
}

// SAFETY: interleaved gates of a unit are in one panel, and a block has neighbouring panels that no other block has;
// otherwise a block has the panel of its number among those of each gate.
unsafe impl<'a, T: Send, const GATES: usize> DisjointChunks for UnitBlocks<'a, T, GATES> {
    type Chunk = UnitBlock<'a, T, GATES>;

    fn count(&self) -> usize {
        self.layout.units().div_ceil(self.units)
    }

    unsafe fn chunk(&self, at: usize) -> UnitBlock<'a, T, GATES> {
        let (all, share) = (self.layout.panels::<T>(), self.layout.units_a_panel::<T>());
        let (first, step, panels) = match self.layout.interleaved() {
            true => {
                let most = self.units / share;
                (at * most, 1, most.min(all - at * most))
            }
            false => (at, all / GATES, GATES),
        };
        // SAFETY: there is such a panel.
        let start = unsafe { self.start.add(first * self.stride) };
        let (stride, length) = (self.stride * step, self.length);
        UnitBlock { start, stride, length, first, step, panels, share, lifetime: PhantomData }
    }
}

impl<T, const GATES: usize> UnitBlock<'_, T, GATES> {
    /// How many panels there are.
    pub fn panels(&self) -> usize {
        self.panels
    }

    /// Which of all panels panel `at` of the block is.
    pub fn panel(&self, at: usize) -> usize {
        self.first + at * self.step
    }

    /// The rows of panel `at` of the block.
    ///
    /// # Panics
    /// When there is no such panel.
    pub fn panel_mut(&mut self, at: usize) -> &mut [T] {
        assert!(at < self.panels, "a panel of the block");
        // SAFETY: the panel is one of the block's, and `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at * self.stride), self.length) }
    }

    /// Each gate of the same units: a column for each unit that a panel has room for. A block of a panel's width has one
    /// or several such `shares`, from `at` 0 on.
    ///
    /// # Panics
    /// When there is no such share.
    #[inline(always)]
    pub fn gates(&mut self, at: usize) -> [MatrixMut<'_, T>; GATES] {
        let (width, rows) = (width::<T>(), self.length / width::<T>());
        let interleaved = self.share * GATES == width;
        assert!(at < if interleaved { self.panels } else { 1 }, "a share of the block");
        std::array::from_fn(|gate| {
            let offset = match interleaved {
                true => at * self.stride + gate * self.share,
                false => gate * self.stride,
            };
            // SAFETY: the panel is one of the block's, and other gates have other panels or columns of it.
            let start = unsafe { self.start.add(offset) };
            MatrixMut { start, rows, columns: self.share, stride: width, lifetime: PhantomData }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::team;

    fn count<const GATES: usize>(units: usize) {
        let layout = PanelLayout { length: units * GATES, gates: GATES };
        let (panels, rows, width) = (layout.panels::<f64>(), 3, width::<f64>());
        for block in [layout.units_a_panel::<f64>(), width] {
            let mut counts = vec![0.0; panels * rows * width];
            let two_rows = MatrixMut::new(&mut counts, rows * width).into_columns(width..3 * width);
            let blocks = UnitBlocks::<f64, GATES>::new(two_rows, layout, block);
            team::for_each_disjoint(blocks, |at, mut block| {
                for panel in 0..block.panels() {
                    let number = block.panel(panel);
                    block.panel_mut(panel).iter_mut().for_each(|x| *x += number as f64);
                }
                let shares = if GATES == 4 { block.panels() } else { 1 };
                for share in 0..shares {
                    for mut gate in block.gates(share) {
                        gate.rows_mut().flatten().for_each(|x| *x += 0.5);
                    }
                }
                assert!(at < units);
            });
            for (at, x) in counts.iter().enumerate() {
                let (panel, row) = (at / (rows * width), at / width % rows);
                let expected = if row == 0 { 0.0 } else { panel as f64 + 0.5 };
                assert_eq!(*x, expected, "{units} units, {GATES} gates, panel {panel}");
            }
        }
    }

    #[test]
    fn every_panel_belongs_to_one_block() {
        for units in [1, 8, 9, 32, 33, 100] {
            count::<1>(units);
            count::<2>(units);
            count::<3>(units);
            count::<4>(units);
        }
    }
}
