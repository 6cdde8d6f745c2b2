//! No secret is shown: with a server that echoes requests, a driver that logs its options, and
//! passwords that break the parsing of a URL.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::a23_secrets::{absent, files};
use crate::servers::{Postgres, Redis};
use crate::stacks::{MIGRATIONS, on_each_database};
use crate::world::{Run, World};

/// Passwords that could mislead a parser of URLs.
const HOSTILE: [&str; 4] =
    ["2024/Winter@Base1", "/kF2x+Winter?Base#1", "50%zz [Winter] Base\\1&", "1:Winter'Base\"@[::1]:5/x"];

const SPEC: &str = "version: 1\nstack: shop\nenvironment: dev\n";

fn run(world: &World, secrets: &[&str], command: &[&str]) -> Run {
    let run = world.trueup(command);
    let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    absent(&secrets, &format!("stdout of {command:?}"), run.stdout.as_bytes());
    absent(&secrets, &format!("stderr of {command:?}"), run.stderr.as_bytes());
    run
}

/// Returns the host and port of the test's server.
fn server(database: &Postgres) -> String {
    let url = database.url();
    url.rsplit_once('@').unwrap().1.split('/').next().unwrap().to_owned()
}

#[test]
fn f07_a_password_that_tears_a_url_apart_is_shown_by_no_command() {
    for password in HOSTILE {
        for url in ["postgres://app:${DB_PW}@127.0.0.1:1/shop", "${URL}"] {
            let world = World::new();
            world.spec(&format!(
                "{SPEC}system: {{ url: \"{url}\" }}\ncache: {{ url: \"redis://u:${{DB_PW}}@127.0.0.1:1/0\" }}\n\
                 vector: {{ url: \"http://u:${{DB_PW}}@127.0.0.1:1\", embedder: {{ kind: hashing }} }}\n"
            ));
            world.env("DB_PW", password).env("URL", format!("postgres://app:{password}@127.0.0.1:1/shop"));
            let commands: [&[&str]; 10] = [
                &["validate"],
                &["plan"],
                &["-vvv", "plan", "--format", "json"],
                &["apply", "--auto-approve"],
                &["status"],
                &["status", "--format", "json"],
                &["lock", "status"],
                &["history"],
                &["drift"],
                &["observe", "--out", "world.json"],
            ];
            for command in commands {
                let run = run(&world, &[password], command);
                assert!(!run.stderr.contains("Winter") && !run.stdout.contains("Winter"), "{}", run.stderr);
            }
        }
    }
}

#[test]
fn f07_a_literal_password_that_tears_a_url_apart_is_not_quoted() {
    for password in ["2024/Winter@Base1", "a Winter b", "it''s#Winter", "kF/Winter"] {
        let world = World::new();
        world.spec(&format!("{SPEC}system:\n  url: 'postgres://app:{password}@h:x/shop'\n  typo: 1\n"));
        let run = world.trueup(&["validate"]);
        run.exits(1);
        assert!(!run.stderr.contains("Winter"), "{}", run.stderr);
    }
}

#[test]
fn f07_a_hostile_password_lets_in_as_it_is_encoded_or_as_a_key() {
    let database = Postgres::start();
    let role = format!("{}_app", database.name());
    let quoted = |password: &str| password.replace('\'', "''");
    for password in HOSTILE {
        let redis = Redis::with_password(password);
        database.on_server(&format!("DROP ROLE IF EXISTS {role}"));
        database.on_server(&format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{}'", quoted(password)));
        let (host, port) =
            server(&database).rsplit_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
        let world = World::new();
        world.env("PW", password);
        let (name, cache_port) = (database.name(), redis.port());

        world.spec(&format!(
            "{SPEC}system: {{ url: \"postgres://{role}:${{PW}}@{host}:{port}/{name}\" }}\n\
             cache: {{ url: \"redis://:${{PW}}@127.0.0.1:{cache_port}/0\" }}\n"
        ));
        run(&world, &[password], &["-vvv", "status"]).exits(0);

        world.spec(&format!(
            "{SPEC}system:\n  connection: {{ kind: postgres, host: {host}, port: {port}, user: {role}, \
             password: \"${{PW}}\", database: {name} }}\n\
             cache:\n  connection: {{ kind: redis, host: 127.0.0.1, port: {cache_port}, password: \"${{PW}}\", database: 0 }}\n"
        ));
        run(&world, &[password], &["-vvv", "status"]).exits(0);
    }
    database.on_server(&format!("DROP ROLE {role}"));
}

#[test]
fn f07_a_character_that_scram_does_not_allow_is_not_shown() {
    let database = Postgres::start();
    let role = format!("{}_app", database.name());
    database.on_server(&format!("CREATE ROLE {role} LOGIN PASSWORD 'for-tests-only'"));
    let world = World::new();
    world.env("PW", "before\u{e000}after");
    let (host, name) = (server(&database), database.name());
    world.spec(&format!("{SPEC}system: {{ url: \"postgres://{role}:${{PW}}@{host}/{name}\" }}\n"));

    let plan = run(&world, &["before\u{e000}after"], &["-vvv", "plan"]);

    plan.exits(1).warns("SCRAM does not allow").never_says("\u{e000}").never_says("e000").never_says("E000");
    database.on_server(&format!("DROP ROLE {role}"));
}

/// Starts an HTTP server that answers every request with 500 and the request itself.
fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                    match client.read(&mut buffer) {
                        Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
                        _ => return,
                    }
                }
                let head = "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length:";
                let _ = write!(client, "{head} {}\r\n\r\n", request.len());
                let _ = client.write_all(&request);
            });
        }
    });
    port
}

