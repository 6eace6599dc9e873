"""`tocsin schemas`: the published contracts as JSON Schemas, written from the models.

A contract is stated once, as a pydantic model; the files under `schemas/` are for other
languages and editors. `check` gives the files that differ from the models.
`asyncapi.yaml` beside them is written by hand.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.decode.changes import ChangeV1
from tocsin.flow.decode.span_v1 import SpanV1
from tocsin.flow.rules.spec import RuleSpec

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
#: Where the files live in a source tree; `tocsin schemas` takes another folder as argument.
FOLDER: Final = Path("schemas")


def documents() -> Mapping[str, str]:
    """File name -> text of every published contract, in a fixed order of keys."""
    # What others write is described as we read it; what we write, as we write it.
    rule = RuleSpec.model_json_schema()
    # A rule's id is the stem of its file, never a key in it.
    rule["properties"].pop("id", None)
    rule["required"] = [key for key in rule["required"] if key != "id"]
    rule["title"] = "Tocsin rule, v1"
    contracts = {
        "span.v1.json": SpanV1.model_json_schema(),
        "change.v1.json": ChangeV1.model_json_schema(),
        "alert.v1.json": AlertEvent.model_json_schema(mode="serialization"),
        "rule.v1.json": rule,
    }
    return {
        name: json.dumps({"$schema": DIALECT, **schema}, indent=2, ensure_ascii=False) + "\n"
        for name, schema in contracts.items()
    }


def write(folder: Path = FOLDER) -> list[Path]:
    """Write all schemas; the paths that changed. Creates the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = [folder / name for name in check(folder)]
    for path in changed:
        path.write_text(documents()[path.name], encoding="utf-8")
    return changed


def check(folder: Path = FOLDER) -> list[str]:
    """The file names that are missing or stale."""
    return [
        name
        for name, text in documents().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]
