//! Maps of pictures in square tiles, some tiles of some maps for each thread.
//!
//! Tiles are numbered along rows, from the first picture to the last. Neighbours in number need not be neighbours in a
//! picture, so that no split of a matrix into blocks gives a thread some of them.

use std::marker::PhantomData;
use std::ops::Range;

use crate::team::DisjointChunks;

/// How tiles cover maps of one size. Those at the lower and right edges may go beyond the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileGrid {
    side: usize,
    height: usize,
    width: usize,
    /// Tiles of a map, from top to bottom and along a row.
    down: usize,
    across: usize,
    count: usize,
}

impl TileGrid {
    /// Tiles of `side` by `side` pixels for a map of so many pixels in each of the pictures.
    ///
    /// # Panics
    /// When `side` is 0.
    pub fn new(side: usize, height: usize, width: usize, pictures: usize) -> Self {
        let (down, across) = (height.div_ceil(side), width.div_ceil(side));
        TileGrid { side, height, width, down, across, count: pictures * down * across }
    }

    /// The tiles of all pictures.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Some tiles as runs of neighbours.
    #[inline(always)]
    pub fn runs(self, tiles: Range<usize>) -> Runs {
        let end = tiles.end.min(self.count);
        Runs { grid: self, first: tiles.start, next: tiles.start, end }
    }
}

/// Tiles that lie side by side in a picture.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    grid: TileGrid,
    /// The number of the first tile, and the same as its place.
    first: usize,
    picture: usize,
    down: usize,
    across: usize,
    length: usize,
    at: usize,
}

impl Run {
    /// The picture.
    pub fn picture(&self) -> usize {
        self.picture
    }

    /// The row of tiles.
    pub fn down(&self) -> usize {
        self.down
    }

    /// The first tile in its row.
    pub fn across(&self) -> usize {
        self.across
    }

    /// How many tiles there are.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Where among the tiles that were asked for the run begins.
    pub fn at(&self) -> usize {
        self.at
    }
}

/// Runs of neighbours, one after the other.
#[derive(Debug, Clone)]
pub struct Runs {
    grid: TileGrid,
    first: usize,
    next: usize,
    end: usize,
}

impl Iterator for Runs {
    type Item = Run;

    #[inline(always)]
    fn next(&mut self) -> Option<Run> {
        if self.next >= self.end {
            return None;
        }
        let (grid, first) = (self.grid, self.next);
        let (row, across) = (first / grid.across, first % grid.across);
        let length = (grid.across - across).min(self.end - first);
        let (picture, down) = (row / grid.down, row % grid.down);
        self.next += length;
        Some(Run { grid, first, picture, down, across, length, at: first - self.first })
    }
}

/// Maps `[pictures, maps, height, width]`, cut by tiles and by maps.
#[derive(Debug)]
pub struct TiledMaps<'a, T> {
    start: *mut T,
    /// Maps of a picture.
    maps: usize,
    grid: TileGrid,
    /// The tiles that are cut, and how many of them and of the maps a block has.
    tiles: Range<usize>,
    tiles_a_block: usize,
    maps_a_block: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: sharing it hands blocks to other threads, each to one of them, which is to send `&mut [T]`.
unsafe impl<T: Send> Sync for TiledMaps<'_, T> {}

impl<'a, T> TiledMaps<'a, T> {
    /// All tiles of all maps in one block.
    ///
    /// # Panics
    /// When there are other than `maps` maps for each picture of the grid.
    pub fn new(pixels: &'a mut [T], maps: usize, grid: TileGrid) -> Self {
        let TileGrid { height, width, down, across, count, .. } = grid;
        let pictures = count.checked_div(down * across).unwrap_or(0);
        assert_eq!(pixels.len(), pictures * maps * height * width, "maps of the grid's pictures");
        TiledMaps {
            start: pixels.as_mut_ptr(),
            maps,
            grid,
            tiles: 0..count,
            tiles_a_block: count.max(1),
            maps_a_block: maps.max(1),
            lifetime: PhantomData,
        }
    }

    /// Blocks of at most so many of the tiles `tiles`, and so many maps: all blocks of the first maps come before those of
    /// the next.
    ///
    /// # Panics
    /// When there are no such tiles, and when blocks are to have none or no maps.
    pub fn cut(self, tiles: Range<usize>, tiles_a_block: usize, maps_a_block: usize) -> Self {
        assert!(tiles.start <= tiles.end && tiles.end <= self.grid.count, "tiles of the grid");
        assert!(tiles_a_block > 0 && maps_a_block > 0, "blocks of at least one tile and map");
        TiledMaps { tiles, tiles_a_block, maps_a_block, ..self }
    }
}

