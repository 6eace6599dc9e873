"""CDEvents (https://cdevents.dev, 0.4 to 0.6): which of them change a running service, and how.

`service.*`, `deployment.*`, `environment.*`, and custom events (`dev.cdeventsx.*`) about a flag,
prompt, configuration or route. The version at the end of a type is not looked at. Source: the
specification's `continuous-deployment.md`, `custom/README.md` and conformance examples.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from tocsin.flow.decode.instant import UNREADABLE, instant_ns
from tocsin.flow.decode.limits import RefusedError
from tocsin.types import EVERY, NANO, Change, ChangeKind, Reason

_MS: Final = NANO // 1_000
_CDEVENT: Final = re.compile(r"dev\.cdevents\.([a-z]+)\.([a-z]+)(?:\..*)?")
_CUSTOM: Final = re.compile(r"dev\.cdeventsx\.[^.-]*-?([^.]*)\.([^.]+)(?:\..*)?")
#: `pkg:oci/shop@sha256%3A0b31...?tag=1.4.2`: type and namespace, name, version (a package URL).
_PURL: Final = re.compile(r"pkg:(?:[^@?#]*/)?([^/@?#]+)(?:@([^?#]*))?")
#: CDEvents by subject and predicate. What is about no service (an artifact, a build) is absent.
_KINDS: Final[Mapping[tuple[str, str], ChangeKind]] = {
    ("service", "deployed"): ChangeKind.DEPLOY,
    ("service", "upgraded"): ChangeKind.DEPLOY,
    ("service", "removed"): ChangeKind.DEPLOY,
    ("service", "rolledback"): ChangeKind.ROLLBACK,
    ("service", "published"): ChangeKind.ROUTING,
    ("deployment", "started"): ChangeKind.DEPLOY,
    ("deployment", "finished"): ChangeKind.DEPLOY,
    ("environment", "created"): ChangeKind.CONFIG,
    ("environment", "modified"): ChangeKind.CONFIG,
    ("environment", "deleted"): ChangeKind.CONFIG,
}
#: Custom events by a word in their subject: `dev.cdeventsx.flagd-featureflag.modified.0.1.0`.
_WORDS: Final[Mapping[str, ChangeKind]] = {
    "flag": ChangeKind.FLAG,
    "prompt": ChangeKind.PROMPT,
    "rout": ChangeKind.ROUTING,
    "config": ChangeKind.CONFIG,
    "rollback": ChangeKind.ROLLBACK,
    "deploy": ChangeKind.DEPLOY,
    "release": ChangeKind.DEPLOY,
}


@dataclass(frozen=True, slots=True)
class Around:
    """What the CloudEvent or record around a change says, for what the change itself does not."""

    at: str | int  # an Instant
    source: str = ""
    type: str = ""


def read(context: Mapping[str, Any], subject: Mapping[str, Any], around: Around) -> Change | None:
    """`context` says what happened and when, `subject` to what; `content` is of the subject."""
    full = text_of(context.get("type")) or around.type
    found = _kind_of(full)
    if found is None:
        if is_foreign(full):
            return None
        raise RefusedError(Reason.UNKNOWN_FORMAT, "context.type")
    kind, what, predicate = found
    content = subject.get("content")
    content = content if isinstance(content, dict) else {}
    name = text_of(subject.get("id"))
    if not name:
        raise RefusedError(Reason.MISSING_FIELD, "subject.id")
    env, service = _text_or_id(content.get("environment")), _text_or_id(content.get("service"))
    artifact, version = _package(text_of(content.get("artifactId")))
    match what:
        case "service":
            name = service = _last(name)
        case "deployment":  # its id names the deployment; what was deployed is the artifact
            name = service = service or artifact or _last(name)
        case "environment":
            env, service = name, EVERY
    value = version or text_of(content.get("version")) or text_of(content.get("variant"))
    return Change(
        at_ms=epoch_ms(context.get("timestamp") or around.at, "context.timestamp"),
        kind=kind.value,
        env=env or "default",
        service=_last(service) or EVERY,
        name=name,
        value=value or (predicate if what == "environment" or predicate == "removed" else ""),
        source=text_of(context.get("source")) or around.source,
    )


def _kind_of(full: str) -> tuple[ChangeKind, str, str] | None:
    """The kind of change, subject and predicate of a CDEvents type; None if it is no change."""
    if plain := _CDEVENT.fullmatch(full):
        kind = _KINDS.get((plain[1], plain[2]))
        return None if kind is None else (kind, plain[1], plain[2])
    if custom := _CUSTOM.fullmatch(full):
        word = custom[1].lower()
        for part, kind in _WORDS.items():
            if part in word:
                return kind, "custom", custom[2]
    return None


def is_foreign(kind: str) -> bool:
    """A CDEvent that is no change: builds and tests come on the same topics."""
    return kind.startswith(("dev.cdevents.", "dev.cdeventsx.")) and _kind_of(kind) is None


def epoch_ms(at: Any, field: str) -> int:
    """Epoch ms of an Instant. Raises RefusedError."""
    if isinstance(at, bool) or not isinstance(at, int | str):
        raise RefusedError(Reason.WRONG_TYPE, field)
    ns = instant_ns(at)
    if ns == UNREADABLE:
        raise RefusedError(Reason.BAD_VALUE, field)
    return ns // _MS


def _package(url: str) -> tuple[str, str]:
    """Name and version of a package URL; the tag of an image is taken before its digest."""
    found = _PURL.match(url)
    if not found:
        return "", ""
    tag = re.search(r"[?&]tag=([^&#]+)", url)
    return unquote(found[1]), unquote(tag[1] if tag else found[2] or "")


def text_of(value: Any) -> str:
    """A name; numbers are written out, anything else is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def _text_or_id(value: Any) -> str:
    """CDEvents refer to things by an object with an id; custom ones also by name alone."""
    return text_of(value.get("id")) if isinstance(value, dict) else text_of(value)


def _last(name: str) -> str:
    """CDEvents suggests ids such as `service/shop` or `daemonset/shop`."""
    return name.rpartition("/")[2] or name
