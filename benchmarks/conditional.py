"""I(Z;C|W) of quantities W: readings of `estimate_mi` beside truths, and level and power of tests beside others'."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from midebias.datasets import fetch_adult
from midebias.estimation import estimate_mi
from midebias.experiments.process import keep_freed_memory

from .kernel_tests import apply_circe, apply_kci
from .script import Script, format_table

__all__ = ["CASES", "TESTS", "measure_reading", "render_table"]

_ESTIMATORS = ("auto", "gaussian", "gaussian_linear")
_ALPHA = 0.05


class Sample(NamedTuple):
    """z (n, p), c (n, q) or labels (n,), w (n, k) or a mapping of columns, and I(Z;C|W) in nats."""

    z: Tensor
    c: Tensor
    w: Any
    truth: float


def _draw_triple(n: int, g: torch.Generator, p: int, q: int, k: int) -> Sample:
    """Jointly normal: the truth is of the determinants of their correlations, drawn anew each time."""
    d = p + q + k
    rows = torch.nn.functional.normalize(torch.randn(d, d + 2, generator=g, dtype=torch.float64), dim=1)
    matrix = 0.8 * rows @ rows.T + 0.2 * torch.eye(d)
    x = (torch.randn(n, d, generator=g, dtype=torch.float64) @ torch.linalg.cholesky(matrix).T).float()
    z, c, w = ([*range(a, b)] for a, b in ((0, p), (p, p + q), (p + q, d)))
    of_zw, of_cw, of_w, of_all = (float(torch.logdet(matrix[i][:, i])) for i in (z + w, c + w, w, z + c + w))
    return Sample(x[:, z], x[:, c], x[:, w], 0.5 * (of_zw + of_cw - of_w - of_all))


def _draw_monotone(n: int, g: torch.Generator) -> Sample:
    z, c, w, truth = _draw_triple(n, g, 3, 2, 2)
    return Sample(z.exp(), c**3, w.sinh(), truth)


def _draw_with_site(n: int, g: torch.Generator) -> Sample:
    """Beside the normal w a site, which moves z and c, and turns the slope of what w moves besides."""
    z, c, w, truth = _draw_triple(n, g, 2, 1, 1)
    site = torch.randint(3, (n,), generator=g)
    moved = (site[:, None] - 1) * (1 + w)
    return Sample(z + moved, c - moved, {"w": w, "site": site}, truth)


def _draw_common_cause(n: int, g: torch.Generator, k: int = 1) -> Sample:
    """Means and deviations of z and c follow the first column of w, and nothing else connects them."""
    w, noise = torch.randn(n, k, generator=g), torch.randn(n, 4, generator=g)
    first = w[:, :1]
    z = torch.cat([(2 * first).sin() + 0.5 * noise[:, :1], first.exp() * noise[:, 1:2], noise[:, 2:3]], dim=1)
    return Sample(z, first.square() + 0.5 * (0.5 * first).exp() * noise[:, 3:], w, 0.0)


def _draw_common_cause_of_a_category(n: int, g: torch.Generator, shift: float = 0.0) -> Sample:
    """p(c|w) follows a wave; z follows w and, with a shift, c. The truth is an integral over both."""
    w = torch.randn(n, 1, generator=g)
    c = (torch.rand(n, generator=g) < torch.sigmoid(3 * (2 * w[:, 0]).sin())).long()
    z = torch.cat([2 * w + shift * c[:, None], w.square()], dim=1) + torch.randn(n, 2, generator=g)
    x, of_w = np.linspace(-7, 8, 1501), np.linspace(-5, 5, 401)
    share = 1 / (1 + np.exp(-3 * np.sin(2 * of_w)))[:, None]
    low, high = np.exp(-(x**2) / 2), np.exp(-((x - shift) ** 2) / 2)
    both = share * high + (1 - share) * low
    told = (share * high * np.log(high / both) + (1 - share) * low * np.log(low / both)).sum(axis=1)
    weights = np.exp(-(of_w**2) / 2)
    truth = float(told @ weights / weights.sum() * (x[1] - x[0]) / math.sqrt(2 * math.pi))
    return Sample(z, c, w, truth)


def _draw_collider(n: int, g: torch.Generator) -> Sample:
    """z and c are independent; w is their sum and noise."""
    z, c, noise = torch.randn(3, n, 1, generator=g)
    rest = 1 / 2.25  # what w explains of z and of c
    return Sample(z, c, z + c + 0.5 * noise, -0.5 * math.log(1 - (rest / (1 - rest)) ** 2))


def _draw_sign(n: int, g: torch.Generator) -> Sample:
    """c is whether z and w have one sign."""
    z, w = torch.randn(2, n, 1, generator=g)
    return Sample(z, (z * w > 0)[:, 0].long(), w, math.log(2))


def _draw_flip(n: int, g: torch.Generator, rho: float = 0.8) -> Sample:
    """The correlation of z and c has the sign of w."""
    z, w, noise = torch.randn(3, n, 1, generator=g)
    return Sample(z, rho * w.sign() * z + math.sqrt(1 - rho**2) * noise, w, -0.5 * math.log(1 - rho**2))


CASES: Mapping[str, Callable[[int, torch.Generator], Sample]] = {
    "normal, 1 + 1 given 1 column": lambda n, g: _draw_triple(n, g, 1, 1, 1),
    "normal, 3 + 2 given 2": lambda n, g: _draw_triple(n, g, 3, 2, 2),
    "normal, 8 + 3 given 8": lambda n, g: _draw_triple(n, g, 8, 3, 8),
    "monotone maps, 3 + 2 given 2": _draw_monotone,
    "normal, given a quantity and a site": _draw_with_site,
    "common cause": _draw_common_cause,
    "common cause of a category": _draw_common_cause_of_a_category,
    "category shifts z": lambda n, g: _draw_common_cause_of_a_category(n, g, 1.0),
    "common effect": _draw_collider,
    "sign of a product": _draw_sign,
    "correlation of w's sign": _draw_flip,
}


def _draw_weak(n: int, g: torch.Generator) -> Sample:
    """Common cause, and a partial correlation of 0.2."""
    z, c, w, _ = _draw_common_cause(n, g)
    shared = torch.randn(n, 1, generator=g)
    return Sample(torch.cat([z, shared + 2 * w], dim=1), c + 0.25 * shared, w, math.nan)


def _draw_spread(n: int, g: torch.Generator) -> Sample:
    """Common cause, and a deviation of c that follows z."""
    z, c, w, _ = _draw_common_cause(n, g)
    shared, noise = torch.randn(2, n, 1, generator=g)
    return Sample(torch.cat([z, shared], dim=1), c + 0.5 * shared.abs() * noise, w, math.nan)


@functools.cache
def _read_adult() -> Tensor:
    data = fetch_adult(split="train").data
    named = [name for name in data.columns if name.replace("-", "_") in ("age", "hours_per_week", "education_num")]
    return torch.tensor(data[named].to_numpy(dtype=float)).float()


def _draw_adult(n: int, g: torch.Generator) -> Sample:
    """Age, hours and years of school of Adult; z and c follow random networks of them, and nothing else."""
    people = _read_adult()
    w = people[torch.randperm(len(people), generator=g)[:n]]
    x = (w - w.mean(dim=0)) / w.std(dim=0)

    def follow(k: int) -> Tensor:
        inside = (1.5 * x @ torch.randn(3, 8, generator=g) + torch.randn(8, generator=g)).tanh()
        return inside @ torch.randn(8, k, generator=g) / math.sqrt(8) + 0.5 * torch.randn(n, k, generator=g)

    return Sample(follow(4), follow(1), w, 0.0)


TESTS: Mapping[str, Callable[[int, torch.Generator], Sample]] = {
    "level: common cause": _draw_common_cause,
    "level: common cause, 4 columns": lambda n, g: _draw_common_cause(n, g, 4),
    "level: common cause of a category": _draw_common_cause_of_a_category,
    "level: networks of Adult's age, hours and school": _draw_adult,
    "power: partial correlation": _draw_weak,
    "power: deviation of c": _draw_spread,
    "power: correlation of w's sign": lambda n, g: _draw_flip(n, g, 0.3),
    "power: category shifts z": lambda n, g: _draw_common_cause_of_a_category(n, g, 0.7),
}


def measure_reading(case: str, n: int, seed: int) -> dict[str, Any]:
    """Readings of one draw by each estimator that conditions on quantities, with their standard errors."""
    z, c, w, truth = CASES[case](n, torch.Generator().manual_seed(seed))
    row: dict[str, Any] = {"part": "reading", "case": case, "n": n, "seed": seed, "truth": truth}
    for name in _ESTIMATORS:
        started = time.perf_counter()
        found = estimate_mi(z, c, condition_on=w, estimator=name, n_permutations=0, random_state=seed)  # type: ignore[arg-type]
        row |= {name: found.value, f"{name}_stderr": found.stderr}
        row |= {f"{name}_seconds": round(time.perf_counter() - started, 2)}
    row["without_w"] = estimate_mi(z, c, estimator="gaussian", n_permutations=0, random_state=seed).value
    return row


def measure_rejections(case: str, n: int, draws: int) -> dict[str, Any]:
    """Share of draws that each test rejects at 5%."""
    row: dict[str, Any] = {"part": "test", "case": case, "n": n, "draws": draws}
    p_values: dict[str, list[float]] = {"ours": [], "kci": [], "circe": []}
    for seed in range(draws):
        g = torch.Generator().manual_seed(seed)
        z, c, w, _ = TESTS[case](n, g)
        found = estimate_mi(z, c, condition_on=w, estimator="gaussian_linear", n_permutations=199, random_state=seed)
        p_values["ours"].append(found.p_value or 0.0)
        c = c[:, None].float() if c.ndim == 1 else c
        p_values["kci"].append(apply_kci(z, c, w))
        p_values["circe"].append(apply_circe(z, c, w, n_draws=199, generator=g))
    return row | {name: mean(p <= _ALPHA for p in found) for name, found in p_values.items()}


def render_table(document: Mapping[str, Any]) -> str:
    """Readings beside truths, and rejections."""
    rows = [r for r in document["rows"] if r["part"] == "reading"]
    lines = []
    head = ("truth known", "rows", "truth", *(f"`{name}`" for name in _ESTIMATORS), "`gaussian` without W")
    cells = []
    for case in dict.fromkeys(r["case"] for r in rows):
        for n in dict.fromkeys(r["n"] for r in rows if r["case"] == case):
            mine = [r for r in rows if (r["case"], r["n"]) == (case, n)]
            read = [mean(r[name] for r in mine) for name in ("truth", *_ESTIMATORS, "without_w")]
            cells.append((case, f"{n:,}", *(f"{value:.3f}" for value in read)))
    lines += format_table(head, cells)
    seeds = sorted({r["seed"] for r in rows})
    lines += ["", f"Nats, {'means over seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}.", ""]
    tests = [r for r in document["rows"] if r["part"] == "test"]
    if tests:
        told = [(r["case"], r["n"], *(f"{r[name]:.2f}" for name in ("ours", "kci", "circe"))) for r in tests]
        lines += format_table(("rejected at 5%", "rows", "`estimate_mi`", "KCI", "CIRCE"), told)
        lines += ["", f"Of {tests[0]['draws']} draws each, seeds 0 to {tests[0]['draws'] - 1}."]
    return "\n".join([*lines, f"`{document['command']}`", ""])


if __name__ == "__main__":
    script = Script("conditional", __doc__, rows=[800, 2000], seeds=[0], test_rows=300, draws=100)
    keep_freed_memory()
    found: list[dict[str, Any]] = []
    for case in TESTS:
        found.append(measure_rejections(case, script.given["test_rows"], script.given["draws"]))
        script.write(found, script.given["seeds"])
    for case in CASES:
        for n in script.given["rows"]:
            for seed in script.given["seeds"]:
                found.append(measure_reading(case, n, seed))
                script.write(found, script.given["seeds"])
