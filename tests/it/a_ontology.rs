//! A15: the terms of a vocabulary are rows of the system database.

use crate::stacks::{Database, on_each_database, step, steps};
use crate::world::World;

const SPEC: &str = "version: 1\nstack: shop\nenvironment: dev\n\
    system: { url: \"${DATABASE_URL}\", create_database: true, migrations: migrations, \
    ontologies: { accounting: terms.yaml } }\n";

const TERMS: &str = "\
terms:
  revenue:
    definition: Income from sales.
    synonyms: [sales, turnover]
    expression: SUM(amount)
    tables: [invoices, invoices.net_amount]
  margin:
    definition: Revenue less cost.
    synonyms: [gross profit, spread]
  cost:
    definition: What was paid.
";

/// Applies a vocabulary.
fn applied(world: &World) {
    world.copy("migrations").file("terms.yaml", TERMS).spec(SPEC).apply().exits(0);
}

fn terms(database: &Database) -> String {
    let columns = "term, definition, synonyms, coalesce(expression, 'NULL'), source_tables";
    let terms = database.sql(&format!("SELECT {columns} FROM business_ontologies ORDER BY term"));
    // The databases store JSON with different white space.
    terms.replace("\", \"", "\",\"")
}

/// Returns when rows were inserted: a row that was deleted and inserted again has a different time.
fn inserted(database: &Database) -> String {
    database.sql(
        "SELECT term, created_at FROM business_ontologies WHERE term IN ('margin', 'revenue') ORDER BY 1",
    )
}

#[test]
fn a15_terms_that_are_added_edited_and_removed_are_inserted_updated_and_removed() {
    on_each_database(|world, database| {
        applied(world);
        let before = inserted(database);
        let edited =
            TERMS.replace("Income from sales.", "Income from sales, \"net\" of VAT; it's ours.").replace(
                "  cost:\n    definition: What was paid.\n",
                "  profit:\n    definition: Was übrig bleibt 🙂\n    synonyms: [\"الربح\"]\n",
            );

        let plan = world.file("terms.yaml", edited).plan_json();
        let applied = world.apply();

        assert_eq!(steps(&plan), ["update system.ontology.accounting"]);
        assert_eq!(step(&plan, "system.ontology.accounting")["risk"], "safe");
        applied.exits(0);
        assert_eq!(
            terms(database),
            "margin|Revenue less cost.|[\"gross profit\",\"spread\"]|NULL|[]\n\
             profit|Was übrig bleibt 🙂|[\"الربح\"]|NULL|[]\n\
             revenue|Income from sales, \"net\" of VAT; it's ours.|[\"sales\",\"turnover\"]|SUM(amount)|[\"invoices\",\"invoices.net_amount\"]"
        );
        assert_eq!(inserted(database), before, "no row was deleted and made again");
        world.plan().exits(0);
    });
}

#[test]
fn a15_the_order_of_synonyms_and_tables_is_no_change() {
    on_each_database(|world, database| {
        applied(world);
        let before = terms(database);
        let reordered = TERMS
            .replace("[sales, turnover]", "[turnover, sales]")
            .replace("[invoices, invoices.net_amount]", "[invoices.net_amount, invoices]");

        let planned = world.file("terms.yaml", reordered).plan();

        planned.exits(0);
        world.apply().exits(0);
        assert_eq!(terms(database), before);
        // One synonym less is a change.
        world.file("terms.yaml", TERMS.replace("[sales, turnover]", "[turnover]"));
        assert_eq!(steps(&world.plan_json()), ["update system.ontology.accounting"]);
    });
}

#[test]
fn a15_a_term_changed_by_hand_is_restored_and_a_foreign_one_is_left_alone() {
    on_each_database(|world, database| {
        applied(world);
        database.sql("UPDATE business_ontologies SET definition = 'by hand' WHERE term = 'margin'");
        database.sql("DELETE FROM business_ontologies WHERE term = 'cost'");
        database.sql(
            "INSERT INTO business_ontologies (ontology, term, definition) VALUES \
             ('accounting', 'theirs', 'written by the application'), ('logistics', 'margin', 'of a page')",
        );

        let plan = world.plan_json();
        let applied = world.apply();

        assert_eq!(steps(&plan), ["update system.ontology.accounting"]);
        let change = step(&plan, "system.ontology.accounting").to_string();
        assert!(!change.contains("by hand") && !change.contains("written by the application"), "{change}");
        applied.exits(0);
        assert_eq!(
            database.sql("SELECT ontology, term, definition FROM business_ontologies ORDER BY 1, 2"),
            "accounting|cost|What was paid.\n\
             accounting|margin|Revenue less cost.\n\
             accounting|revenue|Income from sales.\n\
             accounting|theirs|written by the application\n\
             logistics|margin|of a page"
        );
        world.plan().exits(0);
    });
}

