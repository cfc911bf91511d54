"""What the penalty costs a fit on Adult: the same network with and without it, and fairlearn's adversarial classifier.

In turns, in one process; in seconds of this process's CPU beside those of the clock, which other work on the machine
lengthens. fairlearn's takes the preprocessed matrix, and is not charged with preprocessing.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from midebias.experiments.run_folder import results_document, write_json
from midebias.experiments.tabular_methods import METHODS
from midebias.experiments.tabular_splits import load_split
from midebias.sklearn import MIDebiasClassifier

__all__ = ["fit_time_document", "fit_times", "render_table"]

_OURS: dict[str, dict[str, Any]] = {
    "plain network": {"mi_weight": 0.0},
    "independence": {"criterion": "independence"},
    "separation": {"criterion": "separation"},
}


def fit_times(rounds: int, limit: int | None = None) -> list[dict[str, Any]]:
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


def fit_time_document(rows: Sequence[Mapping[str, Any]], command: str) -> dict[str, Any]:
    """Rows, and each method's median with its ratios to the plain network of the same round."""
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
    return results_document(command, sorted(plain), rows, table="fit time", summary=summary)


def render_table(document: Mapping[str, Any]) -> str:
    """The table of a record."""
    lines = ["| Adult, 32,561 rows | CPU seconds | over the plain network |", "| --- | ---: | ---: |"]
    for e in document["summary"]:
        ratio = f"{e['over_plain']:.2f} ({e['over_plain_least']:.2f} to {e['over_plain_most']:.2f})"
        lines.append(f"| {e['method']} | {e['cpu_seconds']:.1f} | {ratio} |")
    threads, rounds = document["versions"]["threads"], document["summary"][0]["rounds"]
    return "\n".join(lines) + (
        f"\n\nMedian (least to most) of {rounds} rounds in turns, {threads} thread(s). `{document['command']}`\n"
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("results/fit-time.json"))
    arguments = parser.parse_args()
    command = f"python -m benchmarks.fit_time --rounds {arguments.rounds}"
    write_json(arguments.output, fit_time_document(fit_times(arguments.rounds), command))


if __name__ == "__main__":
    _main()
