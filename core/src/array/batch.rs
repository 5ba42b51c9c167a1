//! Named arrays: what a data set hands to a graph's inputs.

/// The elements of one [`Array`].
#[derive(Debug, Clone, PartialEq)]
pub enum Elements {
    /// Single-precision numbers, as feature files hold them.
    F32(Vec<f32>),
    /// Double-precision numbers, as reference cases hold them.
    F64(Vec<f64>),
    /// Indices into a vocabulary.
    Tokens(Vec<u32>),
}

/// One named array in row-major order; the first dimension counts the batch's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    elements: Elements,
}

impl Array {
    /// The length of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, row after row.
    pub fn elements(&self) -> &Elements {
        &self.elements
    }
}

/// The arrays of one batch, by the name of the graph input that each one feeds.
///
/// Writing an array again under the same name and kind reuses its memory, so that a loop that fills one batch after
/// another stops allocating once the largest one has been seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    arrays: Vec<(String, Array)>,
}

macro_rules! writer {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty) => {
        $(#[$doc])*
        pub fn $name(&mut self, name: &str, shape: &[usize]) -> &mut [$type] {
            let array = self.entry(name);
            array.shape.clear();
            array.shape.extend_from_slice(shape);
            if !matches!(array.elements, Elements::$variant(_)) {
                array.elements = Elements::$variant(Vec::new());
            }
            let Elements::$variant(elements) = &mut array.elements else { unreachable!("set above") };
            elements.clear();
            elements.resize(shape.iter().product(), Default::default());
            elements
        }
    };
}

impl Batch {
    /// A batch without arrays.
    pub fn new() -> Self {
        Self::default()
    }

    writer! {
        /// The zeroed elements of the array `name`, single precision, to be filled by the caller.
        f32_mut, F32, f32
    }
    writer! {
        /// The zeroed elements of the array `name`, double precision, to be filled by the caller.
        f64_mut, F64, f64
    }
    writer! {
        /// The zeroed elements of the array `name`, vocabulary indices, to be filled by the caller.
        tokens_mut, Tokens, u32
    }

    /// The array called `name`, if the batch has one.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.iter().find(|(n, _)| n == name).map(|(_, array)| array)
    }

    /// All arrays with their names, in the order in which they were first written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.arrays.iter().map(|(name, array)| (name.as_str(), array))
    }

    fn entry(&mut self, name: &str) -> &mut Array {
        let at = self.arrays.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
            let empty = Array { shape: Vec::new(), elements: Elements::F32(Vec::new()) };
            self.arrays.push((name.to_owned(), empty));
            self.arrays.len() - 1
        });
        &mut self.arrays[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_again_keeps_the_memory_and_clears_the_values() {
        let mut batch = Batch::new();
        batch.f32_mut("x", &[2, 3]).fill(7.0);
        let first = batch.f32_mut("x", &[2, 2]).as_ptr();
        assert_eq!(batch.get("x").unwrap().shape(), [2, 2]);
        assert_eq!(batch.get("x").unwrap().elements(), &Elements::F32(vec![0.0; 4]));
        assert_eq!(batch.f32_mut("x", &[1, 5]).as_ptr(), first);
    }

    #[test]
    fn a_name_can_change_its_kind() {
        let mut batch = Batch::new();
        batch.f64_mut("x", &[1]);
        batch.tokens_mut("x", &[2])[1] = 4;
        assert_eq!(batch.get("x").unwrap().elements(), &Elements::Tokens(vec![0, 4]));
        assert!(batch.get("y").is_none());
    }
}
