"""The resident engine of an instance: LightRAG over PostgreSQL."""
