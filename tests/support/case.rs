//! Reference cases: arrays by name in a safetensors file.

use std::collections::BTreeMap;
use std::iter;
use std::path::{Path, PathBuf};

use engine_core::{Scalar, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::stored::{self, Array};

/// The inputs and exact results of one computation, as the reference wrote them.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    arrays: BTreeMap<String, Array>,
}

impl Case {
    /// Every case in a folder, by name.
    pub(crate) fn all_in(dir: &Path) -> Vec<Case> {
        let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let paths = entries.map(|entry| entry.expect("a readable folder").path());
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{} holds no case", dir.display());
        paths.iter().map(|path| Case::read(path)).collect()
    }

    fn read(path: &Path) -> Case {
        let data = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        Case { name, arrays: stored::arrays(path, &data) }
    }

    /// The array of this name as exact numbers. Whole numbers, such as a mask's, count as numbers too.
    pub(crate) fn exact(&self, key: &str) -> Tensor<f64> {
        match self.array(key) {
            Array::Numbers(numbers) => numbers.clone(),
            Array::Tokens(tokens) => {
                let numbers = tokens.as_slice().iter().map(|token| f64::from(*token)).collect();
                Tensor::from_vec(tokens.shape(), numbers).expect("the same number of elements")
            }
        }
    }

    /// The array of this name, rounded to the number type.
    pub(crate) fn numbers<T: Scalar>(&self, key: &str) -> Tensor<T> {
        let exact = self.exact(key);
        let numbers = exact.as_slice().iter().map(|x| T::of(*x)).collect();
        Tensor::from_vec(exact.shape(), numbers).expect("the same number of elements")
    }

    /// The array of indices of this name.
    pub(crate) fn tokens(&self, key: &str) -> &Tensor<u32> {
        match self.array(key) {
            Array::Tokens(tokens) => tokens,
            Array::Numbers(_) => panic!("{}: `{key}` holds numbers, not indices", self.name),
        }
    }

    fn array(&self, key: &str) -> &Array {
        self.arrays.get(key).unwrap_or_else(|| {
            let keys: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
            panic!("{} has no array `{key}`; it has {}", self.name, keys.join(", "))
        })
    }

    /// The names of all arrays that a computation is to give: all but inputs and parameters.
    pub(crate) fn results(&self) -> Vec<String> {
        let given = |key: &&String| key.starts_with("in.") || key.starts_with("param.");
        self.arrays.keys().filter(|key| !given(key)).cloned().collect()
    }

    /// The same case with every given number off by up to this share of itself, at random but the same each time.
    pub(crate) fn perturbed(&self, relative: f64) -> Case {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut case = self.clone();
        let given = |key: &str| key.starts_with("in.") || key.starts_with("param.");
        for (_, array) in case.arrays.iter_mut().filter(|(key, _)| given(key)) {
            if let Array::Numbers(numbers) = array {
                let noise = || 1.0 + rng.random_range(-relative..=relative);
                numbers
                    .as_mut_slice()
                    .iter_mut()
                    .zip(iter::repeat_with(noise))
                    .for_each(|(x, n)| *x *= n);
            }
        }
        case
    }

    /// The same case with one element of a result changed: by `relative` of the array's largest magnitude, or an index
    /// to another one.
    pub(crate) fn corrupted(&self, key: &str, element: usize, relative: f64) -> Case {
        let mut case = self.clone();
        match case.arrays.get_mut(key).unwrap_or_else(|| panic!("no array `{key}`")) {
            Array::Numbers(numbers) => {
                let largest = numbers.as_slice().iter().fold(0.0f64, |most, x| most.max(x.abs()));
                let count = numbers.as_slice().len();
                numbers.as_mut_slice()[element % count] += relative * largest;
            }
            Array::Tokens(tokens) => {
                let count = tokens.as_slice().len();
                tokens.as_mut_slice()[element % count] += 1;
            }
        }
        case
    }
}
