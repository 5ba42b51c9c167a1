//! Numbers as people read them.

use engine_datasets::info;

/// A number with thin spaces between groups of three digits.
pub(crate) fn grouped(number: usize) -> String {
    info::grouped(number).replace(',', "\u{202f}")
}

/// Five significant digits: `80.849`, `0.001`, `2.5e-7`, `12 345`.
pub(crate) fn shown(x: f64) -> String {
    if !x.is_finite() {
        return x.to_string();
    }
    if x != 0.0 && (x.abs() < 1e-4 || x.abs() >= 1e15) {
        return format!("{x:.4e}").replacen(".0000e", "e", 1);
    }
    let before = if x == 0.0 { 0 } else { x.abs().log10().floor() as i32 };
    let text = format!("{x:.*}", (4 - before).max(0) as usize);
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    match text.parse::<usize>() {
        Ok(whole) if whole >= 10_000 => grouped(whole),
        _ => text,
    }
}

/// A time: `3.2 s`, `4 min 10 s`, `2 h 5 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A share: `83 %`, and `0.4 %` below one in a hundred.
pub(crate) fn percent(share: f64) -> String {
    match 100.0 * share {
        small if small < 1.0 => format!("{small:.1} %"),
        large => format!("{large:.0} %"),
    }
}

/// Round numbers within a range, about `count` of them (Heckbert 1990, "Nice numbers for graph labels").
pub(crate) fn ticks(from: f64, to: f64, count: usize) -> Vec<f64> {
    let rough = (to - from) / count.max(1) as f64;
    if !(rough.is_finite() && rough > 0.0) {
        return vec![from];
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|nice| nice * power);
    let step = step.clone().find(|step| *step >= rough * 0.999).unwrap_or(10.0 * power);
    let first = (from / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|x| *x <= to + step * 1e-9).take(50).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        let shown = |number| grouped(number).replace('\u{202f}', " ");
        assert_eq!(shown(7), "7");
        assert_eq!(shown(999), "999");
        assert_eq!(shown(1000), "1 000");
        assert_eq!(shown(12_345_678), "12 345 678");
    }

    #[test]
    fn digits_that_say_something() {
        let cases = [
            (80.84917449951172, "80.849"),
            (0.001, "0.001"),
            (0.0, "0"),
            (2.5e-7, "2.5000e-7"),
            (-1.5, "-1.5"),
            (12345.6, "12\u{202f}346"),
            (f64::NAN, "NaN"),
            (100.0, "100"),
        ];
        for (x, text) in cases {
            assert_eq!(shown(x), text);
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        for (from, to) in [(0.0, 1.0), (3.2, 81.7), (-5.0, 5.0), (1e-9, 3e-9), (7.0, 7.0)] {
            let ticks = ticks(from, to, 5);
            assert!(!ticks.is_empty() && ticks.len() <= 7, "{ticks:?}");
            assert!(ticks.iter().all(|t| *t >= from - 1e-12 && *t <= to + 1e-12), "{ticks:?}");
        }
        assert_eq!(ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn times_have_two_units() {
        assert_eq!(duration(3.21), "3.2 s");
        assert_eq!(duration(250.0), "4 min 10 s");
        assert_eq!(duration(7500.0), "2 h 5 min");
    }
}
