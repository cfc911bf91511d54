"""`estimate_mi` beside nearest neighbours on the 40 tasks of a published benchmark.

The tasks are those of Czyż, Grabowski, Vogt, Beerenwinkel and Marx, "Beyond Normal: On the Evaluation of Mutual
Information Estimators", NeurIPS 2023, as their package ``benchmark-mi`` lists them, with samplers of our own: the
distributions are the same, the draws are not. ``--public FILE`` adds other people's estimators: a Python file of your
own with ``ESTIMATES = {"a name": estimate}``, where ``estimate(z, c, seed)`` returns nats.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from midebias.attributes import Continuous
from midebias.datasets.synthetic import compute_normal_information
from midebias.estimation import estimate_mi
from midebias.estimation.nearest_neighbours import estimate_by_neighbours
from midebias.experiments.estimator_comparison import read_public_estimates

from .script import Script, format_table

__all__ = ["TASKS", "PublishedTask", "estimate_task", "is_hit", "render_table"]

_OURS, _NEIGHBOURS = "estimate_mi", "nearest neighbours (Kraskov et al., k = 4)"
_STRONG, _WEAK = 0.8, 0.75  # correlations of the pairs of several columns and of one

Map = Callable[[Tensor], Tensor]


class PublishedTask(NamedTuple):
    """A distribution of z (n, p) and c (n, q) and its information in nats."""

    truth: float
    draw: Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


def _draw_normal(dim: int, rho: float, pairs: int, n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    z, c = torch.randn(n, dim, generator=g), torch.randn(n, dim, generator=g)
    c[:, :pairs] = rho * z[:, :pairs] + math.sqrt(1 - rho**2) * c[:, :pairs]
    return z, c


def _draw_dense(dim: int, n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    both = (torch.randn(n, 2 * dim, generator=g) + torch.randn(n, 1, generator=g)) / math.sqrt(2)
    return both[:, :dim], both[:, dim:]


def _draw_student(dim: int, dof: int, n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    scale = (dof / torch.randn(n, dof, generator=g).square().sum(1, keepdim=True)).sqrt()
    return torch.randn(n, dim, generator=g) * scale, torch.randn(n, dim, generator=g) * scale


def _draw_sum(half_width: float, n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    z = torch.rand(n, 1, generator=g)
    return z, z + half_width * (2 * torch.rand(n, 1, generator=g) - 1)


def _compute_student_information(dim: int, dof: int) -> float:
    """Of uncorrelated columns: Arellano-Valle, Contreras-Reyes, Genton, Scandinavian Journal of Statistics 2013."""

    def f(x: float) -> float:
        return math.lgamma(x / 2) - x / 2 * float(torch.digamma(torch.tensor(x / 2, dtype=torch.float64)))

    return f(dof) + f(dof + 2 * dim) - 2 * f(dof + dim)


def _transform(task: PublishedTask, of_z: Map, of_c: Map | None = None) -> PublishedTask:
    """Map both sides by what loses nothing."""

    def draw(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        z, c = task.draw(n, g)
        return of_z(z), (of_z if of_c is None else of_c)(c)

    return PublishedTask(task.truth, draw)


def _half_cube(x: Tensor) -> Tensor:
    return x * x.abs().sqrt()


def _spiral(first: int, x: Tensor) -> Tensor:
    """Turn two columns by the squared norm of all over their number."""
    angle = x.square().sum(1) / x.shape[1]
    a, b = x[:, first], x[:, first + 1]
    out = x.clone()
    out[:, first], out[:, first + 1] = angle.cos() * a - angle.sin() * b, angle.sin() * a + angle.cos() * b
    return out


def _roll_up(x: Tensor) -> Tensor:
    t = 1.5 * math.pi * (1 + 2 * torch.special.ndtr(x[:, 0]))
    return torch.stack([t * t.cos(), t * t.sin()], dim=1) / 21


def _wiggle_z(x: Tensor) -> Tensor:
    return x + 0.4 * x.sin() + 0.2 * (1.7 * x + 1).sin() + 0.03 * (3.3 * x - 2.5).sin()


def _wiggle_c(x: Tensor) -> Tensor:
    return x - 0.4 * (0.4 * x).sin() + 0.17 * (1.3 * x + 3.5).sin() + 0.02 * (4.3 * x - 2.5).sin()


def _make_bimodal(weight: float, low: float, high: float, x: Tensor) -> Tensor:
    """Normal values as quantiles of a mixture of two normals."""
    grid = torch.linspace(-10, 10, 200_001, dtype=torch.float64)
    cdf = weight * torch.special.ndtr(grid - low) + (1 - weight) * torch.special.ndtr(grid - high)
    return grid[torch.searchsorted(cdf, torch.special.ndtr(x.double())).clamp(max=len(grid) - 1)].float()


def _list_tasks() -> dict[str, PublishedTask]:
    one = PublishedTask(compute_normal_information(_WEAK, 1), partial(_draw_normal, 1, _WEAK, 1))
    students = {
        (dim, dof): PublishedTask(_compute_student_information(dim, dof), partial(_draw_student, dim, dof))
        for dim, dof in ((1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3))
    }
    pairs = {
        dim: PublishedTask(compute_normal_information(_STRONG, 2), partial(_draw_normal, dim, _STRONG, 2))
        for dim in (2, 3, 5, 25)
    }
    bimodal = partial(_make_bimodal, 0.3, 0.0, 5.0), partial(_make_bimodal, 0.5, -1.0, 3.0)
    tasks = {
        "normal 1 x 1": one,
        "normal distribution function of normal 1 x 1": _transform(one, torch.special.ndtr),
        "uniform 1 x 1, noise 0.1": PublishedTask(0.1 - math.log(0.2), partial(_draw_sum, 0.1)),
        "uniform 1 x 1, noise 0.75": PublishedTask(1 / 3, partial(_draw_sum, 0.75)),
        "bimodal 1 x 1": _transform(one, *bimodal),
        "wiggly of normal 1 x 1": _transform(one, _wiggle_z, _wiggle_c),
        "half-cube of normal 1 x 1": _transform(one, _half_cube),
        "Student 1 x 1, 1 degree": students[1, 1],
        "asinh of Student 1 x 1, 1 degree": _transform(students[1, 1], torch.asinh),
        "Swiss roll 2 x 1": _transform(one, _roll_up, torch.special.ndtr),
    }
    for dim in (2, 3, 5, 25, 50):
        determinants = math.log(0.5**dim * (1 + dim)), math.log(0.5 ** (2 * dim) * (1 + 2 * dim))
        dense = PublishedTask(determinants[0] - determinants[1] / 2, partial(_draw_dense, dim))
        tasks[f"normal {dim} x {dim}, dense"] = dense
    tasks |= {f"normal {dim} x {dim}, two pairs": task for dim, task in pairs.items()}
    tasks |= {f"Student {dim} x {dim}, {dof} degrees": t for (dim, dof), t in students.items() if dim > 1}
    spirals = partial(_spiral, 0), partial(_spiral, 1)
    for name, before, maps in (
        ("normal distribution function", None, (torch.special.ndtr,)),
        ("half-cube", None, (_half_cube,)),
        ("spiral", None, spirals),
        ("spiral of normal distribution function", torch.special.ndtr, spirals),
    ):
        for dim in (3, 5, 25):
            base = pairs[dim] if before is None else _transform(pairs[dim], before)
            tasks[f"{name} of normal {dim} x {dim}, two pairs"] = _transform(base, *maps)
    return tasks | {
        f"asinh of Student {dim} x {dim}, {dof} degrees": _transform(students[dim, dof], torch.asinh)
        for dim, dof in ((2, 1), (3, 2), (5, 2))
    }


TASKS: Mapping[str, PublishedTask] = _list_tasks()
"""In the order of the package's list."""


