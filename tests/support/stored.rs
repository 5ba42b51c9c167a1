//! Arrays by name in safetensors files.

use std::collections::BTreeMap;
use std::path::Path;

use engine_core::Tensor;
use safetensors::tensor::{Dtype, SafeTensors};

/// An array in double precision, or of indices.
#[derive(Debug, Clone)]
pub(crate) enum Array {
    Numbers(Tensor<f64>),
    Tokens(Tensor<u32>),
}

/// Every array of a file with these bytes. Elements take 8 bytes: `F64` are numbers, `I64` indices from 0 on.
pub(crate) fn arrays(path: &Path, data: &[u8]) -> BTreeMap<String, Array> {
    let file = SafeTensors::deserialize(data)
        .unwrap_or_else(|e| panic!("{} is no safetensors file: {e}", path.display()));
    let arrays = file.iter().map(|(key, view)| {
        let (shape, (words, rest)) = (view.shape(), view.data().as_chunks::<8>());
        let here = format!("{}: {key}", path.display());
        assert!(rest.is_empty(), "{here}: elements of 8 bytes");
        let whole = "as many elements as the shape says";
        let array = match view.dtype() {
            Dtype::F64 => {
                let numbers = words.iter().map(|word| f64::from_le_bytes(*word)).collect();
                Array::Numbers(Tensor::from_vec(shape, numbers).expect(whole))
            }
            Dtype::I64 => {
                let token = |word: &[u8; 8]| u32::try_from(i64::from_le_bytes(*word)).ok();
                let tokens: Option<Vec<u32>> = words.iter().map(token).collect();
                let tokens = tokens.unwrap_or_else(|| panic!("{here}: indices from 0 on"));
                Array::Tokens(Tensor::from_vec(shape, tokens).expect(whole))
            }
            other => panic!("{here}: expected F64 or I64, found {other:?}"),
        };
        (key.to_owned(), array)
    });
    arrays.collect()
}
