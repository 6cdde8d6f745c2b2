Statements that the rules were written with.

=== safe: the defaults that are no volatile functions
ALTER TABLE customer ADD COLUMN a smallint NOT NULL DEFAULT -1;
ALTER TABLE customer ADD COLUMN b int NOT NULL DEFAULT (1);
ALTER TABLE customer ADD COLUMN c boolean NOT NULL DEFAULT (false);
ALTER TABLE customer ADD COLUMN d timestamp NOT NULL DEFAULT (now());
ALTER TABLE customer ADD COLUMN e timestamptz NOT NULL DEFAULT timezone('utc', now());
ALTER TABLE customer ADD COLUMN f date NOT NULL DEFAULT current_date;
ALTER TABLE customer ADD COLUMN g timestamp DEFAULT localtimestamp;
ALTER TABLE customer ADD COLUMN h timestamp DEFAULT to_timestamp(0);
ALTER TABLE customer ADD COLUMN i text DEFAULT current_user;
=== locking: a volatile function in an array
ALTER TABLE customer ADD COLUMN keys text[] DEFAULT array[gen_random_uuid()::text];
=== safe: a foreign key on a column that is NULL throughout
ALTER TABLE orders ADD COLUMN product_id int REFERENCES product (id);
=== locking: a foreign key on a column with a default of NULL
ALTER TABLE orders ADD COLUMN product_id int DEFAULT NULL REFERENCES product (id);
=== unvalidated+locking: an enum to another one by text
CREATE TYPE mood2 AS ENUM ('good', 'bad', 'odd');
CREATE TYPE mood3 AS ENUM ('good');
CREATE TABLE shop (a mood2, b mood2);
--- rows
INSERT INTO shop SELECT 'good', 'good' FROM generate_series(1, 1000);
--- rows
INSERT INTO shop SELECT 'odd', 'odd' FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER COLUMN a TYPE mood3 USING a::text::mood3;
=== safe: a type dropped that nothing has
CREATE TYPE unused AS ENUM ('a');
--- file
DROP TYPE unused;
=== unvalidated+locking: text to uuid
CREATE TABLE shop (t text);
--- rows
INSERT INTO shop SELECT '2c2bd4a0-9a39-4f2e-a2a3-a5b7e0a1f6d2' FROM generate_series(1, 1000);
--- rows
INSERT INTO shop VALUES ('x');
--- file
ALTER TABLE shop ALTER COLUMN t TYPE uuid USING t::uuid;
=== unvalidated+locking: text to varchar
CREATE TABLE shop (u text);
--- rows
INSERT INTO shop SELECT 'x' FROM generate_series(1, 1000);
--- rows
INSERT INTO shop SELECT repeat('x', 100) FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER COLUMN u TYPE varchar(64);
=== safe: a varchar made longer, then a text
CREATE TABLE shop (v varchar(40));
CREATE INDEX shop_v ON shop (v);
--- rows
INSERT INTO shop SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ALTER COLUMN v TYPE varchar(80);
ALTER TABLE shop ALTER COLUMN v TYPE text;
=== locking: a collation
CREATE TABLE shop (v varchar(40));
CREATE INDEX shop_v ON shop (v);
--- rows
INSERT INTO shop SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ALTER COLUMN v TYPE varchar(40) COLLATE "C";
=== locking: a varchar in a check made longer
CREATE TABLE shop (v varchar(40) CHECK (v <> ''));
--- rows
INSERT INTO shop SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ALTER COLUMN v TYPE varchar(80);
=== locking: a varchar in an index over an expression made longer
CREATE TABLE shop (v varchar(40));
CREATE INDEX shop_v ON shop (lower(v));
--- rows
INSERT INTO shop SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ALTER COLUMN v TYPE text;
=== locking: a varchar in the condition of an index made longer
CREATE TABLE shop (id int, v varchar(40));
CREATE INDEX shop_v ON shop (id) WHERE v <> 'x';
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ALTER COLUMN v TYPE text;
=== locking: char to text
ALTER TABLE customer ALTER COLUMN code TYPE text;
=== safe: numeric widened
ALTER TABLE customer ALTER COLUMN score TYPE numeric(12, 2);
=== destructive+locking: numeric rounded
ALTER TABLE customer ALTER COLUMN score TYPE numeric(12, 0);
=== destructive+locking: numeric to integer
ALTER TABLE customer ALTER COLUMN score TYPE integer;
=== destructive+locking: timestamp to time
ALTER TABLE customer ALTER COLUMN seen TYPE time;
=== destructive+locking: double precision to real
ALTER TABLE customer ALTER COLUMN wide TYPE real;
=== locking: date to timestamp
ALTER TABLE customer ALTER COLUMN born TYPE timestamp;
=== locking: timestamp to timestamptz, read as UTC
ALTER TABLE customer ALTER COLUMN seen TYPE timestamptz USING seen AT TIME ZONE 'UTC';
=== locking: int to text
ALTER TABLE customer ALTER COLUMN amount TYPE text;
=== destructive+locking: values computed anew
ALTER TABLE customer ALTER COLUMN name TYPE text USING 'x';
=== safe: the same type
ALTER TABLE customer ALTER COLUMN amount TYPE integer;
=== locking: a domain with a check
ALTER TABLE customer ADD COLUMN p positive DEFAULT 1;
=== locking: a check of a domain
CREATE DOMAIN d AS int;
CREATE TABLE shop (id int, d d);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER DOMAIN d ADD CHECK (VALUE > 0);
=== safe: a check of a domain NOT VALID
CREATE DOMAIN d AS int;
CREATE TABLE shop (id int, d d);
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID;
=== safe: SET NOT NULL after a valid check with more in it
CREATE TABLE shop (a int, b int, CHECK (a IS NOT NULL AND b > 0));
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ALTER a SET NOT NULL;
=== locking: SET NOT NULL after a valid check that allows NULL
CREATE TABLE shop (a int, b int, CHECK (a IS NOT NULL OR b > 0));
--- rows
INSERT INTO shop SELECT n, n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ALTER a SET NOT NULL;
=== locking: SET NOT NULL after the check was dropped
CREATE TABLE shop (a int, CONSTRAINT c CHECK (a IS NOT NULL));
ALTER TABLE shop DROP CONSTRAINT c;
--- rows
INSERT INTO shop SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ALTER a SET NOT NULL;
=== locking: a primary key of an index whose column may be NULL
CREATE TABLE shop (a int);
CREATE UNIQUE INDEX shop_a ON shop (a);
--- rows
INSERT INTO shop SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ADD PRIMARY KEY USING INDEX shop_a;
=== locking: a new column that is the primary key
CREATE TABLE shop (a int);
--- rows
INSERT INTO shop SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ADD COLUMN id bigserial PRIMARY KEY;
=== locking: a new column with a check
ALTER TABLE customer ADD COLUMN age int CHECK (age > 0);
=== unvalidated: a required column whose default is NULL
ALTER TABLE customer ADD COLUMN region text NOT NULL DEFAULT NULL;
=== locking: a table made logged again
CREATE UNLOGGED TABLE shop (a int);
--- rows
INSERT INTO shop SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop SET LOGGED;
=== safe: a partition attached that this file makes
CREATE TABLE event_2023 (LIKE event INCLUDING DEFAULTS);
ALTER TABLE event ATTACH PARTITION event_2023 FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
=== safe: a table inherits
CREATE TABLE parent (id int);
CREATE TABLE child (id int);
--- rows
INSERT INTO child SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE child INHERIT parent;
=== unvalidated: a partition detached CONCURRENTLY in a transaction
ALTER TABLE event DETACH PARTITION event_old CONCURRENTLY;
=== safe since 12: an index built anew CONCURRENTLY
-- no-transaction
REINDEX INDEX CONCURRENTLY customer_name;
=== safe: an index dropped CONCURRENTLY
-- no-transaction
DROP INDEX CONCURRENTLY customer_name;
=== locking: an index dropped
DROP INDEX customer_name;
=== locking: VACUUM FULL of everything
-- no-transaction
VACUUM FULL;
=== locking: a renamed table
ALTER TABLE product RENAME TO goods;
=== safe: a renamed index
ALTER INDEX customer_name RENAME TO customer_lower_name;
=== safe: an owner
ALTER TABLE product OWNER TO CURRENT_USER;
=== safe: an index attached to a partitioned one
CREATE TABLE p (id int) PARTITION BY RANGE (id);
CREATE TABLE c PARTITION OF p FOR VALUES FROM (0) TO (10000);
CREATE INDEX p_id ON ONLY p (id);
CREATE INDEX c_id ON c (id);
--- rows
INSERT INTO p SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER INDEX p_id ATTACH PARTITION c_id;
=== safe: a trigger dropped
DROP TRIGGER guard ON product;
=== unvalidated: a rule
CREATE RULE quiet AS ON INSERT TO customer WHERE new.id < 0 DO INSTEAD NOTHING;
=== safe: a schema dropped that would have to be empty
CREATE SCHEMA side;
--- file
DROP SCHEMA side;
=== safe: a schema that this file made
CREATE SCHEMA side;
CREATE TABLE side.t (id int);
DROP SCHEMA side CASCADE;
=== destructive+locking: rows deleted by a condition
DELETE FROM product WHERE cents > 5;
=== destructive+locking: all rows overwritten
UPDATE product SET label = upper(label);
=== safe: rows that are there get something only where a key is met
UPDATE product SET cents = cents WHERE id IN (1, 2, 3);
=== safe since 15: MERGE that inserts
MERGE INTO product USING (VALUES (5000, 'x')) AS new (id, label) ON product.id = new.id
    WHEN NOT MATCHED THEN INSERT (id, label) VALUES (new.id, new.label);
