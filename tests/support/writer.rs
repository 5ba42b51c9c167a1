//! A small network that writes: an image sets the state of a cell that scores the next word.

/// Its graph with this cell; `Features`, `Units` and `Vocabulary` are to be bound.
pub(crate) fn graph(cell: &str) -> String {
    format!(
        r#"Graph(
            inputs: {{"features": [Batch, Features], "words": [Batch, Time], "next": [Batch, Time]}},
            nodes: [
                (name: "h0", layer: Projection(units: Units), from: ["features"]),
                (name: "vectors", layer: Embedding(units: 7), from: ["words"]),
                (name: "hidden", layer: {cell}(units: Units), from: ["vectors", "h0"]),
                (name: "scores", layer: TemporalAffine(units: Vocabulary), from: ["hidden"]),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "next"]),
            ],
        )"#
    )
}
