//! The catalogs of PostgreSQL 12 and later, one query each, in one round trip and one
//! read-only transaction that sees one state of them.

use super::introspect::texts;
use super::{Column, ForeignKey, Index, Snapshot, Table, TableKind, TableName, ValueKind};
use crate::sql::{self, Database, Result, Row, masked};

const ONE_STATE: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Names of `public` print without their schema and all others with it, whatever the role's own
/// search path is: equal schemas give equal snapshots.
/// Gives the server's major version, too.
const ONE_SEARCH_PATH: &str = "SELECT current_setting('server_version_num')::int / 10000, \
                               set_config('search_path', 'public', true)";

/// The relations that a snapshot may show, for the `WITH` of each query: not the system's, not this
/// tool's, no partitions. What belongs to an extension is left out by the first query alone.
macro_rules! with_shown {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE shown AS (
               SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind
               FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
                 AND NOT c.relispartition
                 AND n.nspname !~ '^pg_'
                 AND n.nspname NOT IN ('information_schema', 'trueup')
                 AND c.relname !~ '^trueup_'
                 AND c.relname <> '_sqlx_migrations'
             ) ",
            $rest
        )
    };
}

/// Schema, name, kind, comment, statement of a view.
const RELATIONS: &str = with_shown!(
    "SELECT s.schema, s.name, s.kind, d.description,
            CASE WHEN s.kind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(s.oid) END
     FROM shown s
     LEFT JOIN pg_catalog.pg_description d
       ON d.objoid = s.oid AND d.objsubid = 0 AND d.classoid = 'pg_catalog.pg_class'::regclass
     WHERE NOT EXISTS (
       SELECT FROM pg_catalog.pg_depend d
       WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.oid AND d.deptype = 'e'
     )"
);

/// Schema, table, column, type, type under all domains, whether it is NOT NULL, default or generating
/// expression, whether it is the latter, whether the database makes its values (identity, or a
/// default from a sequence that the column owns), comment, labels of an enum as JSON. In order.
const COLUMNS: &str = with_shown!(
    ", roots AS (
       SELECT t.oid, t.typbasetype AS root
       FROM pg_catalog.pg_type t
       JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype AND b.typtype <> 'd'
       WHERE t.typtype = 'd'
       UNION ALL
       SELECT t.oid, r.root FROM roots r JOIN pg_catalog.pg_type t ON t.typbasetype = r.oid AND t.typtype = 'd'
     ), labels AS (
       SELECT e.enumtypid, json_agg(e.enumlabel ORDER BY e.enumsortorder)::text AS labels
       FROM pg_catalog.pg_enum e
       GROUP BY e.enumtypid
     )
     SELECT s.schema, s.name, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
            pg_catalog.format_type(COALESCE(r.root, a.atttypid), NULL), a.attnotnull,
            pg_catalog.pg_get_expr(x.adbin, x.adrelid, true), a.attgenerated <> '',
            a.attidentity <> '' OR EXISTS (
              SELECT FROM pg_catalog.pg_depend d
              WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = a.attrelid
                AND d.refobjsubid = a.attnum AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'a'
                AND x.adbin IS NOT NULL AND pg_catalog.pg_get_expr(x.adbin, x.adrelid) LIKE 'nextval(%'
            ),
            c.description, l.labels
     FROM shown s
     JOIN pg_catalog.pg_attribute a ON a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped
     LEFT JOIN roots r ON r.oid = a.atttypid
     LEFT JOIN labels l ON l.enumtypid = COALESCE(r.root, a.atttypid)
     LEFT JOIN pg_catalog.pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
     LEFT JOIN pg_catalog.pg_description c
       ON c.objoid = a.attrelid AND c.objsubid = a.attnum AND c.classoid = 'pg_catalog.pg_class'::regclass
     ORDER BY s.schema, s.name, a.attnum"
);

