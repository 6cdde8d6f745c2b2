//! What is asked of the catalogs: plain rows, which are put together on this side. A session that was
//! just opened knows nothing of them yet, so that each join, function and operator costs it more than
//! the rows do.
//!
//! What was made with the server has numbers below 16384, and is of no interest. A column that came
//! after PostgreSQL 12 is asked for by name, in JSON.

/// One state of all catalogs.
pub(super) const ONE_STATE: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Names of `public` print without their schema and all others with it, whatever the role's own
/// search path is: equal schemas give equal snapshots.
/// Gives the server's major version, too.
pub(super) const ONE_SEARCH_PATH: &str = "SELECT current_setting('server_version_num')::int / 10000, \
                                          set_config('search_path', 'public', true)";

/// Number, schema, name, kind, whether it is shown, statement of a view. Not shown is this tool's own, a
/// partition, and what belongs to an extension; a foreign key may lead there.
pub(super) const RELATIONS: &str = "
    SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text,
           NOT c.relispartition AND n.nspname <> 'trueup'
             AND c.relname NOT LIKE 'trueup\\_%' AND c.relname <> '_sqlx_migrations'
             AND c.oid <> ALL (ARRAY (
               SELECT d.objid FROM pg_catalog.pg_depend d
               WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass
                 AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'e'
             )),
           CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";

/// Relation, number, name, type, number of the type, whether it is NOT NULL, whether it is an identity,
/// whether its expression generates it, default or generating expression.
pub(super) const COLUMNS: &str = "
    SELECT a.attrelid::int8, a.attnum, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
           a.atttypid::int8, a.attnotnull, a.attidentity <> '', a.attgenerated <> '',
           pg_catalog.pg_get_expr(x.adbin, x.adrelid, true)
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_catalog.pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
    WHERE a.attrelid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

/// Relation, number of the column or 0, comment.
pub(super) const COMMENTS: &str = "
    SELECT objoid::int8, objsubid, description
    FROM pg_catalog.pg_description
    WHERE classoid = 'pg_catalog.pg_class'::regclass AND objoid >= 16384";

/// Relation and number of each column that owns a sequence.
pub(super) const SEQUENCES: &str = "
    SELECT d.refobjid::int8, d.refobjsubid
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid >= 16384
      AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'a'";

/// Number; of a domain, number and name of the type under it; of an enum, a label. A row for each label,
/// in order.
pub(super) const TYPES: &str = "
    SELECT t.oid::int8, t.typbasetype::int8, pg_catalog.format_type(NULLIF(t.typbasetype, 0), NULL), e.enumlabel::text
    FROM pg_catalog.pg_type t
    LEFT JOIN pg_catalog.pg_enum e ON e.enumtypid = t.oid
    WHERE t.typtype IN ('d', 'e')
    ORDER BY e.enumsortorder";

/// Relation, kind, numbers of its columns, of a foreign key all that the catalog says as JSON, of a check
/// or an exclusion its text.
pub(super) const CONSTRAINTS: &str = "
    SELECT k.conrelid::int8, k.contype::text, k.conkey::text,
           CASE WHEN k.contype = 'f' THEN to_json(k)::text END,
           CASE WHEN k.contype IN ('c', 'x') THEN pg_catalog.pg_get_constraintdef(k.oid, true) END
    FROM pg_catalog.pg_constraint k
    WHERE k.conrelid >= 16384 AND k.contype IN ('p', 'f', 'c', 'x') AND k.conparentid = 0";

/// Relation, name, whether it is unique, whether it is valid, access method, numbers of its columns (0
/// is an expression), options of each key, number of keys, the expressions as JSON in order, predicate,
/// whether NULLs count as equal.
pub(super) const INDEXES: &str = "
    SELECT i.indrelid::int8, c.relname::text, i.indisunique, i.indisvalid, m.amname::text, i.indkey::text,
           i.indoption::text, i.indnkeyatts,
           CASE WHEN i.indexprs IS NOT NULL THEN (
             SELECT json_agg(pg_catalog.pg_get_indexdef(i.indexrelid, k, true) ORDER BY k)::text
             FROM generate_series(1, i.indnkeyatts::int) k
             WHERE i.indkey[k - 1] = 0
           ) END,
           pg_catalog.pg_get_expr(i.indpred, i.indrelid, true),
           CASE WHEN i.indisunique THEN to_json(i) ->> 'indnullsnotdistinct' = 'true' END
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid = c.relam
    WHERE i.indexrelid >= 16384 AND NOT i.indisprimary";
