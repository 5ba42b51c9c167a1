//! What every filter sees where, as a matrix, so that a convolution is a product of matrices.
//!
//! Row `(channel, tap)` of the matrix holds what this tap sees in this channel, position by position. Chellapilla et al.,
//! "High Performance Convolutional Neural Networks for Document Processing", 2006.

use engine_core::{Scalar, team};

use super::geometry::{Geometry, seen};

/// Writes the columns of one picture: `maps` are those of a group, `columns` is `[channels a group * taps, positions]`.
pub(super) fn unfold<T: Scalar>(geometry: &Geometry, maps: &[T], columns: &mut [T]) {
    let Geometry { stride, padding, dilation, input, output, kernel, .. } = *geometry;
    let (pixels, positions) = (geometry.pixels(), geometry.positions());
    team::for_each_chunk_mut(columns, geometry.taps() * positions, |channel, rows| {
        let map = &maps[channel * pixels..][..pixels];
        for (tap, row) in rows.chunks_exact_mut(positions).enumerate() {
            let (down, right) =
                (tap / kernel.width * dilation.height, tap % kernel.width * dilation.width);
            let (top, bottom) =
                seen(down, padding.height, stride.height, input.height, output.height);
            let (left, end) = seen(right, padding.width, stride.width, input.width, output.width);
            row[..top * output.width].fill(T::zero());
            row[bottom * output.width..].fill(T::zero());
            for (y, row) in row.chunks_exact_mut(output.width).enumerate().take(bottom).skip(top) {
                row[..left].fill(T::zero());
                row[end..].fill(T::zero());
                let from = (y * stride.height + down - padding.height) * input.width;
                let line = &map[from..][..input.width];
                if left == end {
                    continue;
                }
                let line = &line[left * stride.width + right - padding.width..];
                match stride.width {
                    1 => row[left..end].copy_from_slice(&line[..end - left]),
                    step => row[left..end]
                        .iter_mut()
                        .zip(line.iter().step_by(step))
                        .for_each(|(to, from)| *to = *from),
                }
            }
        }
    });
}

/// Adds the columns of one picture back to the pixels that they are of.
pub(super) fn fold<T: Scalar>(geometry: &Geometry, columns: &[T], maps: &mut [T]) {
    let Geometry { stride, padding, dilation, input, output, kernel, .. } = *geometry;
    let (pixels, positions) = (geometry.pixels(), geometry.positions());
    team::for_each_chunk_mut(maps, pixels, |channel, map| {
        let rows = &columns[channel * geometry.taps() * positions..][..geometry.taps() * positions];
        for (tap, row) in rows.chunks_exact(positions).enumerate() {
            let (down, right) =
                (tap / kernel.width * dilation.height, tap % kernel.width * dilation.width);
            let (top, bottom) =
                seen(down, padding.height, stride.height, input.height, output.height);
            let (left, end) = seen(right, padding.width, stride.width, input.width, output.width);
            if left == end {
                continue;
            }
            for (y, row) in row.chunks_exact(output.width).enumerate().take(bottom).skip(top) {
                let from = (y * stride.height + down - padding.height) * input.width;
                let line = &mut map[from..][..input.width];
                let line = &mut line[left * stride.width + right - padding.width..];
                let line = line.iter_mut().step_by(stride.width);
                line.zip(&row[left..end]).for_each(|(to, from)| *to += *from);
            }
        }
    });
}
