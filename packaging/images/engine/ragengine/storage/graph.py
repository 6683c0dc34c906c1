"""The graph in AGE, written by tables instead of one Cypher per entity.

A label of AGE is a table: `base` holds the nodes, `DIRECTED` the edges, with a
default that makes their ids. What Cypher's MERGE does for one node is done
here for all nodes of a document in one UPDATE and one INSERT.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from lightrag.kg import postgres_impl

from .coalesce import Coalescer

Pair = tuple[str, str]
_ID = "ag_catalog.agtype_access_operator(VARIADIC ARRAY[{0}.properties, '\"entity_id\"'::agtype])"
_AGTYPE = "(to_json({0}::text)::text)::agtype"


def _pair(source: str, target: str) -> Pair:
    """Edges have no direction here."""
    return (source, target) if source <= target else (target, source)


@dataclass
class PGGraphStorage(postgres_impl.PGGraphStorage):
    """See the module."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._nodes: dict[str, dict[str, Any]] = {}
        self._edges: dict[Pair, tuple[str, str, dict[str, Any]]] = {}
        self._writing = asyncio.Lock()
        self._node_reads: Coalescer[str] = Coalescer(super().get_nodes_batch)
        self._edge_reads: Coalescer[Pair] = Coalescer(self._read_edges)

    # -- reading -----------------------------------------------------------

    async def get_node(self, node_id: str) -> dict[str, str] | None:
        if node_id in self._nodes:
            return dict(self._nodes[node_id])
        return await self._node_reads.get(node_id)

    async def has_node(self, node_id: str) -> bool:
        return await self.get_node(node_id) is not None

    async def get_edge(self, source_node_id: str, target_node_id: str) -> dict[str, str] | None:
        pair = _pair(source_node_id, target_node_id)
        if pair in self._edges:
            return dict(self._edges[pair][2])
        return await self._edge_reads.get(pair)

    async def has_edge(self, source_node_id: str, target_node_id: str) -> bool:
        return await self.get_edge(source_node_id, target_node_id) is not None

    async def _read_edges(self, pairs: list[Pair]) -> dict[Pair, dict[str, Any]]:
        graph = self.graph_name
        rows = await self._query(
            f"""
            WITH pair AS (
                SELECT i.src, i.tgt, s.id AS sid, t.id AS tid
                FROM unnest($1::text[], $2::text[]) AS i(src, tgt)
                JOIN "{graph}".base s ON {_ID.format("s")} = {_AGTYPE.format("i.src")}
                JOIN "{graph}".base t ON {_ID.format("t")} = {_AGTYPE.format("i.tgt")}
            )
            SELECT p.src, p.tgt, e.properties FROM pair p
            JOIN "{graph}"."DIRECTED" e ON e.start_id = p.sid AND e.end_id = p.tid
            UNION ALL
            SELECT p.src, p.tgt, e.properties FROM pair p
            JOIN "{graph}"."DIRECTED" e ON e.start_id = p.tid AND e.end_id = p.sid
            """,
            params={"sources": [p[0] for p in pairs], "targets": [p[1] for p in pairs]},
        )
        found: dict[Pair, dict[str, Any]] = {}
        for row in rows:
            properties = row["properties"]
            if isinstance(properties, str):
                properties = json.loads(properties)
            found[row["src"], row["tgt"]] = properties
        return found

    async def get_edges_batch(self, pairs: list[dict[str, str]], batch_size: int = 500) -> dict[Pair, dict]:
        wanted = list(dict.fromkeys((pair["src"], pair["tgt"]) for pair in pairs))
        if not wanted:
            return {}
        await self.flush()
        return await self._read_edges(wanted)

    async def node_degrees_batch(self, node_ids: list[str], batch_size: int = 500) -> dict[str, int]:
        degrees = dict.fromkeys(node_ids, 0)
        for node_id, _, _ in await self._neighbours(list(degrees)):
            degrees[node_id] += 1
        return degrees

    async def get_nodes_edges_batch(
        self, node_ids: list[str], batch_size: int = 500
    ) -> dict[str, list[Pair]]:
        edges: dict[str, list[Pair]] = {node_id: [] for node_id in node_ids}
        for node_id, source, target in await self._neighbours(list(edges)):
            edges[node_id].append((source, target))
        return edges

    async def _neighbours(self, node_ids: list[str]) -> list[tuple[str, str, str]]:
        """Every edge of the nodes: the node, the edge's source and target."""
        if not node_ids:
            return []
        await self.flush()
        graph = self.graph_name
        # The ids come back as JSON text, which is what AGE's type prints.
        rows = await self.db.query(
            f"""
            WITH node AS (
                SELECT i.id AS name, b.id AS vid FROM unnest($1::text[]) AS i(id)
                JOIN "{graph}".base b ON {_ID.format("b")} = {_AGTYPE.format("i.id")}
            ), edge AS (
                SELECT n.name, e.end_id AS other, true AS leaves
                FROM node n JOIN "{graph}"."DIRECTED" e ON e.start_id = n.vid
                UNION ALL
                SELECT n.name, e.start_id, false
                FROM node n JOIN "{graph}"."DIRECTED" e ON e.end_id = n.vid
            )
            SELECT e.name, {_ID.format("o")}::text AS other, e.leaves
            FROM edge e JOIN "{graph}".base o ON o.id = e.other
            """,
            [node_ids],
            multirows=True,
            with_age=True,
            graph_name=graph,
        )
        found = []
        for row in rows:
            name, other = row["name"], row["other"]
            if other.startswith('"'):
                other = json.loads(other)
            found.append((name, name, other) if row["leaves"] else (name, other, name))
        return found

    # -- writing -----------------------------------------------------------

    async def upsert_node(self, node_id: str, node_data: dict[str, str]) -> None:
        if "entity_id" not in node_data:
            raise ValueError("a node's properties must hold its entity_id")
        self._nodes[node_id] = {**node_data, "entity_id": node_id}

    async def upsert_edge(self, source_node_id: str, target_node_id: str, edge_data: dict[str, str]) -> None:
        pair = _pair(source_node_id, target_node_id)
        self._edges[pair] = (source_node_id, target_node_id, dict(edge_data))

    async def index_done_callback(self) -> None:
        await self.flush()

    async def flush(self) -> None:
        """Write what waits: nodes and edges in one transaction."""
        async with self._writing:
            nodes, edges = dict(self._nodes), dict(self._edges)
            if not nodes and not edges:
                return

            async def write(connection: Any) -> None:
                async with connection.transaction():
                    await connection.execute(postgres_impl._GRAPH_ADVISORY_LOCK_SQL, self.graph_name)
                    if nodes:
                        await self._write_nodes(connection, nodes)
                    if edges:
                        await self._write_edges(connection, list(edges.values()))

            await self.db._run_with_retry(write, with_age=True, graph_name=self.graph_name)
            # What was changed meanwhile still waits.
            for node_id, node in nodes.items():
                if self._nodes.get(node_id) is node:
                    del self._nodes[node_id]
            for pair, edge in edges.items():
                if self._edges.get(pair) is edge:
                    del self._edges[pair]

    async def _write_nodes(self, connection: Any, nodes: dict[str, dict[str, Any]]) -> None:
        ids = list(nodes)
        properties = [_literal(nodes[node_id]) for node_id in ids]
        graph = self.graph_name
        # As Cypher's `SET n += …`: what is not named stays.
        await connection.execute(
            f"""
            WITH input AS (
                SELECT {_AGTYPE.format("id")} AS id, properties::agtype AS properties
                FROM unnest($1::text[], $2::text[]) AS i(id, properties)
            ), updated AS (
                UPDATE "{graph}".base b SET properties = b.properties || i.properties
                FROM input i WHERE {_ID.format("b")} = i.id
                RETURNING i.id
            )
            INSERT INTO "{graph}".base (properties)
            SELECT i.properties FROM input i
            WHERE NOT EXISTS (SELECT FROM updated u WHERE u.id = i.id)
            """,
            ids,
            properties,
        )

    async def _write_edges(self, connection: Any, edges: list[tuple[str, str, dict[str, Any]]]) -> None:
        sources = [source for source, _, _ in edges]
        targets = [target for _, target, _ in edges]
        graph = self.graph_name
        ends = f"""
            SELECT s.id AS sid, t.id AS tid, i.number
            FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS i(src, tgt, number)
            JOIN "{graph}".base s ON {_ID.format("s")} = {_AGTYPE.format("i.src")}
            JOIN "{graph}".base t ON {_ID.format("t")} = {_AGTYPE.format("i.tgt")}
        """
        await connection.execute(
            f"""
            WITH pair AS ({ends}),
            either AS (SELECT sid, tid FROM pair UNION SELECT tid, sid FROM pair)
            DELETE FROM "{graph}"."DIRECTED" e USING either p
            WHERE e.start_id = p.sid AND e.end_id = p.tid
            """,
            sources,
            targets,
        )
        written = await connection.fetch(
            f"""
            INSERT INTO "{graph}"."DIRECTED" (start_id, end_id, properties)
            SELECT p.sid, p.tid, ($3::text[])[p.number]::agtype FROM ({ends}) p
            RETURNING 1
            """,
            sources,
            targets,
            [_literal(properties) for _, _, properties in edges],
        )
        if len(written) < len(edges):
            # An edge without its nodes would be lost without a word.
            raise await self._build_edge_write_lost_error(connection, sources[0], targets[0])

    # -- everything else sees what was written -------------------------------

    async def get_nodes_batch(self, node_ids: list[str], batch_size: int = 1000) -> dict[str, dict]:
        await self.flush()
        return await super().get_nodes_batch(node_ids, batch_size)

    async def get_node_edges(self, source_node_id: str) -> list[Pair] | None:
        await self.flush()
        return await super().get_node_edges(source_node_id)

    async def upsert_nodes_batch(self, nodes: list[tuple[str, dict[str, str]]]) -> None:
        for node_id, node_data in nodes:
            await self.upsert_node(node_id, node_data)
        await self.flush()

    async def upsert_edges_batch(self, edges: list[tuple[str, str, dict[str, str]]]) -> None:
        for source, target, edge_data in edges:
            await self.upsert_edge(source, target, edge_data)
        await self.flush()

    async def delete_node(self, node_id: str) -> None:
        await self.flush()
        await super().delete_node(node_id)

    async def remove_nodes(self, node_ids: list[str]) -> None:
        await self.flush()
        await super().remove_nodes(node_ids)

    async def remove_edges(self, edges: list[Pair]) -> None:
        await self.flush()
        await super().remove_edges(edges)

    async def drop(self) -> dict[str, str]:
        async with self._writing:
            self._nodes.clear()
            self._edges.clear()
            return await super().drop()


def _literal(properties: dict[str, Any]) -> str:
    """Properties as AGE reads them. A zero byte is no text for PostgreSQL."""
    return json.dumps(properties, ensure_ascii=False).replace("\\u0000", "")
