//! Accounts and their passwords.

use super::*;

fn bench(mut b: Bench, user: User) -> Bench {
    let (id, truth) = match b.dialect() {
        Dialect::Postgres => ("uuid", "true"),
        Dialect::Sqlite => ("text", "1"),
    };
    let table = format!(
        "CREATE TABLE users (id {id} PRIMARY KEY, username text NOT NULL UNIQUE, email text NOT NULL, recovery_email text, \
         password_hash text NOT NULL, role text NOT NULL, is_active boolean NOT NULL DEFAULT {truth})"
    );
    b.migrate(&[("0001_users", &table)]);
    b.stack.system.users.insert("admin".into(), user);
    b
}

fn admin(b: &mut Bench) -> &mut User {
    b.stack.system.users.get_mut("admin").unwrap()
}

async fn hash(b: &Bench) -> String {
    b.query("SELECT password_hash FROM users WHERE username = 'admin'").await.remove(0)
}

#[test]
fn a16_an_absent_account_is_one_row_with_an_argon2id_hash_that_verifies() {
    on_each_database(|b| async move {
        use argon2::password_hash::PasswordVerifier as _;
        let b = bench(b, user("admin", PasswordHash::Argon2id));

        let steps = b.converge().await;

        assert_eq!(
            steps[2],
            "create system.user.admin: account in users, password hashed with argon2id (missing)"
        );
        assert_eq!(
            b.query("SELECT username, email, role FROM users").await,
            ["admin|admin@example.com|admin"]
        );
        let stored = hash(&b).await;
        assert!(stored.starts_with("$argon2id$v=19$"), "{stored}");
        let stored = argon2::password_hash::phc::PasswordHash::new(&stored).unwrap();
        assert!(argon2::Argon2::default().verify_password(b"correct horse battery", &stored).is_ok());
        let id = b.query("SELECT CAST(id AS text) FROM users").await.remove(0);
        assert_eq!(uuid::Uuid::try_parse(&id).unwrap().get_version_num(), 4);
    });
}

#[test]
fn a16_bcrypt_at_cost_12_and_no_longer_than_72_bytes() {
    on_each_database(|b| async move {
        let mut b = bench(b, user("admin", PasswordHash::Bcrypt));
        admin(&mut b).password = secret(&"ä".repeat(37));
        let refused = b.apply(b.diff().await).await.unwrap_err();
        admin(&mut b).password = secret(&"ä".repeat(36));
        b.converge().await;

        assert_eq!(
            refused.to_string(),
            "the password of system.user.admin has 74 bytes; bcrypt reads only the first 72"
        );
        let stored = hash(&b).await;
        assert!(stored.starts_with("$2b$12$"), "{stored}");
        assert!(bcrypt::verify("ä".repeat(36), &stored).unwrap());
    });
}

#[test]
fn a16_role_and_active_are_restored_and_the_password_is_not_touched() {
    on_each_database(|b| async move {
        let mut b = bench(b, user("admin", PasswordHash::Argon2id));
        b.converge().await;
        b.execute("UPDATE users SET role = 'viewer', is_active = false, password_hash = 'theirs'").await;
        admin(&mut b).columns.insert("recovery_email".into(), Cell::Text("ops@example.com".into()));

        let diff = b.diff().await;
        let before = diff.changes[0].before.clone().unwrap().to_string();
        let steps = b.apply(diff).await.unwrap();

        assert_eq!(
            steps,
            [
                "update system.user.admin: account in users: password untouched (role, is_active, recovery_email differ)"
            ]
        );
        assert!(!before.contains("viewer"));
        assert_eq!(hash(&b).await, "theirs");
        assert_eq!(b.query("SELECT role, recovery_email FROM users").await, ["admin|ops@example.com"]);
        assert!(b.diff().await.changes.is_empty());
    });
}

#[test]
fn a16_a_raised_password_version_sets_the_password_again_once() {
    on_each_database(|b| async move {
        let mut b = bench(b, user("admin", PasswordHash::Argon2id));
        b.converge().await;
        let first = hash(&b).await;
        admin(&mut b).password_version = Some(2);
        admin(&mut b).password = secret("another password");

        let steps = b.converge().await;

        assert_eq!(
            steps,
            ["update system.user.admin: account in users: password set again (password_version is new)"]
        );
        assert_ne!(hash(&b).await, first);
    });
}

#[test]
fn a16_without_bookkeeping_a_password_version_counts_as_applied() {
    on_each_database(|b| async move {
        let mut b = bench(b, user("admin", PasswordHash::Argon2id));
        admin(&mut b).password_version = Some(7);
        b.converge().await;
        let first = hash(&b).await;
        let books = inventory::table(b.dialect());
        b.execute(&format!("DELETE FROM {books}")).await;

        let steps = b.converge().await;

        assert_eq!(hash(&b).await, first);
        assert_eq!(steps.len(), 1);
        admin(&mut b).password_version = Some(8);
        b.converge().await;
        assert_ne!(hash(&b).await, first);
    });
}

#[test]
fn an_unset_password_is_no_matter_for_a_plan_and_an_error_of_apply() {
    on_each_database(|b| async move {
        let mut b = bench(b, user("admin", PasswordHash::Argon2id));
        let unset = stack::Unset { names: vec!["ADMIN_PASSWORD".into()] };
        admin(&mut b).password = Secret::new("${ADMIN_PASSWORD}", Err(unset), somewhere());

        let diff = b.diff().await;
        assert!(diff.faults.is_empty());
        let refused = b.apply(diff).await.unwrap_err();

        assert_eq!(
            refused.to_string(),
            "the password of system.user.admin needs ADMIN_PASSWORD, which is not set"
        );
    });
}

