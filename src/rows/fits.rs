//! Checks desired rows against the columns of their table: types, lengths, NULLs, duplicate keys.
//! Pure.

use super::sample::shown_value;
use super::{RowSet, Shape};
use crate::catalog::{Array, Column, Table, ValueKind, canonical};
use crate::fingerprints::repeated;
use crate::sql::{Dialect, identifier};

/// Longer values are truncated in messages.
const MAX_CHARACTERS: usize = 40;

#[derive(Debug)]
pub(super) struct Misfit<'a> {
    /// `None` for a NULL in the key, which no other column type would allow.
    pub(super) column: Option<&'a Column>,
    pub(super) message: String,
}

impl<'a> Shape<'a> {
    /// Why the rows cannot be written, if so. Needed at apply where a migration created the table, because
    /// the plan could not check them.
    pub(super) fn refusal(&self, set: &RowSet, rows: &[usize]) -> Option<String> {
        let misfit = |at: &usize| {
            let misfit = self.misfit(&self.row_of(set, *at)?)?;
            Some(set.placed(*at, &misfit.message))
        };
        self.computed()
            .or_else(|| rows.iter().find_map(misfit))
            .or_else(|| self.duplicate_key(set, &rows.iter().copied()))
    }

    /// The message about two of these rows with the same key, if there are any.
    pub(super) fn duplicate_key(
        &self,
        set: &RowSet,
        rows: &(impl Iterator<Item = usize> + Clone),
    ) -> Option<String> {
        let read = |at: usize| self.row_of(set, at);
        let prints = rows.clone().filter_map(read).map(|row| self.key_fingerprint(self.key_of(&row)));
        let (first, again) = repeated(prints).into_iter().next()?;
        let place = |number: usize| rows.clone().filter(|at| read(*at).is_some()).nth(number);
        let (first, again) = (place(first)?, place(again)?);
        let row = read(again)?;
        let key: Vec<&str> = self.key_of(&row).into_iter().flatten().collect();
        let first =
            set.lines.location_text(first).map(|place| format!(", as in {place}")).unwrap_or_default();
        Some(set.placed(again, &format!("two rows have the same key: {}{first}", key.join(", "))))
    }

    /// The message about a generated column, which cannot be written, if there is one.
    pub(super) fn computed(&self) -> Option<String> {
        let (column, _) = self.columns.iter().find(|(column, _)| column.generated.is_some())?;
        Some(format!("column {} of table {} is generated: the database computes it", column.name, self.name))
    }