/// Schema, table, kind, columns as JSON, schema and name of the table that is referenced, its
/// columns as JSON, the whole as text, and of a foreign key what is not the default: its actions and
/// more as JSON. What came after PostgreSQL 12 is asked for by name in JSON: the columns that a deletion
/// sets (15), and whether it is enforced (18).
const CONSTRAINTS: &str = with_shown!(
    "SELECT s.schema, s.name, k.contype::text,
            (SELECT json_agg(a.attname ORDER BY u.place)::text
             FROM unnest(k.conkey) WITH ORDINALITY u (number, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
            fn.nspname::text, fc.relname::text,
            (SELECT json_agg(a.attname ORDER BY u.place)::text
             FROM unnest(k.confkey) WITH ORDINALITY u (number, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number),
            pg_catalog.pg_get_constraintdef(k.oid, true),
            (SELECT json_agg(o.text ORDER BY o.place)::text
             FROM (VALUES
               (1, CASE k.confmatchtype WHEN 'f' THEN 'MATCH FULL' END),
               (2, 'ON DELETE ' || CASE k.confdeltype WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE'
                                   WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END
                   || COALESCE((
                        SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname) || ')'
                        FROM json_array_elements_text(NULLIF(to_json(k) ->> 'confdelsetcols', '')::json) u (number)
                        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number::int
                      ), '')),
               (3, 'ON UPDATE ' || CASE k.confupdtype WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE'
                                   WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END),
               (4, CASE WHEN k.condeferred THEN 'DEFERRABLE INITIALLY DEFERRED'
                        WHEN k.condeferrable THEN 'DEFERRABLE' END),
               (5, CASE WHEN to_json(k) ->> 'conenforced' = 'false' THEN 'NOT ENFORCED'
                        WHEN NOT k.convalidated THEN 'NOT VALID' END)
             ) o (place, text)
             WHERE o.text IS NOT NULL)
     FROM shown s
     JOIN pg_catalog.pg_constraint k ON k.conrelid = s.oid
     LEFT JOIN pg_catalog.pg_class fc ON fc.oid = k.confrelid
     LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = fc.relnamespace
     WHERE k.contype IN ('p', 'f', 'c', 'x') AND k.conparentid = 0"
);

/// Schema, table, index, whether it is unique, whether it is valid, access method, keys as JSON,
/// predicate, what else is said behind the keys as JSON (one part of it by name: it came with 15).
const INDEXES: &str = with_shown!(
    "SELECT s.schema, s.name, ic.relname::text, i.indisunique, i.indisvalid, m.amname::text,
            (SELECT json_agg(
                      COALESCE(a.attname::text, pg_catalog.pg_get_indexdef(i.indexrelid, k::int, true))
                      || CASE WHEN pg_catalog.pg_index_column_has_property(i.indexrelid, k::int, 'desc')
                              THEN ' DESC' ELSE '' END
                      ORDER BY k)::text
             FROM generate_series(1, i.indnkeyatts) k
             LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k - 1]
               AND a.attnum <> 0),
            pg_catalog.pg_get_expr(i.indpred, i.indrelid, true),
            (SELECT json_agg(o.text ORDER BY o.place)::text
             FROM (VALUES
               (1, (SELECT 'INCLUDE (' || string_agg(quote_ident(a.attname), ', ' ORDER BY k) || ')'
                    FROM generate_series(i.indnkeyatts, i.indnatts - 1) k
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k])),
               (2, CASE WHEN to_json(i) ->> 'indnullsnotdistinct' = 'true' THEN 'NULLS NOT DISTINCT' END)
             ) o (place, text)
             WHERE o.text IS NOT NULL)
     FROM shown s
     JOIN pg_catalog.pg_index i ON i.indrelid = s.oid
     JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
     JOIN pg_catalog.pg_am m ON m.oid = ic.relam
     WHERE NOT i.indisprimary"
);

