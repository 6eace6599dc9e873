"""What `make fuzz` looks for, on fixed inputs: its seeds, its findings, and some mutants."""

from __future__ import annotations

import random

from fuzz.laws import check, pack, unpack
from fuzz.mutate import mutate
from fuzz.seeds import regressions, seeds

SEEDS = list(seeds())
MUTANTS = 200


def test_no_seed_breaks_a_law() -> None:
    for data in SEEDS:
        check(data)


def test_what_was_found_once_is_mended() -> None:
    for path in regressions():
        print(path.name)
        check(path.read_bytes())


def test_no_mutant_of_a_seed_breaks_a_law() -> None:
    rng = random.Random(20_261_123)
    tried = 0
    while tried < MUTANTS:
        data = rng.choice(SEEDS)
        for _ in range(rng.choice((1, 1, 2, 4))):
            data = mutate(data, rng) or data
        check(data)
        tried += 1


def test_a_batch_is_packed_as_it_is_unpacked() -> None:
    records = unpack(pack(b"a", b"b\n", headers=1))
    assert [record.value for record in records] == [b"a", b"b\n"]
    assert records[0].headers == [("content-type", b"application/json")]