def estimate_task(
    name: str, n: int, seed: int, others: Mapping[str, Callable[[Tensor, Tensor, int], float]]
) -> list[dict[str, Any]]:
    """Rows of one task: ours with default settings, nearest neighbours, and ``others``; seconds are processor time."""
    task = TASKS[name]
    z, c = task.draw(n, torch.Generator().manual_seed(seed))

    def estimate_by_nearest() -> float:
        return float(estimate_by_neighbours((z - z.mean(0)) / z.std(0), (c - c.mean(0)) / c.std(0), None).mean())

    rows = []
    started = time.process_time()
    ours = estimate_mi(z, c, attribute=Continuous(c.shape[1]), n_permutations=0, random_state=seed)
    common = {"task": name, "truth": task.truth, "n": n, "seed": seed}
    told = {"kind": ours.estimator, "stderr": ours.stderr, "alarms": list(ours.alarms)}
    seconds = time.process_time() - started
    rows.append(common | {"estimator": _OURS, "value": ours.value, "seconds": seconds} | told)
    estimates = {_NEIGHBOURS: estimate_by_nearest} | {key: partial(f, z, c, seed) for key, f in others.items()}
    for key, estimate in estimates.items():
        started = time.process_time()
        value = float(estimate())
        rows.append(common | {"estimator": key, "value": value, "seconds": time.process_time() - started})
    return rows


def is_hit(row: Mapping[str, Any]) -> bool:
    """Whether an estimate lies within max(0.05 nats, 10%) of the truth."""
    return bool(abs(row["value"] - row["truth"]) <= max(0.05, 0.1 * row["truth"]))


def render_table(document: Mapping[str, Any]) -> str:
    """How many tasks each estimator hits, and which ours misses."""
    rows, lines = document["rows"], []
    for n in dict.fromkeys(r["n"] for r in rows):
        for name in dict.fromkeys(r["estimator"] for r in rows):
            mine = [r for r in rows if (r["n"], r["estimator"]) == (n, name)]
            if not mine:
                continue
            distance = sum(abs(r["value"] - r["truth"]) for r in mine) / len(mine)
            seconds = sum(r["seconds"] for r in mine) / len(mine)
            label = f"`{name}`" if name == _OURS else name
            lines.append((label, f"{n:,}", len(mine), sum(map(is_hit, mine)), f"{distance:.3f}", f"{seconds:.1f}"))
    missed = "; ".join(
        f"{r['task']}, {r['n']:,} pairs: {r['value']:.2f} for {r['truth']:.2f}"
        for r in rows
        if r["estimator"] == _OURS and not is_hit(r)
    )
    header = ("estimator", "pairs", "tasks", "within 0.05 nats or 10%", "mean distance, nats", "seconds a task")
    return "\n".join(format_table(header, lines)) + (
        f"\n\nOutside with `estimate_mi`: {missed or 'none'}.\n\nSeconds of processor time on one thread. "
        f"`{document['command']}`\n"
    )


if __name__ == "__main__":
    script = Script("published_tasks", __doc__, pairs=[10_000], seeds=[0], public=None)
    given = script.given
    public = {} if given["public"] is None else read_public_estimates(Path(given["public"]))
    found: list[dict[str, Any]] = []
    if script.output.exists():  # goes on from what it holds
        found = json.loads(script.output.read_text(encoding="utf-8"))["rows"]
    for pairs in given["pairs"]:
        for seed in given["seeds"]:
            for task in TASKS:
                if not any((r["task"], r["n"], r["seed"]) == (task, pairs, seed) for r in found):
                    found += estimate_task(task, pairs, seed, public)
                    script.write(found, given["seeds"])
