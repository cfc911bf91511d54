"""How often the p-value of `estimate_mi` falls below 5% on independent pairs.

The p-value does not depend on the estimator, so that the closed form, which is the quickest, stands for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from midebias.estimation import estimate_mi
from midebias.experiments.process import keep_freed_memory

from .script import Script, format_table

__all__ = ["KINDS", "count_rejections", "draw_p_value", "render_table"]

Sample = tuple[Tensor, Tensor, Tensor | None]


def _normal(n: int, g: torch.Generator) -> Sample:
    return torch.randn(n, 5, generator=g), torch.randn(n, 2, generator=g), None


def _heavy_tails(n: int, g: torch.Generator) -> Sample:
    z, c = torch.rand(n, 3, generator=g), torch.rand(n, 1, generator=g)
    return (math.pi * (z - 0.5)).tan(), (math.pi * (c - 0.5)).tan(), None


def _categories(n: int, g: torch.Generator) -> Sample:
    # One category holds 2% of the rows.
    c = torch.multinomial(torch.tensor([0.68, 0.3, 0.02]), n, replacement=True, generator=g)
    return torch.randn(n, 8, generator=g).exp(), c, None


def _within_groups(n: int, g: torch.Generator) -> Sample:
    """z and c both follow the group, and nothing else connects them."""
    groups = torch.randint(4, (n,), generator=g)
    spread = 1.0 + groups[:, None]
    z = groups[:, None] + spread * torch.randn(n, 3, generator=g)
    return z, spread * torch.randn(n, 2, generator=g) - groups[:, None], groups


KINDS: Mapping[str, Callable[[int, torch.Generator], Sample]] = {
    "normal": _normal,
    "heavy tails": _heavy_tails,
    "categories": _categories,
    "within groups": _within_groups,
}


def draw_p_value(seed: int, *, n: int = 10_000) -> dict[str, Any]:
    """p-value of one draw of n independent pairs; the kinds take turns with the seed."""
    kind = list(KINDS)[seed % len(KINDS)]
    z, c, groups = KINDS[kind](n, torch.Generator().manual_seed(seed))
    found = estimate_mi(z, c, condition_on=groups, estimator="gaussian_linear", random_state=seed)
    return {"kind": kind, "seed": seed, "n": n, "p_value": found.p_value}


def count_rejections(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Share of p-values of at most 5%, of every kind and of all."""
    kinds = {"all": rows} | {kind: [r for r in rows if r["kind"] == kind] for kind in KINDS}
    return [
        {"kind": kind, "draws": len(mine), "rejected": sum(r["p_value"] <= 0.05 for r in mine) / len(mine)}
        for kind, mine in kinds.items()
        if mine
    ]


def render_table(document: Mapping[str, Any]) -> str:
    """How often independence was rejected."""
    cells = [(e["kind"], e["draws"], f"{e['rejected']:.3f}") for e in document["summary"]]
    lines = format_table(("independent pairs", "draws", "p-value at most 0.05"), cells)
    seeds = document["seed"]
    return "\n".join(lines) + f"\n\nSeeds {seeds[0]} to {seeds[-1]}: `{document['command']}`\n"


if __name__ == "__main__":
    script = Script("independence", __doc__, draws=200, pairs=10_000)
    keep_freed_memory()
    rows: list[dict[str, Any]] = []
    for seed in range(script.given["draws"]):
        rows.append(draw_p_value(seed, n=script.given["pairs"]))
        if seed % 20 == 19 or seed == script.given["draws"] - 1:
            script.write(rows, list(range(len(rows))), summary=count_rejections(rows))
