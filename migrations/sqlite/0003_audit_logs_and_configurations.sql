-- Who did what, and the settings that an administrator may change while the application runs.
CREATE TABLE audit_logs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id     TEXT    REFERENCES users (id) ON DELETE SET NULL,
    username    TEXT    NOT NULL,               -- as it was then: stays when the user is deleted
    action      TEXT    NOT NULL,
    object_type TEXT,
    object_id   TEXT,
    details     TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(details)),
    ip_address  TEXT,
    created_at  TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE INDEX audit_logs_created_idx ON audit_logs (created_at);
CREATE INDEX audit_logs_user_idx ON audit_logs (user_id, created_at DESC);
CREATE INDEX audit_logs_object_idx ON audit_logs (object_type, object_id);

CREATE TABLE configurations (
    key         TEXT NOT NULL PRIMARY KEY CHECK (key GLOB '[a-z]*' AND key NOT GLOB '*[^a-z0-9_.]*'),
    value       TEXT NOT NULL CHECK (json_valid(value)),   -- any JSON value; no secrets
    description TEXT,
    updated_by  TEXT REFERENCES users (id) ON DELETE SET NULL,
    updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE INDEX configurations_updated_by_idx ON configurations (updated_by);
