//! Long curves made short, and rough ones smooth.

/// A position on a curve.
pub(crate) type Point = (f64, f64);

/// The most points that are drawn of one curve.
pub(crate) const MOST: usize = 2000;

/// At most `most` of the points, among them the first, the last, and the lowest and highest of every stretch, so that no
/// spike is lost.
pub(crate) fn thinned(points: &[Point], most: usize) -> Vec<Point> {
    if points.len() <= most || most < 4 {
        return points.to_vec();
    }
    let (first, last) = (points[0], points[points.len() - 1]);
    let inner = &points[1..points.len() - 1];
    let stretch = inner.len().div_ceil((most - 2) / 2);
    let mut kept = vec![first];
    for stretch in inner.chunks(stretch) {
        let by_height = |a: &usize, b: &usize| stretch[*a].1.total_cmp(&stretch[*b].1);
        let low = (0..stretch.len()).min_by(by_height).unwrap_or(0);
        let high = (0..stretch.len()).max_by(by_height).unwrap_or(0);
        kept.push(stretch[low.min(high)]);
        if low != high {
            kept.push(stretch[low.max(high)]);
        }
    }
    kept.push(last);
    kept
}

/// The exponential moving average over about `steps` steps, without a pull towards 0 at its beginning (Kingma and Ba
/// 2015, section 3).
pub(crate) fn smoothed(points: &[Point], steps: f64) -> Vec<Point> {
    let keep = 1.0 - 1.0 / steps.max(1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let mut smooth = |(x, y): &Point| {
        if y.is_finite() {
            sum = keep * sum + (1.0 - keep) * y;
            weight = keep * weight + (1.0 - keep);
        }
        (*x, sum / weight)
    };
    points.iter().map(&mut smooth).collect()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn extremes_survive() {
        for seed in 0..30 {
            println!("seed {seed}");
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let count = rng.random_range(1..9000usize);
            let points: Vec<Point> =
                (0..count).map(|x| (x as f64, rng.random_range(-1.0..1.0))).collect();
            let kept = thinned(&points, MOST);
            assert!(kept.len() <= MOST && kept.len() >= count.min(MOST / 2 - 2));
            assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
            assert_eq!((kept[0], kept[kept.len() - 1]), (points[0], points[count - 1]));
            let extreme = |points: &[Point], pick: fn(f64, f64) -> f64| {
                points.iter().map(|p| p.1).reduce(pick).unwrap()
            };
            assert_eq!(extreme(&kept, f64::min), extreme(&points, f64::min));
            assert_eq!(extreme(&kept, f64::max), extreme(&points, f64::max));
        }
    }

    #[test]
    fn a_constant_stays_itself() {
        let points: Vec<Point> = (0..50).map(|x| (f64::from(x), 3.0)).collect();
        assert!(smoothed(&points, 7.0).iter().all(|point| (point.1 - 3.0).abs() < 1e-12));
    }

    #[test]
    fn what_is_no_number_does_not_spread() {
        let smooth = smoothed(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0)], 4.0);
        assert!((smooth[2].1 - 1.0).abs() < 1e-12);
    }
}
