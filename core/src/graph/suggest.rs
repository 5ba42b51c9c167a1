//! The nearest valid name to one that is not.

/// The candidate that `name` is most likely a misspelling of, if any is near enough.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&candidate.to_lowercase(), &lower), candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A hint that names the nearest candidate, and all of them: "did you mean `Lstm`? One of: Gru, Lstm, Rnn".
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let all = candidates.join(", ");
    match nearest(name, candidates.iter().copied()) {
        Some(near) if candidates.len() == 1 => format!("did you mean `{near}`?"),
        Some(near) => format!("did you mean `{near}`? One of: {all}"),
        None if candidates.is_empty() => "there is none to choose from".into(),
        None => format!("one of: {all}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_refuses_strangers() {
        let names = ["Lstm", "Rnn", "TemporalAffine"];
        assert_eq!(nearest("Lstmm", names), Some("Lstm"));
        assert_eq!(nearest("lstm", names), Some("Lstm"));
        assert_eq!(nearest("TemporalAfine", names), Some("TemporalAffine"));
        assert_eq!(nearest("Convolution", names), None);
        assert_eq!(nearest("x", ["y"]), Some("y"));
    }
}
