"""How often the audit finds a planted leak of known size, and how often it calls clean what is clean."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midebias.leakage import audit

from .script import Script, format_table

__all__ = ["KINDS", "plant", "render_table", "solve_flip_rate", "solve_spread_ratio"]

KINDS = (
    "linear", "xor", "radial", "one class", "3 of 512", "sinusoidal", "sign pattern of 3", "rotated product",
    "variance", "continuous", "clean", "clean, with y",
)  # fmt: skip

_Case = tuple[str, float, int, int]


def _solve(nats: float, of: Callable[[float], float], low: float, high: float) -> float:
    """Where ``of``, which rises from ``low`` to ``high``, is ``nats``."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if of(middle) < nats else (low, middle)
    return (low + high) / 2


def solve_flip_rate(nats: float) -> float:
    """How often a fair bit has to be flipped for the flipped one to tell ``nats`` about it: ln 2 - H(rate) = nats."""

    def count_nats(kept: float) -> float:
        return math.log(2) + sum(p * math.log(p) for p in (kept, 1 - kept) if p > 0)

    return 1 - _solve(nats, count_nats, 0.5, 1.0)


def solve_spread_ratio(nats: float) -> float:
    """How many times wider a centred normal has to be under one value of a fair bit to tell ``nats`` about it."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()

    def count_nats(ratio: float) -> float:
        odds = [x**2 / 2 * (1 - 1 / ratio**2) - math.log(ratio) for x in (nodes, ratio * nodes)]  # of wide to narrow
        narrow = math.log(2) - weights @ np.logaddexp(0, odds[0])
        wide = math.log(2) - weights @ np.logaddexp(0, -odds[1])
        return float(narrow + wide) / 2

    return _solve(nats, count_nats, 1.0, 20.0)


def plant(
    kind: str, nats: float, n: int, dim: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.int64] | None]:
    """Normal z, a fair bit c (a number for "continuous"), and for some kinds a label y.

    I(Z;C) is ``nats``; for "one class" I(Z;C|Y=1) is, for "variance" I(Z;C) with the first column alone.
    """
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 512 if kind == "3 of 512" else dim), dtype=np.float32)
    y = rng.integers(0, 2, n) if kind in ("one class", "clean, with y") else None
    if kind == "continuous":
        share = 1 - math.exp(-2 * nats)
        return z, math.sqrt(share) * z[:, 0] + math.sqrt(1 - share) * rng.standard_normal(n), None
    if kind == "variance":
        c = rng.integers(0, 2, n)
        z[c == 1, 0] *= solve_spread_ratio(nats)
        return z, c, None
    if kind == "xor":
        bit = z[:, 0] * z[:, 1] > 0
    elif kind == "rotated product":
        turn = np.linalg.qr(rng.standard_normal((dim, 2)))[0].astype(np.float32)
        bit = (z @ turn).prod(axis=1) > 0
    elif kind == "sign pattern of 3":
        bit = z[:, [1, 4, 2]].prod(axis=1) > 0
    elif kind == "sinusoidal":
        bit = np.sin(4 * z[:, 0]) > 0
    elif kind == "radial":
        length = (z**2).sum(axis=1)
        bit = length > np.median(length)
    elif kind == "3 of 512":
        bit = z[:, [7, 150, 400]].sum(axis=1) > 0
    else:
        bit = z[:, 0] > 0
    rate = 0.5 if kind.startswith("clean") else solve_flip_rate(nats)
    flipped = rng.random(n) < (rate if y is None or kind != "one class" else np.where(y == 1, rate, 0.5))
    return z, (bit ^ flipped).astype(np.int64), y


def _cases() -> Iterator[tuple[_Case, int]]:
    """Each with how many draws at most: the dear ones have few."""
    for kind in KINDS:
        dim, most = (512, 5) if kind == "3 of 512" else (16, 1000)
        yield (kind, 0.0 if kind.startswith("clean") else 0.05, 10_000, dim), most
    for kind in ("clean", "clean, with y"):
        yield (kind, 0.0, 1_000, 16), 1000
    yield ("xor", 0.05, 10_000, 128), 5
    yield ("sign pattern of 3", 0.05, 10_000, 64), 5
    for kind, nats in (("linear", 0.01), ("linear", 0.2), ("xor", 0.2), ("radial", 0.2), ("continuous", 1.0)):
        yield (kind, nats, 10_000, 16), 5


def _judge(job: tuple[_Case, int]) -> dict[str, Any]:
    (kind, nats, n, dim), seed = job
    started = time.process_time()
    z, c, y = plant(kind, nats, n, dim, seed)
    result = audit(z, c, y, random_state=seed)
    return {
        "kind": kind, "nats": nats, "n": n, "dim": dim, "seed": seed, "leaks": result.leaks,
        "leakage": result.leakage, "low": result.interval[0], "high": result.interval[1],
        "p_value": result.p_value, "probe": result.worst.probe, "condition": result.worst.condition,
        "cpu_seconds": time.process_time() - started,
    }  # fmt: skip


def _summarize(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    summary = []
    for (kind, nats, n, dim), _ in _cases():
        mine = [r for r in rows if (r["kind"], r["nats"], r["n"], r["dim"]) == (kind, nats, n, dim)]
        if mine:
            summary.append(
                {
                    "kind": kind, "nats": nats, "n": n, "dim": dim, "draws": len(mine),
                    "called_leaking": float(np.mean([r["leaks"] for r in mine])),
                    "leakage": float(np.mean([r["leakage"] for r in mine])),
                    "leakage_std": float(np.std([r["leakage"] for r in mine])),
                    "cpu_seconds": float(np.mean([r["cpu_seconds"] for r in mine])),
                }
            )  # fmt: skip
    return summary


_PLANTED = {
    "one class": "linear, in one class of two only",
    "3 of 512": "linear, in 3 dimensions",
    "sinusoidal": "sign of a sine of one column",
    "sign pattern of 3": "product of the signs of 3 columns",
    "rotated product": "sign of a product of two directions",
    "variance": "one column's variance",
    "continuous": "linear, of a number",
    "clean": "nothing",
    "clean, with y": "nothing, audited within classes too",
}
"""Kinds in words."""


def render_table(document: Mapping[str, Any]) -> str:
    """How often each kind of leak was called one."""
    lines = []
    for e in document["summary"]:
        called = f"{round(e['called_leaking'] * e['draws'])} of {e['draws']}"
        found = f"{e['leakage']:.4f} ± {e['leakage_std']:.4f}"
        kind = _PLANTED.get(e["kind"], e["kind"])
        lines.append((kind, f"{e['nats']:g}", f"{e['n']:,}", e["dim"], called, found))
    seeds = document["seed"]
    header = ("planted", "nats", "rows", "dimensions", "called leaking", "leakage found, nats")
    return "\n".join(format_table(header, lines)) + (
        f"\n\nMean ± standard deviation over seeds {seeds[0]} to {seeds[-1]}. `{document['command']}`\n"
    )


if __name__ == "__main__":
    script = Script("planted_leaks", __doc__, draws=40, kinds=";".join(KINDS), workers=1)
    given, rows = script.given, list[dict[str, Any]]()
    if script.output.exists():  # goes on from what it holds
        rows = json.loads(script.output.read_text(encoding="utf-8"))["rows"]
    done = {((r["kind"], r["nats"], r["n"], r["dim"]), r["seed"]) for r in rows}
    kinds = given["kinds"].split(";")
    jobs = [
        (case, seed) for seed in range(given["draws"]) for case, most in _cases() if case[0] in kinds and seed < most
    ]
    order = {job: i for i, job in enumerate(jobs)}
    with get_context("spawn").Pool(given["workers"]) as pool:
        for row in pool.imap(_judge, [job for job in jobs if job not in done]):
            rows.append(row)
            rows.sort(key=lambda r: order[(r["kind"], r["nats"], r["n"], r["dim"]), r["seed"]])
            script.write(rows, sorted({r["seed"] for r in rows}), summary=_summarize(rows))
