//! A plan with something of everything.

use serde_json::{Value, json};

use super::keep;
use crate::plan::Document;
use crate::render::{Detail, Style, plan_text};

fn change(address: &str, action: &str, reason: &str, summary: &str) -> Value {
    json!({
        "address": address, "action": action, "risk": "safe", "reason": reason, "depends_on": [],
        "summary": summary, "before": null, "after": null, "diff": null, "seen": "sha256:1",
    })
}

fn with(mut change: Value, more: Value) -> Value {
    if let (Value::Object(change), Value::Object(more)) = (&mut change, more) {
        change.extend(more);
    }
    change
}

fn plan() -> Document {
    let mut changes = vec![change("system.database", "create", "missing", "an empty PostgreSQL database")];
    changes.extend((1..=12).map(|number| {
        change(&format!("system.migration.{number:04}_step"), "run", "pending", "2 statements")
    }));
    changes.push(with(
        change(
            "system.migration.0013_index_on_orders",
            "run",
            "pending",
            "1 statement\nline 1 locking (index-not-concurrent): CREATE INDEX blocks every write to orders until \
             it is built: say CONCURRENTLY in a file that begins with `-- no-transaction`",
        ),
        json!({"risk": "locking", "diff": "+CREATE INDEX orders_at ON orders (at);\n"}),
    ));
    changes.push(with(
        change("system.role.app", "update", "privileges differ", "SELECT on 2 tables to grant"),
        json!({
            "before": {"login": true, "member_of": ["old"], "password": "kept"},
            "after": {"login": false, "member_of": ["reader", "writer"], "password": "kept"},
        }),
    ));
    changes.push(with(
        change("system.seed.accounts", "update", "1 missing, 1 different", "1 row to insert, 1 to change"),
        json!({"diff": "+id: 3, name: Cash\n~id: 1, name: Bank\n"}),
    ));
    changes.push(with(
        change(
            "vector.documents.ddl",
            "update",
            "2 to write, 1 to delete",
            "2 documents to write, 1 to delete; they are read from target.business.schema as it is now",
        ),
        json!({
            "before": {"documents": 10, "digest": "sha256:1", "ids": ["orders", "customers"]},
            "after": {"documents": 11, "digest": "sha256:2", "ids": ["orders", "lines", "products"]},
        }),
    ));
    changes.push(with(
        change("cache.config.maxmemory", "update", "value differs", "maxmemory: 64mb → 128mb"),
        json!({"before": "64mb", "after": "128mb"}),
    ));
    let held = |address: &str, reason: &str| json!({"address": address, "reason": reason});
    let failed = "failed check target.warehouse.access";
    let check = |address: &str, status: &str, message: &str| json!({"address": address, "status": status, "message": message});
    serde_json::from_value(json!({
        "format_version": 1, "trueup_version": "0.1.0", "stack": "insight", "environment": "prod",
        "environment_before": "staging", "complete": false, "spec_digest": "sha256:a",
        "world_digest": "sha256:b", "plan_digest": "sha256:c",
        "summary": {"create": 1, "update": 4, "delete": 0, "replace": 0, "run": 13, "unchanged": 7},
        "notes": ["passwords that cannot be compared with the spec's are left as they are: system.user.admin; a \
                   new or raised `password_version` sets one again"],
        "changes": changes,
        "checks": [
            check("system", "pass", "PostgreSQL 15.18 answers"),
            check("cache", "pass", "Redis 7.0.15 answers"),
            check("cache.databases", "warn", "maxmemory-policy allkeys-lru may evict sessions and jobs: use a \
                   volatile-* policy or noeviction, or another instance"),
            check("target.warehouse.access", "fail", "the file could be written, and `require_read_only` is on"),
        ],
        "drift": [{"address": "system.schema", "summary": "changed by hand: users", "diff": "+  nickname text\n"}],
        "blocked": [held("target.warehouse.schema", failed), held("vector.documents.docs", failed)],
        "deferred": [held("system.seed.late", "known after system.migration.0013_index_on_orders")],
        "unmanaged": ["system.table.legacy"],
    }))
    .unwrap()
}

#[test]
fn a_plan_fits_the_terminal() {
    keep("plan", |style| plan_text(&plan(), style));
}

#[test]
fn a_plan_in_full_folds_nothing() {
    let style = Style { width: Some(100), detail: Detail::Full, ..Style::PLAIN };
    let full = plan_text(&plan(), style);
    assert!(full.contains("system.migration.0007_step") && full.contains("pass  cache: Redis"), "{full}");
}
