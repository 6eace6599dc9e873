"""Print, as `export` lines for a shell, the settings by which uv does what pip is configured to do.

uv reads none of pip's files and variables. Where pip was given an index, wheels, a certificate
or a proxy, uv needs them under its own names. What is set for uv already is left alone.
"""

import ast
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def configured(lines: str) -> dict[str, str]:
    """Read `pip config list`; for one key `[install]` wins over `[global]`, PIP_* over both."""
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for line in lines.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(f"{section}."):
                settings[name.removeprefix(f"{section}.").lstrip(".")] = ast.literal_eval(value)
    return settings


def translated(pip: Mapping[str, str]) -> dict[str, str]:
    """Give uv's variables for pip's settings. Several values are split by spaces in both."""
    several = {name: value.split() for name, value in pip.items()}
    uv = {
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_INDEX": " ".join(several.get("extra-index-url", [])),
        "UV_FIND_LINKS": ",".join(
            place
            for place in several.get("find-links", [])
            if "://" in place or Path(place).exists()
        ),
        "UV_INSECURE_HOST": " ".join(several.get("trusted-host", [])),
        "UV_NO_INDEX": "1" if pip.get("no-index", "") in {"1", "true", "yes", "on"} else "",
        "UV_HTTP_TIMEOUT": pip.get("timeout", pip.get("default-timeout", "")),
        "SSL_CERT_FILE": pip.get("cert", ""),
        "ALL_PROXY": pip.get("proxy", ""),
    }
    if uv["UV_INDEX"]:  # pip takes the best of all indexes, uv the first that knows the name
        uv["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in uv.items() if value}


def main() -> None:
    asked = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    for name, value in translated(configured(said)).items():
        if name not in os.environ:
            print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