    /// The first value of a row that its column cannot hold: a NULL in the key, or a text that does not
    /// parse. SQLite accepts any text in most columns.
    pub(super) fn misfit(&self, row: &[Option<&str>]) -> Option<Misfit<'a>> {
        let columns = self.columns.iter().map(|(column, _)| *column).zip(row.iter().copied());
        self.null_in_key(row).or_else(|| self.missing_value(row)).or_else(|| self.first_misfit(columns))
    }

    /// A NULL in a column that must have a value. SQLite numbers a row whose `INTEGER PRIMARY KEY` is NULL.
    fn missing_value(&self, row: &[Option<&str>]) -> Option<Misfit<'a>> {
        let mut values = self.columns.iter().zip(row);
        let is_missing =
            |column: &Column| !(column.nullable || self.dialect == Dialect::Sqlite && column.identity);
        let ((column, _), _) = values.find(|((column, _), value)| value.is_none() && is_missing(column))?;
        let message = format!("column {} is NOT NULL and has no value here", column.name);
        Some(Misfit { column: Some(column), message })
    }

    /// Like [`Self::misfit`], for the key only. Rows with such a key cannot exist and are not
    /// queried.
    pub(super) fn key_misfit(&self, row: &[Option<&str>]) -> Option<Misfit<'a>> {
        let key = self.key.iter().copied().zip(self.key_of(row));
        self.null_in_key(row).or_else(|| self.first_misfit(key))
    }

    fn null_in_key(&self, row: &[Option<&str>]) -> Option<Misfit<'a>> {
        let mut key = self.key.iter().zip(self.key_of(row));
        let (column, _) = key.find(|(_, value)| value.is_none())?;
        Some(Misfit { column: None, message: format!("the key column {} is empty", column.name) })
    }

    fn first_misfit<'c>(
        &self,
        mut values: impl Iterator<Item = (&'a Column, Option<&'c str>)>,
    ) -> Option<Misfit<'a>> {
        values.find_map(|(column, value)| {
            let text = value.filter(|text| !self.takes(column, text))?;
            Some(Misfit { column: Some(column), message: no_value_message(column, text) })
        })
    }

    /// Whether the column can hold the text.
    pub(super) fn takes(&self, column: &Column, text: &str) -> bool {
        if self.spelling.is_some_and(|spelling| spelling.rejects(column, text)) {
            return false;
        }
        match self.dialect {
            Dialect::Postgres => fits(column, text) && is_label(self.table, column, text),
            Dialect::Sqlite => {
                let is_checked = self.table.strict || column.identity || column.kind == ValueKind::Bytes;
                !is_checked || is_of_type(column, text)
            }
        }
    }

    /// The first number that PostgreSQL rounds as it stores it.
    pub(super) fn rounded(&self, row: &[Option<&str>]) -> Option<String> {
        let columns = self.columns.iter().filter(|_| self.dialect == Dialect::Postgres);
        columns.zip(row).find_map(|((column, _), value)| {
            let text = (*value)?;
            let (shown, name, data_type) = (shortened(column, text), &column.name, &column.data_type);
            if self.spelling.is_some_and(|spelling| spelling.rounds(column, text)) {
                return Some(format!("{shown:?} is rounded or shortened in column {name} ({data_type})"));
            }
            let stored = shortened(column, &rounded(column, text)?);
            Some(format!("{shown:?} is rounded to {stored} in column {name} ({data_type})"))
        })
    }

    /// A value that SQLite would store as text in a column of another type without an error. Comparisons with
    /// numbers never find it.
    pub(super) fn stored_as_text(&self, row: &[Option<&str>]) -> Option<String> {
        if self.dialect != Dialect::Sqlite || self.table.strict {
            return None;
        }
        let mut values = self.columns.iter().zip(row);
        values.find_map(|((column, _), value)| {
            let text = value.filter(|text| !is_of_type(column, text))?;
            let shown = shortened(column, text);
            let (name, data_type) = (&column.name, &column.data_type);
            Some(format!("{shown:?} is no value of column {name} ({data_type}): SQLite stores it as a text"))
        })
    }
}

pub(super) fn no_value_message(column: &Column, text: &str) -> String {
    let shown = shortened(column, text);
    format!("{shown:?} is no value of column {} ({})", column.name, column.data_type)
}

/// The beginning of a value, for a message.
fn shortened(column: &Column, text: &str) -> String {
    let text = shown_value(&column.name, Some(text)).unwrap_or_default();
    let mut shown: String = text.chars().take(MAX_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Converts a text of the spec for a column. In a column of numbers `true` becomes 1 and `false` becomes 0,
/// because SQLite would store the word and PostgreSQL would reject it.
pub(super) fn as_taken<'v>(dialect: Dialect, column: &Column, text: &'v str) -> &'v str {
    match text {
        "true" if is_number(dialect, column) => "1",
        "false" if is_number(dialect, column) => "0",
        _ => text,
    }
}

fn is_number(dialect: Dialect, column: &Column) -> bool {
    match (column.kind, dialect) {
        (ValueKind::Integer | ValueKind::Float, _) | (ValueKind::Decimal, Dialect::Postgres) => true,
        // By its rules of affinity SQLite stores numbers in columns of any unknown type, STRING too.
        (ValueKind::Decimal, Dialect::Sqlite) => {
            let declared = column.data_type.trim_start().to_ascii_uppercase();
            declared.starts_with("DEC") || declared.starts_with("NUM")
        }
        _ => false,
    }
}

/// Whether a column stores a boolean as such, as a number or as a word.
pub(super) fn takes_truth(dialect: Dialect, column: &Column) -> bool {
    match (column.kind, dialect) {
        (ValueKind::Boolean, _) => true,
        (ValueKind::Text, Dialect::Postgres) => !column.data_type.starts_with("bit"),
        // Without a type, SQLite would keep the word where the application reads a number.
        (ValueKind::Text, Dialect::Sqlite) => {
            !matches!(column.data_type.to_ascii_uppercase().as_str(), "" | "ANY")
        }
        _ => is_number(dialect, column),
    }
}

