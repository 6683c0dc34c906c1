"""Writes docs/benchmarks.md from the figures of tests/bench/{compare,engine,many}: three files of JSON."""

import json
import sys

compare, engine, many = (json.load(open(path)) for path in sys.argv[1:4])


def ms(seconds):
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def mib(size):
    return f"{size / 2**20:.1f} MiB"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


print(f"""# Benchmarks

`make bench` measures all of this side by side in one run and writes this page. Here: {compare["system"]},
Podman {compare["podman"]}, {compare["processors"]} processors, medians. Look at the ratios (below 1: ragpod takes less): the figures
themselves are the machine's.
""")
print(table(
    ["what", "ragpod", "beside it", "", "ratio"],
    [
        [r["what"], ms(r["ragpod"]), r["other"] if r["what"] == "a question" else f"`{r['other']}`",
         ms(r["theirs"]), f"{r['ragpod'] / r['theirs']:.2f}"]
        for r in compare["rows"]
    ],
))
notes = [r for r in compare["rows"] if r["note"]]
print("\n" + "\n".join(f"- {r['what'].capitalize() if r['what'][0].isalpha() else r['what']}, "
                       f"{r['other']}: {r['note']}." for r in notes))
for what in compare["left_out"]:
    print(f"- Not measured in this run: {what}.")
print("\n## The program\n")
print(table(["", "size"], [[f"`{name}`", mib(size)] for name, size in compare["size"].items()]))
print()
print(table(["", "memory at most"], [[f"`{name}`", mib(size)] for name, size in compare["memory"].items()]))
print(f"""
## The resident engine

A stub answers in the model's place, so what is measured is ragpod, Podman and the engine.
""")
print(table(["what", "median", "worst"], [
    ["`podman exec … true`", f"{engine['podman_exec_true_ms']} ms", ""],
    ["the engine's own time for a question, over its socket", f"{engine['engine_query_ms']} ms", ""],
    ["`ragpod query`", f"{engine['ragpod_query_ms']} ms", ""],
    *[[f"{count} at once", f"{of['median_ms']} ms", f"{of['worst_ms']} ms"] for count, of in engine["at_once"].items()],
    [f"while {engine['while_ingesting']['documents']} documents are ingested",
     f"{engine['while_ingesting']['median_ms']} ms", f"{engine['while_ingesting']['worst_ms']} ms"],
]))
print(f"""
`ragpod query` takes {engine["ratio"]} of the sum of the first two (target: at most 1.3); the engine holds
{engine["memory_mib"]} MiB (target: at most 350).

## Many instances

One machine, most of the instances at rest (`idle_stop`).
""")
counts = many["counts"]
keys = [key for key in counts[0] if key != "instances"]
print(table(["", *[f"{c['instances']}" for c in counts]],
            [[key.removesuffix(" s").removesuffix(","), *[ms(c[key]) for c in counts]] for key in keys]))
print()
print(table(["", ""], [[key.removesuffix(" s").removesuffix(","), ms(value)] for key, value in many["waking"].items()]))
if many.get("running"):
    running = many["running"]
    print(f"\n{running.pop('instances')} running at the same time; for more, the kernel's quota of keys must be raised\n"
          "([operations.md](operations.md#many-instances)):\n")
    print(table(["", ""], [[key.removesuffix(" s").removesuffix(","), ms(value) if key.endswith(", s") else value]
                           for key, value in running.items()]))
if many.get("memory"):
    print()
    print(table(["memory", ""], [[key, value] for key, value in many["memory"].items()]))
