//! Whether a node's inputs fit its layer's ports.

use crate::array::dim::{Dim, Symbol};
use crate::array::shape::{Shape, Sizes};
use crate::layer::port::{Axis, Need, Port};

/// One input too few, too many or of the wrong shape.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// So many inputs are wired; the ports take others.
    Count,
    /// The input at this position has another shape than its port takes.
    Shape {
        input: usize,
        /// The pattern with the names that earlier ports have settled.
        expected: String,
    },
}

/// The port that takes the input at `position`: the last one repeats if it takes many.
pub(super) fn port_at(ports: &[Port], position: usize) -> Option<&Port> {
    ports
        .get(position)
        .or_else(|| ports.last().filter(|last| matches!(last.need, Need::AtLeast(_))))
}

/// How many inputs `ports` take, in words: "2 or 3: x, h0 (optional)".
pub(super) fn arity(ports: &[Port]) -> String {
    let least: usize = ports.iter().map(least).sum();
    let many = matches!(ports.last().map(|last| last.need), Some(Need::AtLeast(_)));
    let count = match (least, ports.len()) {
        (least, _) if many => format!("{least} or more"),
        (least, most) if least == most => most.to_string(),
        (least, most) => format!("{least} to {most}"),
    };
    let names: Vec<String> = ports
        .iter()
        .map(|port| match port.need {
            Need::Required => port.name.to_string(),
            Need::Optional => format!("{} (optional)", port.name),
            Need::AtLeast(_) => format!("{} ..", port.name),
        })
        .collect();
    format!("{count}: {}", names.join(", "))
}

fn least(port: &Port) -> usize {
    match port.need {
        Need::Required => 1,
        Need::Optional => 0,
        Need::AtLeast(n) => n,
    }
}

/// How inputs fit ports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fit {
    /// What the names in the patterns stand for.
    pub(super) names: Vec<(&'static str, Dim)>,
    /// What does not fit.
    pub(super) misfits: Vec<Misfit>,
    /// Numbers that free symbols must stand for if everything is to fit.
    pub(super) solved: Vec<(Symbol, usize)>,
}

/// Fits shapes to ports, with `sizes` filled into the ports' own dimensions. A shape that is not known fits; `free` says
/// which symbols have no number yet and may take any.
pub(super) fn fit(
    ports: &[Port],
    shapes: &[Option<Shape>],
    sizes: &Sizes,
    free: &dyn Fn(Symbol) -> bool,
) -> Fit {
    let needed: usize = ports.iter().map(least).sum();
    if shapes.len() < needed || (0..shapes.len()).any(|at| port_at(ports, at).is_none()) {
        return Fit { misfits: vec![Misfit::Count], ..Fit::default() };
    }
    let mut names = Names { dims: Vec::new(), rest: None, solved: Vec::new(), sizes, free };
    let mut misfits = Vec::new();
    for (input, shape) in shapes.iter().enumerate() {
        let Some(shape) = shape else { continue };
        let port = port_at(ports, input).expect("every position has a port, checked above");
        let (dims, solved, rest) = (names.dims.len(), names.solved.len(), names.rest.clone());
        if !names.take(&port.shape, shape.dims()) {
            names.dims.truncate(dims);
            names.solved.truncate(solved);
            names.rest = rest;
            misfits.push(Misfit::Shape { input, expected: names.pattern(&port.shape) });
        }
    }
    Fit { names: names.dims, misfits, solved: names.solved }
}

/// What the names in the patterns of one layer stand for so far.
struct Names<'a> {
    dims: Vec<(&'static str, Dim)>,
    rest: Option<Vec<Dim>>,
    solved: Vec<(Symbol, usize)>,
    sizes: &'a Sizes,
    free: &'a dyn Fn(Symbol) -> bool,
}

