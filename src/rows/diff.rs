//! Compares desired rows with the observed ones, and plans one change per address: inserts, updates and
//! deletes. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::claims::{Unwanted, unwanted};
use super::clash::{clash_message, key_text};
use super::fits::Misfit;
use super::order::TableOrder;
use super::own::Owned;
use super::sample::{noun_of, sample, shown_value};
use super::takeback::{TakeBack, judge};
use super::{Change, Desired, Lacking, Observed, RowSet, RowsChange, Shape, Values, not_given};
use crate::address::{Address, Kind};
use crate::catalog::{Snapshot, TableName};
use crate::change::{Action, Diff, Fault, Guard, Held, Planned, Risk, Risks};
use crate::digest::{Digest, Fingerprint};
use crate::fingerprints::FingerprintMap;
use crate::journal::Inventory;
use crate::migrations::{Rename, Upcoming};
use crate::neutral::one_line;
use crate::stack::SeedMode;
use crate::suggest;

/// The number of rows that a plan shows for a change.
const SHOWN: usize = 3;

/// The result of comparing one set.
#[derive(Debug, Default)]
struct Writes {
    /// Indexes of rows that do not exist.
    insert: Vec<usize>,
    /// Indexes of rows that exist with other content.
    change: Vec<usize>,
    /// The columns that differ, for the first of these.
    differing: BTreeMap<usize, Vec<String>>,
    /// The observed content of the rows to write, by key.
    seen: FingerprintMap<Option<Fingerprint>>,
    /// The number of existing rows of an ontology that are not declared.
    others: usize,
    /// Why the set cannot be written before a pending migration, which may change that.
    unchecked: Option<(String, Address)>,
    /// Values that the database would store differently from the spec: for each kind the first one, and the
    /// number of further rows.
    remarks: Vec<(String, usize)>,
}

/// Why a set cannot be compared.
enum Incomparable {
    Later(String),
    Faults(Vec<Fault>),
}

/// Plans seeds and ontologies, and deletes the rows of disabled and removed ones.
pub(super) fn diff(
    desired: &Desired,
    seen: Observed<'_>,
    inventory: &Inventory,
    order: &TableOrder,
    upcoming: &Upcoming<'_>,
) -> Diff<Change> {
    let pending = upcoming.last;
    let mut diff = Diff::default();
    let sets: BTreeMap<&Address, &RowSet> = desired.sets.iter().map(|set| (&set.address, set)).collect();
    let mut compared: BTreeMap<&Address, (&RowSet, Writes)> = BTreeMap::new();
    for set in sets.values().copied().filter(|set| set.on) {
        match compare(set, seen, upcoming) {
            Ok(writes) => drop(compared.insert(&set.address, (set, writes))),
            Err(Incomparable::Later(reason)) => {
                diff.deferred.push(Held { address: set.address.clone(), reason });
            }
            Err(Incomparable::Faults(faults)) => diff.faults.extend(faults),
        }
    }

    let Unwanted { rows, unclear } = unwanted(owners(&sets, seen, &compared), desired, seen);
    let writing =
        compared.iter().filter(|(_, (_, writes))| !writes.insert.is_empty() || !writes.change.is_empty());
    let writing = writing.map(|(address, _)| (*address).clone()).collect();
    let mut verdicts = judge(rows, inventory, &writing, order);
    for (address, (count, who)) in unclear {
        let verdict = verdicts.entry(address.clone()).or_default();
        (verdict.unclear, verdict.unclear_for) = (count, who);
    }

    for (address, (set, writes)) in compared {
        let verdict = verdicts.remove(address).unwrap_or_default();
        add_notes(&mut diff, address, &verdict, &writes);
        // A change is planned once more after the migrations, and so is a set without one.
        let open = may_change_later(set, seen, upcoming);
        let is_open = open.is_some();
        diff.deferred.extend(open.map(|reason| Held { address: address.clone(), reason }));
        if writes.insert.is_empty() && writes.change.is_empty() && verdict.delete.is_empty() {
            diff.unchanged += usize::from(verdict.later == 0 && !is_open);
        } else {
            diff.changes.push(planned(address, Some(set), writes, verdict, pending));
        }
    }
    for (address, verdict) in verdicts {
        let set = sets.get(&address).copied();
        note_kept_rows(&mut diff, &address, &verdict);
        if !verdict.delete.is_empty() {
            diff.changes.push(planned(&address, set, Writes::default(), verdict, pending));
        }
    }
    diff
}

