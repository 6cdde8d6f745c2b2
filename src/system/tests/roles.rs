//! Roles, planned on values.

use serde_json::{Value as Json, json};

use super::*;
use crate::address::Address;
use crate::roles::Roles;
use crate::stack::{Privilege, Role};

fn role(grants: &[(&str, &[Privilege])]) -> Role {
    let grants = grants.iter().map(|(glob, list)| ((*glob).to_owned(), list.iter().copied().collect()));
    Role {
        login: true,
        password: Some(secret("correct horse battery")),
        password_version: None,
        inherit: true,
        connection_limit: None,
        member_of: std::collections::BTreeSet::new(),
        grants: grants.collect(),
        at: somewhere(),
    }
}

fn stack(roles: &[(&str, Role)]) -> Stack {
    let mut stack = empty_stack(postgres("postgres://owner@host/app"));
    stack.system.roles = roles.iter().map(|(name, role)| ((*name).to_owned(), role.clone())).collect();
    stack
}

/// What the catalogs of a server say, with these roles and this in the schema `public`.
fn catalogs(roles: &[&str], public: &Json) -> Roles {
    let role = |name: &&str| {
        let there = json!({ "login": true, "inherit": true, "connection_limit": -1, "connects": true });
        ((*name).to_owned(), there)
    };
    let roles: serde_json::Map<String, Json> = roles.iter().map(role).collect();
    let text = json!({
        "account": "owner", "database": "app", "server": 150_000, "open": true, "roles": roles,
        "schemas": { "public": public },
    });
    serde_json::from_value(text).unwrap()
}

fn seen(roles: Option<Roles>) -> Observed {
    Observed {
        dialect: Dialect::Postgres,
        version: "15".into(),
        presence: Presence::Present,
        extensions: BTreeMap::new(),
        migrations: Some(Vec::new()),
        emptiness: BTreeMap::new(),
        missing: crate::lint::Missing::default(),
        schema: crate::catalog::Snapshot::default(),
        roles,
        accounts: None,
        rows: BTreeMap::new(),
        owned: BTreeMap::new(),
    }
}

fn plan(stack: &Stack, observed: &Observed) -> Diff<Change> {
    diff(&Desired::new(stack, Dialect::Postgres), observed, &Inventory::default())
}

fn steps(diff: &Diff<Change>) -> Steps {
    diff.changes.iter().map(step).collect()
}

#[test]
fn a20_a_role_needs_the_groups_that_it_joins_and_the_tables_that_it_is_granted() {
    let mut member = role(&[]);
    member.member_of.insert("z_group".into());
    let granted = role(&[("*", &[Privilege::Select])]);
    let mut stack = stack(&[("a_app", member), ("b", role(&[])), ("c", granted), ("z_group", role(&[]))]);
    let needs = |stack: &Stack| -> Vec<String> {
        let diff = plan(stack, &seen(Some(catalogs(&[], &json!({})))));
        let said = |change: &Planned<Change>| {
            let needs: Vec<&str> = change.needs.iter().map(Address::as_str).collect();
            let short = |text: &str| text.replace("system.role.", "").replace("system.", "");
            format!("{}: {}", short(change.address.as_str()), short(&needs.join(" ")))
        };
        diff.changes.iter().skip(1).map(said).collect()
    };

    stack.system.migrations.common = vec![migration("0001_t", "CREATE TABLE t (a int)")];
    let apart = needs(&stack);
    stack.system.migrations.common = vec![migration("0001_t", "CREATE POLICY p ON t TO B")];
    let spoken_of = needs(&stack);
    stack.system.migrations.common = vec![migration("0001_t", "GRANT SELECT ON t TO x")];
    let concerned = needs(&stack);

    let migration = "database migration.0001_t";
    assert_eq!(
        apart,
        ["z_group: database", "a_app: database z_group", "b: database", &format!("c: {migration}")]
    );
    assert_eq!(spoken_of[2], format!("b: {migration}"));
    assert_eq!(concerned[1], format!("a_app: {migration} z_group"));
}

#[test]
fn a20_what_an_owner_or_the_root_of_a_partition_gives_is_left_alone() {
    let stack = stack(&[("app", role(&[("parts", &[Privilege::Select]), ("own", &[Privilege::Select])]))]);
    let public = json!({
        "rights": { "app": ["USAGE"] },
        "tables": {
            "own": { "rights": { "app": ["OWNER"] } },
            "parts": { "rights": { "app": ["SELECT"] } },
            "parts_1": { "above": [["public", "parts"]], "rights": { "app": ["SELECT"] } },
            "parts_2": { "above": [["public", "parts"]] },
            "other": { "rights": { "somebody": ["SELECT"] } },
        },
    });

    let left = plan(&stack, &seen(Some(catalogs(&["app"], &public))));
    let mut more = public;
    more["tables"]["parts_1"]["rights"]["app"] = json!(["DELETE", "SELECT*"]);
    let taken = plan(&stack, &seen(Some(catalogs(&["app"], &more))));

    assert_eq!(steps(&left), [""; 0]);
    assert_eq!(left.notes, ["role app owns a table and may do anything with what it owns"]);
    assert_eq!(
        steps(&taken),
        [
            "update system.role.app: revokes DELETE on parts_1; no longer passes on SELECT on parts_1 (privileges differ)"
        ]
    );
}