#[test]
fn a17_a_renamed_account_is_made_anew_and_the_old_one_is_named() {
    on_each_database(|b| async move {
        let mut b = bench(b, user("admin", PasswordHash::Argon2id));
        b.converge().await;
        let user = b.stack.system.users.remove("admin").unwrap();
        b.stack.system.users.insert("root".into(), user);

        let diff = b.diff().await;

        assert_eq!(diff.unmanaged, [crate::address::Kind::User.named("admin")]);
        b.apply(diff).await.unwrap();
        assert_eq!(b.query("SELECT username FROM users ORDER BY 1").await, ["admin", "root"]);
    });
}

#[test]
fn nothing_observed_or_planned_holds_a_password_or_a_hash() {
    on_each_database(|b| async move {
        let b = bench(b, user("admin", PasswordHash::Argon2id));
        let planned = format!("{:?}", b.diff().await);
        b.converge().await;
        let stored = hash(&b).await;
        let (observed, _) = b.observe().await;
        let world = serde_json::to_string(&observed).unwrap();

        assert!(!planned.contains("correct horse"));
        assert!(
            !world.contains("correct horse")
                && !world.contains(&stored)
                && !world.contains("admin@example.com")
        );
    });
}

#[test]
fn a_column_that_must_have_a_value_is_named_before_anything_runs() {
    on_each_database(|b| async move {
        let mut b = bench(b, user("admin", PasswordHash::Argon2id));
        let users = std::mem::take(&mut b.stack.system.users);
        b.converge().await;
        b.stack.system.users = users;
        admin(&mut b).email = None;

        let faults = b.diff().await.faults;

        assert_eq!(faults[0].message, "users needs a value for email, which the account does not have");
    });
}

/// A seed of the table of the accounts, with a declared one and another.
fn with_seed(b: Bench, mode: SeedMode, columns: &[&str], rows: &[&[&str]]) -> Bench {
    let mut b = bench(b, user("admin", PasswordHash::Argon2id));
    let people = seed("users", "username", mode, columns, rows);
    b.put("people", people);
    b
}

const PEOPLE: [&str; 6] = ["id", "username", "email", "password_hash", "role", "is_active"];
const ADMIN: [&str; 6] =
    ["00000000-0000-4000-8000-000000000001", "admin", "admin@example.com", "seeded", "admin", "true"];
const GUEST: [&str; 6] =
    ["00000000-0000-4000-8000-000000000002", "guest", "guest@example.com", "seeded", "viewer", "true"];

#[test]
fn a19_a_declared_account_that_a_seed_made_is_not_taken_back_with_it() {
    on_each_database(|b| async move {
        let mut b = with_seed(b, SeedMode::Insert, &PEOPLE, &[&ADMIN, &GUEST]);
        let users = std::mem::take(&mut b.stack.system.users);
        b.converge().await;
        b.stack.system.users = users;
        b.seed("people").on = false;

        let steps = b.converge().await;

        assert_eq!(steps, ["delete system.seed.people: 1 row to delete (switched off)"]);
        assert_eq!(b.query("SELECT username FROM users").await, ["admin"]);
    });
}

#[test]
fn a16_a_declared_account_comes_before_a_seed_that_has_it_too() {
    on_each_database(|b| async move {
        let b = with_seed(b, SeedMode::Insert, &PEOPLE, &[&ADMIN, &GUEST]);

        let diff = b.diff().await;
        let seed = diff.changes.iter().find(|planned| planned.address.as_str() == "system.seed.people");
        let needs = seed.unwrap().needs.iter().map(ToString::to_string).collect::<Vec<_>>();
        b.converge().await;

        assert!(needs.contains(&"system.user.admin".to_owned()), "{needs:?}");
        assert!(hash(&b).await.starts_with("$argon2id$"));
        assert_eq!(b.query("SELECT count(*) FROM users").await, ["2"]);
    });
}

#[test]
fn a16_a_seed_that_would_change_a_declared_account_is_an_error_of_the_plan() {
    on_each_database(|b| async move {
        let b = with_seed(b, SeedMode::Upsert, &PEOPLE, &[&ADMIN, &GUEST]);
        let other = ["admin", "Admin@example.com", "admin", "t"];
        let columns = ["username", "email", "role", "is_active"];
        let same = ["admin", "admin@example.com", "admin", "t"];
        let mut differs = seed("users", "username", SeedMode::Mirror, &columns, &[&other]);

        let of_password = b.diff().await.faults;
        let mut b = b;
        b.put("people", differs.clone());
        let of_email = b.diff().await.faults;
        differs.rows = seed("users", "username", SeedMode::Mirror, &columns, &[&same]).rows;
        b.put("people", differs);

        let said = |faults: Vec<crate::change::Fault>| {
            faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>()
        };
        assert_eq!(
            said(of_password),
            ["its row of admin gives password_hash, which is up to system.user.admin"]
        );
        assert_eq!(said(of_email), ["its row of admin gives email, which is up to system.user.admin"]);
        b.converge().await;
    });
}
