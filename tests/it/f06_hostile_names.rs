//! F06: foreign names, comments, values and messages are neutralized in every format: they move no
//! cursor, start no line, and become no link, image, mention or HTML in Markdown.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::servers::{Postgres, Redis};
use crate::world::{Run, World};

/// A name that clears the screen, sets the title, starts a line, reverses the text direction, and
/// hides text.
const NAME: &str = "x\u{1b}[2J\u{1b}]0;own\u{7}\nNo changes.\r\u{9b}1m\u{202e}\u{200b}\u{2028}y";

/// Characters that a terminal interprets or does not show, except the line feeds of trueup itself.
fn is_live(c: char) -> bool {
    (c.is_control() && c != '\n')
        || ('\u{200b}'..='\u{200f}').contains(&c)
        || ('\u{2028}'..='\u{202e}').contains(&c)
}

#[track_caller]
fn is_harmless(run: &Run) {
    for (stream, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        let live: Vec<char> = text.chars().filter(|c| is_live(*c)).collect();
        assert!(live.is_empty(), "{}: {live:?} on {stream}: {text}", run.command);
        // A value of several lines is part of a diff, which is indented further than any line of a
        // plan.
        let is_forged = |line: &str| {
            line.find("No changes.\\r").is_some_and(|at| at < 6 && line.chars().take(at).all(|c| c == ' '))
        };
        let forged = !run.command.contains("markdown") && text.lines().any(is_forged);
        assert!(!forged, "{}: a name begins a line of {stream}: {text}", run.command);
    }
}

/// Every command that shows parts of the stack, in every format.
const COMMANDS: [&[&str]; 16] = [
    &["validate"],
    &["plan"],
    &["plan", "--format", "json"],
    &["plan", "--format", "markdown"],
    &["-vvv", "plan"],
    &["graph"],
    &["graph", "--format", "dot"],
    &["graph", "--format", "mermaid"],
    &["apply", "--auto-approve"],
    &["apply", "--auto-approve", "--events", "json"],
    &["drift"],
    &["drift", "--format", "json"],
    &["status"],
    &["history"],
    &["lock", "status"],
    &["observe", "--out", "world.json"],
];

fn quoted(name: &str) -> String {
    name.replace('"', "\"\"")
}

#[test]
fn f06_names_of_a_database_reach_no_terminal() {
    let name = quoted(NAME);
    let create = format!(
        "CREATE TABLE \"{name}\" (\"{name}\" text DEFAULT '{NAME}'); CREATE VIEW \"v{name}\" AS SELECT 1 AS one;"
    );
    let database = Postgres::start();
    database.psql(&create);
    database.psql(&format!("COMMENT ON TABLE \"{name}\" IS '{NAME}'"));
    for system in ["sqlite://s.db".to_owned(), database.url()] {
        let world = World::new();
        world.sqlite("s.db", &create);
        world.sqlite("t.db", &create);
        world.spec(&format!(
            "version: 1\nstack: shop\nenvironment: dev\nflags: {{ auto_train_vector: true, enable_target_db: true, seed_demo_data: true }}\nsystem: {{ url: '{system}' }}\n\
             targets:\n  lite: {{ url: 'sqlite://t.db' }}\n  strict: {{ url: 'sqlite://t.db', require: {{ absent: [id] }} }}\n\
             vector:\n  url: sqlite://v.db\n  embedder: {{ kind: hashing }}\n  collections:\n\
             \x20   docs: {{ from: {{ schema: [lite] }} }}\n",
        ));
        let mut has_shown = false;
        for command in COMMANDS {
            let run = world.trueup(command);
            is_harmless(&run);
            has_shown |= run.stdout.contains("\\u001b[2J");
        }
        assert!(has_shown, "{:?}", world.trueup(&["plan"]));
        // The documents have changed, so the name appears in a diff and in documents.
        world.sqlite("t.db", &format!("ALTER TABLE \"{name}\" ADD COLUMN \"z{name}\" int"));
        for command in COMMANDS {
            is_harmless(&world.trueup(command));
        }
        world.sqlite("t.db", &format!("ALTER TABLE \"{name}\" ADD COLUMN \"w{name}\" int"));
        world.trueup(&["plan", "--out", "saved.plan"]);
        for file in ["world.json", "saved.plan"] {
            let text = std::fs::read_to_string(world.path(file)).unwrap();
            assert!(!text.chars().any(is_live), "{file}: {text}");
            assert!(text.contains("\\u202e"), "{file}: {text}");
        }
        // The seal covers every value, so that an altered one is rejected.
        is_harmless(world.trueup(&["show", "saved.plan"]).exits(0));
    }
}

