-- What is there before the short cases of the corpora.
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN free_text AS text;
CREATE TABLE customer (
    id int PRIMARY KEY, email varchar(100) NOT NULL, name text, score numeric(10, 2), born date, seen timestamp,
    at timestamptz, mood mood, phone varchar(20), tags text[], data json, flag boolean DEFAULT false, code char(8),
    amount int, total bigint, ratio real, ip inet, short_at timestamp(3), wide double precision
);
CREATE UNIQUE INDEX customer_email ON customer (email);
CREATE INDEX customer_name ON customer (lower(name));
CREATE TABLE orders (
    id int PRIMARY KEY, customer_id int, state text, price numeric(10, 4), placed timestamp NOT NULL DEFAULT now(),
    CONSTRAINT orders_price CHECK (price >= 0)
);
ALTER TABLE orders ADD CONSTRAINT orders_customer CHECK (customer_id IS NOT NULL) NOT VALID;
CREATE TABLE line (order_id int NOT NULL, no int NOT NULL, item varchar(40), CONSTRAINT line_order FOREIGN KEY (order_id) REFERENCES orders (id));
CREATE UNIQUE INDEX line_key ON line (order_id, no);
CREATE TABLE event (id int, day date NOT NULL, kind text) PARTITION BY RANGE (day);
CREATE TABLE event_old PARTITION OF event FOR VALUES FROM ('2000-01-01') TO ('2020-01-01');
CREATE TABLE event_new (id int, day date NOT NULL, kind text);
CREATE TABLE product (id int PRIMARY KEY, label text NOT NULL, cents int);
CREATE VIEW labels AS SELECT id, label FROM product;
CREATE MATERIALIZED VIEW dear AS SELECT id, cents FROM product WHERE cents > 10;
CREATE UNIQUE INDEX dear_id ON dear (id);
CREATE SEQUENCE ticket;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION purge() RETURNS void LANGUAGE sql AS 'DELETE FROM product';
CREATE TRIGGER guard BEFORE INSERT ON product FOR EACH ROW EXECUTE PROCEDURE nothing();
--- rows
INSERT INTO customer SELECT n, n || '@example.com', 'n' || n, n / 4.0, '2000-01-01', '2020-01-01 10:30:15.123456',
    '2020-01-01 10:30:15.123456+02', 'good', n::text, ARRAY['a'], '{"a": 1}', true, 'c' || n, n, n, n / 8.0, '10.0.0.1/8', '2020-01-01 10:30:15.123', n / 3.0
    FROM generate_series(1, 1000) n;
INSERT INTO orders SELECT n, n, 'new', n / 16.0, '2020-01-01 10:30:15' FROM generate_series(1, 1000) n;
INSERT INTO line SELECT n, 1, 'item ' || n FROM generate_series(1, 1000) n;
INSERT INTO event SELECT n, '2010-01-01', 'a' FROM generate_series(1, 1000) n;
INSERT INTO event_new SELECT n, '2021-01-01', 'a' FROM generate_series(1, 1000) n;
INSERT INTO product SELECT n, 'p' || n, n FROM generate_series(1, 1000) n;
REFRESH MATERIALIZED VIEW dear;
SELECT nextval('ticket');
