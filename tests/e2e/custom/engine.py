#!/opt/venv/bin/python
"""An engine of somebody's own: it keeps what it is told in PostgreSQL, word for word."""

import asyncio
import json
import os
import sys
from pathlib import Path

import asyncpg

STATE = Path("/var/lib/hybridrag/ready")


async def database():
    return await asyncpg.connect(
        host=os.environ["POSTGRES_HOST"],
        user=os.environ["POSTGRES_USER"],
        database=os.environ["POSTGRES_DB"],
        password=Path(os.environ["POSTGRES_PASSWORD_FILE"]).read_text().strip(),
    )


async def init(db):
    await db.execute("CREATE TABLE IF NOT EXISTS heard (id serial, words text)")
    await db.execute("CREATE TABLE IF NOT EXISTS note (path text PRIMARY KEY, body text)")


async def ingest(db, path, pattern):
    if pattern == "slow":
        print("waiting", flush=True)
        print("told to", sys.stdin.readline().strip(), flush=True)
        return 0
    found = [Path(path)] if Path(path).is_file() else sorted(Path(path).glob(pattern))
    files = [f for f in found if f.is_file()]
    for file in files:
        await db.execute(
            "INSERT INTO note VALUES ($1, $2) ON CONFLICT (path) DO UPDATE SET body = $2",
            str(file), file.read_text())
    print(f"{len(files)} files by {pattern}", flush=True)
    if any("poison" in f.name for f in files):
        print("a file was poisoned", file=sys.stderr)
        return 7
    return 0


async def query(db, mode, text):
    await db.execute("INSERT INTO heard (words) VALUES ($1)", json.dumps(sys.argv))
    if text == "fail":
        print("no answer today", file=sys.stderr)
        return 9
    rows = await db.fetch("SELECT path, body FROM note WHERE body ILIKE '%' || $1 || '%'", text)
    print(f"{mode}: {text}")
    for row in rows:
        print(row["path"], row["body"].strip())
    return 0


async def status(db):
    print(await db.fetchval("SELECT count(*) FROM note"), "notes")
    return 5 if await db.fetchval("SELECT count(*) FROM note") > 2 else 0


async def main(verb, *args):
    db = await database()
    return await globals()[verb](db, *args)


if sys.argv[1] == "serve":
    import time

    STATE.write_text(" ".join(sys.argv[2:]))
    time.sleep(10**9)
elif sys.argv[1] == "interactive":
    for line in sys.stdin:
        print("you said", line, end="", flush=True)
    sys.exit(3)
else:
    sys.exit(asyncio.run(main(*sys.argv[1:])))
