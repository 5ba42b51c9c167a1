//! Update rules, one a file.
//!
//! A rule is a function of one element: its weight, its gradient and its slots. `update_each` takes that function over
//! whole parameters.

mod adagrad;
mod adam;
mod adam_w;
mod momentum;
mod rms_prop;
mod sgd;

pub use adagrad::Adagrad;
pub use adam::Adam;
pub use adam_w::AdamW;
pub use momentum::Momentum;
pub use rms_prop::RmsProp;
pub use sgd::Sgd;

use engine_kernels::team::{self, Chunks};

/// Elements that one task updates: few enough to share out small parameters, enough that a task's own cost vanishes.
const CHUNK: usize = 1 << 14;

/// Replaces each weight and its `S` slots by `rule(weight, gradient, slots)`.
///
/// Elements do not depend on each other, so neither chunks nor threads show in the result.
///
/// # Panics
/// When there are not `S` slots, or when an array is not as long as `weights`.
fn update_each<T, const S: usize>(
    weights: &mut [T],
    gradients: &[T],
    slots: &mut [Vec<T>],
    rule: impl Fn(T, T, [T; S]) -> (T, [T; S]) + Sync,
) where
    T: Copy + Send + Sync,
{
    assert_eq!(gradients.len(), weights.len(), "a gradient for each weight");
    assert!(slots.iter().all(|slot| slot.len() == weights.len()), "a slot for each weight");
    let slots: &mut [Vec<T>; S] = slots.try_into().expect("an array for each slot of the rule");
    let slots = slots.each_mut().map(|slot| Chunks::new(slot, CHUNK));
    team::for_each_disjoint((Chunks::new(weights, CHUNK), slots), |at, (weights, slots)| {
        update_chunk(weights, &gradients[at * CHUNK..], slots, &rule);
    });
}

fn update_chunk<T: Copy, const S: usize>(
    weights: &mut [T],
    gradients: &[T],
    slots: [&mut [T]; S],
    rule: &impl Fn(T, T, [T; S]) -> (T, [T; S]),
) {
    // Cut to one length that the compiler knows to be the same, the arrays need no check inside the loop, which then
    // becomes vector instructions.
    let count = weights.len();
    let gradients = &gradients[..count];
    let mut slots = slots.map(|slot| &mut slot[..count]);
    for at in 0..count {
        let (weight, new) = rule(weights[at], gradients[at], slots.each_ref().map(|slot| slot[at]));
        weights[at] = weight;
        slots.iter_mut().zip(new).for_each(|(slot, value)| slot[at] = value);
    }
}

#[cfg(test)]
mod tests {
    use ron::extensions::Extensions;

    use super::{CHUNK, team};
    use crate::config::registry::{Entry, UPDATE_RULE};
    use crate::{Optimizer, Scalar, Tagged, UpdateStep};

