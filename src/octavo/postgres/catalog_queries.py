"""The questions that :mod:`octavo.postgres.catalog` asks ``pg_catalog``.

Each takes the schemas as ``%(schemas)s``.  Columns that a server does not have yet stand between braces and
are replaced by what they would say there (:func:`for_version`).
"""

from __future__ import annotations

_NEWER: dict[str, tuple[tuple[int, str], ...]] = {
    "indnullsnotdistinct": ((150000, "i.indnullsnotdistinct"), (0, "false")),
    "confdelsetcols": ((150000, "k.confdelsetcols IS NOT NULL"), (0, "false")),
    "conenforced": ((180000, "k.conenforced"), (0, "true")),
    "locprovider": ((150000, "d.datlocprovider"), (0, "'c'::\"char\"")),
    "locale": ((170000, "d.datlocale"), (150000, "d.daticulocale"), (0, "NULL::text")),
}
"""What to ask for, newest version first."""


def for_version(query: str, version: int) -> str:
    """The query as a server of this version understands it."""
    for name, spellings in _NEWER.items():
        known = next(text for since, text in spellings if version >= since)
        query = query.replace("{" + name + "}", known)
    return query


DATABASE = """
    SELECT d.datname, current_user, current_setting('server_version'), pg_encoding_to_char(d.encoding),
           coalesce({locale}, d.datcollate), d.datctype,
           CASE {locprovider} WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' WHEN 'c' THEN 'libc' ELSE '?' END,
           pg_is_in_recovery()
    FROM pg_database d WHERE d.datname = current_database()
"""

SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname = ANY(%(schemas)s)"

ENUMS = """
    SELECT n.nspname, t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_enum e ON e.enumtypid = t.oid
    WHERE t.typtype = 'e' AND (n.nspname = ANY(%(schemas)s) OR EXISTS (
        SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace cn ON cn.oid = c.relnamespace
        WHERE a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped AND cn.nspname = ANY(%(schemas)s)))
    GROUP BY t.oid, n.nspname, t.typname
    ORDER BY n.nspname, t.oid
"""

TABLES = """
    SELECT n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.relispartition,
           ARRAY(SELECT p.inhparent::regclass::text FROM pg_inherits p WHERE p.inhrelid = c.oid ORDER BY 1),
           (SELECT x.extname FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
              AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' LIMIT 1),
           c.relrowsecurity, c.relforcerowsecurity, c.relkind IN ('r', 'p') AND row_security_active(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    ORDER BY n.nspname, c.oid
"""

COLUMNS = """
    SELECT n.nspname AS schema, c.relname AS table, a.attname AS name,
           coalesce(e.typname, t.typname) AS type_name, en.nspname AS type_schema,
           coalesce(e.typtype, t.typtype)::text AS type_kind, e.oid IS NOT NULL AS is_array,
           format_type(a.atttypid, a.atttypmod) AS shown, a.atttypmod AS modifier, a.attnotnull AS required,
           EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'n'
                   AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated) AS required_unproven,
           pg_get_expr(f.adbin, f.adrelid) AS expression, a.attidentity::text AS identity,
           a.attgenerated::text AS generated,
           CASE WHEN a.attcollation <> t.typcollation THEN
                (SELECT o.collname FROM pg_collation o WHERE o.oid = a.attcollation)::text END AS collation
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type e ON t.typelem = e.oid AND e.typarray = t.oid
    JOIN pg_namespace en ON en.oid = coalesce(e.typnamespace, t.typnamespace)
    LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY n.nspname, c.oid, a.attnum
"""

