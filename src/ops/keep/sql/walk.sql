-- Fails when a graph cannot be asked, or Cypher does not find the nodes and edges that its tables have.
\set ON_ERROR_STOP on
SELECT to_regclass('ag_catalog.ag_graph') IS NOT NULL AS has_graphs \gset
\if :has_graphs
SET search_path = ag_catalog, public;
DO $do$
DECLARE
    graph name;
    found bigint;
    there bigint;
    kind record;
BEGIN
    FOR graph IN SELECT g.name FROM ag_catalog.ag_graph g LOOP
        FOR kind IN SELECT * FROM (VALUES ('_ag_label_vertex', 'MATCH (n) RETURN n'),
                                          ('_ag_label_edge', 'MATCH ()-[e]->() RETURN e')) v(tab, walk) LOOP
            -- AGE reads a query from nothing but a constant in dollars.
            EXECUTE format('SELECT count(*) FROM ag_catalog.cypher(%L, $c$%s$c$) AS (x ag_catalog.agtype)',
                graph, kind.walk) INTO found;
            EXECUTE format('SELECT count(*) FROM %I.%I', graph, kind.tab) INTO there;
            IF found <> there THEN
                RAISE EXCEPTION 'graph %: % of % found by Cypher in %', graph, found, there, kind.tab;
            END IF;
        END LOOP;
    END LOOP;
END
$do$;
\endif