/// Why existing rows of the set may need other changes after the pending migrations.
fn may_change_later(set: &RowSet, observed: Observed<'_>, upcoming: &Upcoming<'_>) -> Option<String> {
    let is_there = observed.schema.tables.contains_key(&set.table) && !set.rows.is_empty();
    let last = upcoming.last_of_all.filter(|_| is_there && upcoming.may_change_rows(&set.table))?;
    Some(format!("compared again after {last}, as migrations may change rows of {}", set.table))
}

/// The message and the advice about a table that a pending migration renames.
pub(super) fn renamed_message(rename: &Rename<'_>, table: &TableName) -> (String, String) {
    let Rename { new, by, .. } = rename;
    (format!("{by} renames its table {table} to {new}"), format!("name the table {new}"))
}

fn compare(set: &RowSet, observed: Observed<'_>, upcoming: &Upcoming<'_>) -> Result<Writes, Incomparable> {
    if let Some(rename) = upcoming.renamed_away(&set.table) {
        let (message, help) = renamed_message(rename, &set.table);
        return Err(Incomparable::Faults(vec![fault(set, message, Some(help))]));
    }
    let everything = || Writes { insert: (0..set.rows.len()).collect(), ..Writes::default() };
    let answer = observed.rows.get(&set.question().digest());
    let shape = match (
        Shape::resolve(&set.table, &set.key, &set.columns, observed.schema, observed.dialect),
        upcoming.last,
    ) {
        (Ok(shape), _) => shape.with_spelling(answer.map(|answer| &answer.spelling)),
        (Err(Lacking::Table), Some(pending)) if upcoming.is_renamed_to(&set.table) => {
            return Err(Incomparable::Later(format!("known after {pending}")));
        }
        (Err(Lacking::Table), Some(_)) => return Ok(everything()),
        (Err(Lacking::Column(_)), Some(pending)) => {
            return Err(Incomparable::Later(format!("known after {pending}")));
        }
        (Err(lacking), None) => {
            let (message, help) = missing_message(&lacking, &set.table, observed.schema);
            return Err(Incomparable::Faults(vec![fault(set, message, help)]));
        }
    };
    let mut unchecked = None;
    let misfits = shape.rows_of(set).enumerate().filter_map(|(at, row)| {
        let misfit = shape.misfit(&row)?;
        Some(Misfit { message: set.placed(at, &misfit.message), ..misfit })
    });
    let misfits = misfits.filter(|misfit| {
        let Misfit { column, message } = misfit;
        let may_fit = column.is_some_and(|column| upcoming.may_change_column(&set.table, column));
        if may_fit {
            unchecked.get_or_insert_with(|| message.clone());
        }
        !may_fit
    });
    let computed = shape.computed().filter(|_| !upcoming.may_change(&set.table));
    let misfits = computed.into_iter().chain(misfits.map(|misfit| misfit.message));
    let misfits: Vec<_> = misfits.take(SHOWN).map(|message| fault(set, message, None)).collect();
    if !misfits.is_empty() {
        return Err(Incomparable::Faults(misfits));
    }
    let unobserved = || Incomparable::Later("not observed".to_owned());
    let answer = answer.ok_or_else(unobserved)?;
    if let Some(message) = shape.duplicate_key(set, &(0..set.rows.len())) {
        return Err(Incomparable::Faults(vec![fault(set, message, None)]));
    }
    let clashes = answer.clashes.iter().filter(|_| !upcoming.may_change(&set.table));
    let clashes: Vec<_> = clashes.filter_map(|clash| clash_message(&shape, set, clash)).collect();
    if let Some(message) = clashes.into_iter().next() {
        return Err(Incomparable::Faults(vec![fault(set, message, None)]));
    }
    let remarks = remarks(set, &shape);
    let unchecked = unchecked.zip(upcoming.last_of_all.cloned());
    let mut writes = Writes { unchecked, remarks, ..Writes::default() };
    let mut seen = Vec::new();
    let mut there = 0;
    for (at, row) in shape.rows_of(set).enumerate() {
        let key = shape.key_fingerprint(shape.key_of(&row));
        let found = match answer.rows.get(&key) {
            Some(found) => *found,
            None if answer.whole || shape.key_misfit(&row).is_some() => None,
            None => return Err(unobserved()),
        };
        if let (None, Some(stored)) = (found, answer.respelled.get(&key))
            && !upcoming.may_change(&set.table)
            && !may_delete(set, observed, stored)
        {
            return Err(Incomparable::Faults(vec![respelled(set, &shape, at, &row)]));
        }
        match (found, set.mode) {
            (None, _) => writes.insert.push(at),
            (Some(_), SeedMode::Insert) => {}
            (Some(content), SeedMode::Upsert | SeedMode::Mirror) => {
                if answer.doubled.contains(&key) {
                    return Err(Incomparable::Faults(vec![doubled(set, &shape, &row)]));
                }
                let declared = shape.content_fingerprint(row);
                if content != declared {
                    writes.change.push(at);
                    let known = answer.differences.get(&key).filter(|known| known.declared == declared);
                    writes.differing.extend(known.map(|known| (at, known.columns.clone())));
                    seen.push((key, found));
                }
            }
        }
        match found {
            Some(_) => there += 1,
            None => seen.push((key, None)),
        }
    }
    if there > 0 {
        // A saved plan must not depend on whether the empty table existed when it was made.
        writes.seen = FingerprintMap::new(seen);
    }
    let all = answer.rows.iter().filter(|(_, found)| found.is_some()).count();
    writes.others = if answer.whole { all - there } else { 0 };
    let given: Vec<&str> = set.columns.iter().map(|asked| asked.name.as_str()).collect();
    let lacking = not_given(shape.table, &given);
    let is_fixed = !upcoming.may_change(&set.table);
    if !writes.insert.is_empty() && answer.is_read_only && is_fixed {
        let message = format!("{} is a view that no rows can be inserted into", set.table);
        let help = "name the table that it reads, or give it an INSTEAD OF INSERT trigger in a migration";
        return Err(Incomparable::Faults(vec![fault(set, message, Some(help.to_owned()))]));
    }
    if !writes.insert.is_empty() && !lacking.is_empty() {
        let message =
            format!("{} needs a value for {}, which the rows do not have", set.table, lacking.join(", "));
        if !is_fixed {
            writes.unchecked = writes.unchecked.or_else(|| Some(message).zip(upcoming.last_of_all.cloned()));
            return Ok(writes);
        }
        let help = "give the columns in the rows, or give them a default in a migration";
        return Err(Incomparable::Faults(vec![fault(set, message, Some(help.to_owned()))]));
    }
    Ok(writes)
}

