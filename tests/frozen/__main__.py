"""``python -m tests.frozen --write`` writes the table, ``--check`` names every number that differs from it at all."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from .compute import FROZEN, compute
from .table import TABLE, describe_machine, read_table, write_table


def write(path: Path) -> None:
    started = time.perf_counter()
    write_table(path, {name: compute(name) for name in FROZEN})
    say(f"{len(FROZEN)} names written in {time.perf_counter() - started:.1f} s")


def check(path: Path) -> bool:
    """Recompute, and say in full digits what differs."""
    table, started = read_table(path), time.perf_counter()
    for key, now in describe_machine().items():
        if table[key] != now:
            say(f"note: the table was written with {key} {table[key]!r}, this is {now!r}: last digits may differ")
    values, different = table["values"], 0
    for name in sorted({*FROZEN, *values}):
        if name not in FROZEN or name not in values:
            say(f"{name}: {'not computed any more' if name in values else 'not in the table'}")
            different += 1
            continue
        found, expected = compute(name), values[name]
        if len(found) != len(expected):
            say(f"{name}: {len(found)} numbers, the table has {len(expected)}")
            different += 1
            continue
        for place, (a, b) in enumerate(zip(found, expected, strict=True)):
            if a != b and not (a != a and b != b):
                say(f"{name}[{place}]: {a!r}, frozen {b!r}, difference {a - b:.3g}")
                different += 1
    say(f"{different} differ, of {len(FROZEN)} names, in {time.perf_counter() - started:.1f} s")
    return different == 0


def show_seconds() -> None:
    """What each of them takes."""
    for name in FROZEN:
        started = time.perf_counter()
        compute(name)
        say(f"{time.perf_counter() - started:6.2f} s  {name}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.frozen", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true")
    what.add_argument("--check", action="store_true")
    what.add_argument("--seconds", action="store_true")
    parser.add_argument("--file", type=Path, default=TABLE, help="default: the committed table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.check:
        return 0 if check(options.file) else 1
    if options.write:
        write(options.file)
    else:
        show_seconds()
    return 0


if __name__ == "__main__":
    sys.exit(main())
