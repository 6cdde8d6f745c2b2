//! Maps declared types to value kinds, in both dialects. Pure.

use super::ValueKind;

impl ValueKind {
    /// Maps a type of PostgreSQL, as `format_type` prints it; for a domain, its base type. Arrays, enums
    /// and unknown types are text.
    pub fn of_postgres(data_type: &str) -> Self {
        if data_type.ends_with(']') {
            return Self::Text;
        }
        match without_arguments(data_type).as_str() {
            "smallint" | "integer" | "bigint" | "oid" => Self::Integer,
            "numeric" => Self::Decimal,
            "real" | "double precision" => Self::Float,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "timestamp without time zone" => Self::Timestamp,
            "timestamp with time zone" => Self::TimestampTz,
            "json" | "jsonb" => Self::Json,
            "uuid" => Self::Uuid,
            "bytea" => Self::Bytes,
            _ => Self::Text,
        }
    }

    /// Maps a type of SQLite: well-known names first, then by column affinity. Columns without a type, or
    /// of type ANY, store texts unchanged.
    pub fn of_sqlite(declared: &str) -> Self {
        let name = without_arguments(declared).to_ascii_uppercase();
        match name.as_str() {
            "" | "ANY" => return Self::Text,
            "BOOLEAN" | "BOOL" => return Self::Boolean,
            "DATE" => return Self::Date,
            "DATETIME" | "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => return Self::Timestamp,
            "TIMESTAMPTZ" | "DATETIMETZ" | "TIMESTAMP WITH TIME ZONE" => return Self::TimestampTz,
            "JSON" | "JSONB" => return Self::Json,
            "UUID" | "GUID" => return Self::Uuid,
            "DECIMAL" | "NUMERIC" => return Self::Decimal,
            _ => {}
        }
        let has = |part: &str| name.contains(part);
        if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") {
            Self::Bytes
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Float
        } else {
            // Affinity NUMERIC: texts that look like numbers are stored as numbers.
            Self::Decimal
        }
    }
}

/// `numeric(12,2)` → `numeric`, `timestamp(3) with time zone` → `timestamp with time zone`.
pub(crate) fn without_arguments(data_type: &str) -> String {
    let (before, after) = match (data_type.find('('), data_type.rfind(')')) {
        (Some(open), Some(close)) if open < close => (data_type.get(..open), data_type.get(close + 1..)),
        _ => (Some(data_type), None),
    };
    let words = before.into_iter().chain(after).flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_postgresql_ignore_arguments() {
        assert_eq!(ValueKind::of_postgres("numeric(12,2)"), ValueKind::Decimal);
        assert_eq!(ValueKind::of_postgres("timestamp(3) with time zone"), ValueKind::TimestampTz);
        assert_eq!(ValueKind::of_postgres("timestamp without time zone"), ValueKind::Timestamp);
        assert_eq!(ValueKind::of_postgres("integer[]"), ValueKind::Text);
        assert_eq!(ValueKind::of_postgres("mood"), ValueKind::Text);
    }

    #[test]
    fn kinds_of_sqlite_follow_names_then_affinity() {
        assert_eq!(ValueKind::of_sqlite("Decimal (12, 2)"), ValueKind::Decimal);
        assert_eq!(ValueKind::of_sqlite("timestamp with time zone"), ValueKind::TimestampTz);
        assert_eq!(ValueKind::of_sqlite("UNSIGNED BIG INT"), ValueKind::Integer);
        assert_eq!(ValueKind::of_sqlite("varchar(20)"), ValueKind::Text);
        assert_eq!(ValueKind::of_sqlite("double precision"), ValueKind::Float);
        assert_eq!(ValueKind::of_sqlite("blob"), ValueKind::Bytes);
        assert_eq!(ValueKind::of_sqlite("STRING"), ValueKind::Decimal);
        assert_eq!(ValueKind::of_sqlite(""), ValueKind::Text);
    }
}