#[test]
fn f07_a_server_that_echoes_the_request_shows_no_secret() {
    let token = "Zebra-Token-42/+x";
    let password = "Quagga@7777/x y";
    for user in ["", "app:${PW}@"] {
        let database = Postgres::start();
        let world = World::new();
        let port = echo();
        world.env("DATABASE_URL", database.url()).env("TOKEN", token).env("PW", password);
        let token_line = if user.is_empty() { "  token: \"${TOKEN}\"\n" } else { "" };
        world.file("docs/a.md", "# A\n\ntext\n");
        world.spec(&format!(
            "{SPEC}flags: {{ auto_train_vector: true, enable_target_db: true }}\n\
             system: {{ url: \"${{DATABASE_URL}}\" }}\n\
             targets: {{ business: {{ url: \"sqlite://business.db\" }} }}\n\
             vector:\n  url: \"http://{user}127.0.0.1:{port}\"\n  embedder: {{ kind: hashing }}\n{token_line}  \
             collections: {{ docs: {{ from: {{ files: [\"docs/*.md\"] }} }} }}\n"
        ));
        crate::servers::sqlite(&world.path("business.db"), "CREATE TABLE orders (id integer PRIMARY KEY)");

        let secrets = [token, password];
        let commands: [&[&str]; 7] = [
            &["plan", "--out", "plan.json"],
            &["plan", "--format", "json"],
            &["plan", "--format", "markdown"],
            &["-vvv", "status"],
            &["status", "--format", "json"],
            &["observe", "--out", "world.json"],
            &["-vvv", "apply", "--auto-approve", "--format", "json"],
        ];
        let mut echoed = 0;
        for command in commands {
            let run = run(&world, &secrets, command);
            echoed += usize::from(run.stdout.contains("***") || run.stderr.contains("***"));
        }
        assert!(echoed >= 4, "what the server sent is not shown at all: the test proves nothing");
        let secrets = secrets.map(str::to_owned);
        for (path, bytes) in files(&world.path("")) {
            absent(&secrets, &path, &bytes);
        }
        absent(&secrets, "the rows", database.psql("SELECT database_to_xml(true, false, '')").as_bytes());
    }
}

#[test]
fn f07_a_parameter_that_is_not_known_is_refused_and_no_value_is_repeated() {
    let world = World::new();
    for (url, says) in [
        ("postgres://u:p@127.0.0.1:1/db?sslpassword=Zebra-4242", "`sslpassword`"),
        ("postgres://u:p@127.0.0.1:1/db?sslmode=Zebra-4242", "`sslmode`"),
        ("postgres://u:p@127.0.0.1:1/db?connect_timeout=10", "accepted are sslmode"),
        ("postgres://u:p@127.0.0.1:1/db?Zebra-4242=1", "a parameter"),
    ] {
        world.env("DATABASE_URL", url).spec(&format!("{SPEC}system: {{ url: \"${{DATABASE_URL}}\" }}\n"));
        run(&world, &["Zebra-4242"], &["-vvv", "plan"]).exits(1).warns(says);
    }
    world.env("DATABASE_URL", "sqlite://a.db");
    for (url, says) in
        [("redis://h/0?db=Zebra-4242", "protocol"), ("redis://h/0?protocol=Zebra-4242", "`protocol`")]
    {
        world.env("REDIS_URL", url);
        world.spec(&format!(
            "{SPEC}system: {{ url: \"${{DATABASE_URL}}\" }}\ncache: {{ url: \"${{REDIS_URL}}\" }}\n"
        ));
        run(&world, &["Zebra-4242"], &["-vvv", "plan"]).exits(1).warns(says);
    }
}

