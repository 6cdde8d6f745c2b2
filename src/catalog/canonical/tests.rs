use proptest::prelude::*;

use super::*;
use crate::sql::Dialect;

const KINDS: [ValueKind; 11] = [
    ValueKind::Text,
    ValueKind::Integer,
    ValueKind::Decimal,
    ValueKind::Float,
    ValueKind::Boolean,
    ValueKind::Date,
    ValueKind::Timestamp,
    ValueKind::TimestampTz,
    ValueKind::Json,
    ValueKind::Uuid,
    ValueKind::Bytes,
];

fn equal(kind: ValueKind, spellings: &[&str], to: &str) {
    for spelling in spellings {
        assert_eq!(canonical(kind, spelling), to, "{spelling:?} as {kind:?}");
    }
}

#[test]
fn text_is_exact() {
    equal(ValueKind::Text, &[" 007 "], " 007 ");
}

#[test]
fn numbers_are_equal_by_value() {
    equal(ValueKind::Integer, &["5", "+5", "005", "5.0", " 5 "], "5");
    equal(ValueKind::Integer, &["0", "-0", "000", "0.00", "-0e5", "0e0"], "0");
    equal(ValueKind::Decimal, &["1.5", "1.50", "+1.500", "15e-1", "0.15E1"], "1.5");
    equal(ValueKind::Decimal, &["1000", "1e3", "1.0E+3", "1000.00"], "1000");
    equal(ValueKind::Decimal, &["-0.001", "-.001", "-1e-3"], "-0.001");
    equal(ValueKind::Decimal, &["nan", "NaN"], "NaN");
    equal(
        ValueKind::Decimal,
        &["12345678901234567890.12345678901234567890", "12345678901234567890.1234567890123456789"],
        "12345678901234567890.1234567890123456789",
    );
    equal(ValueKind::Float, &["0.1", "1e-1", "0.1000", "1.0e-01", "0.10000000000000001"], "0.1");
    equal(ValueKind::Float, &["5", "5.0"], "5");
    equal(ValueKind::Float, &["1e20", "1.0e+20", "100000000000000000000"], "100000000000000000000");
}

#[test]
fn an_enormous_exponent_costs_no_memory() {
    equal(ValueKind::Decimal, &["1e2000000000", "10e1999999999"], "1e2000000000");
    equal(ValueKind::Decimal, &["1.0e-2000000000"], "1e-2000000000");
    equal(ValueKind::Decimal, &["1e99999999999999999999"], "1e99999999999999999999");
}

#[test]
fn what_is_no_value_of_its_kind_stays_as_it_is() {
    for text in ["", "x", " x ", "1.2.3", "--1", "e5", ".", "1e", "0x1f", "2024-13-01", "12:00", "{", "é"] {
        for kind in
            [ValueKind::Integer, ValueKind::Decimal, ValueKind::Boolean, ValueKind::Date, ValueKind::Json]
        {
            assert_eq!(canonical(kind, text), text, "{kind:?}");
        }
    }
}

#[test]
fn booleans_are_as_postgresql_reads_them() {
    equal(ValueKind::Boolean, &["true", "t", "TRUE", "1", "yes", "on"], "true");
    equal(ValueKind::Boolean, &["false", "f", "False", "0", "no", "off"], "false");
}

#[test]
fn dates_and_times_are_equal_across_zones_and_fractions() {
    equal(ValueKind::Date, &["2024-01-05", "2024-1-5", "20240105", "2024-01-05T10:00:00Z"], "2024-01-05");
    equal(
        ValueKind::Timestamp,
        &["2024-01-05 10:00:00", "2024-01-05T10:00", "2024-01-05 10:00:00.000", "2024-01-05T10:00:00Z"],
        "2024-01-05 10:00:00",
    );
    equal(ValueKind::Timestamp, &["2024-01-05"], "2024-01-05 00:00:00");
    equal(ValueKind::Timestamp, &["2024-01-05 24:00:00"], "2024-01-06 00:00:00");
    equal(ValueKind::Timestamp, &["2024-01-05 10:00:00.1234567"], "2024-01-05 10:00:00.123457");
    equal(
        ValueKind::TimestampTz,
        &[
            "2024-01-05T10:00:00Z",
            "2024-01-05 10:00:00+00",
            "2024-01-05 10:00:00",
            "2024-01-05 12:00:00.0+02",
            "2024-01-05T06:30:00-0330",
            "2024-01-05 15:30:00 +05:30",
            "2024-01-05 10:00:00 UTC",
        ],
        "2024-01-05 10:00:00+00:00",
    );
    equal(ValueKind::TimestampTz, &["2023-12-31 23:00:00.50-02"], "2024-01-01 01:00:00.5+00:00");
    equal(ValueKind::TimestampTz, &["Infinity", "infinity"], "infinity");
}