=== destructive: a truncated table with those that refer to it
TRUNCATE orders CASCADE;
=== safe: rows copied into a new table
CREATE TABLE product_copy AS SELECT * FROM product;
=== safe: statistics
CREATE STATISTICS pair ON id, cents FROM product;
ANALYZE product;
=== safe: a function replaced
CREATE OR REPLACE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
=== safe: two statements, the second of them in a transaction of its own
-- no-transaction
BEGIN;
ALTER TABLE product ADD COLUMN x int;
COMMIT;
ALTER TABLE orders VALIDATE CONSTRAINT orders_customer;
=== unvalidated: a prepared statement
PREPARE gone AS DELETE FROM product;
EXECUTE gone;
=== safe: a default that only later rows get
ALTER TABLE customer ALTER COLUMN name SET DEFAULT gen_random_uuid()::text;
=== locking: two actions, one of which writes the table anew
ALTER TABLE customer ALTER COLUMN amount TYPE bigint, ADD COLUMN x int;
=== destructive+locking: loses and blocks
ALTER TABLE customer DROP COLUMN phone, ALTER COLUMN amount TYPE bigint;
=== safe: rights taken away
REVOKE ALL ON product FROM PUBLIC;
=== locking: a table moved to another tablespace
ALTER TABLE product SET TABLESPACE pg_default;
=== destructive: a table dropped with what refers to it
DROP TABLE orders CASCADE;
=== destructive: a view dropped with a column of its row type
CREATE VIEW v AS SELECT 1 AS n;
CREATE TABLE uses (id int, c v);
--- rows
INSERT INTO uses SELECT n, ROW(n)::v FROM generate_series(1, 1000) n;
--- file
DROP VIEW IF EXISTS v CASCADE;
=== destructive: a materialized view dropped with a column of its row type
CREATE MATERIALIZED VIEW v AS SELECT 1 AS n;
CREATE TABLE uses (id int, c v);
--- rows
INSERT INTO uses SELECT n, ROW(n)::v FROM generate_series(1, 1000) n;
--- file
DROP MATERIALIZED VIEW v CASCADE;
=== safe: a view dropped
DROP VIEW labels;
=== destructive+locking: text to name
CREATE TABLE shop (t text);
--- rows
INSERT INTO shop SELECT repeat('x', 100) FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER t TYPE name;
=== destructive+locking: text to one byte
CREATE TABLE shop (t text);
--- rows
INSERT INTO shop SELECT repeat('x', 100) FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER t TYPE "char";
=== destructive+locking: text to one byte by a qualified name
CREATE TABLE shop (t text);
--- rows
INSERT INTO shop SELECT repeat('x', 100) FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER t TYPE pg_catalog.char USING t::pg_catalog."char";
=== destructive+locking: a text cut off by way of a name
CREATE TABLE shop (t text);
--- rows
INSERT INTO shop SELECT repeat('x', 100) FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER t TYPE text USING t::name;
=== destructive+locking: a text cut off by way of a varchar
CREATE TABLE shop (t text);
--- rows
INSERT INTO shop SELECT repeat('x', 100) FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER t TYPE text USING CAST(t AS varchar(3));
=== destructive+locking: a text cut off by way of a char
CREATE TABLE shop (t text);
--- rows
INSERT INTO shop SELECT repeat('x', 100) FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER t TYPE text USING t::char(3)::text;
=== destructive+locking: a text cut off by way of a domain
CREATE DOMAIN short AS varchar(3);
CREATE TABLE shop (t text);
--- rows
INSERT INTO shop SELECT repeat('x', 100) FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER t TYPE text USING t::short;
=== destructive+locking: arrays of text to arrays of name
CREATE TABLE shop (a text[]);
--- rows
INSERT INTO shop SELECT ARRAY[repeat('x', 100)] FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER a TYPE name[] USING a::name[];
=== destructive+locking: arrays of text to arrays of one byte
CREATE TABLE shop (a text ARRAY);
--- rows
INSERT INTO shop SELECT ARRAY['hello'] FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER a TYPE "char"[];
=== destructive+locking: a text to an array of varchar
CREATE TABLE shop (t text);
--- rows
INSERT INTO shop SELECT '{hello}' FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER t TYPE varchar(3)[] USING t::varchar(3)[];
=== locking: a short text to name
CREATE TABLE shop (t varchar(15));
--- rows
INSERT INTO shop SELECT repeat('€', 15) FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER t TYPE name;
=== locking: name to text
CREATE TABLE shop (t name);
--- rows
INSERT INTO shop SELECT repeat('x', 63) FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER t TYPE text;
=== destructive+locking: bits cut off by a cast
CREATE TABLE shop (b varbit);
--- rows
INSERT INTO shop SELECT B'101' FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER b TYPE varbit USING b::bit(2);
=== destructive+locking: a text cut off by a cast to bits
CREATE TABLE shop (b text);
--- rows
INSERT INTO shop SELECT '101' FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER b TYPE bit(2) USING b::bit(2);
=== safe: bits to bits of any number
CREATE TABLE shop (b bit(3));
--- rows
INSERT INTO shop SELECT B'101' FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER b TYPE varbit;
=== destructive+locking: text to jsonb
CREATE TABLE shop (j text);
--- rows
INSERT INTO shop SELECT '{"a":1,"a":2}' FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER j TYPE jsonb USING j::jsonb;
=== destructive+locking: text to money
CREATE TABLE shop (m text);
--- rows
INSERT INTO shop SELECT '1.005' FROM generate_series(1, 1000);
--- file
ALTER TABLE shop ALTER m TYPE money USING m::money;
=== safe since 14: a collation in USING, which the column does not get
CREATE TABLE shop (t text);
CREATE INDEX shop_t ON shop (t);
--- rows
INSERT INTO shop SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ALTER t TYPE text USING t::text COLLATE "C";
=== unvalidated: values of the system catalogs changed
UPDATE pg_database SET datallowconn = false WHERE datname = 'nobody';
=== unvalidated: a value of an enum changed in the system catalogs
UPDATE pg_catalog.pg_enum SET enumlabel = 'fine' WHERE enumlabel = 'good';
=== unvalidated: a row added to the system catalogs
INSERT INTO pg_catalog.pg_depend SELECT * FROM pg_catalog.pg_depend LIMIT 1;
=== safe: the system catalogs read
WITH gone AS (SELECT * FROM pg_class) INSERT INTO product SELECT 5000, relname, 1 FROM gone LIMIT 1;
=== locking: a schema renamed
ALTER SCHEMA public RENAME TO legacy;
=== safe: a new schema renamed
CREATE SCHEMA a;
ALTER SCHEMA a RENAME TO b;
=== locking: a view renamed
ALTER VIEW labels RENAME TO titles;
=== locking since 13: a column of a view renamed
ALTER VIEW labels RENAME COLUMN label TO title;
=== locking: a materialized view moved to another schema
CREATE SCHEMA away;
ALTER MATERIALIZED VIEW dear SET SCHEMA away;
=== destructive: a sequence begins anew
ALTER SEQUENCE ticket RESTART WITH 1;
=== destructive: a sequence begins anew, and counts otherwise
ALTER SEQUENCE IF EXISTS ticket INCREMENT BY 2 RESTART;
=== safe: a sequence counts otherwise
ALTER SEQUENCE ticket INCREMENT BY 2 CACHE 5;
=== safe: a new sequence begins anew
CREATE SEQUENCE fresh;
ALTER SEQUENCE fresh RESTART WITH 100;
=== destructive: an identity column begins anew: RESTART WITH 1
CREATE TABLE shop (id int GENERATED ALWAYS AS IDENTITY, t text);
--- rows
INSERT INTO shop (t) SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ALTER id RESTART WITH 1;
=== destructive: an identity column begins anew: SET GENERATED BY DEFAULT RESTART
CREATE TABLE shop (id int GENERATED ALWAYS AS IDENTITY, t text);
--- rows
INSERT INTO shop (t) SELECT n FROM generate_series(1, 1000) n;
--- file
ALTER TABLE shop ALTER id SET GENERATED BY DEFAULT RESTART;
=== unvalidated: foreign keys and triggers switched off for the session
SET session_replication_role = replica;
INSERT INTO line VALUES (5000, 1, 'x');
=== unvalidated: foreign keys and triggers switched off by a function
SELECT set_config('session_replication_role', 'replica', true);
=== unvalidated: triggers of a table switched off, and its foreign keys
ALTER TABLE line DISABLE TRIGGER ALL;
=== safe: foreign keys and triggers switched on again
SET LOCAL session_replication_role TO 'origin';
ALTER TABLE line ENABLE TRIGGER ALL;
=== unvalidated: the system catalogs opened
SET allow_system_table_mods = on;
=== destructive+locking: a condition that is always true
UPDATE product SET cents = 0 WHERE 1 = 1 AND true;
=== destructive+locking: a condition of a column that is compared with itself
UPDATE product SET cents = 0 WHERE id = product.id;
=== unvalidated: a program of the server
COPY customer TO PROGRAM 'cat > /dev/null';
=== unvalidated: rows of a program
COPY product FROM PROGRAM 'true';
=== unvalidated: a file of the server
COPY product FROM '/dev/null';
=== unvalidated: a rule that drops what is written
CREATE RULE quiet AS ON INSERT TO product DO INSTEAD NOTHING;
=== unvalidated: an index built concurrently on a partitioned table
-- no-transaction
CREATE INDEX CONCURRENTLY event_kind ON event (kind);
=== unvalidated: an index dropped concurrently with what depends on it
-- no-transaction
DROP INDEX CONCURRENTLY line_key CASCADE;
=== unvalidated: two indexes dropped concurrently
-- no-transaction
DROP INDEX CONCURRENTLY line_key, customer_email;
