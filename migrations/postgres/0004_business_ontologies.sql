-- The vocabulary of the business: one row a term. Prompts and retrieval read it.
CREATE TABLE business_ontologies (
    ontology      text        NOT NULL,
    term          text        NOT NULL,
    definition    text        NOT NULL,
    synonyms      jsonb       NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(synonyms) = 'array'),
    expression    text,
    source_tables jsonb       NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(source_tables) = 'array'),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (ontology, term)
);

CREATE INDEX business_ontologies_term_idx ON business_ontologies (lower(term));
CREATE INDEX business_ontologies_synonyms_idx ON business_ontologies USING gin (synonyms);
CREATE INDEX business_ontologies_tables_idx ON business_ontologies USING gin (source_tables);

COMMENT ON TABLE business_ontologies IS 'The vocabulary of the business, one row a term';
COMMENT ON COLUMN business_ontologies.synonyms IS 'A JSON array of other names; their order means nothing';
COMMENT ON COLUMN business_ontologies.expression IS 'How a metric is computed, in SQL; NULL where there is none';
COMMENT ON COLUMN business_ontologies.source_tables IS 'A JSON array of table or table.column';
