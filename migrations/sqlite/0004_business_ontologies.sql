-- The vocabulary of the business: one row a term. Prompts and retrieval read it.
CREATE TABLE business_ontologies (
    ontology      TEXT NOT NULL,
    term          TEXT NOT NULL,
    definition    TEXT NOT NULL,
    synonyms      TEXT NOT NULL DEFAULT '[]'    -- a JSON array of other names
                  CHECK (json_valid(synonyms) AND json_type(synonyms) = 'array'),
    expression    TEXT,                         -- how a metric is computed, in SQL
    source_tables TEXT NOT NULL DEFAULT '[]'    -- a JSON array of table or table.column
                  CHECK (json_valid(source_tables) AND json_type(source_tables) = 'array'),
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (ontology, term)
);

CREATE INDEX business_ontologies_term_idx ON business_ontologies (lower(term));
