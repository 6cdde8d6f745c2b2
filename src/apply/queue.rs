//! The queue of steps that have not started: which may start now, and which a failed step blocks.
//! Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::address::Address;
use crate::connection;
use crate::plan::{Step, Work};
use crate::{cache, system};

/// Usage of the resources that limit parallel steps.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lanes {
    running: usize,
    /// Running steps that hold a connection to the system database.
    system: usize,
    /// Running steps that write to the system catalogs of roles and their grants.
    roles: usize,
}

impl Lanes {
    /// Counts the running steps.
    pub(super) fn used_by<'a>(running: impl Iterator<Item = &'a Step>) -> Self {
        let mut lanes = Self::default();
        for step in running {
            lanes.running += 1;
            lanes.system += usize::from(uses_system(&step.work));
            lanes.roles += usize::from(is_role(&step.work));
        }
        lanes
    }

    /// Whether a step could start now without waiting for a resource.
    fn are_free_for(&self, step: &Step) -> bool {
        // Concurrent grants on one object update the same catalog row, and PostgreSQL fails one of
        // them.
        (self.system < connection::STEPS_AT_ONCE || !uses_system(&step.work))
            && (self.roles == 0 || !is_role(&step.work))
    }
}

fn uses_system(work: &Work) -> bool {
    match work {
        Work::Bookkeeping { .. } | Work::System(_) | Work::Target(_) | Work::Flags { .. } => true,
        // Consumer groups are recorded in the inventory.
        Work::Cache(change) => cache::claims(change).is_some(),
        // The identity of the bookkeeping was unknown when planning, so the step reads it.
        Work::Vector(change) => change.owner.identity.is_none(),
    }
}

fn is_role(work: &Work) -> bool {
    matches!(work, Work::System(system::Change::Role(_)))
}

/// The steps that have not started, with their unfinished dependencies.
pub(super) struct Queue {
    ready: VecDeque<Step>,
    waiting: BTreeMap<Address, Waiting>,
    /// The dependents of each address.
    followers: BTreeMap<Address, Vec<Address>>,
    /// The step that runs last, and only if no step failed.
    last: Option<Step>,
    is_clean: bool,
}

struct Waiting {
    step: Step,
    missing: BTreeSet<Address>,
}

impl Queue {
    /// Creates the queue of all steps.
    pub(super) fn new(steps: Vec<Step>) -> Self {
        let planned: BTreeSet<Address> = steps.iter().map(|step| step.address.clone()).collect();
        let mut queue = Self {
            ready: VecDeque::new(),
            waiting: BTreeMap::new(),
            followers: BTreeMap::new(),
            last: None,
            is_clean: true,
        };
        for step in steps {
            if matches!(step.work, Work::Flags { .. }) {
                queue.last = Some(step);
                continue;
            }
            let missing: BTreeSet<Address> =
                step.needs.iter().filter(|need| planned.contains(need)).cloned().collect();
            if missing.is_empty() {
                queue.ready.push_back(step);
                continue;
            }
            for need in &missing {
                queue.followers.entry(need.clone()).or_default().push(step.address.clone());
            }
            queue.waiting.insert(step.address.clone(), Waiting { step, missing });
        }
        queue
    }

    /// Returns the next step that may start; the last step only if no other step runs or waits.
    pub(super) fn next(&mut self, lanes: &Lanes) -> Option<Step> {
        if let Some(place) = self.ready.iter().position(|step| lanes.are_free_for(step)) {
            return self.ready.remove(place);
        }
        let is_end = lanes.running == 0 && self.ready.is_empty() && self.waiting.is_empty();
        if is_end && self.is_clean { self.last.take() } else { None }
    }

    /// Returns copies of the steps that can run right after one that starts now, each after the one before it:
    /// they wait for no other step, and `fits` accepts them. They stay in the queue until [`Self::take`].
    pub(super) fn successors(&self, first: &Step, most: usize, fits: impl Fn(&Step) -> bool) -> Vec<Step> {
        let successor = |last: &Address| {
            let followers = self.followers.get(last)?.iter();
            let mut waiting = followers.filter_map(|follower| self.waiting.get(follower));
            waiting.find(|next| next.missing.len() == 1 && fits(&next.step)).map(|next| &next.step)
        };
        let first = Some(first).filter(|first| fits(first));
        let steps = std::iter::successors(first, |last| successor(&last.address));
        steps.skip(1).take(most).cloned().collect()
    }

    /// Removes a step that may start now.
    pub(super) fn take(&mut self, address: &Address) -> Option<Step> {
        let place = self.ready.iter().position(|step| step.address == *address)?;
        self.ready.remove(place)
    }

    /// Marks a step as done, so that its dependents may start.
    pub(super) fn done(&mut self, address: &Address) {
        for follower in self.followers.remove(address).unwrap_or_default() {
            let Some(waiting) = self.waiting.get_mut(&follower) else { continue };
            waiting.missing.remove(address);
            if waiting.missing.is_empty()
                && let Some(waiting) = self.waiting.remove(&follower)
            {
                self.ready.push_back(waiting.step);
            }
        }
    }

    /// Removes all direct and indirect dependents of a failed step.
    pub(super) fn failed(&mut self, address: &Address) -> Vec<(Step, String)> {
        self.is_clean = false;
        let mut blocked = Vec::new();
        let mut open = VecDeque::from([address.clone()]);
        while let Some(cause) = open.pop_front() {
            for follower in self.followers.remove(&cause).unwrap_or_default() {
                if let Some(waiting) = self.waiting.remove(&follower) {
                    blocked.push((waiting.step, format!("needs {cause}")));
                    open.push_back(follower);
                }
            }
        }
        blocked
    }

