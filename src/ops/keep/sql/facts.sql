-- What is in a database, as one line of JSON. Whatever table is not there is not asked: a query in
-- a text is planned when it is run.
SELECT json_build_object(
  'version', split_part(current_setting('server_version'), ' ', 1),
  'major', current_setting('server_version_num')::int / 10000,
  'extensions', (SELECT json_object_agg(extname, extversion) FROM pg_extension),
  'tables', (
    SELECT coalesce(json_object_agg(name, (xpath('/row/c/text()', query_to_xml(
      format('SELECT count(*) AS c FROM ONLY %s', place), false, true, '')))[1]::text::bigint), '{}')
    FROM (
      SELECT n.nspname || '.' || c.relname AS name, format('%I.%I', n.nspname, c.relname) AS place
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND c.relpersistence <> 't'
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        -- Of an extension's own tables only those are dumped that it names for that.
        AND (NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
               AND d.objid = c.oid AND d.deptype = 'e')
             OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))
    ) t),
  'documents', CASE WHEN to_regclass('lightrag_doc_status') IS NOT NULL THEN (
    SELECT convert_from(decode((xpath('/row/c/text()', query_to_xml(
      'SELECT encode(convert_to(json_build_object('
      '''processed'', count(*) FILTER (WHERE status = ''processed''), '
      '''failed'', count(*) FILTER (WHERE status = ''failed''), '
      '''pending'', count(*) FILTER (WHERE status NOT IN (''processed'', ''failed'')))::text,'
      ' ''UTF8''), ''hex'') AS c FROM lightrag_doc_status'
      || CASE WHEN to_regclass('ragpod_state') IS NULL THEN ''
         ELSE ' WHERE workspace = coalesce((SELECT value->>''workspace'' FROM ragpod_state'
              ' WHERE key = ''index''), ''default'')' END,
      false, true, '')))[1]::text, 'hex'), 'UTF8')::json) END,
  'engine', CASE WHEN to_regclass('ragpod_state') IS NOT NULL THEN (
    SELECT convert_from(decode((xpath('/row/c/text()', query_to_xml(
      'SELECT encode(convert_to(value::text, ''UTF8''), ''hex'') AS c FROM ragpod_state'
      ' WHERE key = ''backend''', false, true, '')))[1]::text, 'hex'), 'UTF8')::json) END
)::text;