impl Names<'_> {
    /// Whether `dims` fit the pattern; names it settles are kept.
    fn take(&mut self, pattern: &[Axis], dims: &[Dim]) -> bool {
        let Some(at) = pattern.iter().position(|axis| *axis == Axis::Rest) else {
            return pattern.len() == dims.len()
                && pattern.iter().zip(dims).all(|(axis, dim)| self.take_one(*axis, *dim));
        };
        let after = pattern.len() - at - 1;
        if dims.len() < at + after {
            return false;
        }
        let (front, tail) = dims.split_at(at);
        let (middle, back) = tail.split_at(tail.len() - after);
        let ends = pattern[..at].iter().zip(front).chain(pattern[at + 1..].iter().zip(back));
        for (axis, dim) in ends {
            if !self.take_one(*axis, *dim) {
                return false;
            }
        }
        match self.rest.clone() {
            Some(rest) => {
                rest.len() == middle.len()
                    && rest.into_iter().zip(middle).all(|(a, b)| self.meet(a, *b))
            }
            None => {
                self.rest = Some(middle.to_vec());
                true
            }
        }
    }

    fn take_one(&mut self, axis: Axis, dim: Dim) -> bool {
        match axis {
            Axis::Is(expected) => self.meet(self.sizes.bind(expected), dim),
            Axis::Each(_) => true,
            Axis::Any(name) => match self.dims.iter().find(|(known, _)| *known == name) {
                Some((_, known)) => self.meet(*known, dim),
                None => {
                    self.dims.push((name, dim));
                    true
                }
            },
            Axis::Rest => unreachable!("handled by the caller"),
        }
    }

    /// Whether two dimensions can be one. Where one of them is a free symbol, the other's number is what it stands for.
    fn meet(&mut self, a: Dim, b: Dim) -> bool {
        for (unknown, known) in [(a, b), (b, a)] {
            if let (Dim::Named(symbol, None), Some(size)) = (unknown, known.size())
                && (self.free)(symbol)
            {
                self.solved.push((symbol, size));
                return true;
            }
        }
        a.agrees(b)
    }

    fn pattern(&self, pattern: &[Axis]) -> String {
        let axes: Vec<String> = pattern
            .iter()
            .flat_map(|axis| match axis {
                Axis::Is(dim) => vec![self.sizes.bind(*dim).to_string()],
                Axis::Any(name) => {
                    let known = self.dims.iter().find(|(n, _)| n == name);
                    vec![known.map_or((*name).to_owned(), |(_, dim)| dim.to_string())]
                }
                Axis::Rest => match &self.rest {
                    Some(rest) => rest.iter().map(Dim::to_string).collect(),
                    None => vec!["..".to_owned()],
                },
                Axis::Each(name) => vec![(*name).to_owned()],
            })
            .collect();
        format!("[{}]", axes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Shape {
        ron::from_str(text).unwrap()
    }

    fn recurrent() -> Vec<Port> {
        vec![
            Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Inputs")]),
            Port::real("h0", [Axis::BATCH, Axis::Is(Dim::Fixed(5))]).optional(),
        ]
    }

    fn misfits(ports: &[Port], shapes: &[&str]) -> Vec<Misfit> {
        let shapes: Vec<_> = shapes.iter().map(|text| Some(shape(text))).collect();
        fit(ports, &shapes, &Sizes::new(), &|_| false).misfits
    }

    #[test]
    fn shapes_fit_or_say_what_was_expected() {
        let x = "[Batch, Time, 7]";
        let fitted = fit(&recurrent(), &[Some(shape(x)), None], &Sizes::new(), &|_| false);
        assert_eq!(fitted, Fit { names: vec![("Inputs", Dim::Fixed(7))], ..Fit::default() });
        let wrong = Misfit::Shape { input: 1, expected: "[Batch, 5]".into() };
        assert_eq!(misfits(&recurrent(), &[x, "[Batch, 4]"]), [wrong]);
        assert_eq!(misfits(&recurrent(), &[]), [Misfit::Count]);
        assert_eq!(misfits(&recurrent(), &[x, x, x]), [Misfit::Count]);
    }

    #[test]
    fn free_symbols_are_solved_for() {
        let shapes = [Some(shape("[Batch, Time, 7]")), Some(shape("[Batch, Hidden]"))];
        let hidden = Symbol::new("Hidden");
        let fitted = fit(&recurrent(), &shapes, &Sizes::new(), &|symbol| symbol == hidden);
        assert_eq!(fitted.solved, [(hidden, 5)]);
    }

    #[test]
    fn the_rest_is_the_same_everywhere() {
        let ports = [Port::real("x", [Axis::Rest, Axis::Each("Width")]).at_least(2)];
        let (a, b) = ("[Batch, Time, 3]", "[Batch, Time, 4]");
        assert_eq!(misfits(&ports, &[a, b, a]), []);
        let wrong = Misfit::Shape { input: 1, expected: "[Batch, Time, Width]".into() };
        assert_eq!(misfits(&ports, &[a, "[Batch, 4]"]), [wrong]);
        assert_eq!(arity(&ports), "2 or more: x ..");
    }
}