#[test]
fn f07_secrets_among_the_values_of_a_migration_are_shown_nowhere() {
    let database = Postgres::start();
    let world = World::new();
    world.env("DATABASE_URL", database.url());
    world.spec(&format!("{SPEC}system: {{ url: \"${{DATABASE_URL}}\", migrations: migrations }}\n"));
    world.file(
        "migrations/0001_rows.sql",
        "CREATE TABLE users (username text, password text, password_hash text);\n\
         CREATE TABLE configurations (key text, value text);\n\
         INSERT INTO users (username, password) VALUES ('a', 'Zebra-4242');\n\
         INSERT INTO configurations (key, value) VALUES ('smtp_password', '\"Quagga-7777\"');\n\
         SELECT set_config('app.secret_key', 'Okapi-9999', false);\n\
         UPDATE users SET password_hash = md5('Tapir-5555') WHERE username = 'a';\n\
         DELETE FROM users;\n",
    );
    let secrets = ["Zebra-4242", "Quagga-7777", "Okapi-9999", "Tapir-5555"];
    let commands: [&[&str]; 6] = [
        &["validate"],
        &["migration", "lint"],
        &["plan"],
        &["plan", "--format", "json"],
        &["plan", "--format", "markdown"],
        &["plan", "--out", "plan.json"],
    ];
    for command in commands {
        run(&world, &secrets, command);
    }
    run(&world, &secrets, &["apply", "--auto-approve"]).exits(0);
    absent(&secrets.map(str::to_owned), "plan.json", world.read("plan.json").as_bytes());
}

#[test]
fn f07_a_secret_default_of_a_column_is_recorded_and_shown_nowhere() {
    let secrets = ["Zebra-4242", "Quagga-7777", "Okapi-9999"];
    on_each_database(|world, database| {
        world.spec(MIGRATIONS);
        world.file(
            "migrations/0001_users.sql",
            "CREATE TABLE users (name text DEFAULT 'Visible', password text DEFAULT 'Zebra-4242');\n",
        );
        world.apply().exits(0);
        database.sql("ALTER TABLE users ADD COLUMN api_token text DEFAULT 'Quagga-7777'");
        database.sql("CREATE VIEW logins AS SELECT name, 'Okapi-9999' AS password FROM users");

        run(world, &secrets, &["drift"]).exits(2).says("api_token").says("logins");
        run(world, &secrets, &["drift", "--format", "json"]).exits(2);
        run(world, &secrets, &["-vvv", "plan"]).says("api_token");
        run(world, &secrets, &["observe", "--out", "world.json"]).exits(0);
        absent(&secrets.map(str::to_owned), "world.json", world.read("world.json").as_bytes());
        run(world, &secrets, &["drift", "accept"]).exits(0);
        run(world, &secrets, &["drift"]).exits(0).says("No drift.");
        let recorded = database.sql(&format!("SELECT content FROM {}", database.bookkeeping("snapshots")));
        assert!(recorded.contains("Visible") && recorded.contains("api_token"), "{recorded}");
        absent(&secrets.map(str::to_owned), "the recorded schema", recorded.as_bytes());
    });
}

