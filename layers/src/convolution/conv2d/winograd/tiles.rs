//! How tiles cover pictures.

use super::TILE;
use crate::convolution::conv2d::geometry::Geometry;

/// How tiles cover the pictures.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    down: usize,
    across: usize,
    /// Of all pictures.
    pub(super) count: usize,
}

impl Tiles {
    pub(super) fn of(geometry: &Geometry, pictures: usize) -> Self {
        let (down, across) =
            (geometry.output.height.div_ceil(TILE), geometry.output.width.div_ceil(TILE));
        Tiles { down, across, count: pictures * down * across }
    }

    /// So many tiles as runs of neighbours.
    #[inline(always)]
    pub(super) fn runs(self, first: usize, count: usize) -> Runs {
        Runs { tiles: self, next: first, end: (first + count).min(self.count), first }
    }
}

/// Tiles that lie side by side.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) picture: usize,
    /// The row of tiles, and the first tile in it.
    pub(super) down: usize,
    pub(super) across: usize,
    pub(super) length: usize,
    /// Where in the line of tiles it begins.
    pub(super) at: usize,
}

pub(super) struct Runs {
    tiles: Tiles,
    next: usize,
    end: usize,
    first: usize,
}

impl Iterator for Runs {
    type Item = Run;

    #[inline(always)]
    fn next(&mut self) -> Option<Run> {
        if self.next >= self.end {
            return None;
        }
        let (row, across) = (self.next / self.tiles.across, self.next % self.tiles.across);
        let length = (self.tiles.across - across).min(self.end - self.next);
        let (picture, down) = (row / self.tiles.down, row % self.tiles.down);
        let at = self.next - self.first;
        self.next += length;
        Some(Run { picture, down, across, length, at })
    }
}