pub(super) async fn introspect(database: &Database) -> Result<Snapshot> {
    let asked = [ONE_STATE, sql::OF_CATALOGS, ONE_SEARCH_PATH, RELATIONS, COLUMNS, CONSTRAINTS, INDEXES];
    let mut answers = database.query_each(&asked).await?.into_iter().skip(2);
    let mut next = || answers.next().unwrap_or_default();

    let major = next().first().and_then(|row| row.get(0)?.parse().ok());
    let mut snapshot = Snapshot { postgres: major, ..Snapshot::default() };
    for row in next() {
        snapshot.tables.insert(table_name(row.text(0)?, row.text(1)?), relation(&row)?);
    }
    for row in next() {
        if let Some(table) = table_of(&mut snapshot, &row)? {
            add_column(table, &row)?;
        }
    }
    for row in next() {
        if let Some(table) = table_of(&mut snapshot, &row)? {
            add_constraint(table, &row)?;
        }
    }
    for row in next() {
        if let Some(table) = table_of(&mut snapshot, &row)? {
            add_index(table, &row)?;
        }
    }
    Ok(snapshot)
}

fn table_name(schema: &str, name: &str) -> TableName {
    let schema = Some(schema).filter(|schema| *schema != "public").map(str::to_owned);
    TableName { schema, name: name.to_owned() }
}

fn table_of<'s>(snapshot: &'s mut Snapshot, row: &Row) -> Result<Option<&'s mut Table>> {
    Ok(snapshot.tables.get_mut(&table_name(row.text(0)?, row.text(1)?)))
}

fn relation(row: &Row) -> Result<Table> {
    let kind = match row.text(2)? {
        "v" => TableKind::View,
        "m" => TableKind::MaterializedView,
        "f" => TableKind::Foreign,
        _ => TableKind::Table,
    };
    let mut table = Table::empty(kind);
    table.comment = row.get(3).map(str::to_owned);
    table.definition = row.get(4).map(|sql| masked(sql.trim().trim_end_matches(';')));
    Ok(table)
}

fn add_column(table: &mut Table, row: &Row) -> Result<()> {
    let name = row.text(2)?.to_owned();
    let (expression, generated) = (row.get(6).map(str::to_owned), row.bool(7)?);
    let labels = texts(row.get(10));
    if !labels.is_empty() && table.kind == TableKind::Table {
        let quoted: Vec<String> =
            labels.iter().map(|label| format!("'{}'", label.replace('\'', "''"))).collect();
        let column = crate::sql::identifier(&name);
        table.checks.insert(format!("CHECK ({column} IN ({}))", quoted.join(", ")));
    }
    table.columns.push(Column {
        name,
        data_type: row.text(3)?.to_owned(),
        kind: ValueKind::of_postgres(row.text(4)?),
        nullable: !row.bool(5)?,
        default: expression.clone().filter(|_| !generated),
        generated: expression.filter(|_| generated),
        identity: row.bool(8)?,
        comment: row.get(9).map(str::to_owned),
    });
    Ok(())
}

fn add_constraint(table: &mut Table, row: &Row) -> Result<()> {
    let definition = row.text(7)?;
    match row.text(2)? {
        "p" => table.primary_key = texts(row.get(3)),
        "f" => {
            table.foreign_keys.insert(ForeignKey {
                columns: texts(row.get(3)),
                table: table_name(row.text(4)?, row.text(5)?),
                references: texts(row.get(6)),
                actions: texts(row.get(8)),
            });
        }
        _ => {
            table.checks.insert(definition.to_owned());
        }
    }
    Ok(())
}

fn add_index(table: &mut Table, row: &Row) -> Result<()> {
    let mut keys = texts(row.get(6));
    let method = row.text(5)?;
    if method != "btree" {
        keys.insert(0, format!("USING {method}"));
    }
    let index = Index {
        unique: row.bool(3)?,
        keys,
        more: texts(row.get(8)),
        predicate: row.get(7).map(str::to_owned),
        valid: row.bool(4)?,
    };
    table.indexes.insert(row.text(2)?.to_owned(), index);
    Ok(())
}
