//! Plans of small stacks on real files: what the bookkeeping makes of them.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::connection::Purpose;
use crate::journal::RunId;
use crate::sql::Dialect;
use crate::stack::Contact;
use crate::stores::{Clients, observe_within};

const HEAD: &str = "version: 1\nstack: shop\nenvironment: dev\nsystem:\n  url: sqlite://system.db\n";

fn stack(folder: &Path, rest: &str) -> Stack {
    let file = folder.join("stack.yaml");
    std::fs::write(folder.join("rows.csv"), "id\n1\n").unwrap();
    std::fs::write(&file, format!("{HEAD}{rest}")).unwrap();
    stack::load(&file, &|_| None, Contact::Live).unwrap()
}

fn seed(protect: bool) -> String {
    format!("  seeds:\n    a: {{ table: t, key: [id], rows: rows.csv, protect: {protect} }}\n")
}

fn set(addresses: &[&str]) -> BTreeSet<Address> {
    addresses.iter().map(|address| Address::from(*address)).collect()
}

/// The world of a database with the table `t` and a bookkeeping that protects something.
async fn world(stack: &Stack, protected: &[&str]) -> World {
    let clients = Clients::new(stack, Purpose::Apply(RunId::new()), false).unwrap();
    clients.system.create_database().await.unwrap();
    let database = clients.system.database().await.unwrap();
    database.execute("CREATE TABLE IF NOT EXISTS t (id text PRIMARY KEY)", &[]).await.unwrap();
    journal::ensure(&database, &stack.name, &set(protected)).await.unwrap();
    let names = (stack.name.as_str(), stack.environment.as_str());
    journal::record_flags(&database, names, &stack.flags, &journal::RunId::new()).await.unwrap();
    let most = std::time::Duration::from_mins(1);
    observe_within(&desired(stack), &clients, most, &mut |_| {}).await.unwrap()
}

fn desired(stack: &Stack) -> Desired<'_> {
    Desired::new(stack, Dialect::Sqlite)
}

fn bookkeeping(plan: &Plan) -> Option<&BTreeSet<Address>> {
    plan.steps.iter().find_map(|step| match &step.work {
        Work::Bookkeeping { stack: _, protected } => Some(protected),
        _ => None,
    })
}

#[tokio::test]
async fn only_its_own_block_takes_protection_from_a_thing() {
    let folder = tempfile::tempdir().unwrap();
    let without = stack(folder.path(), "");
    let seen = world(&without, &["system.seed.a"]).await;

    let gone = plan(&desired(&without), &seen, &Options::default()).unwrap();
    let said = plan(&desired(&stack(folder.path(), &seed(false))), &seen, &Options::default()).unwrap();

    assert_eq!(gone.denied.iter().map(|held| held.address.as_str()).collect::<Vec<_>>(), ["system.seed.a"]);
    assert_eq!(bookkeeping(&gone), None);
    assert!(said.denied.is_empty());
    assert_eq!(bookkeeping(&said), Some(&BTreeSet::new()));
}

#[tokio::test]
async fn a_new_protection_is_a_change_with_both_lists() {
    let folder = tempfile::tempdir().unwrap();
    let stack = stack(folder.path(), &seed(true));
    let seen = world(&stack, &[]).await;

    let plan = plan(&desired(&stack), &seen, &Options::default()).unwrap();

    let change = plan.document.changes.iter().find(|change| change.address.as_str() == "system.bookkeeping");
    let change = change.unwrap();
    assert_eq!(change.action, Action::Update);
    assert_eq!(change.before, Some(serde_json::json!({ "protected": [] })));
    assert_eq!(change.after, Some(serde_json::json!({ "protected": ["system.seed.a"] })));
}

#[tokio::test]
async fn a_plan_is_drift_only_under_the_spec_that_was_applied() {
    let folder = tempfile::tempdir().unwrap();
    let stack = stack(folder.path(), &seed(false));
    let mut seen = world(&stack, &[]).await;
    let plan = plan(&desired(&stack), &seen, &Options::default()).unwrap().document;
    let of = |journal: &journal::Observed| {
        let drifted = find_drift(&plan, journal, drift::SchemaBaseline::Ignored);
        (drifted.baseline, drifted.changes.len(), drifted.unlisted)
    };

    let never = of(&seen.journal);
    seen.journal.spec_digest = Some(Digest::of("another"));
    let other = of(&seen.journal);
    seen.journal.spec_digest = Some(stack.digest.clone());
    let same = of(&seen.journal);

    assert_eq!(never, (Baseline::NeverApplied, 0, 1));
    assert_eq!(other, (Baseline::SpecChanged, 0, 1));
    assert_eq!(same, (Baseline::Same, 1, 0));
}

#[tokio::test]
async fn an_emptied_stack_wants_nothing_and_forgets_no_protection() {
    let folder = tempfile::tempdir().unwrap();
    let stack = stack(folder.path(), &seed(true));
    let seen = world(&stack, &["system.seed.a"]).await;
    let options = Options { take_back: true, train: true, ..Options::default() };

    let plan = plan(&desired(&stack.emptied()), &seen, &options).unwrap();

    assert!(plan.document.changes.is_empty(), "{:?}", plan.document.changes);
    assert_eq!(plan.denied.iter().map(|held| held.address.as_str()).collect::<Vec<_>>(), ["system.seed.a"]);
}
