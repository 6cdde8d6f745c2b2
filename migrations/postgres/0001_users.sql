-- People who sign in to the application. The password is stored only as a hash.
-- Usernames and addresses are compared without regard to case, so the unique indexes are on lower(…).
CREATE TABLE users (
    id             uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    username       text        NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 100),
    email          text        CHECK (position('@' IN email) > 1),
    recovery_email text        CHECK (position('@' IN recovery_email) > 1),
    password_hash  text        NOT NULL,
    role           text        NOT NULL DEFAULT 'viewer' CHECK (role IN ('admin', 'analyst', 'viewer')),
    is_active      boolean     NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX users_username_lower_key ON users (lower(username));
CREATE UNIQUE INDEX users_email_lower_key ON users (lower(email));
CREATE INDEX users_active_role_idx ON users (role) WHERE is_active;

COMMENT ON TABLE users IS 'People who sign in to the application';
COMMENT ON COLUMN users.username IS 'Name to sign in with, unique without regard to case';
COMMENT ON COLUMN users.recovery_email IS 'Where a password reset goes when the first address is lost';
COMMENT ON COLUMN users.password_hash IS 'PHC string of argon2id, or bcrypt; never the password';
COMMENT ON COLUMN users.role IS 'admin, analyst or viewer';
COMMENT ON COLUMN users.is_active IS 'False: may not sign in; the rows that name the user stay';
