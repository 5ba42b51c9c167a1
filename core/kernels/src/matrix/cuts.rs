//! Matrices that are cut into blocks, for threads to have one each.

use std::marker::PhantomData;
use std::ops::Range;

use super::{MatrixMut, block_start};
use crate::panels::PanelLayout;
use crate::team::DisjointChunks;

/// Elements that the blocks of a cut are parts of.
#[derive(Debug)]
struct Whole<'a, T> {
    start: *mut T,
    rows: usize,
    columns: usize,
    stride: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: sharing it hands blocks to other threads, each to one of them, which is to send `&mut [T]`.
unsafe impl<T: Send> Sync for Whole<'_, T> {}

impl<'a, T> Whole<'a, T> {
    fn new(MatrixMut { start, rows, columns, stride, lifetime }: MatrixMut<'a, T>) -> Self {
        Whole { start, rows, columns, stride, lifetime }
    }

    /// Some columns of some rows.
    ///
    /// # Safety
    /// As long as the view lives, nobody else has a view with any of these elements.
    unsafe fn block(&self, rows: Range<usize>, columns: Range<usize>) -> MatrixMut<'a, T> {
        let offset = block_start((self.rows, self.columns, self.stride), &rows, &columns);
        MatrixMut {
            // SAFETY: the block's first element is one of the matrix's, or the offset is 0.
            start: unsafe { self.start.add(offset) },
            rows: rows.len(),
            columns: columns.len(),
            stride: self.stride,
            lifetime: PhantomData,
        }
    }
}

/// Part `at` of a length that is cut into parts of `part`, the last of which may be shorter.
#[inline(always)]
fn part(at: usize, part: usize, length: usize) -> Range<usize> {
    let first = at * part;
    first..length.min(first + part)
}

/// Blocks of columns of all rows.
#[derive(Debug)]
pub struct ColumnBlocks<'a, T> {
    whole: Whole<'a, T>,
    width: usize,
}

impl<'a, T> ColumnBlocks<'a, T> {
    pub(super) fn new(matrix: MatrixMut<'a, T>, width: usize) -> Self {
        assert!(width > 0, "blocks of at least one column");
        ColumnBlocks { whole: Whole::new(matrix), width }
    }
}

// SAFETY: the columns of a block begin where those of the block before it end.
unsafe impl<'a, T: Send> DisjointChunks for ColumnBlocks<'a, T> {
    type Chunk = MatrixMut<'a, T>;

    fn count(&self) -> usize {
        self.whole.columns.div_ceil(self.width)
    }

    unsafe fn chunk(&self, at: usize) -> MatrixMut<'a, T> {
        let columns = part(at, self.width, self.whole.columns);
        // SAFETY: other blocks have other columns.
        unsafe { self.whole.block(0..self.whole.rows, columns) }
    }
}

/// Blocks of rows.
#[derive(Debug)]
pub struct RowBlocks<'a, T> {
    whole: Whole<'a, T>,
    height: usize,
}

impl<'a, T> RowBlocks<'a, T> {
    pub(super) fn new(matrix: MatrixMut<'a, T>, height: usize) -> Self {
        assert!(height > 0, "blocks of at least one row");
        RowBlocks { whole: Whole::new(matrix), height }
    }
}

// SAFETY: the rows of a block begin where those of the block before it end.
unsafe impl<'a, T: Send> DisjointChunks for RowBlocks<'a, T> {
    type Chunk = MatrixMut<'a, T>;

    fn count(&self) -> usize {
        self.whole.rows.div_ceil(self.height)
    }

    unsafe fn chunk(&self, at: usize) -> MatrixMut<'a, T> {
        let rows = part(at, self.height, self.whole.rows);
        // SAFETY: other blocks have other rows.
        unsafe { self.whole.block(rows, 0..self.whole.columns) }
    }
}

/// Tiles of some rows by some columns.
///
/// The rows may come in *bands*, such as the maps of a picture: a tile has rows of one band only.
#[derive(Debug)]
pub struct Tiles<'a, T> {
    whole: Whole<'a, T>,
    height: usize,
    width: usize,
    band: usize,
    columns_first: bool,
}

/// A tile, and where it is in the matrix.
#[derive(Debug)]
pub struct Tile<'a, T> {
    /// Its rows of the matrix.
    pub rows: Range<usize>,
    /// Its columns of the matrix.
    pub columns: Range<usize>,
    /// Its elements.
    pub view: MatrixMut<'a, T>,
}

impl<'a, T> Tiles<'a, T> {
    pub(super) fn new(matrix: MatrixMut<'a, T>, height: usize, width: usize) -> Self {
        assert!(height > 0 && width > 0, "tiles of at least one row and column");
        let band = matrix.rows.max(1);
        Tiles { whole: Whole::new(matrix), height, width, band, columns_first: false }
    }

    /// The same tiles, of bands of `band` rows: those of the first band come before those of the next.
    ///
    /// # Panics
    /// When bands are to have no rows, and when the rows are not those of whole bands.
    pub fn in_bands(self, band: usize) -> Self {
        assert!(band > 0 && self.whole.rows.is_multiple_of(band), "whole bands of rows");
        Tiles { band, ..self }
    }