/// Some tiles of some maps.
#[derive(Debug)]
pub struct TileBlock<'a, T> {
    start: *mut T,
    all_maps: usize,
    grid: TileGrid,
    maps: Range<usize>,
    tiles: Range<usize>,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: it is an exclusive borrow of pixels.
unsafe impl<T: Send> Send for TileBlock<'_, T> {}

// SAFETY: a number stands for some tiles and some maps; blocks that differ in one of these have no pixel in common, for a
// pixel is in one tile of one map.
unsafe impl<'a, T: Send> DisjointChunks for TiledMaps<'a, T> {
    type Chunk = TileBlock<'a, T>;

    fn count(&self) -> usize {
        self.tiles.len().div_ceil(self.tiles_a_block) * self.maps.div_ceil(self.maps_a_block)
    }

    unsafe fn chunk(&self, at: usize) -> TileBlock<'a, T> {
        let strips = self.tiles.len().div_ceil(self.tiles_a_block);
        let tile = self.tiles.start + at % strips * self.tiles_a_block;
        let map = at / strips * self.maps_a_block;
        TileBlock {
            start: self.start,
            all_maps: self.maps,
            grid: self.grid,
            maps: map..self.maps.min(map + self.maps_a_block),
            tiles: tile..self.tiles.end.min(tile + self.tiles_a_block),
            lifetime: PhantomData,
        }
    }
}

impl<T> TileBlock<'_, T> {
    /// The maps of every picture that the block has a part of.
    pub fn maps(&self) -> Range<usize> {
        self.maps.clone()
    }

    /// The tiles.
    pub fn tiles(&self) -> Range<usize> {
        self.tiles.clone()
    }

    /// The pixels of a map in row `row` of some tiles; `None` below the map's edge.
    ///
    /// # Panics
    /// When the block does not have the map or the tiles.
    #[inline(always)]
    pub fn row_mut(&mut self, map: usize, run: Run, row: usize) -> Option<&mut [T]> {
        let TileGrid { side, height, width, .. } = self.grid;
        assert!(self.maps.contains(&map), "a map of the block");
        let within = self.tiles.start <= run.first && run.first + run.length <= self.tiles.end;
        assert!(within && run.grid == self.grid, "tiles of the block");
        assert!(row < side, "a row of the tiles");
        let (y, x) = (side * run.down + row, side * run.across);
        if y >= height {
            return None;
        }
        let length = (side * run.length).min(width - x);
        let start = ((run.picture * self.all_maps + map) * height + y) * width + x;
        // SAFETY: these are pixels of tiles and of a map that are exclusively this block's: the run's place is that of its
        // first tile, as its grid is this one.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start.add(start), length) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::team;

    #[test]
    fn every_pixel_is_in_one_block() {
        for (side, height, width, pictures, maps) in
            [(4, 8, 8, 1, 1), (4, 9, 13, 3, 5), (2, 5, 3, 2, 7), (3, 1, 1, 1, 2)]
        {
            let grid = TileGrid::new(side, height, width, pictures);
            let mut pixels = vec![0; pictures * maps * height * width];
            let tiles = TiledMaps::new(&mut pixels, maps, grid).cut(0..grid.count(), 5, 2);
            team::for_each_disjoint(tiles, |_, mut block| {
                for run in grid.runs(block.tiles()) {
                    for (map, row) in
                        block.maps().flat_map(|map| (0..side).map(move |row| (map, row)))
                    {
                        if let Some(pixels) = block.row_mut(map, run, row) {
                            pixels.iter_mut().for_each(|count| *count += 1);
                        }
                    }
                }
            });
            assert!(pixels.iter().all(|count| *count == 1), "{grid:?}");
        }
    }

    #[test]
    fn runs_say_where_they_are() {
        let grid = TileGrid::new(2, 5, 7, 2);
        let places = grid
            .runs(2..17)
            .map(|run| (run.picture(), run.down(), run.across(), run.length(), run.at()));
        let expected =
            [(0, 0, 2, 2, 0), (0, 1, 0, 4, 2), (0, 2, 0, 4, 6), (1, 0, 0, 4, 10), (1, 1, 0, 1, 14)];
        assert_eq!(places.collect::<Vec<_>>(), expected);
    }

    #[test]
    #[should_panic(expected = "tiles of the block")]
    fn tiles_of_others_are_refused() {
        let grid = TileGrid::new(2, 4, 4, 1);
        let mut pixels = [0; 16];
        let tiles = TiledMaps::new(&mut pixels, 1, grid).cut(0..4, 1, 1);
        team::for_each_disjoint(tiles, |_, mut block| {
            grid.runs(0..4).for_each(|run| _ = block.row_mut(0, run, 0));
        });
    }
}
