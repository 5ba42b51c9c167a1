//! Learning-rate schedules, one a file.

mod constant;
mod cosine;
mod exponential;
mod step;

pub use constant::Constant;
pub use cosine::Cosine;
pub use exponential::Exponential;
pub use step::Step;

#[cfg(test)]
mod tests {
    use ron::extensions::Extensions;

    use crate::config::registry::{Entry, SCHEDULE};
    use crate::{Progress, Schedule, Tagged};

    /// The factors of a whole run.
    pub(super) fn factors(schedule: &dyn Schedule, per_epoch: u64, total: u64) -> Vec<f64> {
        (0..total)
            .map(|iteration| schedule.factor(Progress { iteration, per_epoch, total }))
            .collect()
    }

    pub(super) fn near(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-14, "{found:?}, expected {expected:?}");
        }
    }

    fn read(text: &str) -> Result<Tagged<dyn Schedule>, String> {
        ron_options().from_str(text).map_err(|error| error.to_string())
    }

    fn ron_options() -> ron::Options {
        ron::Options::default().with_default_extension(Extensions::UNWRAP_VARIANT_NEWTYPES)
    }

    #[test]
    fn every_schedule_is_on_the_list() {
        let names: Vec<&str> = Entry::of(SCHEDULE).map(|entry| entry.name).collect();
        assert_eq!(names, ["Constant", "Cosine", "Exponential", "Step"]);
    }

    #[test]
    fn schedules_are_read_and_written_as_ron() {
        for entry in Entry::of(SCHEDULE) {
            for text in entry.checks.iter().chain([&entry.example]) {
                let schedule = read(text).expect(text);
                let written = ron_options().to_string(&schedule).unwrap();
                assert!(written.starts_with(&format!("{}(", entry.name)), "{written}");
                assert_eq!(format!("{:?}", read(&written).unwrap()), format!("{schedule:?}"));
            }
        }
    }

    #[test]
    fn every_field_is_documented() {
        for entry in Entry::of(SCHEDULE) {
            let documentation = entry.documentation();
            assert!(documentation.summary.ends_with('.') && documentation.text.contains("```text"));
            assert!(
                documentation.fields.iter().all(|field| !field.text.is_empty()),
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn every_schedule_starts_at_one_and_never_rises() {
        for entry in Entry::of(SCHEDULE) {
            let schedule = read(entry.example).unwrap();
            let factors = factors(&*schedule, 10, 95);
            assert_eq!(factors[0], 1.0, "{}", entry.name);
            assert!(factors.is_sorted_by(|a, b| a >= b) && factors[94] > 0.0, "{}", entry.name);
        }
    }

    #[test]
    fn unknown_fields_and_numbers_out_of_range_are_refused() {
        for entry in Entry::of(SCHEDULE) {
            let error =
                read(&entry.example.replace(')', ", speed: 1)").replace("(,", "(")).unwrap_err();
            assert!(error.contains("speed"), "{error}");
        }
        for text in [
            "Exponential()",
            "Exponential(per_epoch: 0)",
            "Exponential(per_epoch: 1.5)",
            "Step(every: 0, factor: 0.5)",
            "Step(every: 1.5, factor: 0.5)",
            "Step(every: 2, factor: 0)",
            "Cosine(floor: 1)",
            "Cosine(floor: -0.1)",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
