-- To be run once by a superuser after pg_restore, in the restored database. Apache AGE notes for
-- each graph the number of its schema, and a restored schema has another one.
\set ON_ERROR_STOP on
SELECT to_regclass('ag_catalog.ag_graph') IS NOT NULL AS has_graphs \gset
\if :has_graphs
BEGIN;
-- ag_label refers to ag_graph; both change at once.
SET LOCAL session_replication_role = replica;
CREATE TEMP TABLE ragpod_graphs ON COMMIT DROP AS
    SELECT graphid, name, namespace, namespace::oid AS now FROM ag_catalog.ag_graph;
CREATE TEMP TABLE ragpod_labels ON COMMIT DROP AS
    SELECT l.name, g.now AS graph, l.id, l.kind, l.relation, l.seq_name
    FROM ag_catalog.ag_label l JOIN ragpod_graphs g ON g.graphid = l.graph;
DELETE FROM ag_catalog.ag_label;
DELETE FROM ag_catalog.ag_graph;
INSERT INTO ag_catalog.ag_graph (graphid, name, namespace)
    SELECT now, name, namespace FROM ragpod_graphs;
INSERT INTO ag_catalog.ag_label (name, graph, id, kind, relation, seq_name)
    SELECT name, graph, id, kind, relation, seq_name FROM ragpod_labels;
COMMIT;
\endif
