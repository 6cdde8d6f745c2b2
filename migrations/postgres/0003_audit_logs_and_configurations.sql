-- Who did what, and the settings that an administrator may change while the application runs.
CREATE TABLE audit_logs (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     uuid        REFERENCES users (id) ON DELETE SET NULL,
    username    text        NOT NULL,
    action      text        NOT NULL,
    object_type text,
    object_id   text,
    details     jsonb       NOT NULL DEFAULT '{}',
    ip_address  inet,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX audit_logs_created_idx ON audit_logs (created_at);
CREATE INDEX audit_logs_user_idx ON audit_logs (user_id, created_at DESC);
CREATE INDEX audit_logs_object_idx ON audit_logs (object_type, object_id);

COMMENT ON TABLE audit_logs IS 'Who did what and when; rows are added, never changed';
COMMENT ON COLUMN audit_logs.username IS 'As it was then: stays when the user is deleted';

CREATE TABLE configurations (
    key         text        PRIMARY KEY CHECK (key ~ '^[a-z][a-z0-9_.]*$'),
    value       jsonb       NOT NULL,
    description text,
    updated_by  uuid        REFERENCES users (id) ON DELETE SET NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX configurations_updated_by_idx ON configurations (updated_by);

COMMENT ON TABLE configurations IS 'Settings that may change while the application runs';
COMMENT ON COLUMN configurations.value IS 'Any JSON value; no secrets';
