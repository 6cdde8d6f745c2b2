//! The rehearsal: runs the pending changes of the system database in a scratch copy of its schema
//! and reports those that fail. On the real server it writes only to the scratch database.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::OnceCell;

use super::Cancel;
use super::step_error::causes;
use crate::address::{Address, Kind as Addressed};
use crate::catalog::TableName;
use crate::change::{Action, Check, Effect, Fault, Status};
use crate::connection::{Client, Lacks, Presence, Purpose};
use crate::desired::Desired;
use crate::journal::{self, RunId};
use crate::location::Location;
use crate::migrations::{self, external_statements, shortened, without_external_statements};
use crate::plan::{self, Document, Options, Plan, PlanError, Work};
use crate::sql::FileTables;
use crate::stack::{Migration, Repeatable, SchemaDrift, Stack};
use crate::stores::{ObserveError, observe_system, system_url};
use crate::system::{self, Change, Surroundings};
use crate::world::World;

/// Kinds whose changes can run without data: no users, because they need passwords.
const TRIED: [Addressed; 5] =
    [Addressed::Extension, Addressed::Migration, Addressed::Repeatable, Addressed::Ontology, Addressed::Seed];
/// Changes that become plannable during the rehearsal start another round.
const MOST_ROUNDS: usize = 3;

/// Rehearses the pending changes of the system database. Returns `None` if interrupted; the scratch
/// database is dropped in any case.
pub async fn rehearse(
    stack: &Stack,
    world: &World,
    document: &Document,
    cancel: &Cancel,
) -> Result<Option<Vec<Check>>, ObserveError> {
    let run = RunId::new();
    let client = Client::new(system_url(stack)?, &stack.name, Purpose::Apply(run.clone()));
    let live = Client::new(system_url(stack)?, &stack.name, Purpose::Observe);
    let rehearsal = Rehearsal { stack, world, document, run, live, surroundings: OnceCell::new() };
    if rehearsal.pending().is_empty() {
        let message = "nothing is pending that can be rehearsed; no scratch database was made";
        return Ok(Some(vec![Check::new(Addressed::Rehearsal, Status::Pass, message)]));
    }
    let failed = |why: String| {
        let message = format!("nothing was rehearsed: {why}");
        vec![Check::new(Addressed::Rehearsal, Status::Fail, message)]
    };
    let ended = system::within_scratch(&client, async |scratch: &Client| {
        let checks = cancel.unless_cancelled(rehearsal.run(scratch)).await;
        Ok(checks.map(|checks| checks.unwrap_or_else(|error| failed(causes(&error)))))
    });
    Ok(Box::pin(ended).await.unwrap_or_else(|error| {
        Some(failed(match error {
            // Its name is random, so it is omitted.
            system::Error::Scratch { database: _, source } => format!(
                "cannot make a scratch database: {}; the account of `system.url` needs CREATEDB",
                causes(&source)
            ),
            system::Error::ScratchFolder { path: _, source } => format!(
                "cannot make a folder in {}: {source}; set TMPDIR to one that can be written",
                std::env::temp_dir().display()
            ),
            error => causes(&error),
        }))
    }))
}

struct Rehearsal<'a> {
    stack: &'a Stack,
    world: &'a World,
    document: &'a Document,
    run: RunId,
    /// The real database, used read-only.
    live: Client,
    /// Objects copied from the real database when they were missing in the scratch database.
    surroundings: OnceCell<Surroundings>,
}

/// Results of the steps in the scratch database.
#[derive(Debug, Default)]
struct RehearsalOutcome {
    done: BTreeSet<Address>,
    failed: BTreeMap<Address, StepFailure>,
    /// Steps that were not run, with the failed step that blocked them.
    blocked: BTreeMap<Address, Address>,
}

/// Why a step failed.
#[derive(Debug)]
struct StepFailure {
    message: String,
    kind: FailureKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    /// It would fail in the real database, too.
    Failed,
    /// A referenced row is missing, which may exist in the real database.
    LacksRows,
    /// It needs an object of the real database that could not be copied to the scratch database.
    LacksObjects,
    /// It was not run.
    Skipped,
}

/// A step that is not run, with the reason.
fn skipped(message: String) -> StepFailure {
    StepFailure { message, kind: FailureKind::Skipped }
}

impl From<String> for StepFailure {
    fn from(message: String) -> Self {
        Self { message, kind: FailureKind::Failed }
    }
}

