"""I(Z;C|W) on covariates drawn at random: how often `estimate_mi` rejects where nothing is told, and what it reads."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from torch import Tensor

from midebias.estimation import estimate_mi
from midebias.experiments.process import keep_freed_memory

from .script import Script, format_table

__all__ = ["Draw", "draw_covariates", "measure_draw", "render_table"]

_KINDS = ("normal", "uniform", "heavy tails", "log-normal", "category", "counts")


class Draw(NamedTuple):
    """z (n, p), c (n, 1) or labels (n,), columns of w by name, and what they are."""

    z: Tensor
    c: Tensor
    w: dict[str, Tensor]
    described: dict[str, Any]


def _draw_column(kind: str, n: int, g: torch.Generator) -> Tensor:
    normal = torch.randn(n, generator=g)
    if kind == "uniform":
        return torch.rand(n, generator=g)
    if kind == "heavy tails":  # Student's t of three degrees
        return normal / (torch.randn(n, 3, generator=g).square().mean(dim=1)).sqrt()
    if kind == "log-normal":
        return normal.exp()
    if kind == "category":
        return torch.randint(int(torch.randint(2, 7, (1,), generator=g)), (n,), generator=g)
    if kind == "counts":
        return torch.poisson(torch.full((n,), 2.0), generator=g)
    return normal


def _follow(features: Tensor, k: int, smooth: float, g: torch.Generator) -> Tensor:
    """Random smooth functions of features, by waves of random directions: (n, k), of about unit variance."""
    width = features.shape[1]
    inside = smooth * features @ torch.randn(width, 6, generator=g) / math.sqrt(width)
    waves = (inside + 6.3 * torch.rand(6, generator=g)).sin()
    found = waves @ torch.randn(6, k, generator=g) + features @ torch.randn(width, k, generator=g) / math.sqrt(width)
    return (found - found.mean(dim=0)) / found.std(dim=0).clamp(min=1e-6)


def draw_covariates(seed: int, link: float = 0.0) -> Draw:
    """W of 1 to 8 columns of random kinds; z and c follow random functions of some of them, and share ``link``."""
    g = torch.Generator().manual_seed(seed)

    def pick(*values: Any) -> Any:
        return values[int(torch.randint(len(values), (1,), generator=g))]

    n, k, p = pick(200, 300, 500, 1000), int(torch.randint(1, 9, (1,), generator=g)), pick(1, 2, 4)
    kinds = [pick(*_KINDS) for _ in range(k)]
    w = {f"w{i}": _draw_column(kind, n, g) for i, kind in enumerate(kinds)}
    parts = []
    for kind, column in zip(kinds, w.values(), strict=True):
        if kind == "category":
            parts.append(torch.nn.functional.one_hot(column).float())
        else:
            parts.append(((column - column.mean()) / column.std())[:, None])
    used = [part for part in parts if float(torch.rand(1, generator=g)) < 0.7] or parts[:1]
    features, smooth = torch.cat(used, dim=1), pick(0.5, 1.0, 1.5)
    noise, tails, spread = torch.randn(n, p + 1, generator=g), pick("normal", "heavy"), pick("equal", "follows w")
    if tails == "heavy":
        noise = noise / (torch.randn(n, p + 1, 4, generator=g).square().mean(dim=2)).sqrt()
    if spread == "follows w":
        noise = noise * (0.5 * _follow(features, p + 1, 1.0, g)).exp()
    shared, strength = torch.randn(n, 1, generator=g), pick(0.5, 1.0, 2.0)
    z = strength * _follow(features, p, smooth, g) + noise[:, :p]
    z[:, :1] += link * shared
    c = strength * _follow(features, 1, smooth, g) + noise[:, p:] + link * shared
    category = pick(False, True)
    if category:
        c = (c[:, 0] > c.median()).long()
    return Draw(z, c, w, {
        "rows": n, "columns": k, "kinds": kinds, "category": category, "tails": tails, "spread": spread,
        "strength": strength, "smooth": smooth,
    })  # fmt: skip


def measure_draw(seed: int, link: float, permutations: int, *, read: bool) -> dict[str, Any]:
    """The p-value of one draw, and what is read by "gaussian" and, if asked for, by the default."""
    z, c, w, described = draw_covariates(seed, link)

    def estimate(estimator: Any, n_permutations: int = 0) -> Any:
        return estimate_mi(z, c, condition_on=w, estimator=estimator, n_permutations=n_permutations, random_state=seed)

    row = {"seed": seed, "link": link, "p_value": estimate("gaussian_linear", permutations).p_value} | described
    return row | {"gaussian": estimate("gaussian").value, "auto": estimate("auto").value if read else None}


def render_table(document: Mapping[str, Any]) -> str:
    """Rejections and readings, over all draws and those of a kind."""
    rows = document["rows"]
    conditions: dict[str, Any] = {
        "all": lambda r: True,
        "200 or 300 rows": lambda r: r["rows"] <= 300, "500 or 1,000 rows": lambda r: r["rows"] > 300,
        "1 to 3 columns": lambda r: r["columns"] <= 3, "4 to 8 columns": lambda r: r["columns"] > 3,
        "c a category": lambda r: r["category"], "c a quantity": lambda r: not r["category"],
        "heavy tails of noise": lambda r: r["tails"] == "heavy",
        "noise that follows w": lambda r: r["spread"] != "equal",
        "a category in w": lambda r: "category" in r["kinds"],
        "a log-normal column or one of heavy tails in w": lambda r: {"log-normal", "heavy tails"} & {*r["kinds"]},
        "z and c follow w most (2)": lambda r: r["strength"] == 2.0,
        "the most waves (1.5)": lambda r: r["smooth"] == 1.5,
    }  # fmt: skip
    links = sorted({r["link"] for r in rows})
    read = [key for key in ("gaussian", "auto") if any(r[key] is not None for r in rows)]
    lines = []
    for name, holds in conditions.items():
        line = [name]
        for link in links:
            some = [r for r in rows if r["link"] == link and holds(r)]
            told = [[r[key] for r in some if r[key] is not None] for key in read]
            line += [str(len(some)), f"{mean(r['p_value'] <= 0.05 for r in some):.3f}" if some else "–"]
            line += [f"{mean(values):.3f}" if values else "–" for values in told]
        lines.append(line)
    header = ["draws"]
    for link in links:
        title = "nothing told" if link == 0 else f"linked by {link:g}"
        header += [f"{title}: how many", "rejected at 5%", *(f"`{key}`, nats" for key in read)]
    seeds = sorted({r["seed"] for r in rows})
    of_default = f"; `auto` on {sum(r['auto'] is not None for r in rows)} of the draws" if "auto" in read else ""
    return "\n".join(format_table(header, lines)) + (
        f"\n\nSeeds {seeds[0]} to {seeds[-1]}{of_default}. `{document['command']}`\n"
    )


if __name__ == "__main__":
    script = Script(
        "random_covariates", __doc__, first=0, draws=200, linked=60, link=0.6, read=10, permutations=199, minutes=60.0
    )  # fmt: skip
    keep_freed_memory()
    given, found = script.given, list[dict[str, Any]]()
    if script.output.exists():  # goes on from what it holds
        found = json.loads(Path(script.output).read_text(encoding="utf-8"))["rows"]
    done = {(r["seed"], r["link"]) for r in found}
    seeds = range(given["first"], given["first"] + given["draws"])
    tasks = [(seed, 0.0) for seed in seeds] + [(seed, given["link"]) for seed in seeds[: given["linked"]]]
    end = time.time() + 60 * given["minutes"]
    for seed, link in tasks:
        if (seed, link) not in done and time.time() < end:
            read = seed < given["first"] + given["read"]
            found.append(measure_draw(seed, link, given["permutations"], read=read))
            if len(found) % 10 == 0:
                script.write(found, [given["first"]])
    script.write(found, [given["first"]])