fn remarks(set: &RowSet, shape: &Shape<'_>) -> Vec<(String, usize)> {
    let first = |remark: &dyn Fn(&[Option<&str>]) -> Option<String>| {
        let mut all = shape.rows_of(set).enumerate().filter_map(|(at, row)| Some((at, remark(&row)?)));
        all.next().map(|(at, first)| (set.placed(at, &first), all.count()))
    };
    let remarks = [first(&|row| shape.stored_as_text(row)), first(&|row| shape.rounded(row))];
    remarks.into_iter().flatten().collect()
}

/// The reason for values that do not fit yet, but may after pending migrations.
pub(super) fn cannot_be_checked(message: &str, last: &Address) -> String {
    format!("cannot be checked before {last}: {}", one_line(message))
}

/// The owned rows that may have to be deleted: those of disabled or removed sets, those of mirrors, and those in
/// a table that the set no longer writes to.
fn owners<'a>(
    sets: &BTreeMap<&Address, &RowSet>,
    seen: Observed<'a>,
    compared: &BTreeMap<&Address, (&RowSet, Writes)>,
) -> impl Iterator<Item = (&'a Address, &'a Owned)> {
    let owned = seen.owned.iter();
    let owned = owned.flat_map(|(address, sets)| sets.iter().map(move |owned| (address, owned)));
    owned.filter(|(address, owned)| {
        let on = sets.get(*address).filter(|set| set.on);
        on.is_none_or(|set| {
            let may_be_left = set.mode == SeedMode::Mirror || set.table != owned.table;
            // Sets that could not be compared keep their rows.
            may_be_left && compared.contains_key(*address)
        })
    })
}

