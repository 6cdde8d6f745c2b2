-- One row, one column: all that the catalogs say of roles and of what they hold here, as the JSON of
-- `Roles`. Works on PostgreSQL 12 and later: columns that came later are asked for by name in to_jsonb.
WITH spaces AS (
  SELECT n.oid, n.nspname::text AS name, n.nspowner AS owner, n.nspacl AS acl
  FROM pg_catalog.pg_namespace n
  WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e'
    )
), relations AS (
  SELECT c.oid, c.relnamespace AS space, c.relname::text AS name, c.relkind = 'S' AS is_sequence,
         c.relowner AS owner, c.relacl AS acl,
         c.relispartition AS is_partition
  FROM pg_catalog.pg_class c
  WHERE c.relnamespace IN (SELECT oid FROM spaces) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
), account AS (
  -- Who applies. An account that may not write the bookkeeping only looks, and what it would own or grant
  -- by default is nothing: then it is the owner of the bookkeeping, whose defaults hold for what comes.
  SELECT COALESCE(
    (SELECT b.relowner
     FROM pg_catalog.pg_class b
     JOIN pg_catalog.pg_namespace n ON n.oid = b.relnamespace
     WHERE n.nspname = 'trueup' AND b.relname = 'runs' AND NOT has_table_privilege(b.oid, 'INSERT')),
    (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
  ) AS oid
), future AS (
  SELECT d.oid, d.defaclnamespace AS space, d.defaclobjtype AS kind, d.defaclrole AS owner, d.defaclacl AS acl
  FROM pg_catalog.pg_default_acl d
  WHERE d.defaclrole = (SELECT oid FROM account) AND d.defaclobjtype IN ('r', 'S', 'n')
), here AS (
  SELECT oid, datdba AS owner, datacl AS acl FROM pg_catalog.pg_database WHERE datname = current_database()
), listed AS (
  -- What is held, by anyone but the owner; of tables also what is held on single columns.
  SELECT o.kind, o.oid, a.grantee, a.privilege_type || CASE WHEN bool_or(a.is_grantable) THEN '*' ELSE '' END AS held
  FROM (
    SELECT 'space' AS kind, oid, owner, acl FROM spaces
    UNION ALL SELECT 'relation', oid, owner, acl FROM relations
    UNION ALL SELECT 'future', oid, owner, acl FROM future
    UNION ALL SELECT 'database', oid, owner, acl FROM here
    UNION ALL
    SELECT 'column', r.oid, r.owner, c.attacl
    FROM relations r
    JOIN pg_catalog.pg_attribute c ON c.attrelid = r.oid AND c.attacl IS NOT NULL AND NOT c.attisdropped
  ) o
  CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) a
  WHERE a.grantee <> o.owner
  GROUP BY o.kind, o.oid, a.grantee, a.privilege_type
  UNION ALL
  SELECT 'relation', oid, owner, 'OWNER' FROM relations WHERE owner <> (SELECT oid FROM account)
  UNION ALL
  SELECT 'space', oid, owner, 'OWNER' FROM spaces WHERE owner <> (SELECT oid FROM account)
  UNION ALL
  SELECT 'database', oid, owner, 'OWNER' FROM here WHERE owner <> (SELECT oid FROM account)
), rights AS (
  SELECT l.kind, l.oid, json_object_agg(l.role, l.held) AS rights
  FROM (
    SELECT l.kind, l.oid, g.rolname::text AS role, json_agg(l.held ORDER BY l.held) AS held
    FROM listed l
    JOIN pg_catalog.pg_roles g ON g.oid = l.grantee
    GROUP BY l.kind, l.oid, g.rolname
  ) l
  GROUP BY l.kind, l.oid
), feeds AS (
  -- Sequences, and the tables whose columns own them or take their defaults from them.
  SELECT DISTINCT s.oid AS sequence, t.oid AS relation
  FROM relations s
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
   AND d.refclassid = 'pg_catalog.pg_class'::regclass
  JOIN relations t ON t.oid = d.refobjid
  WHERE s.is_sequence
  UNION
  SELECT s.oid, x.adrelid
  FROM relations s
  JOIN pg_catalog.pg_depend d
    ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = s.oid
   AND d.classid = 'pg_catalog.pg_attrdef'::regclass
  JOIN pg_catalog.pg_attrdef x ON x.oid = d.objid
  WHERE s.is_sequence
), above AS (
  -- Of partitions, the tables that they are a part of.
  SELECT r.oid, json_agg(json_build_array(s.name, t.name) ORDER BY s.name, t.name) AS tables
  FROM relations r
  CROSS JOIN LATERAL pg_catalog.pg_partition_ancestors(r.oid) a (relation)
  JOIN relations t ON t.oid = a.relation
  JOIN spaces s ON s.oid = t.space
  WHERE r.is_partition AND t.oid <> r.oid
  GROUP BY r.oid
), tables AS (
  SELECT r.space, json_object_agg(r.name, json_build_object(
           'above', a.tables, 'rights', h.rights, 'columns', c.rights)) AS tables
  FROM relations r
  LEFT JOIN rights h ON h.kind = 'relation' AND h.oid = r.oid
  LEFT JOIN rights c ON c.kind = 'column' AND c.oid = r.oid
  LEFT JOIN above a ON a.oid = r.oid
  WHERE NOT r.is_sequence
  GROUP BY r.space
), sequences AS (
  SELECT r.space, json_object_agg(r.name, json_build_object(
           'feeds', f.tables, 'rights', h.rights)) AS sequences
  FROM relations r
  LEFT JOIN rights h ON h.kind = 'relation' AND h.oid = r.oid
  LEFT JOIN (
    SELECT f.sequence, json_agg(json_build_array(s.name, t.name) ORDER BY s.name, t.name) AS tables
    FROM feeds f
    JOIN relations t ON t.oid = f.relation
    JOIN spaces s ON s.oid = t.space
    GROUP BY f.sequence
  ) f ON f.sequence = r.oid
  WHERE r.is_sequence
  GROUP BY r.space
), spaces_with_all AS (
  SELECT s.oid, s.name, json_build_object(
           'rights', h.rights, 'tables', t.tables, 'sequences', q.sequences,
           'future_tables', ft.rights, 'future_sequences', fs.rights, 'future_schemas', fn.rights,
           'open', has_schema_privilege('public', s.oid, 'CREATE'),
           'given', has_schema_privilege('public', s.oid, 'USAGE')
                    AND NOT has_schema_privilege((SELECT oid FROM account), s.oid, 'USAGE WITH GRANT OPTION')) AS space
  FROM (SELECT oid, name FROM spaces UNION ALL SELECT 0, '') s
  LEFT JOIN rights h ON h.kind = 'space' AND h.oid = s.oid
  LEFT JOIN tables t ON t.space = s.oid
  LEFT JOIN sequences q ON q.space = s.oid
  LEFT JOIN future f1 ON f1.space = s.oid AND f1.kind = 'r'
  LEFT JOIN rights ft ON ft.kind = 'future' AND ft.oid = f1.oid
  LEFT JOIN future f2 ON f2.space = s.oid AND f2.kind = 'S'
  LEFT JOIN rights fs ON fs.kind = 'future' AND fs.oid = f2.oid
  LEFT JOIN future f3 ON f3.space = s.oid AND f3.kind = 'n'
  LEFT JOIN rights fn ON fn.kind = 'future' AND fn.oid = f3.oid
), memberships AS (
  SELECT m.member, json_object_agg(m.parent, json_build_object(
           'grantors', m.grantors, 'inherits', m.inherits, 'admin', m.admin)) AS member_of
  FROM (
    SELECT m.member, p.rolname::text AS parent, json_agg(g.rolname::text ORDER BY g.rolname) AS grantors,
           bool_or((to_jsonb(m) ->> 'inherit_option')::boolean) AS inherits, bool_or(m.admin_option) AS admin
    FROM pg_catalog.pg_auth_members m
    JOIN pg_catalog.pg_roles p ON p.oid = m.roleid
    LEFT JOIN pg_catalog.pg_roles g ON g.oid = m.grantor
    GROUP BY m.member, p.rolname
  ) m
  GROUP BY m.member
)
SELECT json_strip_nulls(json_build_object(
  'account', current_user,
  'database', current_database(),
  'server', current_setting('server_version_num')::int,
  'iterations', current_setting('scram_iterations', true)::int,
  'reads_passwords', has_table_privilege('pg_catalog.pg_authid', 'SELECT'),
  'rights', (SELECT rights FROM rights WHERE kind = 'database'),
  'open', has_database_privilege('public', current_database(), 'CONNECT'),
  'roles', (
    SELECT json_object_agg(r.rolname::text, json_build_object(
      'login', r.rolcanlogin, 'inherit', r.rolinherit, 'connection_limit', r.rolconnlimit,
      -- A moment that is over, and stays so: what is still to come is a matter of the clock.
      'expired', CASE WHEN r.rolvaliduntil < now() THEN r.rolvaliduntil AT TIME ZONE 'UTC' END,
      'connects', has_database_privilege(r.oid, current_database(), 'CONNECT'),
      'powers', (
        SELECT json_agg(p.name ORDER BY p.name)
        FROM (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb),
                     ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls)) p (name, has)
        WHERE p.has
      ),
      'member_of', m.member_of))
    FROM pg_catalog.pg_roles r
    LEFT JOIN memberships m ON m.member = r.oid
  ),
  'schemas', (SELECT json_object_agg(name, space) FROM spaces_with_all)
))::text