#[test]
fn a15_an_ontology_that_leaves_the_spec_takes_its_own_terms_with_it() {
    on_each_database(|world, database| {
        applied(world);
        database.sql("INSERT INTO business_ontologies (ontology, term, definition) VALUES ('accounting', 'theirs', 'x')");
        database.sql("UPDATE business_ontologies SET definition = 'by hand' WHERE term = 'margin'");

        let plan = world.spec(&SPEC.replace(", ontologies: { accounting: terms.yaml }", "")).plan_json();
        let applied = world.apply();

        assert_eq!(steps(&plan), ["delete system.ontology.accounting"]);
        assert_eq!(step(&plan, "system.ontology.accounting")["risk"], "safe");
        applied.exits(0);
        // Rows changed or added by others are not deleted.
        assert_eq!(database.sql("SELECT term FROM business_ontologies ORDER BY 1"), "margin\ntheirs");
        world.plan().exits(0);
    });
}

#[test]
fn a15_a_vocabulary_without_terms_is_no_reason_to_delete_them() {
    on_each_database(|world, database| {
        applied(world);
        world.file("terms.yaml", "terms: {}\n");

        let plan = world.plan_json();
        let refused = world.apply();

        assert_eq!(steps(&plan), ["delete system.ontology.accounting"]);
        refused.exits(3).warns("--allow mass-delete");
        assert_eq!(database.sql("SELECT count(*) FROM business_ontologies"), "3");

        world.trueup(&["apply", "--auto-approve", "--allow", "mass-delete"]).exits(0);

        assert_eq!(database.sql("SELECT count(*) FROM business_ontologies"), "0");
        world.plan().exits(0);
    });
}

#[test]
fn a15_a_duplicate_term_is_an_error_that_shows_both_lines() {
    let world = World::new();
    world.env("DATABASE_URL", "sqlite:///nowhere/system.db");
    world.copy("migrations").spec(SPEC);
    for (again, case) in
        [("revenue", "a key twice"), ("Revenue", "in another case"), ("sales", "a synonym of another")]
    {
        world.file("terms.yaml", format!("{TERMS}  {again}:\n    definition: The same again.\n"));

        let planned = world.plan();

        planned.exits(1).warns("terms.yaml");
        // The error shows the lines of the file with their numbers.
        let shown = |number: usize, text: &str| {
            planned.stderr.lines().any(|line| {
                line.trim_start().starts_with(&format!("{number} ")) && line.contains(text)
                    || line.contains(&format!("terms.yaml:{number}:"))
            })
        };
        let first = if again == "sales" { (4, "synonyms: [sales") } else { (2, "revenue:") };
        assert!(shown(first.0, first.1) && shown(12, again), "{case}:\n{}", planned.stderr);
    }
}

#[test]
fn a15_terms_may_lie_in_another_table_that_keeps_less_of_them() {
    on_each_database(|world, database| {
        world.file(
            "migrations/0001_words.sql",
            "CREATE TABLE words (book text, word text, means text, PRIMARY KEY (book, word));\n",
        );
        let columns = "{ ontology: book, term: word, definition: means, synonyms: false, expression: false, tables: false }";
        let spec = SPEC
            .replace("ontologies:", &format!("terms: {{ table: words, columns: {columns} }}, ontologies:"));
        world.file("terms.yaml", TERMS).spec(&spec);

        world.apply().exits(0);

        assert_eq!(
            database.sql("SELECT * FROM words ORDER BY word"),
            "accounting|cost|What was paid.\naccounting|margin|Revenue less cost.\naccounting|revenue|Income from sales."
        );
        // A column that is not mapped cannot differ.
        world.file("terms.yaml", TERMS.replace("[sales, turnover]", "[takings]")).plan().exits(0);
    });
}
