"""What the penalty costs a fit on Adult: the same network with and without it, and fairlearn's adversarial classifier.

In turns, in one process; in seconds of this process's CPU beside those of the clock, which other work on the machine
lengthens. fairlearn's takes the preprocessed matrix, and is not charged with preprocessing.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from midebias.experiments.tabular_methods import METHODS
from midebias.experiments.tabular_splits import load_split
from midebias.sklearn import MIDebiasClassifier

from .script import Script, format_table

__all__ = ["render_table", "summarize_fit_times", "time_fits"]

_OURS: dict[str, dict[str, Any]] = {
    "plain network": {"mi_weight": 0.0},
    "independence": {"criterion": "independence"},
    "separation": {"criterion": "separation"},
}


def time_fits(rounds: int, limit: int | None = None) -> list[dict[str, Any]]:
    """Rows with method, round, ``cpu_seconds`` and ``seconds``; ``limit`` keeps so many rows of the table."""
    split = load_split("adult", "sex", 0, limit)

    def ours(options: dict[str, Any]) -> Callable[[int], Any]:
        return lambda seed: MIDebiasClassifier(random_state=seed, **options).fit(
            split.frame, split.y, sensitive_features=split.c
        )

    fits = {name: ours(options) for name, options in _OURS.items()}
    fits["AdversarialFairnessClassifier"] = lambda seed: METHODS["adversarial"](
        split, seed, criterion="independence", alpha=0.3
    )
    MIDebiasClassifier(epochs=1, random_state=0).fit(split.frame, split.y, sensitive_features=split.c)  # imports
    rows = []
    for seed in range(rounds):
        for name, fit in fits.items():
            cpu, clock = time.process_time(), time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compared method
                fit(seed)
            cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
            rows.append({"method": name, "seed": seed, "cpu_seconds": cpu, "seconds": clock})
    return rows


def summarize_fit_times(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Median of each method, with its ratios to the plain network of the same round."""
    plain = {r["seed"]: r["cpu_seconds"] for r in rows if r["method"] == "plain network"}
    summary = []
    for name in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == name]
        ratios = [r["cpu_seconds"] / plain[r["seed"]] for r in mine]
        summary.append(
            {
                "method": name,
                "rounds": len(mine),
                "cpu_seconds": float(np.median([r["cpu_seconds"] for r in mine])),
                "over_plain": float(np.median(ratios)),
                "over_plain_least": min(ratios),
                "over_plain_most": max(ratios),
            }
        )
    return summary


def render_table(document: Mapping[str, Any]) -> str:
    """The table of a record."""
    lines = format_table(
        ("Adult, 32,561 rows", "CPU seconds", "over the plain network"),
        [
            (e["method"], f"{e['cpu_seconds']:.1f}",
             f"{e['over_plain']:.2f} ({e['over_plain_least']:.2f} to {e['over_plain_most']:.2f})")
            for e in document["summary"]
        ],
    )  # fmt: skip
    threads, rounds = document["versions"]["threads"], document["summary"][0]["rounds"]
    return "\n".join(lines) + (
        f"\n\nProcessor time of one fit (threads: {threads}), median (least to most) over {rounds} "
        f"rounds, each of which fits every row of the table once. `{document['command']}`\n"
    )


if __name__ == "__main__":
    script = Script("fit_time", __doc__, rounds=3)
    rows = time_fits(script.given["rounds"])
    script.write(rows, list(range(script.given["rounds"])), summary=summarize_fit_times(rows))
