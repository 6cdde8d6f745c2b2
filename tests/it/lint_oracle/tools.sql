-- What the oracle keeps in each database to observe what a file of migrations does.
CREATE SCHEMA oracle;
CREATE TABLE oracle.relation (oid oid, filenode oid, name text, kind "char", copy text, counted bigint);
CREATE TABLE oracle.attribute (oid oid, number int, name text, kind text);

CREATE FUNCTION oracle.reset() RETURNS void LANGUAGE plpgsql AS $$
DECLARE s text;
BEGIN
    FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$|^oracle$' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', s);
    END LOOP;
    CREATE SCHEMA public;
    IF current_setting('server_version_num')::int < 130000 THEN
        CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA public;
    END IF;
    FOR s IN SELECT relname FROM pg_class WHERE relnamespace = 'oracle'::regnamespace AND relname LIKE 'copy%' LOOP
        EXECUTE format('DROP TABLE oracle.%I', s);
    END LOOP;
END $$;

-- Remembers all relations and columns, and copies their rows.
CREATE FUNCTION oracle.keep() RETURNS void LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
    DELETE FROM oracle.relation;
    DELETE FROM oracle.attribute;
    INSERT INTO oracle.relation
    SELECT c.oid, c.relfilenode, c.relname, c.relkind, 'copy' || c.oid,
           CASE WHEN c.relkind = 'S' THEN pg_sequence_last_value(c.oid) END FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_|^information_schema$|^oracle$';
    INSERT INTO oracle.attribute
    SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
    JOIN oracle.relation o ON o.oid = a.attrelid
    WHERE o.kind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped;
    -- As text, so that no column of the copy depends on a type.
    FOR r IN SELECT o.copy, o.oid, string_agg(format('%I::text', a.name), ', ') AS columns
             FROM oracle.relation o JOIN oracle.attribute a USING (oid) GROUP BY 1, 2 LOOP
        EXECUTE format('CREATE TABLE oracle.%I AS SELECT %s FROM ONLY %s', r.copy, r.columns, r.oid::regclass);
    END LOOP;
END $$;

-- A value, as its type prints it now, printed as a value of its old type; NULL where that cannot be.
CREATE FUNCTION oracle.back(value text, kind text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE was text;
BEGIN
    EXECUTE format('SELECT %L::%s::text', value, kind) INTO was;
    RETURN was;
EXCEPTION WHEN OTHERS THEN RETURN NULL;
END $$;

-- Names each column that does not have all its values any more, and each sequence that is gone or has
-- gone back.
CREATE FUNCTION oracle.lost() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE a record; missing bigint; now text;
BEGIN
    FOR a IN SELECT r.oid, r.copy, r.name AS relation, k.name, k.kind, p.attname, p.attisdropped,
                    format_type(p.atttypid, p.atttypmod) AS kind_now
             FROM oracle.attribute k JOIN oracle.relation r USING (oid)
             LEFT JOIN pg_attribute p ON p.attrelid = k.oid AND p.attnum = k.number LOOP
        IF a.attname IS NULL OR a.attisdropped THEN
            EXECUTE format('SELECT count(*) FROM oracle.%I WHERE %I IS NOT NULL', a.copy, a.name) INTO missing;
        ELSE
            now := format('%I::text', a.attname);
            IF a.kind_now <> a.kind THEN now := format('coalesce(oracle.back(%s, %L), %s)', now, a.kind, now); END IF;
            EXECUTE format('SELECT count(*) FROM (SELECT %I FROM oracle.%I WHERE %I IS NOT NULL EXCEPT ALL SELECT %s FROM ONLY %s) x',
                           a.name, a.copy, a.name, now, a.oid::regclass) INTO missing;
        END IF;
        IF missing > 0 THEN RETURN NEXT a.relation || '.' || a.name || ' in ' || missing || ' rows'; END IF;
    END LOOP;
    RETURN QUERY SELECT 'sequence ' || r.name FROM oracle.relation r
    WHERE r.kind = 'S' AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = r.oid)
    OR CASE WHEN r.counted IS NOT NULL AND EXISTS (SELECT FROM pg_class c WHERE c.oid = r.oid)
       THEN coalesce(pg_sequence_last_value(r.oid) < r.counted, true) END;
END $$;

-- What the transaction has done so far, counted for statement `number`.
CREATE FUNCTION oracle.observe(number int) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('lock|%s|%s|%s', number, r.name, l.mode) FROM pg_locks l JOIN oracle.relation r ON r.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    -- Nobody but REFRESH writes to a materialized view.
    AND (r.kind <> 'm' OR l.mode = 'AccessExclusiveLock')
    UNION ALL
    SELECT format('rows|%s|%s|%s|%s|%s|%s', number, s.relid, s.relname, s.seq_tup_read + coalesce(s.idx_tup_fetch, 0),
                  s.n_tup_ins + s.n_tup_upd + s.n_tup_del,
                  CASE WHEN r.oid IS NULL THEN 0 ELSE s.n_tup_upd + s.n_tup_del END)
    FROM pg_stat_xact_user_tables s LEFT JOIN oracle.relation r ON r.oid = s.relid WHERE s.schemaname <> 'oracle'
    UNION ALL
    SELECT format('anew|%s|%s', number, r.name) FROM oracle.relation r JOIN pg_class c ON c.oid = r.oid
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relfilenode <> r.filenode AND r.kind IN ('r', 'm', 'i', 't')
    -- What TRUNCATE makes is empty, and takes no time.
    AND (r.kind = 'm' OR pg_relation_size(coalesce(i.indrelid, c.oid)) > 0)
$$;
