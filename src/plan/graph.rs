//! The dependency graph of the changes. Its order is deterministic: where the dependencies leave a
//! choice, by component and address.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::address::{Address, Kind};
use crate::change::Planned;

/// A dependency cycle among changes: a defect of this tool, not of the spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plan has a cycle through {}", .0.iter().map(Address::as_str).collect::<Vec<_>>().join(", "))]
pub struct Cycle(pub Vec<Address>);

/// The dependencies among the changes of one plan. Edges point from a dependency to its dependents.
#[derive(Debug)]
pub(super) struct Graph {
    graph: DiGraph<Address, ()>,
    nodes: BTreeMap<Address, NodeIndex>,
}

impl Graph {
    /// Builds the graph. A dependency that is not part of this plan counts as satisfied.
    pub(super) fn new<C>(changes: &[Planned<C>]) -> Self {
        let mut graph = DiGraph::with_capacity(changes.len(), changes.len());
        let nodes: BTreeMap<Address, NodeIndex> = changes
            .iter()
            .map(|change| (change.address.clone(), graph.add_node(change.address.clone())))
            .collect();
        for change in changes {
            let Some(to) = nodes.get(&change.address) else { continue };
            for from in change.needs.iter().filter_map(|need| nodes.get(need)) {
                graph.update_edge(*from, *to, ());
            }
        }
        Self { graph, nodes }
    }

    /// Returns the direct dependencies of an address, sorted.
    pub(super) fn depends_on(&self, address: &Address) -> Vec<Address> {
        let Some(node) = self.nodes.get(address) else { return Vec::new() };
        let before: BTreeSet<&Address> = self
            .graph
            .neighbors_directed(*node, Direction::Incoming)
            .filter_map(|node| self.graph.node_weight(node))
            .collect();
        before.into_iter().cloned().collect()
    }

    /// Returns the addresses with all their direct and indirect dependencies.
    pub(super) fn closure(&self, of: impl IntoIterator<Item = Address>) -> BTreeSet<Address> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<Address> = of.into_iter().collect();
        while let Some(address) = open.pop() {
            if reached.insert(address.clone()) {
                open.extend(self.depends_on(&address));
            }
        }
        reached
    }

    /// Returns one valid execution order, by Kahn's algorithm with the smallest ready address
    /// first. Deletes of a take-back run in reverse order of creation.
    pub(super) fn order(&self, take_back: bool) -> Result<Vec<Address>, Cycle> {
        let rank = |address: &Address| rank(address.kind(), take_back);
        let mut missing: BTreeMap<NodeIndex, usize> = BTreeMap::new();
        let mut ready = BinaryHeap::new();
        for (address, node) in &self.nodes {
            let before = self.graph.neighbors_directed(*node, Direction::Incoming).count();
            if before == 0 {
                ready.push(Reverse((rank(address), address.clone(), *node)));
            } else {
                missing.insert(*node, before);
            }
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(Reverse((_, address, node))) = ready.pop() {
            order.push(address);
            for next in self.graph.neighbors_directed(node, Direction::Outgoing) {
                let Some(count) = missing.get_mut(&next) else { continue };
                *count -= 1;
                if *count == 0 {
                    missing.remove(&next);
                    if let Some(address) = self.graph.node_weight(next) {
                        ready.push(Reverse((rank(address), address.clone(), next)));
                    }
                }
            }
        }
        if missing.is_empty() {
            return Ok(order);
        }
        Err(Cycle(missing.keys().filter_map(|node| self.graph.node_weight(*node)).cloned().collect()))
    }
}

/// Sort key where the dependencies leave a choice. A take-back reverses the order of creation,
/// except for the steps that begin and end every run.
fn rank(kind: Kind, take_back: bool) -> (u8, usize) {
    let place = kind as usize;
    match kind {
        Kind::Database | Kind::Bookkeeping => (0, place),
        Kind::Flags => (2, place),
        _ if take_back => (1, Kind::ALL.len() - place),
        _ => (1, place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Action, Risks};
    use crate::digest::Digest;

    fn change(address: &str, needs: &[&str]) -> Planned<()> {
        Planned {
            address: address.into(),
            action: Action::Create,
            risks: Risks::SAFE,
            reason: String::new(),
            needs: needs.iter().map(|need| Address::from(*need)).collect(),
            summary: String::new(),
            before: None,
            after: None,
            diff: None,
            seen: Digest::of(""),
            guard: None,
            at: None,
            change: (),
        }
    }

    fn order(changes: &[Planned<()>]) -> Vec<String> {
        Graph::new(changes).order(false).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_needed_comes_first_whatever_its_name() {
        let changes = [
            change("cache.stream.a", &["system.seed.z"]),
            change("system.seed.z", &["system.migration.0001"]),
            change("system.migration.0001", &["system.database"]),
            change("system.database", &[]),
        ];
        assert_eq!(
            order(&changes),
            ["system.database", "system.migration.0001", "system.seed.z", "cache.stream.a"]
        );
    }

    #[test]
    fn the_order_does_not_depend_on_the_order_of_the_input() {
        let mut changes = vec![
            change("flags", &[]),
            change("vector.documents.ddl", &["vector.collection.ddl"]),
            change("vector.collection.ddl", &[]),
            change("system.user.b", &[]),
            change("system.user.a", &[]),
        ];
        let first = order(&changes);
        changes.reverse();
        assert_eq!(order(&changes), first);
        assert_eq!(first.last().map(String::as_str), Some("flags"));
    }

    #[test]
    fn what_was_made_last_is_taken_back_first() {
        let changes =
            ["flags", "system.bookkeeping", "system.seed.a", "system.ontology.b", "vector.documents.c"];
        let changes: Vec<Planned<()>> = changes.iter().map(|address| change(address, &[])).collect();
        let order = Graph::new(&changes).order(true).unwrap();
        let order: Vec<&str> = order.iter().map(Address::as_str).collect();
        assert_eq!(
            order,
            ["system.bookkeeping", "vector.documents.c", "system.seed.a", "system.ontology.b", "flags"]
        );
    }

    #[test]
    fn a_need_that_is_no_change_is_satisfied() {
        assert_eq!(order(&[change("cache.stream.a", &["system.database"])]), ["cache.stream.a"]);
    }

    #[test]
    fn a_cycle_is_named() {
        let changes =
            [change("system.seed.a", &["system.seed.b"]), change("system.seed.b", &["system.seed.a"])];
        assert_eq!(
            Graph::new(&changes).order(false),
            Err(Cycle(vec!["system.seed.a".into(), "system.seed.b".into()]))
        );
    }
}