#[test]
fn f07_secrets_in_executed_statements_and_in_rows_without_column_names_are_shown_nowhere() {
    let database = Postgres::start();
    let world = World::new();
    world.env("DATABASE_URL", database.url());
    world.spec(&format!("{SPEC}system: {{ url: \"${{DATABASE_URL}}\", migrations: migrations }}\n"));
    world.file(
        "migrations/0001_tables.sql",
        "CREATE TABLE users (username text, password text);\nCREATE TABLE labels (name text);\n",
    );
    world.file(
        "migrations/0002_rows.sql",
        "INSERT INTO labels VALUES ('Visible');\n\
         INSERT INTO users VALUES ('a', 'Zebra-4242');\n\
         DO $$ BEGIN EXECUTE 'INSERT INTO users (username, password) VALUES (''b'', ''Quagga-7777'')'; END $$;\n\
         DO $$ BEGIN EXECUTE format('INSERT INTO users VALUES (%L, %L)', 'c', 'Okapi-9999'); END $$;\n\
         INSERT INTO users VALUES ('d', 'Tapir-5555' 'Tapir-5555');\n",
    );
    let secrets = ["Zebra-4242", "Quagga-7777", "Okapi-9999", "Tapir-5555"];
    for command in
        [&["validate"][..], &["migration", "lint"], &["-vvv", "plan"], &["plan", "--format", "markdown"]]
    {
        run(&world, &secrets, command).exits(0);
    }
    run(&world, &secrets, &["plan", "--format", "json"]).says("Visible");
    run(&world, &secrets, &["-vvv", "apply", "--auto-approve"]).exits(6).says("0002_rows.sql");

    world.file("migrations/0002_rows.sql", "COPY users FROM stdin;\na\tZebra-4242\n\\.\n");
    run(&world, &secrets, &["plan"]).exits(1).warns("COPY users FROM stdin");
    run(&world, &secrets, &["migration", "lint"]).exits(0);
    run(&world, &secrets, &["apply", "--auto-approve"]).exits(1);
}

#[test]
fn f07_an_address_of_ipv6_is_connected_to() {
    let database = Postgres::start();
    let port = server(&database).rsplit_once(':').unwrap().1.to_owned();
    let world = World::new();
    let url = database.url();
    for host in ["[::ffff:127.0.0.1]", "[::1]"] {
        let url = url.replace(&server(&database), &format!("{host}:{port}"));
        // The server listens on IPv6, which a machine may not support.
        if std::net::TcpStream::connect(format!("{host}:{port}")).is_err() {
            assert_eq!(host, "[::1]", "the mapped address is that of version 4");
            continue;
        }
        world.env("DATABASE_URL", url).spec(&format!("{SPEC}system: {{ url: \"${{DATABASE_URL}}\" }}\n"));
        world.trueup(&["status"]).exits(0);
    }
}

#[test]
fn f07_validate_needs_no_variable_of_a_url() {
    let world = World::new();
    world.spec(&format!(
        "{SPEC}system: {{ url: \"${{DATABASE_URL}}\" }}\ncache: {{ url: \"redis://:${{REDIS_PASSWORD}}@h/0\" }}\n"
    ));

    world.trueup(&["validate"]).exits(0).warns("DATABASE_URL").warns("REDIS_PASSWORD");

    world.trueup(&["plan"]).exits(1).warns("DATABASE_URL");
}

#[test]
fn f07_tls_to_a_plain_server_is_named_as_such() {
    let (database, redis) = (Postgres::start(), Redis::start());
    let world = World::new();
    world.env("DATABASE_URL", format!("{}?sslmode=require", database.url()));
    world.env("REDIS_URL", redis.url().replace("redis://", "rediss://"));
    world.spec(&format!(
        "{SPEC}system: {{ url: \"${{DATABASE_URL}}\" }}\ncache: {{ url: \"${{REDIS_URL}}\" }}\n"
    ));
    let run = world.trueup(&["status"]);
    run.exits(1);
    let lines: Vec<&str> = run.stdout.lines().filter(|line| line.contains("TLS")).collect();
    assert_eq!(lines.len(), 2, "{}", run.stdout);
}

#[test]
fn f07_a_placeholder_of_another_tool_is_refused_in_a_secret() {
    let world = World::new();
    for written in
        ["$DB_PASSWORD", "{{ db_password }}", "%DB_PASSWORD%", "<DB_PW>", "$(cat /run/pw)", "@@DB_PW@@"]
    {
        for spec in [
            format!("system: {{ url: 'postgres://u:{written}@h/d' }}"),
            format!("system: {{ url: sqlite://a.db, users: {{ admin: {{ password: '{written}' }} }} }}"),
            format!(
                "system: {{ connection: {{ kind: postgres, host: h, database: d, password: '{written}' }} }}"
            ),
        ] {
            world.spec(&format!("{SPEC}{spec}\n"));
            world.trueup(&["validate"]).exits(1).warns("another tool's placeholder");
        }
    }
    world.env("PW", "a-long-password-1").spec(&format!(
        "{SPEC}system: {{ url: sqlite://a.db, users: {{ admin: {{ email: '$MAIL', password: \"${{PW}}\" }} }} }}\n"
    ));
    world.trueup(&["validate"]).exits(0).warns("another tool's placeholder").warns("${MAIL}");
}
