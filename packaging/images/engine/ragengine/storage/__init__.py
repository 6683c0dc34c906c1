"""LightRAG's PostgreSQL storages with fewer round trips.

An ingest reads and writes every entity and relation of a document by itself:
hundreds of statements, each with a pool checkout and a session reset. Here
reads that are asked for at the same time become one statement, and writes wait
for `index_done_callback`, which LightRAG calls before it notes a document as
processed, as its file-backed storages do.
"""
