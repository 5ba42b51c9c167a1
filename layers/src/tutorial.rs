#![doc = include_str!("../../docs/a-new-cell.md")]
