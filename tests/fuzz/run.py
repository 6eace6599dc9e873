"""`make fuzz`: decode against inputs that grow by the coverage they bring (Atheris, libFuzzer).

    python tests/fuzz/run.py [seconds]

Findings do not stop it: one input of each cause is kept in .cache/fuzz/findings. Once mended,
move it to tests/fuzz/regressions, where `make test` replays it. The corpus stays in
.cache/fuzz/corpus and the next run goes on from it.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import traceback
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
CACHE = ROOT / ".cache" / "fuzz"
CORPUS, FINDINGS = CACHE / "corpus", CACHE / "findings"
_LONGEST, _STUCK_S, _MEMORY_MB = 65_536, 30, 4_096
_PULSE = re.compile(r"^#\d+\s+(INITED|pulse|DONE)|ERROR|SUMMARY")


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    for folder in (CORPUS, FINDINGS):
        folder.mkdir(parents=True, exist_ok=True)
    from fuzz.seeds import regressions, seeds

    for data in [*seeds(), *(path.read_bytes() for path in regressions())]:
        (CORPUS / sha256(data).hexdigest()[:40]).write_bytes(data)
    before = {path.name for path in FINDINGS.iterdir()}
    options = [
        f"-max_total_time={seconds}", f"-max_len={_LONGEST}", f"-timeout={_STUCK_S}",
        f"-rss_limit_mb={_MEMORY_MB}", "-print_final_stats=1", f"-artifact_prefix={FINDINGS}/",
    ]  # fmt: skip
    command = [sys.executable, __file__, "--worker", *options, str(CORPUS)]
    said: list[str] = []
    # One thread: frames are tiny, and what is measured is CPU time.
    env = os.environ | {"POLARS_MAX_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env) as worker:
        assert worker.stderr is not None
        for line in worker.stderr:
            said.append(line)
            if _PULSE.search(line):
                print(line.rstrip(), file=sys.stderr)
    fresh = sorted({path.name for path in FINDINGS.iterdir() if path.suffix != ".txt"} - before)
    _report(said, fresh)
    if worker.returncode and not fresh:
        print("".join(said[-40:]), file=sys.stderr)
    sys.exit(1 if fresh or worker.returncode else 0)


def _report(said: list[str], fresh: list[str]) -> None:
    text = "".join(said)
    runs = re.findall(r"number_of_executed_units: (\d+)", text) or re.findall(
        r"^#(\d+)", text, re.MULTILINE
    )
    covered = re.findall(r"cov: (\d+) ft: (\d+)", text)
    edges, features = covered[-1] if covered else ("0", "0")
    print(f"executions: {runs[-1] if runs else 0}")
    print(
        f"coverage: {edges} edges, {features} features, {len(list(CORPUS.iterdir()))} inputs kept"
    )
    print(f"findings: {len(fresh)}{''.join(f'{os.linesep}  {FINDINGS / name}' for name in fresh)}")


def worker() -> None:
    import atheris

    with atheris.instrument_imports(include=["tocsin.flow.decode"]):
        import tocsin.flow.decode
        import tocsin.flow.decode.changes  # noqa: F401 - imported here to be instrumented
    from fuzz.laws import check, signature
    from fuzz.mutate import mutate

    def one(data: bytes) -> None:
        try:
            check(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            path = FINDINGS / f"{signature(error)}.bin"
            if not path.exists():
                path.write_bytes(data)
                path.with_suffix(".txt").write_text(traceback.format_exc(), encoding="utf-8")

    def shaped(data: bytes, size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        changed = mutate(data, rng) if rng.random() < 0.7 else None
        if changed is None or len(changed) > size:
            return bytes(atheris.Mutate(data, size))
        return changed

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one, custom_mutator=shaped)
    atheris.Fuzz()


if __name__ == "__main__":
    worker() if "--worker" in sys.argv else main()
