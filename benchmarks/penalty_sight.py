"""What a penalty reads of planted leaks of known size, late in training on rows that have come round many times."""

from __future__ import annotations

import itertools
import json
import math
import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from midebias import MIPenalty
from midebias.attributes import Attribute, Categorical, Continuous

from .planted_leaks import solve_flip_rate
from .script import Script, format_table

__all__ = ["KINDS", "compute_truth", "draw_leak", "measure_sight", "render_table"]

KINDS: Mapping[str, float] = {
    "none": 0.0,
    "none, ten categories": 0.0,
    "shift": 0.184,
    "shift of one column": 0.184,
    "shift of three columns": 0.184,
    "shift, one in ten": 0.1,
    "variance": 0.1,
    "length": 0.1,
    "product": 0.1,
    "product, rotated": 0.1,
    "wave": 0.1,
    "in one class": 0.1,
    "quantity": 0.184,
}
"""Leaks, and the nats that each is planted with."""
_CLASSES = {"in one class"}
_LATE = 50  # calls, at the end, whose mean is told
_GRID = torch.linspace(-12.0, 12.0, 4801, dtype=torch.float64)


def compute_truth(kind: str, size: float, dim: int) -> float:
    """I(Z;C) in nats, or I(Z;C|Y), by quadrature over the one number that the likelihood ratio depends on."""
    if kind.startswith("shift") or kind == "in one class":
        rate = 0.1 if kind == "shift, one in ten" else 0.5
        means = torch.tensor([-size, size], dtype=torch.float64)
        densities = torch.exp(-0.5 * (_GRID[:, None] - means) ** 2) / math.sqrt(2 * math.pi)
        nats = _integrate(densities, torch.tensor([1 - rate, rate], dtype=torch.float64), float(_GRID[1] - _GRID[0]))
        return nats / 2 if kind == "in one class" else nats
    if kind in ("variance", "length"):
        degrees = 1 if kind == "variance" else dim
        # Of log chi-square, whose density is smooth; the second category's is shifted by twice log(size).
        center = math.log(degrees)
        grid = torch.linspace(center - 30.0, center + 8.0, 20001, dtype=torch.float64)
        shifted = torch.stack([grid, grid - 2 * math.log(size)], dim=1)
        densities = torch.exp(
            0.5 * degrees * shifted - 0.5 * shifted.exp() - math.lgamma(degrees / 2) - degrees / 2 * math.log(2)
        )
        return _integrate(densities, torch.full((2,), 0.5, dtype=torch.float64), float(grid[1] - grid[0]))
    if kind in ("product", "product, rotated", "wave"):
        return math.log(2) + size * math.log(size) + (1 - size) * math.log(1 - size)
    return -0.5 * math.log(1 - size**2) if kind == "quantity" else 0.0


def _integrate(densities: Tensor, shares: Tensor, step: float) -> float:
    densities = densities.clamp(min=1e-300)
    mixed = (densities * shares).sum(1, keepdim=True)
    return float((densities * shares * (densities / mixed).log()).sum() * step)


def _solve(kind: str, nats: float, dim: int) -> float:
    """The size of a leak of so many nats."""
    if kind in ("product", "product, rotated", "wave"):
        return solve_flip_rate(nats)
    low, high = {"variance": (1.0, 8.0), "length": (1.0, 8.0), "quantity": (0.0, 0.999)}.get(kind, (0.0, 4.0))
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if compute_truth(kind, middle, dim) < nats else (low, middle)
    return low