/// The value that PostgreSQL stores for a number with more digits than its column keeps.
fn rounded(column: &Column, text: &str) -> Option<String> {
    if length(column).is_some_and(|most| text.chars().count() > most) {
        let stored = column.canonical(Dialect::Postgres, text);
        return (stored != text.trim_end_matches(' ')).then(|| format!("{stored:?}"));
    }
    let exact = canonical(ValueKind::Decimal, text);
    let stored = match (column.kind, column.data_type.as_str()) {
        (ValueKind::Decimal, _) => column.canonical(Dialect::Postgres, text),
        (ValueKind::Float, "real") => {
            let single = exact.parse::<f32>().ok().filter(|number| number.is_finite())?;
            canonical(ValueKind::Decimal, &single.to_string())
        }
        _ => return None,
    };
    (stored != exact).then_some(stored)
}

/// Whether SQLite converts the text to the column's type. It never converts types that it does not have, such
/// as dates.
fn is_of_type(column: &Column, text: &str) -> bool {
    let canonical = canonical(column.kind, text);
    match column.kind {
        // SQLite stores `1.0` as the integer 1.
        ValueKind::Integer => canonical.parse::<i64>().is_ok(),
        // SQLite reads neither `NaN` nor `Infinity` as a number.
        ValueKind::Float => canonical.parse::<f64>().is_ok_and(f64::is_finite),
        ValueKind::Decimal => !is_number(Dialect::Sqlite, column) || canonical.parse::<f64>().is_ok(),
        ValueKind::Boolean => matches!(canonical.as_str(), "true" | "false"),
        ValueKind::Bytes => {
            canonical.len().is_multiple_of(2) && canonical.bytes().all(|b| b.is_ascii_hexdigit())
        }
        ValueKind::Text
        | ValueKind::Date
        | ValueKind::Timestamp
        | ValueKind::TimestampTz
        | ValueKind::Json
        | ValueKind::Uuid => true,
    }
}

/// Whether the text can be a value of a PostgreSQL column. Returns true for types that are not
/// checked.
pub(super) fn fits(column: &Column, text: &str) -> bool {
    if let Some(element) = column.element() {
        let with_bounds = text.contains("]=");
        return Array::read(text, &element)
            .map_or(with_bounds, |array| array.texts().into_iter().all(|text| fits(&element, text)));
    }
    let canonical = canonical(column.kind, text);
    match column.kind {
        _ if is_newer_number(column, text) => true,
        ValueKind::Integer => text.trim().parse().is_ok_and(|number: i64| is_in_range(column, number)),
        ValueKind::Decimal => canonical.parse::<f64>().is_ok() && has_room(column, text),
        // The canonical form is rounded and may overflow where the value does not: the server checks the range.
        ValueKind::Float => canonical.parse::<f64>().is_ok(),
        ValueKind::Boolean => matches!(canonical.as_str(), "true" | "false"),
        // The server reads braces, and hyphens at other places.
        ValueKind::Uuid => text.bytes().filter(u8::is_ascii_hexdigit).count() == 32,
        ValueKind::Json => serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
        ValueKind::Bytes => {
            canonical.len().is_multiple_of(2) && canonical.bytes().all(|b| b.is_ascii_hexdigit())
        }
        ValueKind::Text => {
            length(column).is_none_or(|most| text.trim_end_matches(' ').chars().count() <= most)
        }
        ValueKind::Date | ValueKind::Timestamp | ValueKind::TimestampTz => !is_no_date(text),
    }
}