#[test]
fn a20_sequences_schemas_and_future_tables_come_with_the_grant() {
    let stack = stack(&[("app", role(&[("*", &[Privilege::Insert])]))]);
    let public =
        json!({ "tables": { "t": {} }, "sequences": { "t_id_seq": { "feeds": [["public", "t"]] } } });

    let diff = plan(&stack, &seen(Some(catalogs(&["app"], &public))));

    assert_eq!(
        diff.changes[0].diff.as_deref(),
        Some(
            "+schema public: USAGE\n+t: INSERT\n+sequence t_id_seq: USAGE\n+future tables in public: INSERT\n\
              +future sequences in public: USAGE"
        )
    );
}

#[test]
fn a20_a_pending_migration_is_no_step_where_default_privileges_do() {
    let held = || {
        json!({
            "rights": { "app": ["USAGE"] }, "future_tables": { "app": ["SELECT"] },
        })
    };
    let with = |globs: &[(&str, &[Privilege])], sql: &str| {
        let mut stack = stack(&[("app", role(globs))]);
        stack.system.migrations.common = vec![migration("0001_t", sql)];
        plan(&stack, &seen(Some(catalogs(&["app"], &held())))).changes.len() - 1
    };
    let all: &[(&str, &[Privilege])] = &[("*", &[Privilege::Select])];
    let some: &[(&str, &[Privilege])] = &[("*", &[Privilege::Select]), ("users", &[])];

    assert_eq!(with(all, "CREATE TABLE t (role text, owner text)"), 0);
    assert_eq!(
        with(all, "CREATE VIEW v AS SELECT 1; INSERT INTO t VALUES ('x'); COMMENT ON TABLE t IS 'x'"),
        0
    );
    assert_eq!(with(some, "CREATE TABLE t (a int)"), 2, "what is held is taken back, and the tables granted");
    for sql in [
        "CREATE SCHEMA s",
        "CREATE TABLE s.t (a int)",
        "REVOKE ALL ON t FROM app",
        "ALTER TABLE t OWNER TO x",
        "ALTER TABLE t SET SCHEMA s",
        "ALTER TABLE t ATTACH PARTITION u DEFAULT",
        "CREATE TABLE u PARTITION OF t DEFAULT",
        "SELECT make_schema()",
        "WITH made AS (SELECT make_schema()) SELECT",
        "DO $$BEGIN EXECUTE 'CREATE SCHEMA s'; END$$",
        "/* of ours */ CALL/**/make_schema()",
    ] {
        assert_eq!(with(all, sql), 1, "{sql}");
    }
}

#[test]
fn a20_default_privileges_that_are_too_wide_are_taken_back_before_the_migrations() {
    let mut stack = stack(&[("app", role(&[("*", &[Privilege::Select]), ("secret_*", &[])]))]);
    stack.system.migrations.common =
        vec![migration("0001_t", "CREATE TABLE secret_t (a int)"), migration("0002_u", "SELECT 1")];
    let with = |held: &[&str]| {
        let public = json!({ "rights": { "app": ["USAGE"] }, "future_tables": { "app": held } });
        plan(&stack, &seen(Some(catalogs(&["app"], &public))))
    };

    let (wide, right) = (with(&["INSERT", "SELECT*"]), with(&[]));

    let find = |diff: &Diff<Change>, address: &str| {
        diff.changes.iter().find(|change| change.address.as_str() == address).cloned()
    };
    let defaults = find(&wide, "system.defaults.app").unwrap();
    assert_eq!(
        step(&defaults),
        "update system.defaults.app: revokes INSERT, SELECT on future tables in public \
         (default privileges give more than the spec)"
    );
    assert_eq!(defaults.needs, [Address::from("system.database")]);
    assert!(find(&wide, "system.migration.0001_t").unwrap().needs.contains(&defaults.address));
    assert!(find(&right, "system.defaults.app").is_none());
    // A saved plan goes on where it stopped between the two: the other step has seen the same.
    let role = |diff| find(diff, "system.role.app").unwrap();
    assert_eq!(role(&wide).seen, role(&right).seen);
    assert_eq!(role(&wide).after, role(&right).after);
}

#[test]
fn a20_a_world_without_roles_defers_and_one_of_another_password_is_no_change() {
    let stack = stack(&[("app", role(&[]))]);

    let unknown = plan(&stack, &seen(None));
    let without_verdict = plan(&stack, &seen(Some(catalogs(&["app"], &json!({})))));

    assert_eq!(unknown.deferred[0].reason, "not observed");
    assert_eq!(steps(&without_verdict), [""; 0]);
    let older = serde_json::to_string(&seen(None)).unwrap().replace("\"roles\":null,", "");
    assert_eq!(serde_json::from_str::<Observed>(&older).unwrap().roles, None);
}

#[test]
fn a20_ten_thousand_tables_are_compared_in_no_time() {
    let stack = stack(&[("app", role(&[("*", &[Privilege::Select]), ("report_*", &[Privilege::Insert])]))]);
    let tables: serde_json::Map<String, Json> = (0..10_000).map(|n| (format!("t{n}"), json!({}))).collect();
    let observed = seen(Some(catalogs(&["app"], &json!({ "tables": tables }))));

    let start = std::time::Instant::now();
    let diff = plan(&stack, &observed);

    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(
        diff.changes[0].summary.contains("grants SELECT on 10000 tables (t0, t1, t10, …)"),
        "{}",
        diff.changes[0].summary
    );
}
