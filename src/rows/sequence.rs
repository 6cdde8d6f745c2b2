//! Advances sequences after rows with explicit ids were written.

use super::Shape;
use crate::catalog::{Column, ValueKind};
use crate::sql::{self, Dialect, Transaction, Value, identifier};

/// An explicit id does not advance the sequence, so the application's next insert would collide. Covers the
/// sequence that the column default calls, and that of an identity column.
pub(super) async fn restart_sequences(shape: &Shape<'_>, transaction: &mut Transaction) -> sql::Result<()> {
    const SEQUENCE: &str = "
        SELECT coalesce(
                 (SELECT d.refobjid::regclass
                  FROM pg_attribute a
                  JOIN pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
                  JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = x.oid
                                  AND d.refclassid = 'pg_class'::regclass
                  JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
                  WHERE a.attrelid = $1::regclass AND a.attname = $2
                  LIMIT 1),
                 pg_get_serial_sequence($1, $2)::regclass)";
    if transaction.dialect() != Dialect::Postgres {
        return Ok(());
    }
    let counts = |column: &Column| {
        let is_called = column.default.as_ref().is_some_and(|sql| sql.starts_with("nextval("));
        column.identity || is_called && matches!(column.kind, ValueKind::Integer | ValueKind::Decimal)
    };
    for (column, _) in shape.columns.iter().filter(|(column, _)| counts(column)) {
        let sql = format!(
            "SELECT setval(s.name, s.top) FROM \
             (SELECT ({SEQUENCE}) AS name, (SELECT max({})::bigint FROM {}) AS top) AS s \
             JOIN pg_sequences p ON format('%I.%I', p.schemaname, p.sequencename)::regclass = s.name \
             WHERE s.top > coalesce(p.last_value, p.start_value - 1)",
            identifier(&column.name),
            shape.quoted_table()
        );
        let values = [Value::from(shape.quoted_table()), Value::from(column.name.as_str())];
        transaction.query(&sql, &values).await?;
    }
    Ok(())
}
