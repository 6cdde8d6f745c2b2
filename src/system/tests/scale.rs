//! Thousands of rows and accounts.

use super::*;

#[test]
fn thousands_of_rows_and_accounts_are_set_based_and_quiet_afterwards() {
    on_each_database(|mut b| async move {
        let tables = "CREATE TABLE users (username text PRIMARY KEY, email text, password_hash text, role text, is_active boolean);
             CREATE TABLE items (a integer, b text, note text, PRIMARY KEY (a, b))";
        b.migrate(&[("0001_init", tables)]);
        let rows: Vec<Vec<Option<String>>> = (0..7_000)
            .map(|n| [n.to_string(), format!("b{n}"), "x".repeat(20)].into_iter().map(Some).collect())
            .collect();
        let mut items = seed("items", "a", SeedMode::Upsert, &["a", "b", "note"], &[]);
        items.key = vec!["b".into(), "a".into()];
        items.rows = packed(3, &rows);
        b.put("items", items);
        b.converge().await;
        // Accounts made by the application: hashing thousands of passwords is not what is tested.
        let values: Vec<_> = (0..3_333).map(|n| Some(format!("user{n}"))).collect();
        let sql = match b.dialect() {
            Dialect::Postgres => {
                "INSERT INTO users SELECT u, 'admin@example.com', 'h', 'viewer', true FROM unnest($1::text[]) AS q(u)"
            }
            Dialect::Sqlite => {
                "INSERT INTO users SELECT value, 'admin@example.com', 'h', 'viewer', 1 FROM json_each($1)"
            }
        };
        b.database().await.execute(sql, &[Value::Texts(values)]).await.unwrap();
        for n in 0..3_333 {
            b.stack.system.users.insert(format!("user{n}"), user("viewer", PasswordHash::Argon2id));
        }

        let diff = b.diff().await;

        assert!(diff.changes.is_empty() && diff.deferred.is_empty());
        assert_eq!(diff.unchanged, 1 + 1 + 1 + 3_333);
        b.stack.system.seeds.clear();
        b.converge().await;
        assert_eq!(b.query("SELECT count(*) FROM items").await, ["0"]);
    });
}
