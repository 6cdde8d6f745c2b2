//! The database itself and its extensions. Creates them, never drops them.

use serde_json::json;

use super::{Change, Desired, Error, Observed, Result};
use crate::address::Kind;
use crate::change::{Action, Check, Diff, Fault, Planned, Risks, Status};
use crate::connection::{Client, Presence};
use crate::digest::Digest;
use crate::sql::identifier;

/// Plans the creation of the database and of missing extensions.
pub(super) fn diff(desired: &Desired, observed: &Observed) -> Diff<Change> {
    let mut diff = Diff::default();
    let version = &observed.version;
    match (observed.presence, desired.create_database) {
        (Presence::Present, _) => {
            diff.unchanged += 1;
            let message = format!("{} {version} answers", observed.dialect);
            diff.checks.push(Check::new(Kind::System, Status::Pass, message));
        }
        (Presence::Missing, true) => {
            let message = format!("{} can be reached; the database will be created", observed.dialect);
            diff.checks.push(Check::new(Kind::System, Status::Pass, message));
            diff.changes.push(Planned {
                address: Kind::Database.alone(),
                action: Action::Create,
                risks: Risks::SAFE,
                reason: "missing".to_owned(),
                needs: Vec::new(),
                summary: format!("an empty {} database", desired.dialect),
                before: None,
                after: Some(json!({ "dialect": desired.dialect })),
                diff: None,
                seen: Digest::of("missing"),
                guard: None,
                at: Some(desired.endpoint_at.clone()),
                change: Change::CreateDatabase,
            });
        }
        (Presence::Missing, false) => diff.faults.push(Fault {
            address: Kind::Database.alone(),
            message: "the system database does not exist".to_owned(),
            help: Some("set `system.create_database: true`, or create it".to_owned()),
            at: Some(desired.endpoint_at.clone()),
        }),
    }
    let (there, missing): (Vec<_>, Vec<_>) =
        desired.extensions.iter().partition(|name| observed.extensions.contains_key(*name));
    diff.unchanged += there.len();
    diff.changes.extend(missing.into_iter().map(|name| Planned {
        address: Kind::Extension.named(name),
        action: Action::Create,
        risks: Risks::SAFE,
        reason: "missing".to_owned(),
        needs: vec![Kind::Database.alone()],
        summary: format!("extension {name}"),
        before: None,
        after: Some(json!({ "extension": name })),
        diff: None,
        seen: Digest::of("missing"),
        guard: None,
        at: Some(desired.at.clone()),
        change: Change::CreateExtension { name: name.clone() },
    }));
    diff
}

/// Installs an extension unless it is installed.
pub(super) async fn create_extension(name: &str, client: &Client) -> Result<()> {
    let sql = format!("CREATE EXTENSION IF NOT EXISTS {}", identifier(name));
    let database = client.database().await?;
    let created = database.execute(&sql, &[]).await;
    client.forget_catalog().await;
    match created {
        // Another session created it at the same time, which raises a unique violation.
        Err(error) if error.code().as_deref() == Some("23505") => Ok(()),
        created => created.map(|_| ()).map_err(Error::doing(format!("creating extension {name}"))),
    }
}
