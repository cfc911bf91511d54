"""How often the audit finds a planted leak of known size, and how often it calls clean what is clean."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..leakage import audit
from .results import results_document, write_json

__all__ = ["KINDS", "flip_rate", "plant"]

KINDS = ("linear", "xor", "radial", "one class", "3 of 512", "clean", "clean, with y")


def flip_rate(nats: float) -> float:
    """How often a fair bit has to be flipped for the flipped one to tell ``nats`` about it: ln 2 - H(rate) = nats."""
    low, high = 0.0, 0.5
    for _ in range(80):
        rate = (low + high) / 2
        entropy = -sum(p * math.log(p) for p in (rate, 1 - rate) if p > 0)
        low, high = (rate, high) if math.log(2) - entropy > nats else (low, rate)
    return (low + high) / 2


def plant(
    kind: str, nats: float, n: int, dim: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64] | None]:
    """Normal z, a fair bit c, and for some kinds a label y. I(Z;C) is ``nats``; for "one class" I(Z;C|Y=1) is."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 512 if kind == "3 of 512" else dim), dtype=np.float32)
    y = rng.integers(0, 2, n) if kind in ("one class", "clean, with y") else None
    if kind == "xor":
        bit = z[:, 0] * z[:, 1] > 0
    elif kind == "radial":
        length = (z**2).sum(axis=1)
        bit = length > np.median(length)
    elif kind == "3 of 512":
        bit = z[:, [7, 150, 400]].sum(axis=1) > 0
    else:
        bit = z[:, 0] > 0
    rate = 0.5 if kind.startswith("clean") else flip_rate(nats)
    flipped = rng.random(n) < (rate if y is None or kind != "one class" else np.where(y == 1, rate, 0.5))
    return z, (bit ^ flipped).astype(np.int64), y


def _cases() -> Iterator[tuple[str, float, int, int]]:
    for kind in KINDS:
        yield kind, 0.0 if kind.startswith("clean") else 0.05, 10_000, 16
    yield "xor", 0.05, 10_000, 128
    yield "linear", 0.2, 10_000, 16
    yield "linear", 0.01, 10_000, 16
    yield "clean", 0.0, 1_000, 16
    yield "clean, with y", 0.0, 1_000, 16


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("results/audit.json"))
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in range(arguments.draws):
        for kind, nats, n, dim in _cases():
            started = time.perf_counter()
            z, c, y = plant(kind, nats, n, dim, seed)
            result = audit(z, c, y, random_state=seed)
            rows.append(
                {
                    "kind": kind, "nats": nats, "n": n, "dim": z.shape[1], "seed": seed, "leaks": result.leaks,
                    "leakage": result.leakage, "low": result.interval[0], "high": result.interval[1],
                    "p_value": result.p_value, "probe": result.worst.probe, "condition": result.worst.condition,
                    "seconds": time.perf_counter() - started,
                }
            )  # fmt: skip
        summary = []
        for kind, nats, n, dim in _cases():
            dim = 512 if kind == "3 of 512" else dim
            mine = [r for r in rows if (r["kind"], r["nats"], r["n"], r["dim"]) == (kind, nats, n, dim)]
            summary.append(
                {
                    "kind": kind, "nats": nats, "n": n, "dim": dim, "draws": len(mine),
                    "called_leaking": float(np.mean([r["leaks"] for r in mine])),
                    "leakage": float(np.mean([r["leakage"] for r in mine])),
                    "leakage_std": float(np.std([r["leakage"] for r in mine])),
                    "seconds": float(np.mean([r["seconds"] for r in mine])),
                }
            )  # fmt: skip
        command = f"python -m midebias.benchmarks.planted_leaks --draws {seed + 1}"
        write_json(arguments.output, results_document(command, list(range(seed + 1)), rows, summary=summary))


if __name__ == "__main__":
    _main()
