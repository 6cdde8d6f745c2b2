What is done while others wait for a lock that the same transaction took before.

=== locking: a column added and filled
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ADD COLUMN b text;
UPDATE shop SET b = a;

=== locking: a column added and filled where it is empty
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ADD COLUMN b text;
UPDATE shop SET b = a WHERE b IS NULL;

=== locking: filled from another table
CREATE TABLE shop (id int PRIMARY KEY, a text);
CREATE TABLE other (id int PRIMARY KEY, a text);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
INSERT INTO other SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ADD COLUMN b text;
UPDATE shop SET b = o.a FROM other o WHERE o.id = shop.id;

=== locking: filled outside a transaction
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
-- no-transaction
ALTER TABLE shop ADD COLUMN b text;
UPDATE shop SET b = a;

=== safe: one row by its key
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ADD COLUMN b text;
UPDATE shop SET b = a WHERE id = 7;

=== safe: some rows by a unique constraint over two columns
CREATE TABLE shop (id int, a text, UNIQUE (id, a));
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ADD COLUMN b text;
UPDATE shop SET b = 'x' WHERE id = 7 AND a IN ('7', '8');

=== locking: half of a unique constraint
CREATE TABLE shop (id int, a text, UNIQUE (id, a));
--- rows
INSERT INTO shop SELECT 7, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ADD COLUMN b text;
UPDATE shop SET b = 'x' WHERE id = 7;

=== locking: a new table is filled from one that is locked
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ADD COLUMN b text;
CREATE TABLE copy AS SELECT * FROM shop;

=== locking: another table is read while this one is locked
CREATE TABLE shop (id int PRIMARY KEY, a text);
CREATE TABLE other (id int PRIMARY KEY, a text);
--- rows
INSERT INTO other SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop DROP CONSTRAINT shop_pkey;
INSERT INTO shop SELECT id, a FROM other;

=== safe: the same in the other order
CREATE TABLE shop (id int PRIMARY KEY, a text);
CREATE TABLE other (id int PRIMARY KEY, a text);
--- rows
INSERT INTO other SELECT n, n FROM generate_series(1, 1000) n;
--- file
INSERT INTO shop SELECT id, a FROM other;
ALTER TABLE shop DROP CONSTRAINT shop_pkey;

=== safe: the same outside a transaction
CREATE TABLE shop (id int PRIMARY KEY, a text);
CREATE TABLE other (id int PRIMARY KEY, a text);
--- rows
INSERT INTO other SELECT n, n FROM generate_series(1, 1000) n;
--- file
-- no-transaction
ALTER TABLE shop DROP CONSTRAINT shop_pkey;
INSERT INTO shop SELECT id, a FROM other;

=== locking: between BEGIN and COMMIT of the file's own
CREATE TABLE shop (id int PRIMARY KEY, a text);
CREATE TABLE other (id int PRIMARY KEY, a text);
--- rows
INSERT INTO other SELECT n, n FROM generate_series(1, 1000) n;
--- file
-- no-transaction
BEGIN;
ALTER TABLE shop DROP CONSTRAINT shop_pkey;
INSERT INTO shop SELECT id, a FROM other;
COMMIT;

=== locking: a constraint validated in the transaction that adds it
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
ALTER TABLE shop VALIDATE CONSTRAINT positive;

=== safe: a constraint validated on its own
CREATE TABLE shop (id int PRIMARY KEY, a text);
ALTER TABLE shop ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop VALIDATE CONSTRAINT positive;

=== locking: a new table that refers to one in use is filled
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
CREATE TABLE line (shop_id int REFERENCES shop (id));
INSERT INTO line SELECT id FROM shop;

=== safe: a new table that refers to nothing is filled
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
CREATE TABLE line (shop_id int);
INSERT INTO line SELECT id FROM shop;
CREATE INDEX line_shop ON line (shop_id);

=== locking: an index on a large new table, while an old one is locked
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
CREATE TABLE line AS SELECT id AS shop_id FROM shop;
ALTER TABLE shop ADD COLUMN b text;
CREATE INDEX line_shop ON line (shop_id);

=== locking: many rows of nothing
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- file
ALTER TABLE shop ADD COLUMN b text;
INSERT INTO shop (id) SELECT generate_series(1, 5000);

=== safe: some rows of VALUES
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- file
ALTER TABLE shop ADD COLUMN b text;
INSERT INTO shop (id) VALUES (1), (2), (3);

=== locking: a trigger dropped before the work
CREATE TABLE shop (id int PRIMARY KEY, a text);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER keeper BEFORE INSERT ON shop FOR EACH ROW EXECUTE PROCEDURE nothing();
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
DROP TRIGGER keeper ON shop;
SELECT count(*) FROM shop;

=== safe: settings of a table let others read and write
CREATE TABLE shop (id int PRIMARY KEY, a text);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop SET (fillfactor = 70);
SELECT count(*) FROM shop;