/// Whether a text is certainly no date, whatever `DateStyle` the role or the server has: 31.12.2024 is one for
/// a server that was set up in Germany. The server reads many more spellings than those that are judged here.
fn is_no_date(text: &str) -> bool {
    const WORDS: [&str; 7] = ["now", "today", "tomorrow", "yesterday", "epoch", "infinity", "-infinity"];
    if !text.contains(|c: char| c.is_ascii_digit()) {
        let is_known =
            |word: &str| WORDS.contains(&word.trim_start_matches('+').to_ascii_lowercase().as_str());
        return !text.split_whitespace().any(is_known);
    }
    let day = text.trim().split(['T', 't', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split(['-', '/', '.']).collect();
    let is_date = |year: &str, month: &str, day: &str| {
        let numbers = (year.parse::<i16>(), month.parse::<i8>(), day.parse::<i8>());
        let (Ok(year), Ok(month), Ok(day)) = numbers else { return true };
        jiff::civil::Date::new(year, month, day).is_ok()
    };
    match parts.as_slice() {
        [year, month, day] if year.len() == 4 => !is_date(year, month, day),
        [one, other, year] if one.len() <= 2 && year.len() == 4 => {
            !is_date(year, one, other) && !is_date(year, other, one)
        }
        _ => false,
    }
}

/// Whether a text may be a number that PostgreSQL reads since version 16, such as `0x1F` or `1_000`.
fn is_newer_number(column: &Column, text: &str) -> bool {
    let is_number = matches!(column.kind, ValueKind::Integer | ValueKind::Decimal | ValueKind::Float);
    let digits = text.trim().trim_start_matches(['-', '+']);
    let is_part = |c: char| c.is_ascii_hexdigit() || "xXoO_.pP+-".contains(c);
    is_number
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.contains(['x', 'X', 'o', 'O', 'b', 'B', '_'])
        && digits.chars().all(is_part)
}

fn is_in_range(column: &Column, number: i64) -> bool {
    match column.data_type.as_str() {
        "smallint" => i16::try_from(number).is_ok(),
        "integer" => i32::try_from(number).is_ok(),
        _ => true,
    }
}

/// Whether the integer digits fit into a `numeric(p,s)`.
fn has_room(column: &Column, text: &str) -> bool {
    let arguments = column.data_type.strip_prefix("numeric(").and_then(|rest| rest.strip_suffix(')'));
    let digits = arguments.and_then(|list| {
        let (precision, scale) = list.split_once(',')?;
        let whole = precision.parse::<i32>().ok()? - scale.parse::<i32>().ok()?;
        usize::try_from(whole.max(0)).ok()
    });
    let stored = column.canonical(Dialect::Postgres, text);
    let whole = stored.split('.').next().unwrap_or_default().trim_start_matches(['-', '0']);
    digits.is_none_or(|digits| whole.len() <= digits || stored == "NaN")
}

/// The maximum length of a text. Trailing spaces do not count.
fn length(column: &Column) -> Option<usize> {
    let (name, rest) = column.data_type.split_once('(')?;
    let is_limited = matches!(name, "character varying" | "character");
    rest.strip_suffix(')').filter(|_| is_limited)?.parse().ok()
}

/// Whether the text is a label of an enum. Snapshots represent the labels as a check.
fn is_label(table: &Table, column: &Column, text: &str) -> bool {
    let start = format!("CHECK ({} IN (", identifier(&column.name));
    let label = format!("'{}'", text.replace('\'', "''"));
    table.checks.iter().filter_map(|check| check.strip_prefix(&start)).all(|labels| labels.contains(&label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(data_type: &str) -> Column {
        Column::plain("x", data_type, ValueKind::of_postgres(data_type))
    }

    #[test]
    fn what_postgresql_would_refuse_does_not_fit() {
        for (data_type, good, bad) in [
            ("integer", ["007", "+5", " -1 ", "2147483647"], ["1e2", "1.0", "2147483648", ""]),
            ("smallint", ["1", "-32768", "0", "32767"], ["40000", "-32769", "x", "1.5"]),
            ("numeric(5,2)", ["999.994", "-0.001", "1e2", "NaN"], ["999.995", "1000", "1e3", "-1e9"]),
            ("character varying(2)", ["", "ab", "ab   ", "éé"], ["abc", "   a", "ééé", "a b"]),
            ("integer[]", ["{1, 2}", "[1, null]", "[[1],[2]]", "[0:1]={1,2}"], ["1", "{1,x}", "[1.5]", "{1"]),
            (
                "date",
                ["2024-2-29", "12/31/2024", "31.12.2024", "Jan 8, 1999"],
                ["31.13.2024", "2024-13-01", "2023-02-29", "x"],
            ),
            (
                "timestamp with time zone",
                ["now", "2024-01-05T10:00Z", "infinity", "20240105"],
                ["", "2024-01-32 10:00", "soon", "13-13-2024 10:00"],
            ),
            ("real", ["1e38", "-inf", "NaN", "0.1"], ["x", "", "1e", "one"]),
            ("text[]", ["{}", "[]", "[\"a b\"]", "{\"a b\",c}"], ["a", "", "{a}}", "[a]"]),
        ] {
            let column = column(data_type);
            assert_eq!(good.map(|text| fits(&column, text)), [true; 4], "{data_type}: {good:?}");
            assert_eq!(bad.map(|text| fits(&column, text)), [false; 4], "{data_type}: {bad:?}");
        }
    }
}
