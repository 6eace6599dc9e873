"""Who may import whom: types <- flow <- run <- cli, and each outside library in one folder only."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tocsin"
LEAVES = r"tocsin(\.(types|errors|settings|config|clock|log|metrics))?$"
BASES = r"tocsin\.(bus|store|sinks)\.base$"
GRADE = r"tocsin\.flow\.grade"
#: How a window's counters are held: what every room of grade may know.
SHAPES = rf"tocsin\.types$|tocsin\.flow\.(extract|fold)$|{GRADE}\.(frames|catalog|sketch)$"
#: Of ours, what a module (by path, first match counts) may import. The rest is free: cli, demo.
ALLOWED = {
    r"types/": r"tocsin\.types\b",
    r"(errors|settings|config|clock|log|metrics)\.py": LEAVES,
    # The rooms of grade, lowest first: what is remembered knows nothing of what is made of it.
    r"flow/grade/residual/": rf"tocsin\.types$|{GRADE}\.residual\b",
    r"flow/grade/(frames|catalog|sketch)\.py": SHAPES,
    r"flow/grade/evidence/": rf"{SHAPES}|{GRADE}\.evidence\b",
    r"flow/grade/past/": rf"{SHAPES}|{GRADE}\.past\b",
    r"flow/grade/books/": rf"{SHAPES}|{GRADE}\.(past|books|residual)\b",
    r"flow/grade/__init__\.py": rf"{SHAPES}|{GRADE}\.(past|books)\b",
    r"flow/grade/": rf"{SHAPES}|{GRADE}\b",
    r"flow/": r"tocsin\.(types|flow)\b",
    r"bus/": rf"{LEAVES}|tocsin\.bus\b",
    r"store/": rf"{LEAVES}|tocsin\.store\b",
    r"sinks/": rf"{LEAVES}|tocsin\.(sinks|flow)\b",
    r"run/(up|wire)\.py|run/replay/": r"tocsin\b(?!\.(cli|demo))",  # where the real ones are chosen
    r"run/": rf"{LEAVES}|{BASES}|tocsin\.(flow|run)\b",
}
#: Outside modules, and the only paths that may import them.
ONLY_IN = {
    r"(aiokafka|faust|mode)\b": r"bus/",
    r"redis\b": r"store/",
    r"slack_sdk\b": r"sinks/",
}
#: What would make flow depend on more than its arguments.
IMPURE = r"(asyncio|time|random|secrets|logging|socket|structlog|prometheus_client|os)\b"


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


def test_imports_flow_one_way() -> None:
    wrong = []
    for path, names in imports().items():
        rule = next((allowed for where, allowed in ALLOWED.items() if re.match(where, path)), "")
        ours = [name for name in names if name.split(".")[0] == "tocsin"]
        wrong += [f"{path} imports {name}" for name in ours if not re.match(rule, name)]
    assert not wrong


def test_an_outside_library_has_one_home() -> None:
    wrong = []
    for path, names in imports().items():
        for library, home in ONLY_IN.items():
            if not re.match(home, path):
                wrong += [f"{path} imports {n}" for n in names if re.match(library, n)]
    assert not wrong


def test_flow_depends_on_its_arguments_only() -> None:
    flow = {path: names for path, names in imports().items() if path.startswith("flow/")}
    assert flow
    wrong = [f"{path} imports {n}" for path, ns in flow.items() for n in ns if re.match(IMPURE, n)]
    assert not wrong


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
