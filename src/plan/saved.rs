//! Saved plans: files with, per change, the digest of the observed state. Applying one plans again
//! and runs exactly the saved changes, or is rejected. See `docs/design/saved-plans.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{ChangeEntry, Document, FORMAT_VERSION};
use crate::address::{Address, Component, Kind};
use crate::change::{Check, Held, Status};

/// Limit for the file size; a plan has a few kilobytes per change.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// Why a saved plan cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("cannot {verb} the plan {}: {source}", path.display())]
    #[diagnostic(code(trueup::plan::file))]
    File {
        /// `read` or `write`.
        verb: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// The file is not a plan.
    #[error("{} is no saved plan: {why}", path.display())]
    #[diagnostic(code(trueup::plan::not_a_plan), help("save one with `trueup plan --out FILE`"))]
    NotAPlan { path: PathBuf, why: String },
    /// The file was modified after it was saved.
    #[error("the saved plan was altered after it was made")]
    #[diagnostic(code(trueup::plan::altered), help("make a new plan with `trueup plan --out FILE`"))]
    Altered,
    /// The plan belongs to another stack or environment.
    #[error("the saved plan is for {saved}, and the spec says {spec}")]
    #[diagnostic(code(trueup::plan::other_environment), help("apply it with the spec that it was made from"))]
    Other {
        /// Stack and environment of the plan.
        saved: String,
        /// Stack and environment of the spec.
        spec: String,
    },
    /// The world or the spec changed since the plan was saved.
    #[error("the saved plan is stale: {address} {why}")]
    #[diagnostic(
        code(trueup::plan::stale),
        help("look at what changed with `trueup plan`, and save a new plan with `trueup plan --out FILE`")
    )]
    Stale {
        /// The step that differs.
        address: Address,
        /// The difference.
        why: String,
    },
    /// All changes were already applied.
    #[error("the saved plan is used up: run {run} applied it")]
    #[diagnostic(
        code(trueup::plan::used_up),
        help("there is nothing left to do; `trueup plan` shows what is new")
    )]
    UsedUp { run: String },
}

/// Writes a plan that only the owner can read (mode 0600), replacing an existing file atomically.
pub fn write(path: &Path, document: &Document) -> Result<(), Error> {
    let failed = |source| Error::File { verb: "write", path: path.to_owned(), source };
    let mut text = serde_json::to_string_pretty(document).map_err(|error| failed(error.into()))?;
    text.push('\n');
    crate::world::write_private_json(path, &text).map_err(failed)
}

/// Reads a plan and verifies that it is unmodified.
pub fn read(path: &Path) -> Result<Document, Error> {
    let failed = |source| Error::File { verb: "read", path: path.to_owned(), source };
    let no_plan = |why: String| Error::NotAPlan { path: path.to_owned(), why };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(no_plan("not a regular file".to_owned()));
    }
    if metadata.len() > MOST_BYTES {
        return Err(no_plan(format!("{} bytes are too many", metadata.len())));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| no_plan(error.to_string()))?;
    match value.get("format_version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(FORMAT_VERSION) => {}
        Some(version) => return Err(no_plan(format!("format_version {version} is not {FORMAT_VERSION}"))),
        None => return Err(no_plan("it has no format_version".to_owned())),
    }
    let document: Document = serde_json::from_value(value).map_err(|error| no_plan(error.to_string()))?;
    if document.is_sealed() { Ok(document) } else { Err(Error::Altered) }
}

/// The part of a plan that is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToRun {
    pub addresses: BTreeSet<Address>,
    /// Changes done by an earlier run of this saved plan.
    pub skipped: BTreeSet<Address>,
    /// Changes that the saved plan does not have. They are listed and not run.
    pub extra: Vec<Address>,
    /// Changes that cannot be planned now, because a store does not answer or fails a check. They
    /// do not run; the same plan can be applied again later.
    pub held: Vec<Held>,
}

impl ToRun {
    /// Selects all changes of a plan.
    pub fn all_of(plan: &Document) -> Self {
        let addresses = plan.changes.iter().map(|change| change.address.clone()).collect();
        Self { addresses, ..Self::default() }
    }
}

