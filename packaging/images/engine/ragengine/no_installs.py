"""Stands in for ``pipmaster``, which LightRAG imports to pip-install whatever
is missing while it runs. Everything is baked into the image; what is missing
there must fail, not be downloaded."""

from __future__ import annotations

import importlib.util
import sys
import types


def is_installed(name: str, *_args: object, **_options: object) -> bool:
    """Whether the module is there; LightRAG asks before it installs."""
    return importlib.util.find_spec(name.split("[")[0].replace("-", "_")) is not None


def install(name: object, *_args: object, **_options: object) -> bool:
    """Refuse, whatever the package."""
    raise ImportError(f"the engine installs nothing at run time: {name} is not in its image")


def activate() -> None:
    """Put the refusing module in pipmaster's place."""
    module = types.ModuleType("pipmaster", __doc__)
    functions = {"is_installed": is_installed}
    for name in ("install", "install_multiple", "install_version", "ensure_packages"):
        functions[name] = install
    module.__dict__.update(functions)
    sys.modules["pipmaster"] = module