    /// A parameter under training.
    pub(super) struct Trial<'a, T> {
        rule: &'a dyn Optimizer,
        number: u64,
        pub(super) decays: bool,
        pub(super) weights: Vec<T>,
        pub(super) slots: Vec<Vec<T>>,
    }

    impl<'a, T: Scalar> Trial<'a, T> {
        pub(super) fn new(rule: &'a dyn Optimizer, weights: &[T]) -> Self {
            let slots = rule.slots().iter().map(|_| vec![T::zero(); weights.len()]).collect();
            Trial { rule, number: 0, decays: true, weights: weights.to_vec(), slots }
        }

        pub(super) fn step(&mut self, learning_rate: f64, gradients: &[T]) {
            self.number += 1;
            let step = UpdateStep { learning_rate, number: self.number, decays: self.decays };
            T::update(self.rule).update(step, &mut self.weights, gradients, &mut self.slots);
        }
    }

    pub(super) fn near(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= 1e-14 * e.abs().max(1.0), "{found:?}, expected {expected:?}");
        }
    }

    fn read(text: &str) -> Result<Tagged<dyn Optimizer>, String> {
        ron_options().from_str(text).map_err(|error| error.to_string())
    }

    fn ron_options() -> ron::Options {
        ron::Options::default().with_default_extension(Extensions::UNWRAP_VARIANT_NEWTYPES)
    }

    /// Every way of writing every registered rule.
    fn rules() -> Vec<(&'static Entry, Tagged<dyn Optimizer>)> {
        let texts = |entry: &'static Entry| {
            std::iter::once(entry.example).chain(entry.checks.iter().copied())
        };
        Entry::of(UPDATE_RULE)
            .flat_map(|entry| texts(entry).map(move |text| (entry, read(text).expect(text))))
            .collect()
    }

    /// Numbers between -1 and 1 without pattern.
    fn numbers<T: Scalar>(count: usize, start: usize) -> Vec<T> {
        (start..start + count)
            .map(|i| T::of((i as f64 * 1.7).sin() * (i as f64 * 0.31).cos()))
            .collect()
    }

    fn trained<T: Scalar>(rule: &dyn Optimizer, count: usize) -> Trial<'_, T> {
        let mut trial = Trial::new(rule, &numbers::<T>(count, 0));
        (1..=4).for_each(|step| trial.step(1e-2, &numbers(count, step)));
        trial
    }

    #[test]
    fn every_rule_is_on_the_list() {
        let names: Vec<&str> = Entry::of(UPDATE_RULE).map(|entry| entry.name).collect();
        assert_eq!(names, ["Adagrad", "Adam", "AdamW", "Momentum", "RmsProp", "Sgd"]);
    }

    #[test]
    fn rules_are_read_and_written_as_ron() {
        let rule = read("Adam(learning_rate: 5e-3)").unwrap();
        assert_eq!(rule.learning_rate(), 5e-3);
        for (entry, rule) in rules() {
            let written = ron_options().to_string(&rule).unwrap();
            assert!(written.starts_with(&format!("{}(", entry.name)), "{written}");
            assert_eq!(format!("{:?}", read(&written).unwrap()), format!("{rule:?}"));
        }
    }

    #[test]
    fn every_field_is_documented_and_optional() {
        for entry in Entry::of(UPDATE_RULE) {
            let documentation = entry.documentation();
            assert!(documentation.summary.ends_with('.') && documentation.text.contains("```text"));
            for field in documentation.fields {
                let (name, default) = (entry.name, field.default.unwrap_or_default());
                assert!(!field.text.is_empty(), "{name}.{}", field.name);
                let text = format!("{name}({}: {default})", field.name);
                assert_eq!(
                    format!("{:?}", read(&text).unwrap()),
                    format!("{:?}", read(&format!("{name}()")).unwrap())
                );
            }
        }
    }

    #[test]
    fn unknown_fields_and_numbers_out_of_range_are_refused() {
        for entry in Entry::of(UPDATE_RULE) {
            let error = |fields: &str| read(&format!("{}({fields})", entry.name)).unwrap_err();
            assert!(error("learningrate: 1e-2").contains("learningrate"));
            for field in
                entry.documentation().fields.iter().filter(|f| f.takes.starts_with("number"))
            {
                let error = error(&format!("{}: -0.5", field.name));
                assert!(error.contains(&format!("expected a {}", field.takes)), "{error}");
            }
        }
        for text in ["Sgd(learning_rate: 0)", "Momentum(momentum: 1)", "Adam(beta2: 1.0)"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn single_and_double_precision_agree() {
        for (_, rule) in rules() {
            let (single, double) = (trained::<f32>(&*rule, 300), trained::<f64>(&*rule, 300));
            for (s, d) in single.weights.iter().zip(&double.weights) {
                assert!((f64::from(*s) - d).abs() < 2e-6, "{rule:?}: {s} and {d}");
            }
        }
    }

    #[test]
    fn every_element_of_a_long_array_is_updated_as_if_alone() {
        for (_, rule) in rules() {
            for count in [1, CHUNK, CHUNK + 1, 5 * CHUNK + 7] {
                let long = trained::<f32>(&*rule, count);
                for at in [0, 1, 17, CHUNK - 1, CHUNK, 3 * CHUNK + 5, count - 1] {
                    let Some(weight) = long.weights.get(at) else { continue };
                    let mut short = Trial::new(&*rule, &numbers::<f32>(1, at));
                    (1..=4).for_each(|step| short.step(1e-2, &numbers(1, at + step)));
                    assert_eq!(
                        weight.to_bits(),
                        short.weights[0].to_bits(),
                        "{rule:?}, {at} of {count}"
                    );
                    let slots = |trial: &Trial<f32>, at: usize| -> Vec<u32> {
                        trial.slots.iter().map(|slot| slot[at].to_bits()).collect()
                    };
                    assert_eq!(slots(&long, at), slots(&short, 0), "{rule:?}, {at} of {count}");
                }
            }
        }
    }

    #[test]
    fn threads_do_not_show() {
        let hash = |rule: &dyn Optimizer, threads: usize| {
            team::with_threads(threads, || trained::<f32>(rule, 9 * CHUNK + 3).weights)
        };
        for (_, rule) in rules() {
            let one = hash(&*rule, 1);
            assert!([2, 3, 7].into_iter().all(|threads| hash(&*rule, threads) == one), "{rule:?}");
        }
    }

    #[test]
    fn every_rule_finds_the_bottom_of_a_quadratic() {
        let bottom = [3.0, -1.0, 0.5];
        let steepness = [1.0, 4.0, 0.25];
        for (_, rule) in rules() {
            let mut trial = Trial::<f64>::new(&*rule, &[0.0; 3]);
            trial.decays = false;
            for step in 0..4000 {
                let gradients: Vec<f64> =
                    (0..3).map(|i| steepness[i] * (trial.weights[i] - bottom[i])).collect();
                // Rules whose steps are as long as the rate come to rest only as it falls.
                trial.step(0.2 * (1.0 - f64::from(step) / 4000.0), &gradients);
            }
            for (w, b) in trial.weights.iter().zip(bottom) {
                assert!((w - b).abs() < 1e-3, "{rule:?}: {:?}", trial.weights);
            }
        }
    }

    #[test]
    fn empty_parameters_stay_empty() {
        for (_, rule) in rules() {
            assert!(trained::<f64>(&*rule, 0).weights.is_empty());
        }
    }

    #[test]
    #[should_panic(expected = "a gradient for each weight")]
    fn a_missing_gradient_is_noticed() {
        Trial::new(&super::Sgd::default(), &[1.0, 2.0]).step(0.1, &[1.0f64]);
    }
}
