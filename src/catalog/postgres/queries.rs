//! The catalog queries. They return plain rows, which are joined by the client: in a new session with cold
//! catalog caches, every join, function and operator costs more than the rows.
//!
//! Objects that initdb created have OIDs below 16384 and are omitted. Columns that were added after
//! PostgreSQL 12 are accessed by name in JSON.

/// All queries see the same snapshot.
pub(super) const ONE_STATE: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Makes the output independent of the role's search path: names in `public` are printed without schema,
/// and all others with it. Also returns the server's major version.
pub(super) const ONE_SEARCH_PATH: &str = "SELECT current_setting('server_version_num')::int / 10000, \
                                          set_config('search_path', 'public', true)";

/// Returns OID, schema, name, kind, whether it is part of the snapshot, and the statement of a view.
/// Omitted from the snapshot are this tool's tables, partitions, and members of extensions, but foreign
/// keys may reference them.
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

/// Returns relation, number, name, type, OID of the type, NOT NULL, identity, whether the expression
/// generates it, default or generation expression.
pub(super) const COLUMNS: &str = "
    SELECT a.attrelid::int8, a.attnum, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
           a.atttypid::int8, a.attnotnull, a.attidentity <> '', a.attgenerated <> '',
           pg_catalog.pg_get_expr(x.adbin, x.adrelid, true)
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_catalog.pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
    WHERE a.attrelid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

/// Returns relation, number of the column or 0, comment.
pub(super) const COMMENTS: &str = "
    SELECT objoid::int8, objsubid, description
    FROM pg_catalog.pg_description
    WHERE classoid = 'pg_catalog.pg_class'::regclass AND objoid >= 16384";

/// Returns relation and number of each column that owns a sequence.
pub(super) const SEQUENCES: &str = "
    SELECT d.refobjid::int8, d.refobjsubid
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid >= 16384
      AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'a'";

/// Returns the OID; for a domain, OID and name of its base type; for an enum, one row per label, in
/// order.
pub(super) const TYPES: &str = "
    SELECT t.oid::int8, t.typbasetype::int8, pg_catalog.format_type(NULLIF(t.typbasetype, 0), NULL), e.enumlabel::text
    FROM pg_catalog.pg_type t
    LEFT JOIN pg_catalog.pg_enum e ON e.enumtypid = t.oid
    WHERE t.typtype IN ('d', 'e')
    ORDER BY e.enumsortorder";

/// Returns relation, kind, numbers of its columns; for a foreign key its catalog row as JSON; for a check
/// or exclusion constraint its text.
pub(super) const CONSTRAINTS: &str = "
    SELECT k.conrelid::int8, k.contype::text, k.conkey::text,
           CASE WHEN k.contype = 'f' THEN to_json(k)::text END,
           CASE WHEN k.contype IN ('c', 'x') THEN pg_catalog.pg_get_constraintdef(k.oid, true) END
    FROM pg_catalog.pg_constraint k
    WHERE k.conrelid >= 16384 AND k.contype IN ('p', 'f', 'c', 'x') AND k.conparentid = 0";

/// Returns relation, name, unique, valid, access method, numbers of its columns (0 for an expression),
/// options of each key, number of keys, expressions as JSON in order, predicate, NULLS NOT DISTINCT.
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
