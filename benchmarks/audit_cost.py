"""What an audit costs: seconds and peak memory, embeddings read from a memory-mapped file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from midebias.experiments.process import measure_peak_memory_mb
from midebias.leakage import audit

from .script import Script, format_table

__all__ = ["measure_audit", "render_table"]

_BLOCK = 65_536


def measure_audit(
    rows: int, dim: int, dtype: str, with_label: bool, seed: int, categories: int | None = None
) -> dict[str, Any]:
    """Audit so many rows for three attributes: two categories, five words, a number. One leaks, one hardly, one not.

    With ``categories`` for one attribute of so many words, which does not leak.
    """
    rng = np.random.default_rng(seed)
    sex, age = rng.integers(0, 2, rows), rng.normal(40, 12, rows)
    site = np.array(["north", "south", "east", "west", "centre"])[rng.integers(0, 5, rows)]
    attributes: dict[str, Any] = {"sex": sex, "age": age, "site": site}
    if categories is not None:
        attributes = {"town": np.array([f"town {i}" for i in rng.integers(0, categories, rows)])}
    y = (rng.random(rows) < 0.3 + 0.2 * sex).astype(np.int64)
    answers = np.where(rng.random(rows) < 0.85, y, 1 - y)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "z.npy"
        z = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(rows, dim))
        for start in range(0, rows, _BLOCK):
            part = slice(start, start + _BLOCK)
            block = rng.standard_normal((len(sex[part]), dim), dtype=np.float32)
            block[:, 0] += 0.5 * sex[part]
            block[:, 1] += 0.005 * (age[part] - 40)
            block[:, 2] += y[part]
            z[part] = block
        z.flush()
        del z
        wall, processor = time.perf_counter(), time.process_time()
        result = audit(
            np.load(path, mmap_mode="r"),
            attributes,
            y if with_label else None,
            predictions=answers if with_label else None,
            random_state=seed,
        )
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    leaking = {s.attribute for s in result.summary if s.leaks}
    return {
        "rows": rows, "dim": dim, "dtype": dtype, "attributes": len(attributes),
        "categories": categories, "label": with_label, "seed": seed,
        "rows_probed": result.settings["rows_probed"], "seconds": wall, "cpu_seconds": processor,
        "peak_memory_mb": measure_peak_memory_mb(), "cores": os.cpu_count(), "load": os.getloadavg()[0],
        "leaking": sorted(leaking),
    }  # fmt: skip


def render_table(document: Mapping[str, Any]) -> str:
    """Processor seconds and memory of an audit."""
    header = (
        "within classes, fairness metrics", "rows", "dimensions", "attributes", "categories", "processor seconds",
        "memory, GB",
    )  # fmt: skip
    lines = format_table(
        header,
        [
            ("yes" if r["label"] else "no", f"{r['rows']:,}", r["dim"], r["attributes"],
             r.get("categories") or "2 and 5, and a number", f"{r['cpu_seconds']:.0f}",
             f"{r['peak_memory_mb'] / 1024:.1f}")
            for r in document["rows"]
        ],
    )  # fmt: skip
    threads = document["versions"]["threads"]
    return "\n".join(lines) + f"\n\n{threads} thread, seed {document['seed']}. `{document['command']}`\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        sys.stdout.write(json.dumps(measure_audit(**json.loads(sys.argv[2]))))
        sys.exit()
    script = Script(
        "audit_cost", __doc__, rows=[50_000, 1_000_000], many_rows=5_000, categories=1_000, dim=128, dtype="float32",
        seed=0,
    )  # fmt: skip
    given = script.given
    rows: list[dict[str, Any]] = []
    cases = [{"rows": n, "with_label": label} for n in given["rows"] for label in (False, True)]
    cases.append({"rows": given["many_rows"], "with_label": False, "categories": given["categories"]})
    for case in cases:
        case |= {k: given[k] for k in ("dim", "dtype", "seed")}
        # A process each: peak memory is that of a process's whole life.
        arguments = [sys.executable, "-m", "benchmarks.audit_cost", "--one", json.dumps(case)]
        rows.append(json.loads(subprocess.run(arguments, stdout=subprocess.PIPE, check=True).stdout))
        script.write(rows, given["seed"], summary=rows)
