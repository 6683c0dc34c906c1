"""Memory of what runs, in proportion (PSS): of each bench-many instance, and of what all share.
`--json`: as an object of texts."""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

total, names = defaultdict(int), defaultdict(lambda: defaultdict(int))
for proc in Path("/proc").glob("[0-9]*"):
    try:
        group = (proc / "cgroup").read_text()
        pss = int(re.search(r"^Pss:\s+(\d+)", (proc / "smaps_rollup").read_text(), re.M)[1])
        name = (proc / "comm").read_text().strip()
    except (OSError, TypeError):
        continue
    found = re.search(r"hybridrag-(bench-many-\d+)-", group)
    shared = name in ("aardvark-dns", "pasta", "pasta.avx2") or name == "catatonit" and not found
    who = found[1] if found else "shared by all" if shared else None
    if who:
        total[who] += pss
        names[who][name] += pss
found = {}
for who, kib in sorted(total.items()):
    parts = ", ".join(f"{n} {k / 1024:.1f}" for n, k in sorted(names[who].items(), key=lambda p: -p[1]))
    found[who] = f"{kib / 1024:.0f} MiB ({parts})"
if sys.argv[1:] == ["--json"]:
    print(json.dumps(found))
else:
    for who, text in found.items():
        print(f"memory of {who}: {text}")
