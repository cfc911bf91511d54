"""`results.json` and the run folder: what a command leaves behind."""

import csv
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..errors import DataError


def versions() -> dict[str, str]:
    """Versions that decide the figures."""
    return {
        "midebias": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": str(torch.get_num_threads()),
    }


def results_document(command: str, seed: Any, rows: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """The machine-readable record of a command, schema 1."""
    return {
        "schema": 1,
        "command": command,
        "versions": versions(),
        "seed": seed,
        "rows": [dict(r) for r in rows],
        **more,
    }


def write_json(path: Path, document: Mapping[str, Any], *, indent: int | None = 1) -> None:
    """Write a whole document or nothing: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(document, indent=indent) + "\n", encoding="utf-8")
    partial.replace(path)


def metrics(trace: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Training over time as flat rows, a column per representation, with the test accuracy where there was a test."""
    tested = {e["step"]: e["test_accuracy"] for e in history}
    rows = []
    for point in trace:
        row = {k: v for k, v in point.items() if k not in ("mi", "weights")}
        row |= {f"mi_{i}": value for i, value in enumerate(point["mi"], start=1)}
        row |= {f"weight_{i}": value for i, value in enumerate(point["weights"], start=1)}
        rows.append(row | {"test_accuracy": tested.get(point["step"], "")})
    return rows


def write_metrics(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as csv; what a row does not have stays empty."""
    if not rows:
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def new_run_folder(parent: Path, name: str) -> Path:
    """Make ``parent/name-001`` or the next free number; never an existing folder.

    Raises
    ------
    DataError
        When no folder can be made there.
    """
    number = 1
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = parent / f"{name}-{number:03d}"
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
            else:
                return folder
    except OSError as error:
        raise DataError(f"no run folder can be made in {parent} ({error.strerror})") from error
