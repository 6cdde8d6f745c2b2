//! Ontologies, one row a term.

use super::*;

fn terms(names: &[(&str, &[&str])]) -> Ontology {
    let term = |(name, synonyms): &(&str, &[&str])| Term {
        term: (*name).into(),
        definition: format!("what {name} means"),
        synonyms: synonyms.iter().map(|synonym| (*synonym).to_owned()).collect(),
        expression: None,
        tables: vec!["accounts".into()],
    };
    Ontology { terms: names.iter().map(term).collect(), at: somewhere() }
}

#[test]
fn a15_terms_are_inserted_updated_and_removed_and_the_order_of_synonyms_is_nothing() {
    on_each_database(|mut b| async move {
        let json = if b.dialect() == Dialect::Postgres { "jsonb" } else { "text" };
        let list = if b.dialect() == Dialect::Postgres { "text[]" } else { "text" };
        let id = if b.dialect() == Dialect::Postgres { "uuid" } else { "text" };
        let table = format!(
            "CREATE TABLE business_ontologies (id {id} PRIMARY KEY, ontology text NOT NULL, term text NOT NULL, definition text, \
             synonyms {json}, expression text, source_tables {list}, UNIQUE (ontology, term))"
        );
        b.migrate(&[("0001_terms", &table)]);
        let set = |b: &mut Bench, names: &[(&str, &[&str])]| {
            b.stack.system.ontologies.insert("acc".into(), terms(names));
        };
        set(&mut b, &[("revenue", &["sales", "turnover"]), ("cost", &[])]);
        let first = b.converge().await;
        b.execute("INSERT INTO business_ontologies (id, ontology, term) VALUES ('6e9ba80a-4b3c-4d38-9d35-3b1b4a8b5b3b', 'acc', 'theirs')").await;
        b.execute("UPDATE business_ontologies SET definition = 'by hand' WHERE term = 'cost'").await;
        let restored = b.converge().await;

        set(&mut b, &[("revenue", &["turnover", "sales"]), ("cost", &[])]);
        assert_eq!(b.converge().await, Steps::new());
        assert_eq!(b.diff().await.notes, ["system.ontology.acc: leaves 1 other term alone"]);
        set(&mut b, &[("revenue", &["turnover"]), ("margin", &[])]);
        let edited = b.converge().await;

        assert_eq!(first[2], "create system.ontology.acc: 2 terms to insert (missing)");
        assert_eq!(restored, ["update system.ontology.acc: 1 term to change (1 different)"]);
        assert_eq!(
            edited,
            [
                "update system.ontology.acc: 1 term to insert, 1 to change, 1 to delete (1 missing, 1 different, 1 no longer in the spec)"
            ]
        );
        assert_eq!(
            b.query("SELECT term FROM business_ontologies ORDER BY term").await,
            ["margin", "revenue", "theirs"]
        );
        b.stack.system.ontologies.clear();
        b.converge().await;
        assert_eq!(b.query("SELECT term FROM business_ontologies").await, ["theirs"]);
    });
}
