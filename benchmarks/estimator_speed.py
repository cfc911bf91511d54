"""What one critic update costs.

Times are those of the processor on one thread, so that other work on the machine hardly counts; what is compared takes
turns. ``--public FILE`` times other people's implementations in the same run: a Python file of your own with

    IMPLEMENTATIONS = {"a name": ("donsker_varadhan", {"hidden": (64,)}, make)}

our estimator to compare with, its options, and ``make(dim)``, which returns a function that takes (z, c), both of shape
(batch, dim), through one update of their critic.
"""

from __future__ import annotations

import math
import runpy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from midebias.attributes import Continuous
from midebias.estimators import GaussianMI
from midebias.estimators.registry import build_estimator
from midebias.experiments.process import keep_freed_memory

from .script import Script, format_table

__all__ = ["fit_growth", "render_table", "time_by_batch", "time_one_call", "time_public"]

LINEAR: Mapping[str, Mapping[str, Any]] = {
    "donsker_varadhan": {},
    "nwj": {},
    "jensen_shannon": {},
    "smile": {},
    "club": {"sampled": True},
}
"""Estimators with a critic whose cost is to grow linearly with the batch, and their options."""

# As others have it, and not as a penalty does.
_PLAIN: Mapping[str, Mapping[str, Any]] = {"donsker_varadhan": {"critic": "joined", "all_pairs": False}}

Update = Callable[[Tensor, Tensor], Any]


def time_by_batch(batches: Sequence[int], *, dim: int = 64, repeats: int = 3) -> list[dict[str, Any]]:
    """Seconds of one critic update, or of the closed form with its gradient, for each batch size."""
    updates = {name: _ours(name, dim, options) for name, options in LINEAR.items()} | {
        "gaussian": _estimate_closed_form
    }
    rows = []
    for n in batches:
        z, c = _pairs(n, dim)
        seconds = _in_turns({name: partial(u, z, c) for name, u in updates.items()}, repeats)
        rows += [{"kind": "batch", "estimator": name, "batch": n, "seconds": s} for name, s in seconds.items()]
    return rows


def fit_growth(rows: Sequence[Mapping[str, Any]], *, least: int = 4096) -> dict[str, float]:
    """Exponent of the batch in each estimator's seconds, by least squares in logarithms from ``least`` pairs on."""
    out = {}
    rows = [r for r in rows if r["kind"] == "batch"]
    for name in dict.fromkeys(r["estimator"] for r in rows):
        mine = [(math.log(r["batch"]), math.log(r["seconds"])) for r in rows if r["estimator"] == name]
        large = [point for point in mine if point[0] >= math.log(least) - 1e-9]
        if len(large) > 1:
            out[name] = statistics.linear_regression(*zip(*large, strict=True)).slope
    return out


def time_one_call(*, steps: int = 10, n: int = 256, dim: int = 64, repeats: int = 15) -> list[dict[str, Any]]:
    """Seconds of so many critic steps by one call of ``update``, and by as many calls of one step."""
    z, c = _pairs(n, dim)
    rows = []
    for name, options in LINEAR.items():
        critic, optimizer = _critic(name, dim, options)

        def together(critic: Any = critic, optimizer: Any = optimizer) -> None:
            critic.update(z, c, None, optimizer, steps=steps)

        def apart(critic: Any = critic, optimizer: Any = optimizer) -> None:
            for _ in range(steps):
                critic.update(z, c, None, optimizer, steps=1)

        seconds = _in_turns({"one_call": together, "separate_calls": apart}, repeats)
        ratio = seconds["one_call"] / seconds["separate_calls"]
        rows.append({"kind": "steps", "estimator": name, "steps": steps, "batch": n, "ratio": ratio} | seconds)
    return rows


def time_public(path: Path, *, n: int = 256, dim: int = 64, repeats: int = 40) -> list[dict[str, Any]]:
    """Seconds of one critic update, ours and those of the file's implementations, in turns."""
    z, c = _pairs(n, dim)
    rows = []
    # The user's own code, which they named on their own command line.
    for public, (name, options, make) in runpy.run_path(str(path))["IMPLEMENTATIONS"].items():
        ours, theirs = _ours(name, dim, options), make(dim)
        seconds = _in_turns({"ours": partial(ours, z, c), "theirs": partial(theirs, z, c)}, repeats)
        ratio = seconds["ours"] / seconds["theirs"]
        rows.append({"kind": "public", "estimator": name, "public": public, "batch": n, "ratio": ratio} | seconds)
    return rows


def _critic(name: str, dim: int, options: Mapping[str, Any]) -> tuple[Any, torch.optim.Optimizer]:
    critic = build_estimator(cast(Any, name), dim, Continuous(dim), **{**_PLAIN.get(name, {}), **options})
    return critic, torch.optim.Adam(critic.parameters(), lr=1e-4, fused=True)


def _ours(name: str, dim: int, options: Mapping[str, Any]) -> Update:
    critic, optimizer = _critic(name, dim, options)
    return lambda z, c: critic.update(z, c, None, optimizer)


def _estimate_closed_form(z: Tensor, c: Tensor) -> None:
    GaussianMI()(z.clone().requires_grad_(), c).backward()


def _pairs(n: int, dim: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    z = torch.randn(n, dim, generator=generator)
    return z, 0.5 * z + torch.randn(n, dim, generator=generator)


def _in_turns(functions: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median processor seconds of each, called in turns, after one call that does not count."""
    found: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            started = time.process_time()
            function()
            if turn >= 1:
                found[name].append(time.process_time() - started)
    return {name: statistics.median(values) for name, values in found.items()}


def render_table(document: Mapping[str, Any]) -> str:
    """Cost of an update beside public code, of several in one call, and its growth with the batch."""
    rows = document["rows"]
    public = [r for r in rows if r["kind"] == "public"]
    lines = []
    if public:
        cells = [
            (r["estimator"], r["public"], f"{1e3 * r['ours']:.2f}", f"{1e3 * r['theirs']:.2f}", f"{r['ratio']:.2f}")
            for r in public
        ]
        lines = [*format_table(("estimator", "beside", "ours, ms", "theirs, ms", "ratio"), cells, left=2), ""]
    steps = [r for r in rows if r["kind"] == "steps"]
    ratios = ", ".join(f"{r['estimator']} {r['ratio']:.2f}" for r in steps)
    lines.append(f"Time of {steps[0]['steps']} steps in one call over that of as many calls: {ratios}.\n")
    if document["growth"]:
        batches = [r["batch"] for r in rows if r["kind"] == "batch"]
        growth = ", ".join(f"{name} {value:.2f}" for name, value in document["growth"].items())
        lines.append(
            f"Exponent with which the time grows with the batch, from 4,096 to {max(batches):,} pairs: {growth}.\n"
        )
    lines.append(
        "Medians of processor time on one thread, all measured alternately, z and c of 64 columns: "
        f"`{document['command']}`"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    script = Script("estimator_speed", __doc__, largest=65_536, public=None)
    keep_freed_memory()
    torch.set_num_threads(1)
    rows = time_one_call()
    if script.given["public"] is not None:
        rows += time_public(Path(script.given["public"]))
    # Fewer pairs than 256 are too few for the closed form of 64 columns.
    for n in (256, 1024, 4096, 16_384, 65_536):
        rows += time_by_batch([n]) if n <= script.given["largest"] else []
        script.write(rows, None, growth=fit_growth(rows))