INDEXES = """
    SELECT n.nspname AS schema, t.relname AS table, c.relname AS name, i.indisunique AS unique,
           i.indisprimary AS primary, i.indisvalid AND i.indisready AS valid, m.amname AS method,
           i.indpred IS NOT NULL AS predicate, i.indexprs IS NOT NULL AS expressions,
           i.indnatts > i.indnkeyatts AS included,
           EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) p WHERE i.indoption[p] IN (1, 2)
                   AND m.amname = 'btree') AS odd_nulls,
           {indnullsnotdistinct} AS nulls_not_distinct, k.contype::text AS constraint,
           coalesce(k.condeferrable, false) AS deferrable,
           ARRAY(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) p
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p] ORDER BY p)
                 AS columns,
           ARRAY(SELECT m.amname = 'btree' AND i.indoption[p] & 1 = 1
                 FROM generate_series(0, i.indnkeyatts - 1) p ORDER BY p) AS descending,
           ARRAY(SELECT o.opcname::text
                 FROM generate_series(0, i.indnkeyatts - 1) p JOIN pg_opclass o ON o.oid = i.indclass[p]
                 ORDER BY p) AS classes,
           ARRAY(SELECT NOT o.opcdefault
                 FROM generate_series(0, i.indnkeyatts - 1) p JOIN pg_opclass o ON o.oid = i.indclass[p]
                 ORDER BY p) AS chosen,
           pg_get_indexdef(i.indexrelid) AS definition
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_am m ON m.oid = c.relam
    LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    WHERE n.nspname = ANY(%(schemas)s) AND t.relkind IN ('r', 'p')
    ORDER BY n.nspname, t.oid, c.oid
"""

FOREIGN_KEYS = """
    SELECT n.nspname AS schema, t.relname AS table, k.conname AS name, pn.nspname AS parent_schema,
           p.relname AS parent,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place)
                 AS columns,
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(number, place)
                 JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place)
                 AS references,
           k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update,
           k.convalidated AND {conenforced} AS proven, k.condeferrable AS deferrable,
           k.confmatchtype <> 's' OR {confdelsetcols} AS special, pg_get_constraintdef(k.oid) AS definition
    FROM pg_constraint k
    JOIN pg_class t ON t.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_class p ON p.oid = k.confrelid
    JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE k.contype = 'f' AND n.nspname = ANY(%(schemas)s) AND k.conparentid = 0
    ORDER BY n.nspname, t.oid, k.oid
"""

OTHERS = """
    SELECT 'check constraint', n.nspname, k.conname, t.relname, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE k.contype = 'c' AND n.nspname = ANY(%(schemas)s) AND t.relkind IN ('r', 'p')
  UNION ALL
    SELECT 'constraint not validated', n.nspname, k.conname, t.relname, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE k.contype = 'c' AND NOT k.convalidated AND n.nspname = ANY(%(schemas)s)
  UNION ALL
    SELECT 'exclusion constraint', n.nspname, k.conname, t.relname, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE k.contype = 'x' AND n.nspname = ANY(%(schemas)s)
  UNION ALL
    SELECT 'trigger', n.nspname, g.tgname, t.relname, pg_get_triggerdef(g.oid)
    FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE NOT g.tgisinternal AND n.nspname = ANY(%(schemas)s)
  UNION ALL
    SELECT 'rule', n.nspname, r.rulename, t.relname, pg_get_ruledef(r.oid)
    FROM pg_rewrite r JOIN pg_class t ON t.oid = r.ev_class JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE r.rulename <> '_RETURN' AND n.nspname = ANY(%(schemas)s)
  UNION ALL
    SELECT 'type', n.nspname, y.typname, NULL,
           CASE y.typtype WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite' WHEN 'r' THEN 'range' ELSE '' END
    FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace LEFT JOIN pg_class c ON c.oid = y.typrelid
    WHERE n.nspname = ANY(%(schemas)s) AND (y.typtype IN ('d', 'r') OR y.typtype = 'c' AND c.relkind = 'c')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = y.oid
                      AND d.deptype = 'e')
  UNION ALL
    SELECT 'table in another schema', n.nspname, c.relname, c.relname, NULL
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname <> ALL(%(schemas)s) AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    ORDER BY 1, 2, 4, 3
"""

SEQUENCES = """
    SELECT n.nspname, c.relname, t.relname, a.attname, d.deptype::text,
           has_sequence_privilege(c.oid, 'SELECT')
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
         AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    LEFT JOIN pg_class t ON t.oid = d.refobjid
    LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE c.relkind = 'S' AND n.nspname = ANY(%(schemas)s)
    ORDER BY n.nspname, c.relname
"""

MIGRATIONS = """
    SELECT n.nspname, has_table_privilege(c.oid, 'SELECT')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY(%(schemas)s) AND c.relname = '_prisma_migrations' AND c.relkind = 'r'
"""

LARGE_OBJECTS = "SELECT count(*) FROM pg_largeobject_metadata"