fn planned(
    address: &Address,
    set: Option<&RowSet>,
    writes: Writes,
    verdict: TakeBack,
    pending: Option<&Address>,
) -> Planned<Change> {
    let Writes { insert, change, differing, seen, others: _, unchecked, remarks: _ } = writes;
    let (inserts, changes, deletes) = (insert.len(), change.len(), verdict.delete.len());
    let on = set.filter(|set| set.on);
    let total = on.map_or(0, |set| set.rows.len());

    let written = on.and_then(|set| sample(set, &insert, &change, &differing));
    let diff = written.unwrap_or_default() + &verdict.first.lines(deletes, noun_of(address, 2));
    let mut rows = insert;
    rows.extend(change);
    rows.sort_unstable();
    let action = match (rows.len(), deletes) {
        (0, _) => Action::Delete,
        (writes, 0) if inserts == writes && inserts == total => Action::Create,
        _ => Action::Update,
    };
    let counts = [(inserts, "to insert"), (changes, "to change"), (deletes, "to delete")];
    let mut first = true;
    let counted = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| {
        let noun =
            if std::mem::take(&mut first) { format!("{} ", noun_of(address, *count)) } else { String::new() };
        format!("{count} {noun}{what}")
    });
    let mut summary = counted.collect::<Vec<_>>().join(", ");
    let unchecked = unchecked.filter(|_| !rows.is_empty());
    if let Some((message, last)) = &unchecked {
        summary = format!("{summary}\n{}", cannot_be_checked(message, last));
    }
    let reason = match (action, set) {
        (Action::Delete, None) => "gone from the spec".to_owned(),
        (Action::Delete, Some(set)) if !set.on => match &set.when {
            Some(when) => format!("flag {} is {}", when.flag, if when.negated { "on" } else { "off" }),
            None => "switched off".to_owned(),
        },
        (Action::Delete, Some(set)) if set.rows.is_empty() => {
            format!("its source has no rows any more, and {deletes} came from it")
        }
        (Action::Create, _) => "missing".to_owned(),
        _ => {
            let parts = [(inserts, "missing"), (changes, "different"), (deletes, "no longer in the spec")];
            let parts =
                parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
            parts.collect::<Vec<_>>().join(", ")
        }
    };
    let before = match action {
        Action::Create => None,
        _ => Some(json!({ "rows": total - inserts + deletes, "different": changes, "unwanted": deletes })),
    };
    let after = on.filter(|_| action != Action::Delete || total > 0).map(|set| {
        let first = rows.iter().filter_map(|at| set.row(*at)).take(SHOWN);
        json!({
            "table": set.table.to_string(), "rows": total,
            "first": first.map(|row| shown(set, row)).collect::<Vec<_>>(),
            "digest": Digest::of_json(&(&set.columns, Content(set))),
        })
    });
    let mut needs = vec![Kind::Database.alone()];
    needs.extend(pending.cloned());
    needs.extend(verdict.after);
    let empties = on.is_some_and(|set| set.rows.is_empty()) && deletes > 0;
    Planned {
        address: address.clone(),
        action,
        risks: if unchecked.is_some() { Risk::Unvalidated.into() } else { Risks::SAFE },
        reason,
        needs,
        summary,
        before,
        after,
        diff: Some(diff).filter(|diff| !diff.is_empty()),
        seen: Digest::of_json(&(seen, &verdict.delete)),
        guard: empties.then_some(Guard::MassDelete),
        at: set.map(|set| set.at.clone()),
        change: Change::Set(Arc::new(RowsChange::new(address, on, rows, verdict.delete))),
    }
}

fn shown(set: &RowSet, row: Values<'_>) -> Value {
    let values = set.columns.iter().zip(row);
    let values =
        values.map(|(asked, value)| (asked.name.clone(), Value::from(shown_value(&asked.name, value))));
    Value::Object(values.collect::<Map<_, _>>())
}

/// Serialises all rows of a set, for their digest.
struct Content<'a>(&'a RowSet);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rows())
    }
}

