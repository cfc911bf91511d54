"""Pictures of ``docs/images`` drawn from ``results/``, all but demo.png: ``python -m benchmarks.pictures``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from midebias.reporting.estimator_figures import draw_cost_by_batch, draw_estimators
from midebias.reporting.fairness_figure import draw_front
from midebias.reporting.training_figure import draw_training

__all__ = ["PICTURES"]


def _draw_traces(path: Path, found: dict[str, Any]) -> None:
    titles = {"mib, variance ": "σ² = ", "mib, rho ": "ρ = "}
    traces = found["traces"]
    for name, title in titles.items():
        traces = {key.replace(name, title): points for key, points in traces.items()}
    draw_training(path, traces)


PICTURES: Mapping[str, tuple[str, Callable[[Path, dict[str, Any]], object]]] = {
    "colored-mnist-training.png": ("colored-mnist", _draw_traces),
    "biased-mnist-training.png": ("biased-mnist", _draw_traces),
    "estimators.png": ("estimators", lambda path, found: draw_estimators(path, found["rows"])),
    "estimator-speed.png": ("estimator-speed", lambda path, found: draw_cost_by_batch(path, found["rows"])),
    "fairness.png": ("fairness", lambda path, found: draw_front(path, found["summary"])),
}
"""Name of a picture -> the file of ``results/`` and what draws it."""

if __name__ == "__main__":
    for name, (source, draw) in PICTURES.items():
        draw(Path("docs/images", name), json.loads(Path(f"results/{source}.json").read_text(encoding="utf-8")))