    /// Removes all remaining steps.
    pub(super) fn drain(self) -> Vec<Step> {
        let waiting = self.waiting.into_values().map(|waiting| waiting.step);
        self.ready.into_iter().chain(waiting).chain(self.last).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Kind;
    use crate::change::Action;

    fn seed(name: &str) -> Address {
        Kind::Seed.named(name)
    }

    fn step(name: &str, needs: &[&str]) -> Step {
        Step {
            address: seed(name),
            action: Action::Run,
            needs: needs.iter().map(|need| seed(need)).collect(),
            work: Work::Bookkeeping { stack: "s".to_owned(), protected: BTreeSet::new() },
        }
    }

    /// Another step runs, without using a limited resource.
    fn busy() -> Lanes {
        Lanes { running: 1, ..Lanes::default() }
    }

    fn names(steps: &[(Step, String)]) -> Vec<String> {
        steps.iter().map(|(step, why)| format!("{}: {why}", step.address)).collect()
    }

    #[test]
    fn a_failed_step_blocks_what_needs_it_and_nothing_else() {
        let mut queue =
            Queue::new(vec![step("a", &[]), step("b", &["a"]), step("c", &["b"]), step("d", &[])]);
        assert_eq!(queue.next(&Lanes::default()).unwrap().address.name(), "a");
        assert_eq!(
            names(&queue.failed(&seed("a"))),
            ["system.seed.b: needs system.seed.a", "system.seed.c: needs system.seed.b"]
        );
        assert_eq!(queue.next(&Lanes::default()).unwrap().address.name(), "d");
        assert!(queue.next(&Lanes::default()).is_none());
    }

    #[test]
    fn a_step_waits_for_all_that_it_needs() {
        let mut queue = Queue::new(vec![step("a", &[]), step("b", &[]), step("c", &["a", "b"])]);
        queue.next(&Lanes::default());
        queue.next(&busy());
        queue.done(&seed("a"));
        assert!(queue.next(&busy()).is_none());
        queue.done(&seed("b"));
        assert_eq!(queue.next(&Lanes::default()).unwrap().address.name(), "c");
    }

    #[test]
    fn successors_end_before_a_step_that_needs_another_one_or_does_not_fit() {
        let steps =
            [("a", vec![]), ("b", vec!["a"]), ("c", vec!["b"]), ("d", vec!["c"]), ("e", vec!["d", "x"])];
        let queue = || {
            let mut steps: Vec<Step> = steps.iter().map(|(name, needs)| step(name, needs)).collect();
            steps.insert(1, step("other", &["a"]));
            steps.push(step("x", &[]));
            let mut queue = Queue::new(steps);
            let first = queue.next(&Lanes::default()).unwrap();
            (queue, first)
        };
        let successors = |most, fits: fn(&str) -> bool| {
            let (queue, first) = queue();
            let steps = queue.successors(&first, most, |step| fits(step.address.name()));
            steps.iter().map(|step| step.address.name().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(successors(9, |name| name != "other"), "b c d");
        assert_eq!(successors(9, |name| !["other", "c"].contains(&name)), "b");
        assert_eq!(successors(2, |name| name != "other"), "b c");
        assert_eq!(successors(9, |name| name != "a"), "");

        let (mut queue, _) = queue();
        assert!(queue.take(&seed("b")).is_none(), "it waits for a");
        queue.done(&seed("a"));
        assert_eq!(queue.take(&seed("b")).unwrap().address.name(), "b");
        assert!(queue.take(&seed("b")).is_none());
    }

    #[test]
    fn the_flags_come_last_and_only_when_nothing_failed() {
        let flags = || {
            let flags = crate::stack::Flags(BTreeMap::new());
            let work = Work::Flags { stack: "s".to_owned(), environment: "dev".to_owned(), flags };
            Step { work, address: Kind::Flags.alone(), ..step("", &[]) }
        };
        let mut queue = Queue::new(vec![flags(), step("a", &[])]);
        assert_eq!(queue.next(&Lanes::default()).unwrap().address.name(), "a");
        assert!(queue.next(&busy()).is_none(), "while another step runs");
        queue.done(&seed("a"));
        assert_eq!(queue.next(&Lanes::default()).unwrap().address.as_str(), "flags");

        let mut queue = Queue::new(vec![flags(), step("a", &[])]);
        queue.next(&Lanes::default());
        queue.failed(&seed("a"));
        assert!(queue.next(&Lanes::default()).is_none());
        let left = queue.drain();
        assert_eq!(left.iter().map(|step| step.address.as_str()).collect::<Vec<_>>(), ["flags"]);
    }

    #[test]
    fn never_more_steps_hold_a_connection_than_the_pool_has_and_others_pass_them() {
        let other = |address: &str| Step {
            work: Work::Cache(cache::Change::Config { key: "k".to_owned(), value: "v".to_owned() }),
            ..step(address, &[])
        };
        let mut steps: Vec<Step> = (0..64).map(|n| step(&n.to_string(), &[])).collect();
        steps.push(other("cache"));
        let mut queue = Queue::new(steps);
        let mut running: Vec<Step> = Vec::new();
        while let Some(step) = queue.next(&Lanes::used_by(running.iter())) {
            running.push(step);
        }

        assert_eq!(running.len(), connection::STEPS_AT_ONCE + 1);
        assert_eq!(running.last().unwrap().address.name(), "cache");
        assert_eq!(running.remove(0).address.name(), "0");
        assert!(queue.next(&Lanes::used_by(running.iter())).is_some(), "one ended");
    }
}