    /// The same tiles, of which neighbours in number are neighbours along a row.
    pub fn columns_first(self) -> Self {
        Tiles { columns_first: true, ..self }
    }

    /// How many tiles a band has: from its first row to its last, and along a row.
    fn tiles_of_band(&self) -> (usize, usize) {
        (self.band.div_ceil(self.height), self.whole.columns.div_ceil(self.width))
    }
}

// SAFETY: a number stands for one band, and for one tile down and one across in it; tiles that differ in one of these have
// different rows or columns.
unsafe impl<'a, T: Send> DisjointChunks for Tiles<'a, T> {
    type Chunk = Tile<'a, T>;

    fn count(&self) -> usize {
        let (down, across) = self.tiles_of_band();
        self.whole.rows / self.band * down * across
    }

    unsafe fn chunk(&self, at: usize) -> Tile<'a, T> {
        let (down, across) = self.tiles_of_band();
        let (band, at) = (at / (down * across), at % (down * across));
        let (i, j) = match self.columns_first {
            true => (at / across, at % across),
            false => (at % down, at / down),
        };
        let (first, in_band) = (band * self.band, part(i, self.height, self.band));
        let rows = first + in_band.start..first + in_band.end;
        let columns = part(j, self.width, self.whole.columns);
        // SAFETY: other tiles have other rows or columns.
        let view = unsafe { self.whole.block(rows.clone(), columns.clone()) };
        Tile { rows, columns, view }
    }
}

/// The columns that belong to each panel of a layout, in tiles of some rows.
#[derive(Debug)]
pub struct PanelBlocks<'a, T> {
    whole: Whole<'a, T>,
    layout: PanelLayout,
    height: usize,
}

/// Neighbouring columns of a matrix that belong to a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where they begin in a row of the panel.
    pub place: usize,
    /// Where they begin in a row of the matrix.
    pub column: usize,
    /// How many columns there are.
    pub length: usize,
}

/// The columns of a matrix that belong to one panel, of some rows.
#[derive(Debug)]
pub struct PanelBlock<'a, T> {
    /// The first of the rows, all columns of which lie in one allocation. Those of `pieces` are exclusively this block's.
    start: *mut T,
    stride: usize,
    panel: usize,
    rows: Range<usize>,
    pieces: [Piece; 4],
    count: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: it is an exclusive borrow of elements.
unsafe impl<T: Send> Send for PanelBlock<'_, T> {}

impl<'a, T> PanelBlocks<'a, T> {
    pub(super) fn new(matrix: MatrixMut<'a, T>, layout: PanelLayout, height: usize) -> Self {
        assert!(height > 0, "blocks of at least one row");
        assert_eq!(matrix.columns, layout.length, "the layout of the matrix's rows");
        PanelBlocks { whole: Whole::new(matrix), layout, height }
    }
}

// SAFETY: a number stands for one panel and some rows, and no column of a layout belongs to two panels.
unsafe impl<'a, T: Send> DisjointChunks for PanelBlocks<'a, T> {
    type Chunk = PanelBlock<'a, T>;

    fn count(&self) -> usize {
        self.whole.rows.div_ceil(self.height) * self.layout.panels::<T>()
    }

    unsafe fn chunk(&self, at: usize) -> PanelBlock<'a, T> {
        let down = self.whole.rows.div_ceil(self.height);
        let (panel, rows) = (at / down, part(at % down, self.height, self.whole.rows));
        let mut pieces = [Piece { place: 0, column: 0, length: 0 }; 4];
        let mut count = 0;
        for (to, (place, column, length)) in pieces.iter_mut().zip(self.layout.pieces::<T>(panel)) {
            assert!(column + length <= self.whole.columns, "columns of the matrix");
            *to = Piece { place, column, length };
            count += 1;
        }
        // SAFETY: there is such a row.
        let start = unsafe { self.whole.start.add(rows.start * self.whole.stride) };
        let stride = self.whole.stride;
        PanelBlock { start, stride, panel, rows, pieces, count, lifetime: PhantomData }
    }
}

impl<T> PanelBlock<'_, T> {
    /// The panel that the columns belong to.
    pub fn panel(&self) -> usize {
        self.panel
    }

    /// The rows of the matrix.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The columns, those that are neighbours together.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces[..self.count]
    }

    /// The columns of piece `piece` in row `row` of the block.
    ///
    /// # Panics
    /// When there is no such row or piece.
    #[inline(always)]
    pub fn piece_mut(&mut self, row: usize, piece: usize) -> &mut [T] {
        assert!(row < self.rows.len(), "a row of the block");
        let Piece { column, length, .. } = self.pieces()[piece];
        // SAFETY: the row is one of the block's, and has these columns, which are exclusively this block's.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.add(row * self.stride + column), length)
        }
    }

    /// The first element of the first row of the matrix that the block has a part of.
    pub(crate) fn start(&mut self) -> *mut T {
        self.start
    }

    /// Elements from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }
}
