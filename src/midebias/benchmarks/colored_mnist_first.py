"""Accuracy, cost and memory on the whole of Colored MNIST: writes ``results/colored_mnist_first.json``.

python -m midebias.benchmarks.colored_mnist_first --output results/colored_mnist_first.json
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ..training import TrainingRun
from .image_data import load_colored_mnist
from .images import build_method, run_method
from .results import results_document, write_json

_LOG = logging.getLogger("midebias.benchmarks")
_COMMAND = "python -m midebias.benchmarks.colored_mnist_first"


# What is run under which name; the last two take ours apart.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("plain", {}),
    "mib": ("mib", {}),
    "mib_penalty_only": ("mib", {"adjust": 0.0, "rebalance": 0.0}),
    "mib_adjustment_only": ("mib", {"mi_weight": 0.0}),
}


def accuracy_rows(variance: float, epochs: int, seeds: list[int], methods: list[str]) -> list[dict[str, Any]]:
    """Every method on every seed, each run in a process of its own, so that its peak memory is its own."""
    rows = []
    for seed in seeds:
        for name in methods:
            command = [sys.executable, "-m", __spec__.name if __spec__ else "", "--one", name]
            command += ["--seeds", str(seed), "--epochs", str(epochs), "--variance", str(variance)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            _LOG.info("%s", {k: rows[-1][k] for k in ("method", "seed", "test_accuracy", "seconds_per_epoch")})
    return rows


def interleaved_cost(variance: float, *, epochs: int, reference_steps: int) -> dict[str, float]:
    """Seconds of plain, ours and the reference in turns of a few steps, so that all meet the same machine."""
    data = load_colored_mnist(variance, 0).train
    plain = TrainingRun(build_method("plain"), data, epochs=epochs)
    ours = TrainingRun(build_method("mib"), data, epochs=epochs)
    while not plain.finished:
        plain.advance(13)
        ours.advance(13)
    reference = build_method("reference")
    recipe = TrainingRun(reference, data, epochs=1, max_steps=reference_steps)
    reference.begin_epoch = lambda batches: None  # type: ignore[method-assign]  # steps alone are timed
    fresh = TrainingRun(build_method("mib"), data, epochs=1)
    fresh.advance(2)
    per_step: list[tuple[float, float]] = []
    while not recipe.finished:
        started = time.perf_counter()
        recipe.advance(1)
        between = time.perf_counter()
        fresh.advance(5)
        per_step.append((between - started, (time.perf_counter() - between) / 5))
    theirs, own = (statistics.median(column) for column in zip(*per_step, strict=True))
    images = (recipe.batch_size, fresh.batch_size)
    return {
        "plain_seconds_per_epoch": plain.seconds / epochs,
        "ours_seconds_per_epoch": ours.seconds / epochs,
        "ours_over_plain": ours.seconds / plain.seconds,
        "reference_seconds_per_step": theirs,
        "ours_seconds_per_step": own,
        "reference_over_ours_per_step": theirs / own,
        "reference_over_ours_per_image": (theirs / images[0]) / (own / images[1]),
        "reference_critic_steps": 40,
        "reference_batch_size": images[0],
        "ours_batch_size": images[1],
    }


def summarize(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and spread of each method over its seeds."""
    summary = {}
    for name in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == name]
        columns = (
            "train_accuracy",
            "test_accuracy",
            "mi",
            "probe_accuracy",
            "seconds_per_epoch",
            "peak_memory_mb",
        )
        entry = {c: statistics.mean(r[c] for r in mine) for c in columns}
        entry["test_accuracy_std"] = statistics.stdev(r["test_accuracy"] for r in mine) if len(mine) > 1 else 0.0
        entry["test_accuracy_min"] = min(r["test_accuracy"] for r in mine)
        summary[name] = entry
    return summary


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variance", type=float, default=0.020)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", choices=list(VARIANTS), nargs="+", default=["plain", "mib"])
    parser.add_argument("--reference-steps", type=int, default=10, help="0 leaves the cost out")
    parser.add_argument("--output", type=Path, default=Path("results/colored_mnist_first.json"))
    parser.add_argument("--one", choices=list(VARIANTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.one:
        data = load_colored_mnist(arguments.variance, arguments.seeds[0])
        name, options = VARIANTS[arguments.one]
        out = run_method(name, data, epochs=arguments.epochs, seed=arguments.seeds[0], options=options)
        sys.stdout.write(json.dumps(out.row | {"method": arguments.one, "history": out.history}) + "\n")
        return
    more: dict[str, Any] = {}
    if arguments.reference_steps:
        more["cost"] = interleaved_cost(arguments.variance, epochs=1, reference_steps=arguments.reference_steps)
        _LOG.info("%s", more["cost"])
    rows = accuracy_rows(arguments.variance, arguments.epochs, arguments.seeds, arguments.methods)
    summary = summarize(rows)
    if {"plain", "mib"} <= set(summary):
        memory = summary["mib"]["peak_memory_mb"] / summary["plain"]["peak_memory_mb"]
        more["peak_memory_ours_over_plain"] = memory
    command = (
        f"{_COMMAND} --variance {arguments.variance} --epochs {arguments.epochs} "
        f"--seeds {' '.join(map(str, arguments.seeds))} --methods {' '.join(arguments.methods)} "
        f"--reference-steps {arguments.reference_steps} --output {arguments.output}"
    )
    write_json(arguments.output, results_document(command, arguments.seeds, rows, summary=summary, **more))


if __name__ == "__main__":
    main()
