-- People who sign in to the application. The password is stored only as a hash.
-- Usernames and addresses are compared without regard to case, so the unique indexes are on lower(…).
CREATE TABLE users (
    id             TEXT    NOT NULL PRIMARY KEY,  -- a UUID, given by whoever inserts the row
    username       TEXT    NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 100),
    email          TEXT    CHECK (instr(email, '@') > 1),
    recovery_email TEXT    CHECK (instr(recovery_email, '@') > 1),
    password_hash  TEXT    NOT NULL,              -- PHC string of argon2id, or bcrypt
    role           TEXT    NOT NULL DEFAULT 'viewer' CHECK (role IN ('admin', 'analyst', 'viewer')),
    is_active      BOOLEAN NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    created_at     TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at     TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE UNIQUE INDEX users_username_lower_key ON users (lower(username));
CREATE UNIQUE INDEX users_email_lower_key ON users (lower(email));
CREATE INDEX users_active_role_idx ON users (role) WHERE is_active;