#[test]
fn json_is_equal_by_value() {
    equal(
        ValueKind::Json,
        &[r#"{"b":[1,2.50,1e3],"a":"é\u0041\""}"#, r#" { "a" : "éA\"" , "b" : [ 1.0, 2.5 , 1000 ] } "#],
        r#"{"a":"éA\"","b":[1,2.5,1000]}"#,
    );
    equal(ValueKind::Json, &[r#"{"a":1,"a":2}"#], r#"{"a":2}"#);
    equal(ValueKind::Json, &["[]", " [ ] "], "[]");
    equal(ValueKind::Json, &["{}", "{\n}"], "{}");
    equal(ValueKind::Json, &["null"], "null");
    equal(ValueKind::Json, &["12345678901234567890123"], "12345678901234567890123");
    equal(ValueKind::Json, &[r#"["a\\","b"]"#], r#"["a\\","b"]"#);
}

#[test]
fn json_deeper_than_the_stack_is_kept() {
    let deep = format!("{}{}", "[ ".repeat(100_000), "]".repeat(100_000));
    assert_eq!(canonical(ValueKind::Json, &deep), deep);
}

#[test]
fn uuids_and_bytes_are_equal_in_any_case() {
    equal(
        ValueKind::Uuid,
        &[
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
        ],
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    );
    equal(ValueKind::Bytes, &["\\xDEAD", "0xdead", "DeAd"], "dead");
    equal(ValueKind::Bytes, &["abc"], "abc");
}

fn column(data_type: &str, kind: ValueKind) -> super::super::Column {
    super::super::Column::plain("x", data_type, kind)
}

#[test]
fn a_column_of_postgresql_rounds_as_it_stores() {
    let stored = |data_type: &str, text: &str| {
        column(data_type, ValueKind::of_postgres(data_type)).canonical(Dialect::Postgres, text)
    };
    assert_eq!(stored("numeric(12,2)", "1.005"), "1.01");
    assert_eq!(stored("numeric(12,2)", "-9.995"), "-10");
    assert_eq!(stored("numeric(12,2)", "99.999"), "100");
    assert_eq!(stored("numeric(12,2)", "-0.001"), "0");
    assert_eq!(stored("numeric(12,2)", "1.5"), "1.5");
    assert_eq!(stored("numeric(12,0)", "0.5"), "1");
    assert_eq!(stored("numeric", "1.005"), "1.005");
    assert_eq!(stored("real", "3.14159265"), stored("real", "3.1415927"));
    assert_eq!(stored("character(5)", "ab"), stored("character(5)", "ab   "));
}

#[test]
fn a_column_of_sqlite_makes_numbers_of_what_looks_like_one() {
    let stored = |data_type: &str, text: &str| {
        column(data_type, ValueKind::of_sqlite(data_type)).canonical(Dialect::Sqlite, text)
    };
    assert_eq!(stored("DECIMAL(12,2)", "123456789.123456789"), "123456789.123457");
    assert_eq!(stored("NUMERIC", "9007199254740993"), "9007199254740993");
    assert_eq!(stored("BOOLEAN", "-0"), "false");
    assert_eq!(stored("DATETIME", "1e3"), "1000");
    assert_eq!(stored("DATETIME", "2024-01-05T10:00:00Z"), "2024-01-05 10:00:00");
    assert_eq!(stored("TEXT", "007"), "007");
}

/// A type of PostgreSQL whose columns hold values of the kind: the two cannot be combined at will.
fn type_of(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Text => "character(5)",
        ValueKind::Integer => "bigint",
        ValueKind::Decimal => "numeric(5,3)",
        ValueKind::Float => "real",
        ValueKind::Boolean => "boolean",
        ValueKind::Date => "date",
        ValueKind::Timestamp => "timestamp without time zone",
        ValueKind::TimestampTz => "timestamp with time zone",
        ValueKind::Json => "jsonb",
        ValueKind::Uuid => "uuid",
        ValueKind::Bytes => "bytea",
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn canonical_is_idempotent_and_never_panics(text in "(?s).{0,24}") {
        for kind in KINDS {
            let once = canonical(kind, &text);
            prop_assert_eq!(canonical(kind, &once), once.clone(), "{:?}", kind);
            for dialect in [Dialect::Postgres, Dialect::Sqlite] {
                let stored = column(type_of(kind), kind);
                let once = stored.canonical(dialect, &text);
                prop_assert_eq!(stored.canonical(dialect, &once), once.clone(), "{:?}", kind);
            }
        }
    }

    #[test]
    fn canonical_is_idempotent_near_valid_values(
        text in "[-+]?[0-9]{0,5}[.:eE -]?[-+]?[0-9]{0,6}[T -]?[0-9:.]{0,9}([zZ]|[-+][0-9:]{1,8})?"
    ) {
        for kind in KINDS {
            let once = canonical(kind, &text);
            prop_assert_eq!(canonical(kind, &once), once.clone(), "{:?}", kind);
            for dialect in [Dialect::Postgres, Dialect::Sqlite] {
                let stored = column(type_of(kind), kind);
                let once = stored.canonical(dialect, &text);
                prop_assert_eq!(stored.canonical(dialect, &once), once.clone(), "{:?}", kind);
            }
        }
    }

    #[test]
    fn canonical_is_idempotent_on_moments(
        year in 0_i32..10_000, month in 0_u8..14, day in 0_u8..33, hour in 0_u8..26, minute in 0_u8..62,
        fraction in "(\\.[0-9]{0,11})?", zone in "(Z|[-+][0-9]{2}(:?[0-9]{2})?)?"
    ) {
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:59{fraction}{zone}");
        for kind in KINDS {
            let once = canonical(kind, &text);
            prop_assert_eq!(canonical(kind, &once), once.clone(), "{:?}", kind);
            for dialect in [Dialect::Postgres, Dialect::Sqlite] {
                let stored = column(type_of(kind), kind);
                let once = stored.canonical(dialect, &text);
                prop_assert_eq!(stored.canonical(dialect, &once), once.clone(), "{:?}", kind);
            }
        }
    }

    #[test]
    fn every_integer_has_one_spelling(number: i64, zeros in 0_usize..5) {
        let padded = match number.checked_abs() {
            Some(size) if number < 0 => format!("-{}{size}", "0".repeat(zeros)),
            _ => format!("{number}"),
        };
        prop_assert_eq!(canonical(ValueKind::Integer, &padded), number.to_string());
    }
}