/// Compares a saved plan with a fresh one. `earlier` is the last run of the same saved plan, if
/// any.
///
/// Each saved change must be in the fresh plan with the same action, `after` and `seen`. A missing
/// change counts as done only if an earlier run of this plan can have done it.
pub fn reconcile(saved: &Document, fresh: &Document, earlier: Option<&str>) -> Result<ToRun, Error> {
    let name = |document: &Document| format!("{} ({})", document.stack, document.environment);
    if (&saved.stack, &saved.environment) != (&fresh.stack, &fresh.environment) {
        return Err(Error::Other { saved: name(saved), spec: name(fresh) });
    }
    let mut coming: BTreeMap<&Address, &ChangeEntry> =
        fresh.changes.iter().map(|change| (&change.address, change)).collect();
    let mut to_run = ToRun::default();
    for change in &saved.changes {
        if let Some(again) = coming.remove(&change.address) {
            compare(change, again)?;
            to_run.addresses.insert(change.address.clone());
        } else if let Some(reason) = held_back(fresh, &change.address) {
            to_run.held.push(Held { address: change.address.clone(), reason });
        } else if earlier.is_some() || runs_before_recording(&change.address) {
            to_run.skipped.insert(change.address.clone());
        } else {
            let why = "is not needed any more".to_owned();
            return Err(Error::Stale { address: change.address.clone(), why });
        }
    }
    match earlier {
        Some(earlier) if to_run.addresses.is_empty() && to_run.held.is_empty() => {
            Err(Error::UsedUp { run: earlier.to_owned() })
        }
        _ => Ok(ToRun { extra: coming.into_keys().cloned().collect(), ..to_run }),
    }
}

/// Returns why it is unknown whether a change is still needed: the change is blocked, or a check of
/// its component fails. The system database is always observed.
fn held_back(fresh: &Document, address: &Address) -> Option<String> {
    if address.component() == Component::System {
        return None;
    }
    if let Some(held) = fresh.blocked.iter().find(|held| held.address == *address) {
        return Some(held.reason.clone());
    }
    let fails = |check: &&Check| {
        // The access to a target is checked under a separate address.
        let checked = match check.address.name_of(Kind::TargetAccess) {
            Some(target) => Kind::Target.named(target),
            None => check.address.clone(),
        };
        check.status == Status::Fail && address.is_selected_by(checked.as_str())
    };
    fresh.checks.iter().find(fails).map(|check| format!("failed check {}", check.address))
}

/// Returns the saved changes that are no longer planned and that an earlier run may have done.
pub fn done_of(saved: &Document, fresh: &Document) -> BTreeSet<Address> {
    let coming: BTreeSet<&Address> = fresh.changes.iter().map(|change| &change.address).collect();
    let addresses = saved.changes.iter().map(|change| &change.address);
    addresses.filter(|address| !coming.contains(address)).cloned().collect()
}

/// Whether this is one of the two steps that run before a run can be recorded, so that no earlier
/// run is known.
fn runs_before_recording(address: &Address) -> bool {
    matches!(address.kind(), Kind::Database | Kind::Bookkeeping)
}

fn compare(saved: &ChangeEntry, fresh: &ChangeEntry) -> Result<(), Error> {
    // Reason, summary, dependencies and diff are derived from these three, and their text may
    // change.
    let ChangeEntry {
        address,
        action,
        after,
        seen,
        risk: _,
        risks: _,
        reason: _,
        depends_on: _,
        summary: _,
        before: _,
        diff: _,
    } = saved;
    let why = if *action != fresh.action {
        "would now do something else"
    } else if *after != fresh.after {
        "would now lead to something else"
    } else if *seen != fresh.seen {
        "starts from another state than the one that was planned"
    } else if saved.risk < fresh.risk {
        "has a higher risk now"
    } else if !fresh.risks().are_within(saved.risks()) {
        "has a risk now that it did not have"
    } else {
        return Ok(());
    };
    Err(Error::Stale { address: address.clone(), why: why.to_owned() })
}