def draw_leak(kind: str, rows: int, dim: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Attribute]:
    """z (rows, dim), normal but for the leak, c and a label y (rows,), and what c is."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, dim, generator=generator)
    y = torch.randint(2, (rows,), generator=generator)
    if kind == "none, ten categories":
        return z, torch.randint(10, (rows,), generator=generator), y, Categorical(10)
    size = _solve(kind, KINDS[kind], dim) if KINDS[kind] else 0.0
    if kind == "quantity":
        noise = torch.randn(rows, generator=generator)
        return z, size * z[:, 0] + math.sqrt(1 - size**2) * noise, y, Continuous()
    c = (torch.rand(rows, generator=generator) < (0.1 if kind == "shift, one in ten" else 0.5)).long()
    sign = 2.0 * c[:, None] - 1
    if kind.startswith("shift"):
        among = {"shift of one column": 1, "shift of three columns": min(3, dim)}.get(kind, dim)
        direction = torch.zeros(dim)
        direction[:among] = torch.randn(among, generator=generator).sign() / math.sqrt(among)
        z = z + size * sign * direction
    elif kind == "in one class":
        z[:, 0] += size * sign[:, 0] * (y == 0)
    elif kind == "variance":
        z[:, 0] *= torch.where(c == 1, size, 1.0)
    elif kind == "length":
        z = z * torch.where(c == 1, size, 1.0)[:, None]
    elif kind in ("product", "product, rotated", "wave"):
        told = torch.sin(3 * z[:, 0]) if kind == "wave" else z[:, 0] * z[:, 1]
        c = ((told > 0) ^ (torch.rand(rows, generator=generator) < size)).long()
        if kind == "product, rotated":
            z = z @ torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q
    return z, c, y, Categorical(2)


def measure_sight(
    kind: str, estimator: str, *, dim: int, rows: int, batch: int, passes: int, seed: int
) -> dict[str, Any]:
    """Mean and standard deviation of the last estimates of a penalty, with z as it is, and milliseconds a call."""
    z, c, y, attribute = draw_leak(kind, rows, dim, seed)
    criterion: Any = "separation" if kind in _CLASSES else "independence"
    penalty = MIPenalty(dim, attribute, criterion=criterion, estimator=estimator, seed=seed)  # type: ignore[arg-type]  # a name
    generator, told = torch.Generator().manual_seed(seed), list[float]()
    started = time.process_time()
    with torch.no_grad():
        for _ in range(passes):
            for chosen in torch.randperm(rows, generator=generator).split(batch):
                if len(chosen) == batch:
                    told.append(float(penalty(z[chosen], c[chosen], y[chosen])))
    late = told[-_LATE:]
    return {
        "kind": kind, "nats": KINDS[kind], "estimator": estimator, "dim": dim, "rows": rows, "batch": batch,
        "passes": passes, "seed": seed, "read": statistics.fmean(late), "std": statistics.pstdev(late),
        "milliseconds": 1e3 * (time.process_time() - started) / len(told),
    }  # fmt: skip


def render_table(document: Mapping[str, Any]) -> str:
    """What each estimator reads of each leak, by columns of z."""
    rows = document["rows"]
    dims, estimators = sorted({r["dim"] for r in rows}), list(dict.fromkeys(r["estimator"] for r in rows))
    lines = []
    for kind in dict.fromkeys(r["kind"] for r in rows):
        cells = []
        for estimator in estimators:
            found = [
                [r["read"] for r in rows if (r["kind"], r["estimator"], r["dim"]) == (kind, estimator, d)] for d in dims
            ]
            cells.append(" / ".join(f"{statistics.fmean(f):.3f}" if f else "–" for f in found))
        lines.append((kind, f"{KINDS[kind]:.3f}", *cells))
    first = rows[0]
    seeds = document["seed"]
    widths = ", ".join(map(str, dims[:-1])) + f" and {dims[-1]}"
    return "\n".join(format_table(("leak", "truth", *(f"`{e}`" for e in estimators)), lines)) + (
        f"\n\nNats, at {widths} columns of z. Each figure is the mean of a penalty's last {_LATE} estimates after "
        f"{first['passes']} passes over {first['rows']:,} rows in batches of {first['batch']}, with z fixed; "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}. `{document['command']}`\n"
    )


if __name__ == "__main__":
    script = Script(
        "penalty_sight", __doc__, dims=[16, 64, 256], rows=8000, batch=512, passes=25, seeds=[0],
        estimators=["gaussian_linear", "gaussian", "gaussian_learned", "prequential"], kinds=None,
    )  # fmt: skip
    given, rows = script.given, list[dict[str, Any]]()
    if script.output.exists():  # goes on from what it holds
        rows = json.loads(script.output.read_text(encoding="utf-8"))["rows"]
    kinds = list(KINDS) if given["kinds"] is None else given["kinds"].split(";")
    done = {(r["kind"], r["estimator"], r["dim"], r["rows"], r["batch"], r["seed"]) for r in rows}
    for seed, dim, kind, name in itertools.product(given["seeds"], given["dims"], kinds, given["estimators"]):
        if (kind, name, dim, given["rows"], given["batch"], seed) in done:
            continue
        settings = {k: given[k] for k in ("rows", "batch", "passes")}
        rows.append(measure_sight(kind, name, dim=dim, seed=seed, **settings))
        script.write(rows, given["seeds"])
    script.write(rows, given["seeds"])
