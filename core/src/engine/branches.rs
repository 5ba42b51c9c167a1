//! Sequences that go on from the same one.

/// Which sequences go on from which, until the next step has been made. The state that several go on from is kept once,
/// in a row that is called their stem here, so that what a layer computes from it alone is computed once.
#[derive(Debug, Clone, Default)]
pub(super) struct Branches {
    /// For each sequence its stem; none for sequences that are their own.
    from: Vec<usize>,
    /// The rows of the state that become stems.
    stems: Vec<usize>,
    /// For each row of the state the stem that it has become.
    taken: Vec<Option<usize>>,
}

impl Branches {
    /// Forgets about them: every sequence is its own.
    pub(super) fn clear(&mut self) {
        self.from.clear();
    }

    /// For each sequence its stem, if any two have the same.
    pub(super) fn stems(&self) -> Option<&[usize]> {
        (!self.from.is_empty()).then_some(&self.from[..])
    }

    /// Goes on with the sequences `rows` of `count`. Returns the rows of the state that are to be kept, in order.
    pub(super) fn select(&mut self, rows: &[usize], count: usize) -> &[usize] {
        let Branches { from, stems, taken } = self;
        stems.clear();
        taken.clear();
        taken.resize(count, None);
        let stem = |row: &usize| {
            let row = if from.is_empty() { *row } else { from[*row] };
            *taken[row].get_or_insert_with(|| {
                stems.push(row);
                stems.len() - 1
            })
        };
        let new: Vec<usize> = rows.iter().map(stem).collect();
        *from = new;
        if stems.len() == from.len() {
            from.clear();
        }
        stems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_are_numbered_as_they_are_first_met() {
        let mut branches = Branches::default();
        assert_eq!(branches.select(&[2, 0, 2, 1], 3), [2, 0, 1]);
        assert_eq!(branches.stems(), Some(&[0, 1, 0, 2][..]));
        // Before the next step, rows of the state are those stems.
        assert_eq!(branches.select(&[3, 0, 2], 4), [2, 0]);
        assert_eq!(branches.stems(), Some(&[0, 1, 1][..]));
        branches.clear();
        assert_eq!(branches.select(&[2, 0], 3), [2, 0]);
        assert_eq!(branches.stems(), None);
    }
}
