"""The package declares what it imports. Who may import whom is checked by `make lint`."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tocsin"


def imports() -> dict[str, set[str]]:
    """Path in the package -> full names of the modules it imports, wherever in the file."""
    found: dict[str, set[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        names = found[path.relative_to(SOURCE).as_posix()] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                for alias in node.names:  # `from tocsin import log` names the module tocsin.log
                    deep = is_module(module, alias.name)
                    names.add(f"{module}.{alias.name}" if deep else module)
    return found


def is_module(package: str, name: str) -> bool:
    base = SOURCE.parent.joinpath(*package.split("."), name)
    return base.is_dir() or base.with_suffix(".py").exists()


def test_what_is_imported_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["embedded"]
    declared = {re.split(r"[^\w.-]", entry)[0].lower().replace("_", "-") for entry in asked}
    owners = packages_distributions()
    missing = set()
    for names in imports().values():
        for top in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names):
            packages = {p.lower().replace("_", "-") for p in owners.get(top, [top])}
            missing |= set() if packages & (declared | {"tocsin"}) else {top}
    assert not missing
