//! A curve in a line of text.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The course of a number from its beginning to now, as so many characters at most.
///
/// Each stands for the mean of as many numbers as the others; when there are more of them than characters, each comes to
/// stand for twice as many.
#[derive(Debug)]
pub(super) struct Sparkline {
    width: usize,
    each: usize,
    means: Vec<f64>,
    /// The sum and the number of those that the next character will stand for.
    rest: (f64, usize),
}

impl Sparkline {
    pub(super) fn new(width: usize) -> Self {
        Sparkline { width: width.max(2), each: 1, means: Vec::new(), rest: (0.0, 0) }
    }

    pub(super) fn push(&mut self, number: f64) {
        self.rest = (self.rest.0 + number, self.rest.1 + 1);
        if self.rest.1 < self.each {
            return;
        }
        self.means.push(self.rest.0 / self.each as f64);
        self.rest = (0.0, 0);
        if self.means.len() > self.width {
            // An odd one out waits for its pair.
            let pairs = self.means.chunks_exact(2);
            if let [odd] = pairs.remainder() {
                self.rest = (odd * self.each as f64, self.each);
            }
            self.means = pairs.map(|pair| (pair[0] + pair[1]) / 2.0).collect();
            self.each *= 2;
        }
    }

    /// The line: the least number is the lowest character, the greatest the highest.
    pub(super) fn line(&self) -> String {
        let least = self.means.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let top = (LEVELS.len() - 1) as f64;
        let level =
            |mean: &f64| ((mean - least) / (most - least).max(f64::MIN_POSITIVE) * top).round();
        self.means.iter().map(|mean| LEVELS[level(mean) as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(numbers: impl IntoIterator<Item = f64>, width: usize) -> String {
        let mut sparkline = Sparkline::new(width);
        numbers.into_iter().for_each(|number| sparkline.push(number));
        sparkline.line()
    }

    #[test]
    fn the_least_is_low_and_the_greatest_high() {
        assert_eq!(line((0..8).map(f64::from), 8), "▁▂▃▄▅▆▇█");
        assert_eq!(line([3.0, 1.0, 3.0], 8), "█▁█");
        assert_eq!(line([2.0, 2.0], 8), "▁▁");
        assert_eq!(line([], 8), "");
    }

    #[test]
    fn a_long_course_keeps_its_width_and_its_shape() {
        for count in 1..300 {
            let line = line((0..count).map(|at| -f64::from(at)), 16);
            let levels: Vec<char> = line.chars().collect();
            assert!(levels.len() <= 16 && (count < 17 || levels.len() >= 8), "{count}: {line}");
            assert!(levels.is_sorted_by(|a, b| a >= b), "{count}: {line}");
        }
    }
}