#[test]
fn f06_keys_and_values_of_the_spec_reach_no_terminal() {
    let yaml = r#""x\e[2J\e]0;own\a\nNo changes.\r\u009b1m\u202e\u200b\u2028y""#;
    for spec in [
        format!("{yaml}: 1\n"),
        format!("stack: {yaml}\n"),
        format!("stack: shop\nenvironment: {yaml}\n"),
        format!("stack: shop\nenvironment: dev\nsystem: {{ url: {yaml} }}\n"),
        format!("stack: shop\nenvironment: dev\nsystem: {{ url: 'sqlite://s.db', {yaml}: 1 }}\n"),
        format!(
            "stack: shop\nenvironment: dev\nflags: {{ {yaml}: true }}\nsystem: {{ url: 'sqlite://s.db' }}\n"
        ),
        format!("stack: shop\nenvironment: dev\nsystem: {{ url: 'sqlite://s.db', migrations: {yaml} }}\n"),
        format!(
            "stack: shop\nenvironment: dev\nsystem: {{ url: 'sqlite://s.db', seeds: {{ {yaml}: {{ when: seed_demo_data, table: {yaml}, key: [{yaml}], rows: {yaml} }} }} }}\n"
        ),
        format!(
            "stack: shop\nenvironment: dev\nsystem: {{ url: 'sqlite://s.db' }}\ntargets: {{ a: {{ url: 'sqlite://t.db', require: {{ {yaml}: [{yaml}] }} }} }}\n"
        ),
    ] {
        let world = World::new();
        world.sqlite("s.db", "CREATE TABLE t (id int)");
        world.sqlite("t.db", "CREATE TABLE t (id int)");
        world.spec(&format!("version: 1\n{spec}"));
        for command in COMMANDS {
            is_harmless(&world.trueup(command));
        }
    }
}

#[test]
fn f06_what_a_migration_says_reaches_no_terminal() {
    let database = Postgres::start();
    let say = |level: &str| {
        format!(
            "DO $do$ BEGIN RAISE {level} USING MESSAGE = '{NAME}', DETAIL = '{NAME}', HINT = '{NAME}'; END $do$;\n"
        )
    };
    for sql in [say("NOTICE"), say("EXCEPTION"), format!("SELECT \"{}\";\n", quoted(NAME))] {
        let world = World::new();
        world.file("migrations/1_say.sql", sql).spec(&format!(
            "version: 1\nstack: shop\nenvironment: dev\nsystem: {{ url: '{}', migrations: migrations }}\n",
            database.url()
        ));
        for command in [&["-vvv", "apply", "--auto-approve"][..], &["history"], &["lint"]] {
            is_harmless(&world.trueup(command));
        }
    }
}

/// Text that a code host would interpret.
const LIVE_MARKDOWN: [&str; 9] = [
    "![x](https://evil.example/p.png)",
    "[click](https://evil.example)",
    "<img src=https://evil.example>",
    "``@org/team``",
    "**bold**",
    "a | b | c",
    "https://evil.example/path",
    "www.evil.example",
    "closes #12 and ` @someone",
];

/// Asserts that the plan as Markdown has no link, image or HTML other than its collapsed sections,
/// and no mention outside of code.
#[track_caller]
fn is_dead_markdown(markdown: &str) {
    let mut in_code = 0_u32;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code += 1,
            Event::End(TagEnd::CodeBlock) => in_code -= 1,
            Event::Start(Tag::Link { .. } | Tag::Image { .. }) => panic!("a link or an image:\n{markdown}"),
            Event::Html(html) | Event::InlineHtml(html) => {
                let own = ["details", "summary", "b", "code", "!--"];
                for element in html.split('<').skip(1) {
                    let name = element.trim_start_matches('/');
                    assert!(own.iter().any(|own| name.starts_with(own)), "HTML {html}:\n{markdown}");
                }
            }
            Event::Text(text) if in_code == 0 => {
                for live in ["@org", "@someone", "#12", "https://evil", "www.evil"] {
                    assert!(!text.contains(live), "{live} outside of code:\n{markdown}");
                }
            }
            _ => {}
        }
    }
}

#[test]
fn f06_names_are_not_live_in_markdown() {
    let redis = Redis::start();
    for text in LIVE_MARKDOWN {
        let world = World::new();
        let name = quoted(text);
        world.sqlite("t.db", &format!("CREATE TABLE \"{name}\" (\"{name}\" int DEFAULT '{text}')"));
        world.sqlite("s.db", &format!("CREATE TABLE t (\"{name}\" text UNIQUE)"));
        let field = format!("\"{name}\"");
        world.file("rows.csv", format!("{field}\n{field}\n"));
        let key = serde_json::Value::from(text);
        let stream = serde_json::Value::from(text.replace(' ', ""));
        world.spec(&format!(
            "version: 1\nstack: shop\nenvironment: dev\nflags: {{ auto_train_vector: true, enable_target_db: true, seed_demo_data: true }}\n\
             system:\n  url: sqlite://s.db\n  seeds: {{ s: {{ when: seed_demo_data, table: t, key: [{key}], rows: rows.csv }} }}\n\
             targets:\n  b: {{ url: 'sqlite://t.db', require: {{ {key}: [absent], absent: [{key}] }} }}\n\
             cache: {{ url: '{}', streams: {{ {stream}: {{ groups: [{stream}] }} }} }}\n\
             vector:\n  url: sqlite://v.db\n  embedder: {{ kind: hashing }}\n  collections: {{ docs: {{ from: {{ schema: [b] }} }} }}\n",
            redis.url()
        ));
        let run = world.trueup(&["plan", "--format", "markdown"]);
        assert!(run.stdout.starts_with("### trueup: "), "{text}: {} {}", run.stdout, run.stderr);
        is_dead_markdown(&run.stdout);
    }
}
