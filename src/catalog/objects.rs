//! Schema objects other than tables: functions, triggers, policies, sequences, types and others, each with
//! its name and its statement. Reading them is too expensive for each plan; used where completeness
//! matters.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use similar::TextDiff;

use crate::sql::{Database, OF_CATALOGS, Result, Row, masked};

/// Statements by the name of the object: `function f(integer)`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects(BTreeMap<String, String>);

/// Prints names in `public` without schema, as in snapshots of tables.
const ONE_SEARCH_PATH: &str = "SELECT set_config('search_path', 'public', true)";

/// The condition of all queries below: omits objects of the server, of this tool, and of
/// extensions.
macro_rules! shown {
    ($class:literal, $object:literal, $schema:literal) => {
        concat!(
            $schema,
            ".nspname NOT LIKE 'pg\\_%' AND ",
            $schema,
            ".nspname NOT IN ('information_schema', 'trueup') AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.",
            $class,
            "'::regclass AND e.objid = ",
            $object,
            " AND e.deptype = 'e')"
        )
    };
}

/// Functions, procedures and aggregates. Aggregates have no statement, so only their existence is
/// compared.
const ROUTINES: &str = concat!(
    "SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' WHEN 'a' THEN 'aggregate ' ELSE 'function ' END
            || p.oid::regprocedure::text,
            CASE WHEN p.prokind = 'a' THEN '' ELSE pg_catalog.pg_get_functiondef(p.oid) END
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE ",
    shown!("pg_proc", "p.oid", "n")
);

/// Triggers and rules, except those that implement constraints and views.
const TRIGGERS: &str = concat!(
    "SELECT 'trigger ' || quote_ident(t.tgname) || ' on ' || t.tgrelid::regclass::text,
            pg_catalog.pg_get_triggerdef(t.oid, true)
            || CASE t.tgenabled WHEN 'O' THEN '' ELSE ' (enabled: ' || t.tgenabled::text || ')' END
     FROM pg_catalog.pg_trigger t
     JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT t.tgisinternal AND ",
    shown!("pg_class", "c.oid", "n"),
    " UNION ALL
     SELECT 'rule ' || quote_ident(r.rulename) || ' on ' || r.ev_class::regclass::text,
            pg_catalog.pg_get_ruledef(r.oid, true)
     FROM pg_catalog.pg_rewrite r
     JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE r.rulename <> '_RETURN' AND ",
    shown!("pg_class", "c.oid", "n")
);

/// Policies, row level security, unlogged tables, and partitions.
const OF_TABLES: &str = concat!(
    "SELECT 'policy ' || quote_ident(p.polname) || ' on ' || p.polrelid::regclass::text,
            concat_ws(' ', CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, 'FOR ' || p.polcmd::text,
              'TO ' || (SELECT string_agg(COALESCE(r.rolname, 'public'), ', ' ORDER BY r.rolname)
                        FROM unnest(p.polroles) u (role) LEFT JOIN pg_catalog.pg_roles r ON r.oid = u.role),
              'USING ' || pg_catalog.pg_get_expr(p.polqual, p.polrelid, true),
              'WITH CHECK ' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid, true))
     FROM pg_catalog.pg_policy p
     JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE ",
    shown!("pg_class", "c.oid", "n"),
    " UNION ALL
     SELECT o.name || ' ' || c.oid::regclass::text, o.text
     FROM pg_catalog.pg_class c
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     CROSS JOIN LATERAL (VALUES
       ('row level security of', CASE WHEN c.relforcerowsecurity THEN 'FORCED' WHEN c.relrowsecurity THEN 'ENABLED' END),
       ('unlogged table', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED' END),
       ('partition', (SELECT 'OF ' || i.inhparent::regclass::text || ' '
                             || pg_catalog.pg_get_expr(c.relpartbound, c.oid, true)
                      FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition))
     ) o (name, text)
     WHERE c.relkind IN ('r', 'p') AND o.text IS NOT NULL AND c.relname <> '_sqlx_migrations' AND ",
    shown!("pg_class", "c.oid", "n")
);

