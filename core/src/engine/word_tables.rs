//! What depends on a word alone, computed for the whole vocabulary once it has been computed for as many words one by one.

use super::memory::Memory;
use crate::array::shape::Sizes;
use crate::graph::{NodePlan, Plan};
use crate::layer::context::Slot;
use crate::scalar::Scalar;

/// The token inputs that steps read, and how much of what depends on their words alone is known.
///
/// A few sentences meet few words, for which a table of all of them would be a waste; many sentences meet the same words
/// again and again. So a table is made when as much has been spent without it as it costs: no more than twice the work
/// that the better way would have been.
#[derive(Debug, Clone)]
pub(super) struct WordTables {
    tables: Vec<Table>,
    /// The state of the parameters that it is about.
    version: Option<u64>,
}

#[derive(Debug, Clone)]
struct Table {
    /// The array of tokens.
    tokens: usize,
    vocabulary: usize,
    /// Words that were computed so far, each as often as it was.
    computed: usize,
    /// Whether every word is known.
    whole: bool,
}

impl WordTables {
    /// For the inputs with time whose vocabulary is known, and of whose different words nodes make something.
    pub(super) fn new(plan: &Plan, sizes: &Sizes) -> Self {
        let table = |input: &crate::graph::InputPlan| {
            let Slot::Tokens(tokens) = input.slot else { return None };
            let vocabulary = input.below.iter().filter_map(|dim| sizes.resolve(*dim).ok()).min()?;
            let used = plan.nodes.iter().any(|node| node.words == Some(tokens));
            (used && input.has_time()).then_some(Table {
                tokens,
                vocabulary,
                computed: 0,
                whole: false,
            })
        };
        WordTables { tables: plan.inputs.iter().filter_map(table).collect(), version: None }
    }

    /// Forgets what is known, if it is about other parameters than these.
    pub(super) fn renew<T: Scalar>(&mut self, version: u64, memory: &mut Memory<T>) {
        if self.version.replace(version) == Some(version) {
            return;
        }
        for table in &mut self.tables {
            (table.computed, table.whole) = (0, false);
            memory.tokens[table.tokens].words.clear();
        }
    }

    /// Decides which tables the coming step makes.
    pub(super) fn before_step<T: Scalar>(&self, memory: &mut Memory<T>) {
        let due = |table: &&Table| !table.whole && table.computed >= table.vocabulary;
        for table in self.tables.iter().filter(due) {
            memory.tokens[table.tokens].words.cover(table.vocabulary);
        }
    }

    /// Whether what a node computes is known.
    pub(super) fn has(&self, node: &NodePlan) -> bool {
        self.tables.iter().any(|table| table.whole && node.words == Some(table.tokens))
    }

    /// Takes note of what a step has computed.
    pub(super) fn after_step<T: Scalar>(&mut self, memory: &Memory<T>) {
        for table in self.tables.iter_mut().filter(|table| !table.whole) {
            let words = &memory.tokens[table.tokens].words;
            table.computed += words.distinct().len();
            table.whole = words.covers();
        }
    }
}
