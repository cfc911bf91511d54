"""Our estimate beside the known mutual information, and scikit-learn's nearest neighbours where they apply."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import torch

from ..datasets.synthetic import TASKS
from ..estimation import estimate_mi

__all__ = ["estimator_rows", "estimator_summary", "estimators_markdown", "one_task"]


def estimator_rows(cells: Sequence[tuple[str, int]], *, n: int, jobs: int = 1) -> Iterator[list[dict[str, Any]]]:
    """Rows of each (task, seed), one per estimator and ours first, as they are finished."""
    if jobs == 1:
        for name, seed in cells:
            yield one_task(name, n, seed)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for finished in as_completed([pool.submit(one_task, name, n, seed) for name, seed in cells]):
            yield finished.result()


def one_task(name: str, n: int, seed: int) -> list[dict[str, Any]]:
    """Rows of one task: ours with default settings, and scikit-learn's where both sides are one column."""
    task = TASKS[name]
    z, c, groups = task.sample(n, seed=seed)
    common = {"task": name, "family": task.family, "dim": task.dim, "truth": task.truth, "n": n, "seed": seed}
    started = time.perf_counter()
    result = estimate_mi(z, c, condition_on=groups, random_state=seed)
    low, high = result.interval
    rows = [
        common
        | {
            "estimator": "midebias",
            "kind": result.estimator,
            "bound": result.bound,
            "value": result.value,
            "stderr": result.stderr,
            "low": low,
            "high": high,
            "p_value": result.p_value,
            "alarms": list(result.alarms),
            "seconds": time.perf_counter() - started,
        }
    ]
    if groups is None and z.shape[1] == 1 and (c.ndim == 1 or c.shape[1] == 1):
        from sklearn.feature_selection import (
            mutual_info_classif,
            mutual_info_regression,
        )

        started = time.perf_counter()
        theirs = mutual_info_regression if c.is_floating_point() else mutual_info_classif
        value = float(theirs(z.numpy(), c.flatten().numpy(), random_state=seed)[0])
        kind = theirs.__name__
        seconds = time.perf_counter() - started
        rows.append(common | {"estimator": "scikit-learn", "kind": kind, "value": value, "seconds": seconds})
    return rows


def estimator_summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many of our estimates lie within the tolerances, and of the intervals cover the truth.

    ``within_small``: max(0.05 nats, 10%) for at most five columns; ``within_all``: max(0.1, 15%) for all;
    ``covered``: intervals of the linear normal and discrete families.
    """
    ours = [r for r in rows if r["estimator"] == "midebias" and r["truth"] <= 2]
    small = [abs(r["value"] - r["truth"]) <= max(0.05, 0.1 * r["truth"]) for r in ours if r["dim"] <= 5]
    every = [abs(r["value"] - r["truth"]) <= max(0.1, 0.15 * r["truth"]) for r in ours]
    covered = [r["low"] <= r["truth"] <= r["high"] for r in ours if r["family"] in ("normal", "discrete")]

    def share(hits: Sequence[bool]) -> dict[str, Any]:
        return {"hits": sum(hits), "of": len(hits), "share": sum(hits) / len(hits) if hits else None}

    return {"within_small": share(small), "within_all": share(every), "covered": share(covered)}


def estimators_markdown(document: Mapping[str, Any]) -> str:
    """How many estimates lie near the truth, and which do not."""
    said = {
        "within_small": "within max(0.05 nats, 10%) of the truth, at most five columns a side",
        "within_all": "within max(0.1 nats, 15%) of the truth, all",
        "covered": "95% interval covers the truth, normal and discrete families",
    }
    lines = ["| runs | hits | of | share |", "| --- | ---: | ---: | ---: |"]
    for key, text in said.items():
        entry = document["summary"][key]
        lines.append(f"| {text} | {entry['hits']} | {entry['of']} | {entry['share']:.2f} |")
    ours = [r for r in document["rows"] if r["estimator"] == "midebias"]
    far = [r for r in ours if abs(r["value"] - r["truth"]) > max(0.05, 0.1 * r["truth"])]
    misses = "; ".join(f"`{r['task']}` {r['value']:.2f} for {r['truth']:.2f} (seed {r['seed']})" for r in far)
    seeds: dict[tuple[int, ...], int] = {}
    for task in dict.fromkeys(r["task"] for r in ours):
        mine = tuple(sorted(r["seed"] for r in ours if r["task"] == task))
        seeds[mine] = seeds.get(mine, 0) + 1
    runs = "; ".join(f"{n} tasks with seeds {', '.join(map(str, mine))}" for mine, n in seeds.items())
    return (
        "\n".join(lines)
        + f"\n\nFarther off than max(0.05 nats, 10%): {misses or 'none'}.\n\n"
        + f"{document['n']:,} pairs, default settings; {runs}. `{document['command']}`\n"
    )
