//! The canonical form of a value after one column has stored it. Pure.

use super::{Array, canonical, number};
use crate::catalog::{Column, ValueKind};
use crate::sql::Dialect;

impl Column {
    /// Like [`canonical`], with the conversions of this column. PostgreSQL rounds to the scale of
    /// `numeric(p,s)`, keeps six digits of a `real`, and removes trailing spaces of a `character(n)`. Items
    /// of arrays are converted too, also those of a JSON list. SQLite converts texts that look like numbers
    /// to 64 bits or 15 digits, unless the column has type text or blob.
    pub fn canonical(&self, dialect: Dialect, text: &str) -> String {
        match dialect {
            Dialect::Postgres => self.stored_by_postgres(text),
            Dialect::Sqlite => match self.kind {
                ValueKind::Text | ValueKind::Bytes | ValueKind::Float => canonical(self.kind, text),
                kind => canonical(kind, &number_of_sqlite(text.trim()).unwrap_or_else(|| text.to_owned())),
            },
        }
    }

    fn stored_by_postgres(&self, text: &str) -> String {
        if let Some(element) = self.element() {
            let array = Array::read(text, &element);
            return array.map_or_else(
                || text.to_owned(),
                |array| array.literal(&|text| element.stored_by_postgres(text)),
            );
        }
        let spelled = canonical(self.kind, text);
        let (name, argument) = self.data_type.split_once('(').unwrap_or((&self.data_type, ""));
        match name {
            "numeric" => {
                let scale = argument.strip_suffix(')').and_then(|list| list.split_once(','));
                let scale = scale.and_then(|(_, scale)| scale.trim().parse().ok());
                scale.and_then(|scale| number::rounded(&spelled, scale)).unwrap_or(spelled)
            }
            "real" => number::single(&spelled).unwrap_or(spelled),
            "character" => spelled.trim_end_matches(' ').to_owned(),
            // An assignment removes blanks behind the length; anything else there is an error.
            "character varying" => {
                let most = argument.strip_suffix(')').and_then(|length| length.parse().ok());
                let end = most.and_then(|most| spelled.char_indices().nth(most));
                match end.map(|(end, _)| spelled.split_at(end)) {
                    Some((kept, blanks)) if blanks.chars().all(|c| c == ' ') => kept.to_owned(),
                    _ => spelled,
                }
            }
            _ => spelled,
        }
    }
}

fn number_of_sqlite(text: &str) -> Option<String> {
    let decimal = number::decimal(text)?;
    if decimal.parse::<i64>().is_ok() {
        return Some(decimal);
    }
    Some(number::float(text).unwrap_or(decimal))
}
