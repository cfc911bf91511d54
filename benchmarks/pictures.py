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

PICTURES: Mapping[str, tuple[str, Callable[[Path, dict[str, Any]], object]]] = {
    "colored-mnist-training.png": ("colored-mnist", lambda path, found: draw_training(path, found["traces"])),
    "biased-mnist-training.png": ("biased-mnist", lambda path, found: draw_training(path, found["traces"])),
    "estimators.png": ("estimators", lambda path, found: draw_estimators(path, found["rows"])),
    "estimator-speed.png": ("estimator-speed", lambda path, found: draw_cost_by_batch(path, found["rows"])),
    "fairness.png": ("fairness", lambda path, found: draw_front(path, found["summary"])),
}
"""Name of a picture -> the file of ``results/`` and what draws it."""

if __name__ == "__main__":
    for name, (source, draw) in PICTURES.items():
        draw(Path("docs/images", name), json.loads(Path(f"results/{source}.json").read_text(encoding="utf-8")))
