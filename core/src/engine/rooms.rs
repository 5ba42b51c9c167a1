//! Which arrays of a plan share memory, when it is run forward and nothing is kept for a way back.
//!
//! An array is needed from the node that writes it to the last one that reads it. Arrays that are never needed at the same
//! time live in the same *room*, one after the other.

use super::extent::Extent;
use super::memory::{Extents, NodeMemory};
use crate::array::tensor::Tensor;
use crate::graph::Plan;
use crate::layer::context::Slot;

/// A room of a [`Rooms`], by its number.
pub(super) type Room = usize;

/// Where every array lives that is neither an input nor a parameter.
#[derive(Debug, Clone)]
pub(super) struct Rooms {
    /// For each value its room. Inputs have memory of their own.
    pub(super) values: Vec<Option<Room>>,
    pub(super) nodes: Vec<NodeRooms>,
    /// For each room everybody who ever lives there.
    tenants: Vec<Vec<Extent>>,
}

/// The rooms of one node's own arrays.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeRooms {
    pub(super) saved: Vec<Room>,
    pub(super) scratch: Vec<Room>,
    /// The array that becomes the output, for nobody needs it any more.
    pub(super) over: Option<Over>,
    /// The values that nobody needs from here on and whose rooms become free.
    pub(super) last: Vec<usize>,
}

/// An array that the output of a node is written over, or that is the output in another shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Over {
    pub(super) port: usize,
    pub(super) value: usize,
}

impl Rooms {
    /// Gives every array a room, in the order of the nodes.
    pub(super) fn new(plan: &Plan, extents: &Extents) -> Self {
        let mut house = House { tenants: Vec::new(), free: Vec::new() };
        let mut rooms = Rooms {
            values: vec![None; plan.values.len()],
            nodes: Vec::with_capacity(plan.nodes.len()),
            tenants: Vec::new(),
        };
        let last = last_readers(plan);
        for (at, node) in plan.nodes.iter().enumerate() {
            // An input stays as it was fed.
            let over = over(plan, at, &last).filter(|over| rooms.values[over.value].is_some());
            let inherited = over.and_then(|over| rooms.values[over.value]);
            for value in node.outputs.clone() {
                let extent = extents.values[value].as_ref().expect("a node writes it");
                rooms.values[value] = Some(match inherited {
                    Some(room) => house.move_in(room, extent),
                    None => house.find(extent),
                });
            }
            let [saved, scratch, _] = &extents.nodes[at];
            let mut own = |extents: &[Extent]| extents.iter().map(|e| house.find(e)).collect();
            let (saved, scratch): (Vec<Room>, Vec<Room>) = (own(saved), own(scratch));
            let mut done: Vec<usize> = node.reads().chain(node.outputs.clone()).collect();
            done.sort_unstable();
            done.dedup();
            done.retain(|value| {
                last[*value] == Last::At(at)
                    && rooms.values[*value].is_some()
                    && over.is_none_or(|over| over.value != *value)
            });
            let freed = done.iter().filter_map(|value| rooms.values[*value]);
            house.free.extend(freed.chain(saved.iter().chain(&scratch).copied()));
            rooms.nodes.push(NodeRooms { saved, scratch, over, last: done });
        }
        rooms.tenants = house.tenants;
        rooms
    }

    /// How many rooms there are.
    pub(super) fn count(&self) -> usize {
        self.tenants.len()
    }

    /// Moves a value into its room, or out of it.
    pub(super) fn move_value<T>(&self, value: usize, to: &mut [Tensor<T>], from: &mut [Tensor<T>]) {
        if let Some(room) = self.values[value] {
            std::mem::swap(&mut to[value], &mut from[room]);
        }
    }

    /// How many elements each room has for a batch of this size and time.
    pub(super) fn sizes(&self, batch: usize, time: usize) -> impl Iterator<Item = usize> {
        let most = move |tenant: &Extent| tenant.most(batch, time);
        self.tenants.iter().map(move |tenants| tenants.iter().map(most).max().unwrap_or(0))
    }
}

impl NodeRooms {
    /// Moves a node's own arrays into their rooms, or out of them.
    pub(super) fn move_own<T>(&self, own: &mut NodeMemory<T>, from: &mut [Tensor<T>]) {
        let saved = own.saved.iter_mut().zip(&self.saved);
        for (array, room) in saved.chain(own.scratch.iter_mut().zip(&self.scratch)) {
            std::mem::swap(array, &mut from[*room]);
        }
    }
}

/// Rooms while they are given away.
struct House {
    tenants: Vec<Vec<Extent>>,
    free: Vec<Room>,
}

impl House {
    /// The smallest free room that is large enough, or else the largest, which grows, or else a new one.
    fn find(&mut self, extent: &Extent) -> Room {
        let wanted = extent.most(1, 1);
        let size = |room: &Room| self.tenants[*room].iter().map(|t| t.most(1, 1)).max();
        let fits = |room: &&Room| size(room) >= Some(wanted);
        let fitting = self.free.iter().filter(fits).min_by_key(|room| size(room));
        let room = fitting.or(self.free.iter().max_by_key(|room| size(room))).copied();
        let room = room.unwrap_or_else(|| {
            self.tenants.push(Vec::new());
            self.tenants.len() - 1
        });
        self.free.retain(|free| *free != room);
        self.move_in(room, extent)
    }

    fn move_in(&mut self, room: Room, extent: &Extent) -> Room {
        self.tenants[room].push(extent.clone());
        room
    }
}

/// Who needs a value last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// This node.
    At(usize),
    /// Whoever asked for it.
    Asked,
}

fn last_readers(plan: &Plan) -> Vec<Last> {
    let mut last = vec![Last::Asked; plan.values.len()];
    for (at, node) in plan.nodes.iter().enumerate() {
        node.reads().chain(node.outputs.clone()).for_each(|value| last[value] = Last::At(at));
    }
    plan.outputs.iter().for_each(|(_, value)| last[*value] = Last::Asked);
    last
}

/// What node `at` can write over: an array that it is the last to need.
fn over(plan: &Plan, at: usize, last: &[Last]) -> Option<Over> {
    let node = &plan.nodes[at];
    if node.outputs.len() != 1 || !node.memory.saved.is_empty() {
        return None;
    }
    let same_shape =
        |value: usize| plan.values[value].shape == plan.values[node.outputs.start].shape;
    let arrays = node.slots.iter().enumerate().filter_map(|(port, slot)| match *slot {
        Slot::Value(value) => Some(Over { port, value }),
        _ => None,
    });
    arrays.into_iter().find(|Over { port, value }| {
        let once = node.reads().filter(|read| read == value).count() == 1;
        let fits = node.is_view() || node.abilities.in_place.contains(port) && same_shape(*value);
        once && last[*value] == Last::At(at) && fits
    })
}
