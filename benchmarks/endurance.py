"""Memory of a process that trains for hours, and of one that fits again and again.

python -m benchmarks.endurance --seconds 7200 --fits 1000 --output results/endurance.json
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from midebias.errors import InputError
from midebias.experiments.image_methods import build_method
from midebias.experiments.planted_images import load_planted_images
from midebias.experiments.process import keep_freed_memory
from midebias.lightning import MethodModule

from .script import Script

__all__ = ["MemoryTrend", "fit_memory_trend", "fit_repeatedly", "read_resident_mib", "train_for"]

_LOG = logging.getLogger("benchmarks")
_WARM_UP = 0.25  # share of the samples that are left out: caches and pools of the allocator fill at first


@dataclass(frozen=True)
class MemoryTrend:
    """A line through resident memory after warm-up.

    Attributes
    ----------
    slope, slope_stderr : float
        In MiB per unit of what it was sampled against (hours, or a hundred fits). The error is that of a straight line
        with independent residuals: what an allocator does by leaps makes it too small.
    first_mib, last_mib : float
        Medians of the first and the last tenth after warm-up.
    n : int
        Samples after warm-up.
    """

    slope: float
    slope_stderr: float
    first_mib: float
    last_mib: float
    n: int


def read_resident_mib() -> float:
    """Resident memory of this process in MiB, now and not at its peak.

    Raises
    ------
    InputError
        Where there is no /proc to read it from.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError as error:
        raise InputError("resident memory is read from /proc, which this system does not have") from error
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def fit_memory_trend(at: Sequence[float], mib: Sequence[float], *, warm_up: float = _WARM_UP) -> MemoryTrend:
    """The least-squares line through samples (at, mib), the first ``warm_up`` share of which is left out.

    Raises
    ------
    InputError
        When fewer than three samples are left, or ``at`` does not vary among them.
    """
    start = int(len(at) * warm_up)
    x, y = np.asarray(at[start:], dtype=np.float64), np.asarray(mib[start:], dtype=np.float64)
    if len(x) < 3 or len(x) != len(y) or np.ptp(x) == 0:
        raise InputError(f"at must hold three different moments after warm-up, got {len(x)} of {len(at)}")
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    residuals = y - y.mean() - slope * centred
    stderr = float(np.sqrt(residuals @ residuals / (len(x) - 2) / (centred @ centred)))
    tenth = max(1, len(x) // 10)
    return MemoryTrend(slope, stderr, float(np.median(y[:tenth])), float(np.median(y[-tenth:])), len(x))


def train_for(seconds: float, *, method: str = "mib", images: int = 20_000, seed: int = 0) -> dict[str, Any]:
    """Train on Colored MNIST for so many seconds, and sample resident memory about 400 times on the way."""
    data = load_planted_images("colored-mnist", 0.020, seed, limit=images)
    run = MethodModule(build_method(method, data.problem, seed=seed), data.train, epochs=1_000_000, seed=seed)
    hours: list[float] = []
    mib: list[float] = []
    started = time.monotonic()
    while (passed := time.monotonic() - started) < seconds or len(mib) < 4:
        if passed >= len(mib) * seconds / 400:
            gc.collect()
            hours.append(passed / 3600)
            mib.append(read_resident_mib())
            _LOG.info("%s: %.0f s, step %d, %.1f MiB", method, passed, run.done_steps, mib[-1])
        run.advance(10)
    trend = fit_memory_trend(hours, mib)
    return {
        "what": "training", "method": method, "seconds": time.monotonic() - started, "steps": run.done_steps,
        "mib_per_hour": trend.slope, "mib_per_hour_stderr": trend.slope_stderr,
        "mib_first": trend.first_mib, "mib_last": trend.last_mib, "samples": trend.n,
    }  # fmt: skip


def fit_repeatedly(fits: int, *, rows: int = 300, epochs: int = 2, seed: int = 0) -> dict[str, Any]:
    """Fit a new `MIDebiasClassifier` ``fits`` times, predict with each, and sample resident memory after each."""
    from midebias.sklearn import MIDebiasClassifier

    rng = np.random.default_rng(seed)
    c = rng.integers(2, size=rows)
    X = rng.normal(size=(rows, 6)) + c[:, None]
    y = (X[:, 0] + rng.normal(size=rows) > 0.5).astype(int)
    mib: list[float] = []
    started = time.monotonic()
    for k in range(fits):
        model = MIDebiasClassifier(epochs=epochs, random_state=k).fit(X, y, sensitive_features=c)
        model.predict(X)
        del model
        if k % 10 == 0:
            gc.collect()
        mib.append(read_resident_mib())
        if k % 50 == 0:
            _LOG.info("fit %d, %.0f s, %.1f MiB", k, time.monotonic() - started, mib[-1])
    trend = fit_memory_trend([k / 100 for k in range(fits)], mib)
    return {
        "what": "fits", "fits": fits, "rows": rows, "epochs": epochs, "seconds": time.monotonic() - started,
        "mib_per_100_fits": trend.slope, "mib_per_100_fits_stderr": trend.slope_stderr,
        "mib_first": trend.first_mib, "mib_last": trend.last_mib, "samples": trend.n,
    }  # fmt: skip


if __name__ == "__main__":
    script = Script("endurance", __doc__, seconds=7200.0, fits=1000, method="mib", seed=0)
    keep_freed_memory()
    seed = script.given["seed"]
    rows = [fit_repeatedly(script.given["fits"], seed=seed)] if script.given["fits"] else []
    if script.given["seconds"]:
        rows.append(train_for(script.given["seconds"], method=script.given["method"], seed=seed))
    script.write(rows, seed)
