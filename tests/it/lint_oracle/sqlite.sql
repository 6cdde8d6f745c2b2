What SQLite does. Each case runs once on few and once on many rows ($N), after what `base` makes.

=== destructive: a table dropped
DROP TABLE u;
=== destructive+locking: a table dropped whose rows others may refer to
DROP TABLE t;
=== safe: a new table dropped
CREATE TABLE x (id INTEGER);
INSERT INTO x VALUES (1);
DROP TABLE x;
=== safe: a table dropped that is not there
DROP TABLE IF EXISTS nobody;
=== destructive+locking: a column dropped
ALTER TABLE t DROP COLUMN note;
=== safe: a column of a new table dropped
CREATE TABLE x (id INTEGER, y TEXT);
ALTER TABLE x DROP COLUMN y;
=== destructive: all rows deleted
DELETE FROM word_list;
=== destructive+locking: all rows deleted that refer to others
DELETE FROM u;
=== destructive+locking: all rows deleted that others may refer to
DELETE FROM t;
=== destructive+locking: rows deleted by a condition
DELETE FROM u WHERE label > 'label 20';
=== destructive+locking: all rows deleted one by one
DELETE FROM u WHERE true;
=== destructive: a row deleted by its primary key
DELETE FROM t WHERE id = 3;
=== destructive: rows deleted by a unique column
DELETE FROM t WHERE code IN ('code 3', 'code 4');
=== safe: rows of a new table deleted
CREATE TABLE x (id INTEGER);
INSERT INTO x VALUES (1);
DELETE FROM x;
=== destructive+locking: all rows overwritten
UPDATE t SET note = 'x';
=== destructive+locking: all rows overwritten by a condition that leaves none out
UPDATE u SET label = 'x' WHERE 1 = 1;
=== locking: rows changed by a condition
UPDATE t SET note = note WHERE amount > 20;
=== safe: a row changed by its primary key
UPDATE t SET note = note WHERE id = 3;
=== destructive: a row replaced by a new one without its other columns
REPLACE INTO t (id, name) VALUES (3, 'x');
=== destructive: the same, spelt out
INSERT OR REPLACE INTO t (id, name) VALUES (3, 'x');
=== safe: a row that is there changed instead
INSERT INTO t (id, name) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET amount = amount;
=== safe: a row that is there left alone
INSERT OR IGNORE INTO t (id, name) VALUES (3, 'x');
=== locking: rows copied into another table
CREATE TABLE x (id INTEGER, name TEXT);
INSERT INTO x SELECT id, name FROM t;
=== locking: a table made of a query
CREATE TABLE x AS SELECT id, name FROM t;
=== safe: a table made of values
CREATE TABLE x AS SELECT 1 AS id, 'y' AS name;
=== locking: an index
CREATE INDEX t_amount ON t (amount);
=== locking: a unique index
CREATE UNIQUE INDEX t_note ON t (note);
=== safe: an index on a new table
CREATE TABLE x (id INTEGER);
CREATE INDEX x_id ON x (id);
=== safe: an index dropped
DROP INDEX u_label;
=== locking: all indexes built anew
REINDEX;
=== locking: statistics
ANALYZE;
=== unvalidated+locking: the file written anew in a transaction
VACUUM;
=== locking: the file written anew
-- no-transaction
VACUUM;
=== locking: a new column filled
ALTER TABLE t ADD COLUMN more TEXT;
UPDATE t SET more = 'x';
=== safe: a new column filled by its default
ALTER TABLE t ADD COLUMN more TEXT NOT NULL DEFAULT 'x';
=== safe: a new column that refers to another table
ALTER TABLE u ADD COLUMN other_id INTEGER REFERENCES t (id);
=== safe: a new column that is computed when it is read
ALTER TABLE t ADD COLUMN twice INTEGER GENERATED ALWAYS AS (amount * 2) VIRTUAL;
=== locking: a new column with a check
ALTER TABLE t ADD COLUMN more INTEGER DEFAULT 1 CHECK (more > 0);
=== locking: a new column that is computed and never NULL
ALTER TABLE t ADD COLUMN twice INTEGER NOT NULL GENERATED ALWAYS AS (id * 2) VIRTUAL;
=== unvalidated: a required column without a default
ALTER TABLE t ADD COLUMN more TEXT NOT NULL;
=== safe: a required column of a table that was made a moment ago
CREATE TABLE x (id INTEGER);
ALTER TABLE x ADD COLUMN more TEXT NOT NULL;
=== locking: a column renamed
ALTER TABLE t RENAME COLUMN note TO remark;
=== locking: a table renamed
ALTER TABLE u RENAME TO w;
=== locking: a table made anew with all its rows and columns
CREATE TABLE n (t_id INTEGER, label TEXT NOT NULL);
INSERT INTO n SELECT t_id, label FROM u;
DROP TABLE u;
ALTER TABLE n RENAME TO u;
CREATE INDEX u_label ON u (label);
=== destructive+locking: a table made anew without a column
CREATE TABLE n (t_id INTEGER);
INSERT INTO n SELECT t_id FROM u;
DROP TABLE u;
ALTER TABLE n RENAME TO u;
=== destructive+locking: a table made anew without some of its rows
CREATE TABLE n (t_id INTEGER, label TEXT);
INSERT INTO n SELECT t_id, label FROM u WHERE label < 'label 5';
DROP TABLE u;
ALTER TABLE n RENAME TO u;
=== destructive+locking: a table made anew while rows refer to it that are deleted with it
CREATE TABLE n (id INTEGER PRIMARY KEY, name TEXT NOT NULL, code TEXT UNIQUE, amount INTEGER, note TEXT);
INSERT INTO n SELECT * FROM t;
DROP TABLE t;
ALTER TABLE n RENAME TO t;
=== safe: views, triggers and settings
CREATE VIEW w AS SELECT id FROM t;
DROP VIEW w;
CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM u; UPDATE u SET label = CASE WHEN 1 THEN 'x' END; END;
DROP TRIGGER g;
PRAGMA user_version = 3;
=== safe: a row added
INSERT INTO t (id, name) VALUES (1000000, 'x');
=== unvalidated: a statement that SQLite does not have
SELEKT 1;
=== unvalidated: a transaction of its own in the file's transaction
BEGIN;
=== unvalidated: a command of the program sqlite3
.nonsense
=== unvalidated: what is written into the schema's own table
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'note TEXT', 'note TEXT ') WHERE name = 't';
=== unvalidated: a unique column added
ALTER TABLE t ADD COLUMN x TEXT UNIQUE;
=== unvalidated: a primary key added
ALTER TABLE t ADD COLUMN x INTEGER PRIMARY KEY;
=== unvalidated: a default that is the time
ALTER TABLE t ADD COLUMN x TEXT DEFAULT CURRENT_TIMESTAMP;
=== unvalidated: a default that is computed
ALTER TABLE t ADD COLUMN x TEXT DEFAULT (random());
=== safe: defaults that are constants
ALTER TABLE t ADD COLUMN a INTEGER NOT NULL DEFAULT -1;
ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'x';
ALTER TABLE t ADD COLUMN c REAL DEFAULT (1.5);
ALTER TABLE t ADD COLUMN d BOOLEAN DEFAULT TRUE;
ALTER TABLE t ADD COLUMN e BLOB DEFAULT x'00';
=== unvalidated: a stored column added
ALTER TABLE t ADD COLUMN x INTEGER AS (amount + 1) STORED;
=== unvalidated: a reference that is not NULL by default
ALTER TABLE u ADD COLUMN x INTEGER DEFAULT 1 REFERENCES t (id);
=== unvalidated: CHECK constraints switched off
PRAGMA ignore_check_constraints = ON;
=== unvalidated: a file that is written
SELECT writefile('/dev/null', name) FROM t LIMIT 1;
=== unvalidated: a library that is loaded
SELECT load_extension('/nowhere');
