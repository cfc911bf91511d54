"""`results.json` and the run folder: what a command leaves behind."""

import csv
import itertools
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import yaml

from .. import __version__
from ..atomic_writing import write_atomically
from ..errors import DataError

T = TypeVar("T")


def list_versions() -> dict[str, str]:
    """Versions that decide the figures."""
    return {
        "midebias": __version__, "python": platform.python_version(), "torch": torch.__version__,
        "numpy": np.__version__, "threads": str(torch.get_num_threads()),
    }  # fmt: skip


def make_results_document(command: str, seed: Any, rows: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """The machine-readable record of a command, schema 1."""
    rows = [dict(r) for r in rows]
    return {"schema": 1, "command": command, "versions": list_versions(), "seed": seed, "rows": rows, **more}


def write_json(path: Path, document: Mapping[str, Any], *, indent: int | None = 1) -> None:
    """Write a whole document or nothing: a reader never sees half a file."""
    write_atomically(path, (json.dumps(document, indent=indent) + "\n").encode())


def write_results(folder: Path, command: str, seed: Any, rows: Sequence[Mapping[str, Any]], **more: Any) -> None:
    """Write `make_results_document` to ``results.json``."""
    write_json(folder / "results.json", make_results_document(command, seed, rows, **more))


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.yaml``, from which `read_config` goes on."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def read_config(folder: Path, kind: str, read: Callable[[Any], T]) -> T:
    """Apply ``read`` to ``config.yaml``. Raises `DataError` where that is not one of a ``kind`` ("table")."""
    try:
        return read(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise DataError(f"--resume {folder} holds no {kind} that can go on ({error})") from error


def flatten_metrics(trace: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
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


def make_run_folder(parent: Path, name: str, config: Mapping[str, Any]) -> Path:
    """Make ``parent/name-001`` or the next free number, with ``config.yaml`` in it. Raises `DataError`."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            folder = parent / f"{name}-{number:03d}"
            with suppress(FileExistsError):
                folder.mkdir()
                break
    except OSError as error:
        raise DataError(f"no run folder can be made in {parent} ({error.strerror})") from error
    write_config(folder, config)
    return folder
