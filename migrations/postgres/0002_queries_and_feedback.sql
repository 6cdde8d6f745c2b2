-- Questions that people asked, the SQL that answered them, and what they thought of the answer.
CREATE TABLE queries (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id       uuid        REFERENCES users (id) ON DELETE SET NULL,
    target        text        NOT NULL,
    question      text        NOT NULL CHECK (question <> ''),
    generated_sql text,
    status        text        NOT NULL DEFAULT 'pending'
                  CHECK (status IN ('pending', 'succeeded', 'failed', 'cancelled')),
    row_count     integer     CHECK (row_count >= 0),
    duration_ms   integer     CHECK (duration_ms >= 0),
    error         text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    CONSTRAINT queries_failed_has_error CHECK (status <> 'failed' OR error IS NOT NULL)
);

CREATE INDEX queries_user_created_idx ON queries (user_id, created_at DESC);
CREATE INDEX queries_created_idx ON queries (created_at);
CREATE INDEX queries_unfinished_idx ON queries (created_at) WHERE status = 'pending';

COMMENT ON TABLE queries IS 'Questions that people asked and the SQL that answered them';
COMMENT ON COLUMN queries.target IS 'The business database that was asked';
COMMENT ON COLUMN queries.generated_sql IS 'The statement that was run; NULL while there is none';

CREATE TABLE feedback (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    query_id      bigint      NOT NULL REFERENCES queries (id) ON DELETE CASCADE,
    user_id       uuid        REFERENCES users (id) ON DELETE SET NULL,
    rating        smallint    NOT NULL CHECK (rating IN (-1, 1)),
    corrected_sql text,
    comment       text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (query_id, user_id)
);

CREATE INDEX feedback_user_idx ON feedback (user_id);
CREATE INDEX feedback_corrected_idx ON feedback (created_at) WHERE corrected_sql IS NOT NULL;

COMMENT ON TABLE feedback IS 'What a person thought of an answer, one row a person and query';
COMMENT ON COLUMN feedback.rating IS '1: helpful, -1: not';
COMMENT ON COLUMN feedback.corrected_sql IS 'What the statement should have been, when the person says so';
