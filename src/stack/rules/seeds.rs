//! Seeds: rows of files that must exist in tables. No two enabled seeds may contain the same row.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::flags::Declared;
use super::values::{distinct, plain_key, required, table};
use crate::fingerprints::repeated;
use crate::stack::context::Context;
use crate::stack::error::{Code, SpecError};
use crate::stack::files::{self, FileRef, Table};
use crate::stack::raw::{Seed as RawSeed, System as Raw};
use crate::stack::typed::field::Key;
use crate::stack::yaml::tree::Span;
use crate::stack::{RowLines, Seed, SeedMode};

/// A seed with the locations of its rows.
struct Read {
    seed: Seed,
    places: Vec<Span>,
}

/// Returns all seeds, including disabled ones; `None` if one is invalid.
pub(super) fn seeds(cx: &Context<'_>, raw: &Raw, flags: &Declared) -> Option<BTreeMap<String, Seed>> {
    let mut is_valid = true;
    let mut seeds = BTreeMap::new();
    for (key, field) in raw.seeds.entries() {
        plain_key(cx, "seed", key);
        match field.value.as_ref().and_then(|raw| seed(cx, key, raw, flags)) {
            Some(read) => {
                seeds.insert(key.name.clone(), read);
            }
            None => is_valid = false,
        }
    }
    rows_have_one_owner(cx, &seeds);
    is_valid.then(|| seeds.into_iter().map(|(name, Read { seed, places: _ })| (name, seed)).collect())
}

fn seed(cx: &Context<'_>, key: &Key, raw: &RawSeed, flags: &Declared) -> Option<Read> {
    let RawSeed { when, table: named_table, key: key_columns, rows, mode, protect: _ } = raw;
    let when = flags.when(cx, when);
    required(cx, named_table, "table", key.at, "the table of the rows");
    let named_table = table(cx, named_table, "");
    let identified = required(cx, key_columns, "key", key.at, "the columns that identify a row: `[id]`");
    let key_names = distinct(cx, key_columns, "the key column");
    if let Some((_, at)) = identified
        && key_names.is_empty()
    {
        cx.fail(Code::BadValue, at, "a key without columns", "this list", "such as `key: [id]`");
    }
    let (path, at) = required(cx, rows, "rows", key.at, "a file, `.csv`, `.yaml` or `.json`")?;
    let label = format!("seed/{}", key.name);
    let key_places: Vec<(String, Span)> =
        key_columns.texts().into_iter().map(|(name, at)| (name.to_owned(), at)).collect();
    let table = files::rows(cx, FileRef { path, at, label: &label }, &key_places)?;
    let Table { columns, rows, places } = table;
    let when = when.ok()?;
    let lines = lines_of(cx, path, &places);
    let seed = Seed {
        on: flags.values.allow(when.as_ref()),
        when,
        table: named_table,
        key: key_names,
        columns,
        rows: Arc::new(rows),
        mode: mode.or(SeedMode::Insert),
        lines,
        at: cx.at(key.at),
    };
    Some(Read { seed, places })
}

/// Returns the line numbers of rows that are in the order of their file.
fn lines_of(cx: &Context<'_>, path: &str, places: &[Span]) -> RowLines {
    let Some(file) = places.first().and_then(|first| cx.file(*first)) else { return RowLines::default() };
    let (mut line, mut counted) = (1_u32, 0_usize);
    let lines = places.iter().map(|place| {
        let start = place.range().start;
        let breaks = file.text.get(counted..start).unwrap_or_default().matches('\n').count();
        line = line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX));
        counted = counted.max(start);
        line
    });
    RowLines { lines: lines.collect(), file: path.into() }
}

fn rows_have_one_owner(cx: &Context<'_>, seeds: &BTreeMap<String, Read>) {
    let mut tables: BTreeMap<(&str, &[String]), Vec<_>> = BTreeMap::new();
    for (name, read) in seeds.iter().filter(|(_, read)| read.seed.on) {
        tables.entry((&read.seed.table, &read.seed.key)).or_default().push((name, read));
    }
    for ((table, _), sharing) in tables.into_iter().filter(|(_, sharing)| sharing.len() > 1) {
        let key_of = |read: &Read| -> Vec<usize> {
            let Seed { key, columns, .. } = &read.seed;
            key.iter().filter_map(|key| columns.iter().position(|column| column == key)).collect()
        };
        let keys: Vec<Vec<usize>> = sharing.iter().map(|(_, read)| key_of(read)).collect();
        let prints = sharing.iter().zip(&keys).flat_map(|((_, read), key)| files::keys(&read.seed.rows, key));
        let place = |mut at: usize| {
            sharing.iter().find_map(|(name, Read { places, .. })| {
                let place = places.get(at);
                at = at.saturating_sub(places.len());
                place.map(|place| (*name, *place))
            })
        };
        let same = repeated(prints);
        for ((owner, first), (name, at)) in
            same.into_iter().filter_map(|(first, again)| place(first).zip(place(again)))
        {
            let message =
                format!("the seeds `{owner}` and `{name}` have a row with the same key in `{table}`");
            let error = SpecError::new(Code::Same, message).at(cx.at(at), "again here");
            let error = error.and(cx.at(first), format!("first in `{owner}`"));
            cx.report(error.help("keep the row in one of them"));
        }
    }
}