impl Rehearsal<'_> {
    /// Returns the planned changes that can be rehearsed, without deletes.
    fn pending(&self) -> BTreeSet<&Address> {
        let changes = self.document.changes.iter().filter(|change| change.action != Action::Delete);
        let later = self.document.deferred.iter().map(|held| &held.address);
        changes
            .map(|change| &change.address)
            .chain(later)
            .filter(|address| TRIED.contains(&address.kind()))
            .collect()
    }

    async fn run(&self, scratch: &Client) -> Result<Vec<Check>, ObserveError> {
        let mut stack = system_alone(self.stack);
        let mut live = RehearsalOutcome::default();
        self.rounds(&mut self.as_applied(&stack), scratch, &mut live).await?;
        if let Some((address, StepFailure { message, kind })) = live.failed.first_key_value() {
            let message = format!(
                "nothing was rehearsed: the schema as it is cannot be made again from the files, {address}: {message}"
            );
            let status = if *kind == FailureKind::LacksObjects { Status::Warn } else { Status::Fail };
            return Ok(vec![Check::new(Addressed::Rehearsal, status, message)]);
        }
        let mut outcome = RehearsalOutcome::default();
        self.remove_rows_without_table(&mut stack, scratch, &mut outcome).await?;
        self.rounds(&mut stack, scratch, &mut outcome).await?;
        outcome.done.extend(live.done);
        Ok(self.checks(&outcome))
    }

    /// Returns the stack as applied to the real database: its extensions, the migrations of its
    /// history, and the repeatable files that are not pending.
    fn as_applied(&self, stack: &Stack) -> Stack {
        let observed = &self.world.system;
        let history = observed.migrations.as_deref().unwrap_or_default();
        let is_applied =
            |file: &Migration| history.iter().any(|row| row.version == file.version && row.success);
        let pending = self.pending();
        let is_current = |file: &Repeatable| !pending.contains(&Addressed::Repeatable.named(&file.name));
        let dialect = observed.dialect;
        let mut live = stack.clone();
        live.system.extensions.retain(|name| observed.extensions.contains_key(name));
        live.system.ontologies.clear();
        live.system.seeds.clear();
        let sets = &mut live.system.migrations;
        for files in [&mut sets.common, &mut sets.postgres, &mut sets.sqlite] {
            files.retain(is_applied);
            // Roles belong to the server, so they exist already.
            for file in files {
                file.sql = without_external_statements(&file.sql, dialect);
            }
        }
        let repeatable = &mut sets.repeatable;
        for files in [&mut repeatable.common, &mut repeatable.postgres, &mut repeatable.sqlite] {
            files.retain(is_current);
            for file in files {
                file.sql = without_external_statements(&file.sql, dialect);
            }
        }
        live
    }

    /// A table that exists and that no migration creates is missing in the scratch database.
    async fn remove_rows_without_table(
        &self,
        stack: &mut Stack,
        scratch: &Client,
        outcome: &mut RehearsalOutcome,
    ) -> Result<(), ObserveError> {
        let made = scratch.catalog().await?;
        let there = &self.world.system.schema;
        let mut is_lacking = |address: Address, table: &str| {
            let name = TableName::parse(table);
            let lacks = there.tables.contains_key(&name) && !made.tables.contains_key(&name);
            if lacks {
                let message = format!("no migration makes its table {table}");
                let failure = skipped(message);
                outcome.failed.insert(address, failure);
            }
            lacks
        };
        stack.system.seeds.retain(|name, seed| !is_lacking(Addressed::Seed.named(name), &seed.table));
        let terms = stack.system.terms.table.clone();
        stack.system.ontologies.retain(|name, _| !is_lacking(Addressed::Ontology.named(name), &terms));
        Ok(())
    }

    /// Plans and executes until no new change becomes plannable.
    async fn rounds(
        &self,
        stack: &mut Stack,
        scratch: &Client,
        outcome: &mut RehearsalOutcome,
    ) -> Result<(), ObserveError> {
        let mut left = MOST_ROUNDS;
        while left > 0 {
            let desired = Desired::new(stack, scratch.dialect());
            let (system, journal) = observe_system(&desired.system, scratch).await?;
            let world = World { system, journal, targets: BTreeMap::new(), vector: None, cache: None };
            let plan = match plan::plan(&desired, &world, &Options::default()) {
                Ok(plan) => plan,
                Err(PlanError::Faults(faults)) => {
                    if remove_faulty_objects(stack, faults, outcome) {
                        continue;
                    }
                    return Ok(());
                }
                Err(failure @ (PlanError::NothingSelected(_) | PlanError::Cycle(_))) => {
                    let failure = StepFailure::from(format!("cannot be planned: {failure:?}"));
                    outcome.failed.insert(Addressed::System.alone(), failure);
                    return Ok(());
                }
            };
            left -= 1;
            let is_whole = plan.document.deferred.is_empty();
            self.walk(plan, scratch, outcome).await;
            if is_whole || !outcome.blocked.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Executes the steps one at a time, in the order of the plan.
    async fn walk(&self, plan: Plan, scratch: &Client, outcome: &mut RehearsalOutcome) {
        for step in plan.steps {
            let address = step.address;
            if outcome.done.contains(&address) || outcome.failed.contains_key(&address) {
                continue;
            }
            let cause = step.needs.iter().find_map(|need| match outcome.blocked.get(need) {
                Some(cause) => Some(cause.clone()),
                None => outcome.failed.contains_key(need).then(|| need.clone()),
            });
            if let Some(cause) = cause {
                outcome.blocked.insert(address, cause);
                continue;
            }
            let result = match &step.work {
                Work::Bookkeeping { stack, protected } => ensure(stack, protected, scratch).await,
                Work::System(change) => self.attempt(&address, change, scratch).await,
                Work::Target(_) | Work::Vector(_) | Work::Cache(_) | Work::Flags { .. } => continue,
            };
            match result {
                Ok(()) => drop(outcome.done.insert(address)),
                Err(failure) => drop(outcome.failed.insert(address, failure)),
            }
        }
    }

    /// Executes a change, unless it would affect anything outside of the scratch database.
    async fn attempt(&self, address: &Address, change: &Change, scratch: &Client) -> Result<(), StepFailure> {
        let file = match change {
            Change::Migration(change) => Some(change.text()),
            Change::Role(_) => return Err(skipped("a role is of the whole server".to_owned())),
            Change::CreateDatabase | Change::CreateExtension { .. } | Change::Rows(_) => None,
        };
        let reaching = file.and_then(|(sql, at)| {
            let range = external_statements(sql, scratch.dialect()).into_iter().next()?;
            let line = sql.get(..range.start)?.matches('\n').count() + 1;
            Some((
                format!("{}:{line}", at.source.name()),
                shortened(&FileTables::default().masked(sql.get(range)?)),
            ))
        });
        if let Some((place, statement)) = reaching {
            return Err(skipped(format!("{place}: {statement} changes more than its own database")));
        }
        let mut applied = system::apply(change, scratch, &self.run).await;
        let lacks_object = |applied: &system::Result<Effect>| {
            applied.as_ref().is_err_and(|error| error.lacks().is_some_and(Lacks::is_of_schema))
        };
        // A database that does not exist yet has no objects that could be missing in the scratch database.
        let has_live = self.world.system.presence == Presence::Present;
        if lacks_object(&applied) && has_live && !self.surroundings.initialized() {
            let stack = system_alone(self.stack);
            let recorded = self.world.journal.snapshots.get(journal::SYSTEM_SCHEMA);
            let desired = system::Desired::new(&stack, scratch.dialect()).knowing(recorded);
            let making =
                self.surroundings.get_or_try_init(|| system::surround(&desired, &self.live, scratch));
            making.await.map_err(|error| StepFailure::from(causes(&error)))?;
            applied = system::apply(change, scratch, &self.run).await;
        }
        applied.map(|_| ()).map_err(|error| self.failure(address, &error))
    }

    /// Returns the message of a step's error, with the location in the files.
    fn failure(&self, address: &Address, error: &system::Error) -> StepFailure {
        let message = match error {
            system::Error::Migrations(migrations::Error::Migration {
                line,
                statement,
                text,
                message,
                ..
            }) => {
                let statement = shortened(statement);
                format!("{}:{line}: {message}, at {statement}", text.name())
            }
            error => {
                let place =
                    self.location_of(address).map(|at| format!("{}:{}: ", at.source.name(), at.line()));
                format!("{}{}", place.unwrap_or_default(), causes(error))
            }
        };
        let Some(lacks) = error.lacks() else { return StepFailure::from(message) };
        if lacks == Lacks::Row {
            return StepFailure { message, kind: FailureKind::LacksRows };
        }
        let left = self.surroundings.get().map(|made| made.left(lacks)).unwrap_or_default();
        if left.is_empty() {
            return StepFailure::from(message);
        }
        let message = format!("{message}; of the real database this could not be made: {}", left.join(", "));
        StepFailure { message, kind: FailureKind::LacksObjects }
    }

    /// Returns the location of a seed or an ontology.
    fn location_of(&self, address: &Address) -> Option<&Location> {
        let system = &self.stack.system;
        match address.kind() {
            Addressed::Seed => system.seeds.get(address.name()).map(|seed| &seed.at),
            Addressed::Ontology => system.ontologies.get(address.name()).map(|ontology| &ontology.at),
            _ => None,
        }
    }

    /// Returns a check for each failed step, or one check for all steps.
    fn checks(&self, outcome: &RehearsalOutcome) -> Vec<Check> {
        let pending = self.pending();
        // An empty database has no referenced rows that could be missing here, except those of
        // users.
        let may_lack = !self.world.system.schema.tables.is_empty() || !self.stack.system.users.is_empty();
        let mut checks = Vec::new();
        for (address, StepFailure { message, kind }) in &outcome.failed {
            let after: Vec<&str> = outcome
                .blocked
                .iter()
                .filter(|(blocked, cause)| *cause == address && pending.contains(blocked))
                .map(|(blocked, _)| blocked.as_str())
                .collect();
            let is_pending = pending.contains(address);
            if !is_pending && after.is_empty() {
                continue;
            }
            let (status, mut message) = match kind {
                FailureKind::Skipped | FailureKind::LacksObjects => {
                    (Status::Warn, format!("not rehearsed: {message}"))
                }
                FailureKind::LacksRows if may_lack => {
                    (Status::Warn, format!("not rehearsed, a scratch database has no data: {message}"))
                }
                _ if !is_pending => {
                    (Status::Warn, format!("cannot be repeated in a scratch database: {message}"))
                }
                FailureKind::LacksRows | FailureKind::Failed => (Status::Fail, message.clone()),
            };
            if !after.is_empty() {
                message = format!("{message}; not rehearsed after it: {}", after.join(", "));
            }
            let tail = address.as_str().strip_prefix("system.").unwrap_or(address.as_str());
            checks.push(Check::new(Addressed::Rehearsal.named(tail), status, message));
        }
        if checks.iter().all(|check| check.status != Status::Fail) {
            checks.push(Check::new(Addressed::Rehearsal, Status::Pass, self.counts(&pending, outcome)));
        }
        checks
    }

    fn counts(&self, pending: &BTreeSet<&Address>, outcome: &RehearsalOutcome) -> String {
        let done = pending.iter().filter(|address| outcome.done.contains(**address)).count();
        let plural = if pending.len() == 1 { "" } else { "s" };
        let users = self.document.changes.iter().filter(|step| step.address.kind() == Addressed::User);
        let left_out = match users.count() {
            0 => String::new(),
            1 => "; 1 user was left out".to_owned(),
            users => format!("; {users} users were left out"),
        };
        let of = pending.len();
        format!("{done} of {of} pending step{plural} ran in a scratch database without data{left_out}")
    }
}

/// Reduces the stack to its system database, without users.
fn system_alone(stack: &Stack) -> Stack {
    let mut stack = stack.clone();
    stack.system.users.clear();
    // Roles belong to the whole server, which a rehearsal must not change.
    stack.system.roles.clear();
    stack.system.schema_drift = SchemaDrift::Ignore;
    stack.targets.clear();
    stack.vector = None;
    stack.cache = None;
    stack.policies.clear();
    stack.declared.clear();
    stack.protected.clear();
    stack.moved.clear();
    stack
}

/// Records faults, and removes their objects from the stack. Returns false if the stack stays the
/// same, so that it cannot be planned.
fn remove_faulty_objects(stack: &mut Stack, faults: Vec<Fault>, outcome: &mut RehearsalOutcome) -> bool {
    let mut is_less = false;
    for Fault { address, message, help: _, at } in faults {
        is_less |= match address.kind() {
            Addressed::Seed => stack.system.seeds.remove(address.name()).is_some(),
            Addressed::Ontology => stack.system.ontologies.remove(address.name()).is_some(),
            _ => false,
        };
        let message = match at {
            Some(at) => format!("{}:{}: {message}", at.source.name(), at.line()),
            None => message,
        };
        outcome.done.remove(&address);
        outcome.failed.entry(address).or_insert_with(|| StepFailure::from(message));
    }
    is_less
}

async fn ensure(stack: &str, protected: &BTreeSet<Address>, scratch: &Client) -> Result<(), StepFailure> {
    let database = scratch.database().await.map_err(|error| StepFailure::from(causes(&error)))?;
    journal::ensure(&database, stack, protected).await.map_err(|error| StepFailure::from(causes(&error)))
}
