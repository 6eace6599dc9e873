"""The locked versions: they are what pyproject.toml allows, and come from nowhere in particular."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
TOOLS = [
    line for line in (FOLDER / "tools.in").read_text().splitlines() if not line.startswith("#")
]
#: What each file must satisfy.
RANGES: dict[str, list[str]] = {
    "run.txt": PROJECT["dependencies"],
    "embedded.txt": [*PROJECT["dependencies"], *EXTRAS["embedded"]],
    "dev.txt": [*PROJECT["dependencies"], *EXTRAS["embedded"], *EXTRAS["dev"]],
    "tools.txt": TOOLS,
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def entries(name: str) -> list[str]:
    """Each locked package with all of its lines joined, comments left out."""
    text = re.sub(r"\s*#.*", "", (FOLDER / name).read_text()).replace("\\\n", " ")
    return [entry for entry in text.splitlines() if entry.strip()]


def locked(name: str, python: str) -> dict[str, str]:
    """Package -> version, on Linux with this Python."""
    place = {
        "python_version": python, "python_full_version": f"{python}.0",
        "sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64",
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
        "os_name": "posix",
    }  # fmt: skip
    found: dict[str, str] = {}
    for entry in entries(name):
        requirement = Requirement(entry.split(" --hash")[0])
        if requirement.marker is None or requirement.marker.evaluate(dict(place)):
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            assert canonicalize_name(requirement.name) not in found, "one version a Python"
            found[canonicalize_name(requirement.name)] = pin.version
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", RANGES)
def test_every_file_satisfies_pyproject(name: str, python: str) -> None:
    versions = locked(name, python)
    for text in RANGES[name]:
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({"python_version": python}):
            version = versions.get(canonicalize_name(wanted.name))
            assert version is not None, f"{wanted.name} is not locked in {name}; run `make lock`"
            assert wanted.specifier.contains(version, prereleases=True), (
                f"{name} has {wanted.name} {version}, wanted {wanted.specifier}; run `make lock`"
            )


@pytest.mark.parametrize("name", ["run.txt", "embedded.txt", "tools.txt"])
def test_all_files_agree_on_a_version(name: str) -> None:
    for python in PYTHONS:
        mine, all_of_them = locked(name, python), locked("dev.txt", python)
        differ = {k for k in mine.keys() & all_of_them.keys() if mine[k] != all_of_them[k]}
        assert differ == set()


@pytest.mark.parametrize("name", RANGES)
def test_every_package_has_hashes(name: str) -> None:
    assert [e for e in entries(name) if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", e)] == []


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_no_file_names_a_place(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b",
                         text, re.MULTILINE)  # fmt: skip
    assert not re.search(r"\b[a-z0-9-]+\.(com|org|net|io|dev|internal|local)\b", text)


# ---- pip's settings for uv -------------------------------------------------------------


def exported(tmp_path: Path, **environ: str) -> dict[str, str]:
    """What a shell has after the script's lines, with a pip that knows nothing else."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null",
               **environ}  # fmt: skip
    script = ROOT / ".ci" / "pip_for_uv.py"
    said = subprocess.run(
        ["/bin/sh", "-c", f'eval "$("{sys.executable}" "{script}")" && env'],
        env=environ, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    after = dict(line.split("=", 1) for line in said.splitlines())
    names = {name for name in after if name.startswith("UV_")} | {"SSL_CERT_FILE", "ALL_PROXY"}
    return {name: after[name] for name in names & after.keys()}


def test_without_settings_of_pip_uv_gets_none(tmp_path: Path) -> None:
    assert exported(tmp_path) == {}


def test_uv_gets_the_index_the_certificate_and_the_rest(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    assert exported(
        tmp_path,
        PIP_INDEX_URL="https://me:it's@one.test/simple", PIP_EXTRA_INDEX_URL="https://two.test/s",
        PIP_TRUSTED_HOST="one.test two.test", PIP_CERT="/ca.pem", PIP_PROXY="http://proxy.test:3",
        PIP_FIND_LINKS=f"{wheels} /nowhere", PIP_DEFAULT_TIMEOUT="180",
    ) == {
        "UV_DEFAULT_INDEX": "https://me:it's@one.test/simple", "UV_INDEX": "https://two.test/s",
        "UV_INDEX_STRATEGY": "unsafe-best-match", "UV_INSECURE_HOST": "one.test two.test",
        "SSL_CERT_FILE": "/ca.pem", "ALL_PROXY": "http://proxy.test:3",
        "UV_FIND_LINKS": str(wheels), "UV_HTTP_TIMEOUT": "180",
    }  # fmt: skip


def test_a_file_of_pip_is_read_and_its_variables_win(tmp_path: Path) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(
        "[global]\nindex-url = https://global.test/\ncert = /a.pem\n"
        "[install]\nindex-url = https://install.test/\nno-index = true\n"
    )
    said = exported(tmp_path, PIP_CONFIG_FILE=str(settings), PIP_CERT="/b.pem")
    assert said == {
        "UV_DEFAULT_INDEX": "https://install.test/", "SSL_CERT_FILE": "/b.pem", "UV_NO_INDEX": "1",
    }  # fmt: skip


def test_what_is_set_for_uv_already_is_kept(tmp_path: Path) -> None:
    said = exported(tmp_path, PIP_INDEX_URL="https://pip.test/", UV_DEFAULT_INDEX="https://uv.test")
    assert said == {"UV_DEFAULT_INDEX": "https://uv.test"}
