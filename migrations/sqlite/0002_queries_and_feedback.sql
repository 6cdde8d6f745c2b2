-- Questions that people asked, the SQL that answered them, and what they thought of the answer.
CREATE TABLE queries (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id       TEXT    REFERENCES users (id) ON DELETE SET NULL,
    target        TEXT    NOT NULL,             -- the business database that was asked
    question      TEXT    NOT NULL CHECK (question <> ''),
    generated_sql TEXT,                         -- NULL while there is none
    status        TEXT    NOT NULL DEFAULT 'pending'
                  CHECK (status IN ('pending', 'succeeded', 'failed', 'cancelled')),
    row_count     INTEGER CHECK (row_count >= 0),
    duration_ms   INTEGER CHECK (duration_ms >= 0),
    error         TEXT,
    created_at    TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    finished_at   TEXT,
    CONSTRAINT queries_failed_has_error CHECK (status <> 'failed' OR error IS NOT NULL)
);

CREATE INDEX queries_user_created_idx ON queries (user_id, created_at DESC);
CREATE INDEX queries_created_idx ON queries (created_at);
CREATE INDEX queries_unfinished_idx ON queries (created_at) WHERE status = 'pending';

-- One row a person and query.
CREATE TABLE feedback (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    query_id      INTEGER NOT NULL REFERENCES queries (id) ON DELETE CASCADE,
    user_id       TEXT    REFERENCES users (id) ON DELETE SET NULL,
    rating        INTEGER NOT NULL CHECK (rating IN (-1, 1)),
    corrected_sql TEXT,                         -- what the statement should have been
    comment       TEXT,
    created_at    TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    UNIQUE (query_id, user_id)
);

CREATE INDEX feedback_user_idx ON feedback (user_id);
CREATE INDEX feedback_corrected_idx ON feedback (created_at) WHERE corrected_sql IS NOT NULL;