fn add_notes(diff: &mut Diff<Change>, address: &Address, verdict: &TakeBack, writes: &Writes) {
    for (first, more) in &writes.remarks {
        let more = if *more > 0 { format!(" (and {more} more)") } else { String::new() };
        diff.notes.push(format!("{address}: {first}{more}"));
    }
    note_kept_rows(diff, address, verdict);
    let TakeBack { delete, later, changed, referenced, unclear, .. } = verdict;
    let foreign = writes.others.saturating_sub(delete.len() + later + changed + referenced + unclear);
    if foreign > 0 {
        diff.notes.push(format!("{address}: leaves {foreign} other {} alone", noun_of(address, foreign)));
    }
}

fn note_kept_rows(diff: &mut Diff<Change>, address: &Address, verdict: &TakeBack) {
    let others = verdict.unclear_for.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let reasons = [
        (verdict.changed, "changed since this tool wrote them".to_owned()),
        (verdict.referenced, "referred to by rows that stay".to_owned()),
        (verdict.unclear, format!("perhaps wanted by {others}, where other columns are the key")),
    ];
    for (count, why) in reasons.iter().filter(|(count, _)| *count > 0) {
        diff.notes.push(format!(
            "{address}: {count} {} no longer wanted and left alone: {why}",
            noun_of(address, *count)
        ));
    }
    if verdict.later > 0 {
        let waits: Vec<_> = verdict.later_after.iter().map(ToString::to_string).collect();
        let reason = format!("{} to delete, known after {}", verdict.later, waits.join(", "));
        diff.deferred.push(Held { address: address.clone(), reason });
    }
}

/// The fault of a key that several rows share: an update would change all of them.
fn doubled(set: &RowSet, shape: &Shape<'_>, row: &[Option<&str>]) -> Fault {
    let both = set.key.iter().zip(shape.key_of(row));
    let key: Vec<_> = both.map(|(name, value)| format!("{name} {:?}", value.unwrap_or_default())).collect();
    let message = format!("several rows of {} have {}, and they are not the same", set.table, key.join(", "));
    let help = "name a `key` that identifies one row, or use `mode: insert`, which changes none";
    fault(set, message, Some(help.to_owned()))
}

/// Whether the set may delete a stored row that it does not declare.
fn may_delete(set: &RowSet, observed: Observed<'_>, key: &Fingerprint) -> bool {
    let owned = observed.owned.get(&set.address).into_iter().flatten();
    set.mode == SeedMode::Mirror && owned.into_iter().any(|owned| owned.rows.contains_key(key))
}

/// The fault of a key whose row has another spelling of it, which the table compares as equal. The row can neither
/// be inserted nor be found by its key.
fn respelled(set: &RowSet, shape: &Shape<'_>, at: usize, row: &[Option<&str>]) -> Fault {
    let columns: Vec<_> =
        shape.key.iter().map(|column| format!("{} ({})", column.name, column.data_type)).collect();
    let message = format!(
        "{} is stored under another spelling: the collation or type of {} makes them equal",
        key_text(shape, row),
        columns.join(", ")
    );
    let help = "write the key as it is stored, or change the stored one";
    fault(set, set.placed(at, &message), Some(help.to_owned()))
}

fn fault(set: &RowSet, message: String, help: Option<String>) -> Fault {
    Fault { address: set.address.clone(), message, help, at: Some(set.at.clone()) }
}

/// The message about a missing table or column, with the nearest existing name.
pub(super) fn missing_message(
    lacking: &Lacking,
    table: &TableName,
    schema: &Snapshot,
) -> (String, Option<String>) {
    match lacking {
        Lacking::Table => {
            let names: Vec<String> = schema.tables.keys().map(ToString::to_string).collect();
            let message =
                format!("table {table} does not exist, and no migration is pending that could make it");
            let elsewhere = schema.tables.keys().find(|other| other.name == table.name);
            let help = elsewhere.map_or_else(
                || suggest::meant(&table.to_string(), names.iter().map(String::as_str)),
                |other| Some(format!("there is {other}: name the table with its schema")),
            );
            (message, help)
        }
        Lacking::Column(column) => {
            let columns = schema.tables.get(table).into_iter().flat_map(|table| &table.columns);
            (
                format!("column {column} does not exist in table {table}, and no migration is pending"),
                suggest::meant(column, columns.map(|column| column.name.as_str())),
            )
        }
    }
}
