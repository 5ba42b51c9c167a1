//! Several arrays into one, and sums over a dimension.

pub mod add;
pub mod mean;
pub mod multiply;
mod over_axis;
pub mod scale_rows;
pub mod subtract;
pub mod sum;

pub use add::Add;
pub use mean::Mean;
pub use multiply::Multiply;
pub use scale_rows::ScaleRows;
pub use subtract::Subtract;
pub use sum::Sum;
