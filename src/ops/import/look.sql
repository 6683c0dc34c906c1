-- What a database has, as one JSON document. Nothing in it is changed.
SELECT json_build_object(
    'major', current_setting('server_version_num')::int / 10000,
    'extensions', coalesce((SELECT json_agg(extname ORDER BY extname) FROM pg_catalog.pg_extension), '[]'),
    'graphs', to_regclass('ag_catalog.ag_graph') IS NOT NULL,
    'tables', coalesce((
        SELECT json_agg(json_build_object(
            'schema', n.nspname,
            'name', c.relname,
            'by_workspace', EXISTS (
                SELECT FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = c.oid AND a.attname = 'workspace' AND NOT a.attisdropped),
            'dimension', (
                SELECT a.atttypmod FROM pg_catalog.pg_attribute a
                JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
                WHERE a.attrelid = c.oid AND t.typname IN ('vector', 'halfvec') AND a.atttypmod > 0
                ORDER BY a.attnum LIMIT 1)
        ) ORDER BY n.nspname, c.relname)
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p')
            AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'ag_catalog')
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_depend d
                WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ), '[]')
)