/// Sequences that no column owns, domains, enums and composite types.
const TYPES: &str = concat!(
    "SELECT 'sequence ' || c.oid::regclass::text,
            concat_ws(' ', pg_catalog.format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
                      s.seqcache, CASE WHEN s.seqcycle THEN 'CYCLE' END)
     FROM pg_catalog.pg_sequence s
     JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i'))
       AND ",
    shown!("pg_class", "c.oid", "n"),
    " UNION ALL
     SELECT CASE t.typtype WHEN 'd' THEN 'domain ' ELSE 'type ' END || t.oid::regtype::text,
            concat_ws(' ', pg_catalog.format_type(NULLIF(t.typbasetype, 0), t.typtypmod),
              CASE WHEN t.typnotnull THEN 'NOT NULL' END, 'DEFAULT ' || t.typdefault,
              (SELECT string_agg(pg_catalog.pg_get_constraintdef(k.oid, true), ' ' ORDER BY k.conname)
               FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'),
              (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
               FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
              (SELECT string_agg(quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', '
                                 ORDER BY a.attnum)
               FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
     FROM pg_catalog.pg_type t
     JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
     LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
     WHERE t.typtype IN ('d', 'e', 'c') AND (t.typtype <> 'c' OR c.relkind = 'c') AND ",
    shown!("pg_type", "t.oid", "n")
);

/// Triggers and STRICT tables.
const SQLITE: &str = "
    SELECT 'trigger ' || name || ' on ' || tbl_name, sql FROM sqlite_schema WHERE type = 'trigger'
    UNION ALL
    SELECT 'strict table ' || name, 'STRICT' FROM pragma_table_list
    WHERE schema = 'main' AND strict AND name NOT LIKE 'trueup\\_%' ESCAPE '\\'";

/// Reads all objects in one round trip.
pub async fn objects(database: &Database) -> Result<Objects> {
    let (settings, asked): (usize, &[&str]) = match database {
        Database::Postgres(_) => (2, &[OF_CATALOGS, ONE_SEARCH_PATH, ROUTINES, TRIGGERS, OF_TABLES, TYPES]),
        Database::Sqlite(_) => (0, &[SQLITE]),
    };
    let rows = database.query_each(asked).await?.into_iter().skip(settings).flatten();
    let read = |row: Row| Ok((row.text(0)?.to_owned(), masked(row.text(1)?.trim())));
    rows.map(read).collect::<Result<_>>().map(Objects)
}

impl Objects {
    /// A unified diff for each of these objects that is missing or different in `there`. Additional objects
    /// of `there` are ignored.
    pub fn lacking(&self, there: &Self) -> Vec<String> {
        let differs = self.0.iter().filter(|(name, text)| there.0.get(*name) != Some(*text));
        differs.map(|(name, text)| compared(name, text, there.0.get(name))).collect()
    }
}

fn compared(name: &str, wanted: &str, there: Option<&String>) -> String {
    let text = |text: &str| format!("{text}\n");
    let found = there.map(|found| text(found)).unwrap_or_default();
    let header = if there.is_some() { name } else { "/dev/null" };
    let mut compared = String::new();
    let wanted = text(wanted);
    let lines = TextDiff::from_lines(&wanted, &found);
    let _ = write!(compared, "{}", lines.unified_diff().context_radius(3).header(name, header));
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(objects: &[(&str, &str)]) -> Objects {
        Objects(objects.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn what_is_missing_or_different_is_shown_and_what_is_there_besides_is_not() {
        let wanted = of(&[("trigger a", "A"), ("trigger b", "B"), ("trigger c", "C")]);
        let there = of(&[("trigger a", "A"), ("trigger b", "other"), ("trigger d", "D")]);

        let lacking = wanted.lacking(&there);

        assert_eq!(lacking.len(), 2);
        assert!(lacking[0].contains("-B\n+other\n"), "{}", lacking[0]);
        assert!(lacking[1].contains("+++ /dev/null") && lacking[1].contains("-C\n"), "{}", lacking[1]);
        assert_eq!(wanted.lacking(&wanted), [""; 0]);
    }
}
