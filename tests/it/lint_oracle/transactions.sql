What a transaction cannot hold.

=== unvalidated: an index built concurrently, alone in its file
CREATE TABLE t (id int PRIMARY KEY, m int);
--- file
CREATE INDEX CONCURRENTLY t_m ON t (m);

=== unvalidated: a unique one, in small letters and with IF NOT EXISTS
CREATE TABLE t (id int PRIMARY KEY, m int);
--- file
create unique index concurrently if not exists t_m on t (m);

=== unvalidated: on a table of the same file
--- file
CREATE TABLE t (id int PRIMARY KEY, m int);
CREATE INDEX CONCURRENTLY t_m ON t (m);

=== safe: outside a transaction
CREATE TABLE t (id int PRIMARY KEY, m int);
--- rows
INSERT INTO t SELECT n, n FROM generate_series(1, 1000) n;
--- file
-- no-transaction
CREATE INDEX CONCURRENTLY t_m ON t (m);

=== unvalidated: between BEGIN and COMMIT of the file's own
CREATE TABLE t (id int PRIMARY KEY, m int);
--- file
-- no-transaction
BEGIN;
CREATE INDEX CONCURRENTLY t_m ON t (m);
COMMIT;

=== unvalidated: an index dropped concurrently
CREATE TABLE t (id int PRIMARY KEY, m int);
CREATE INDEX t_m ON t (m);
--- file
DROP INDEX CONCURRENTLY t_m;

=== safe: an index dropped concurrently outside a transaction
CREATE TABLE t (id int PRIMARY KEY, m int);
CREATE INDEX t_m ON t (m);
--- file
-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS t_m;

=== unvalidated: reindexed concurrently, after another statement
CREATE TABLE t (id int PRIMARY KEY, m int);
--- file
ALTER TABLE t ADD COLUMN z int;
REINDEX TABLE CONCURRENTLY t;

=== unvalidated since 14: reindexed concurrently by an option
CREATE TABLE t (id int PRIMARY KEY, m int);
--- file
REINDEX (VERBOSE, CONCURRENTLY) TABLE t;

=== safe: reindexed concurrently outside a transaction
CREATE TABLE t (id int PRIMARY KEY, m int);
--- rows
INSERT INTO t SELECT n, n FROM generate_series(1, 1000) n;
--- file
-- no-transaction
REINDEX TABLE CONCURRENTLY t;

=== unvalidated+locking: a whole schema reindexed
CREATE TABLE t (id int PRIMARY KEY, m int);
--- file
REINDEX SCHEMA public;

=== unvalidated since 14: a partition detached concurrently
CREATE TABLE p (id int) PARTITION BY LIST (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
--- file
ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;

=== safe since 14: a partition detached concurrently outside a transaction
CREATE TABLE p (id int) PARTITION BY LIST (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
--- file
-- no-transaction
ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;

=== unvalidated: VACUUM
CREATE TABLE t (id int);
--- file
VACUUM t;

=== unvalidated: VACUUM with options
CREATE TABLE t (id int);
--- file
VACUUM (ANALYZE, VERBOSE) t;

=== safe: VACUUM outside a transaction
CREATE TABLE t (id int);
--- file
-- no-transaction
VACUUM t;

=== safe: ANALYZE
CREATE TABLE t (id int);
--- file
ANALYZE t;

=== unvalidated+locking: CLUSTER of all tables
CREATE TABLE t (id int);
--- file
CLUSTER;

=== unvalidated: a database made
--- file
CREATE DATABASE trueup_lint_oracle;

=== unvalidated: a tablespace dropped
--- file
DROP TABLESPACE IF EXISTS trueup_lint_oracle;

=== unvalidated: ALTER SYSTEM
--- file
ALTER SYSTEM SET work_mem = '4MB';


=== unvalidated: DISCARD ALL
--- file
DISCARD ALL;

=== safe: DISCARD of less
--- file
DISCARD PLANS;

=== unvalidated: a value that is added to an enum and inserted
CREATE TYPE mood AS ENUM ('a');
CREATE TABLE t (id int PRIMARY KEY, m mood);
--- file
ALTER TYPE mood ADD VALUE 'b';
INSERT INTO t VALUES (1, 'b');

=== unvalidated: a value that is cast
CREATE TYPE mood AS ENUM ('a');
--- file
ALTER TYPE mood ADD VALUE IF NOT EXISTS 'b' AFTER 'a';
SELECT 'b'::public.mood;

=== unvalidated: a value that is a default
CREATE TYPE mood AS ENUM ('a');
CREATE TABLE t (id int PRIMARY KEY, m mood);
--- file
ALTER TYPE mood ADD VALUE 'b';
ALTER TABLE t ALTER COLUMN m SET DEFAULT 'b';

=== unvalidated: a value in a view's condition
CREATE TYPE mood AS ENUM ('a');
CREATE TABLE t (id int PRIMARY KEY, m mood);
--- file
ALTER TYPE mood ADD VALUE 'it''s';
CREATE VIEW v AS SELECT id FROM t WHERE m = 'it''s';

=== unvalidated: a value in the body of an SQL function
CREATE TYPE mood AS ENUM ('a');
--- file
ALTER TYPE mood ADD VALUE 'b';
CREATE FUNCTION best() RETURNS mood LANGUAGE sql AS $$ SELECT 'b'::mood $$;

=== safe: a value in the body of another function, which is read when it is called
CREATE TYPE mood AS ENUM ('a');
--- file
ALTER TYPE mood ADD VALUE 'b';
CREATE FUNCTION best() RETURNS mood LANGUAGE plpgsql AS $$ BEGIN RETURN 'b'; END $$;

=== safe: a value that nobody uses yet
CREATE TYPE mood AS ENUM ('a');
CREATE TABLE t (id int PRIMARY KEY, m mood);
--- file
ALTER TYPE mood ADD VALUE 'b';
INSERT INTO t VALUES (1, 'a');

=== safe: the same text in a table without the type
CREATE TYPE mood AS ENUM ('a');
CREATE TABLE t (id int PRIMARY KEY, m mood);
CREATE TABLE names (name text);
--- file
ALTER TYPE mood ADD VALUE 'b';
INSERT INTO names VALUES ('b');

=== safe: values one after the other, and one renamed
CREATE TYPE mood AS ENUM ('a');
--- file
ALTER TYPE mood ADD VALUE 'b';
ALTER TYPE mood ADD VALUE 'c' AFTER 'b';
ALTER TYPE mood RENAME VALUE 'a' TO 'aa';
COMMENT ON TYPE mood IS 'b';

=== safe: each in a transaction of its own
CREATE TYPE mood AS ENUM ('a');
CREATE TABLE t (id int PRIMARY KEY, m mood);
--- file
-- no-transaction
ALTER TYPE mood ADD VALUE 'b';
INSERT INTO t VALUES (1, 'b');

=== safe: a type with all its values, made in the same file
--- file
CREATE TYPE mood AS ENUM ('a', 'b');
CREATE TABLE t (id int PRIMARY KEY, m mood DEFAULT 'b');
INSERT INTO t VALUES (1, 'b');
