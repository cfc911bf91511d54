"""How often the command line's audit passes files in which an attribute was planted, and fails files without a leak.

The attribute is told by a column of lists, by a column of an odd type, or by a plain column beside an attribute and a
label that are coded oddly. A planted file passes wrongly where ``midebias audit FILE --max-leakage 0.05`` exits with 0,
a clean one fails wrongly where it exits with 1; 2 is a refusal.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from midebias.cli import run

from .script import Script, format_table

__all__ = ["CODES", "COLUMNS", "KINDS", "LISTS", "audit_file", "render_table", "write_file"]

KINDS = ("list column", "oddly typed column", "coded label")
_ROWS = 600  # enough in each class to audit within classes
_NAMES = ("h", "embedding", "vec", "f", "feature", "repr", "dim", "output")

Values = NDArray[Any]
Floats = NDArray[np.float64]


def _write_with_commas(text: str) -> str:
    return text.replace(",", " ").replace(".", ",").replace(" ", ".")


LISTS: dict[str, Callable[[Floats], list[Any]]] = {
    "lists": lambda z: z.tolist(),
    "arrays": list,
    "single precision": lambda z: list(z.astype(np.float32)),
    "integers": lambda z: np.round(100 * z).astype(int).tolist(),
    "tuples": lambda z: [tuple(row) for row in z.tolist()],
}
COLUMNS: dict[str, Callable[[Floats], Any]] = {
    "decimal": lambda v: [Decimal(f"{x:.3f}") for x in v],
    "thousands": lambda v: [f"{1000 + 500 * x:,.2f}" for x in v],
    "decimal comma": lambda v: [f"{1000 + 500 * x:.1f}".replace(".", ",") for x in v],
    "points and comma": lambda v: [_write_with_commas(f"{3000 + 500 * x:,.2f}") for x in v],
    "percent": lambda v: [f"{50 + 10 * x:.1f}%" for x in v],
    "currency": lambda v: [f"${1000 + 100 * x:,.2f}" for x in v],
    "spaces": lambda v: [f"{5000 + 500 * x:,.1f}".replace(",", " ") for x in v],
    "objects": lambda v: np.round(100 * v).astype(int).astype(object),
    "text of floats": lambda v: v.astype(str),
    "scientific": lambda v: [f"{x:.3e}" for x in v],
    "boolean": lambda v: v > np.median(v),
    "boolean text": lambda v: np.where(v > np.median(v), "True", "False"),
    "half precision": lambda v: v.astype(np.float16).astype(np.float32),
    "nullable": lambda v: pd.array(np.round(100 * v).astype(int), dtype="Int64"),
    "nullable floats": lambda v: pd.array(v, dtype="Float64"),
    "categorical numbers": lambda v: pd.Categorical(np.round(v, 1)),
    "small integers": lambda v: np.clip(np.round(10 * v), -120, 120).astype(np.int8),
    "dates": lambda v: pd.Timestamp("2000-01-01") + pd.to_timedelta(np.round(100 * v), unit="D"),
    "durations": lambda v: pd.to_timedelta(np.round(100 * v), unit="s"),
    "dates as text": lambda v: (pd.Timestamp("2000-01-01") + pd.to_timedelta(np.round(100 * v), unit="D")).astype(str),
    "numbers and a few words": lambda v: np.where(np.arange(len(v)) % 50 == 3, "n/a?", v.round(3).astype(str)),
}
CODES: dict[str, Callable[[NDArray[np.int64]], Any]] = {
    "identifiers": lambda c: 94110 + c,
    "large identifiers": lambda c: 2**60 + c,
    "signs": lambda c: 2 * c - 1,
    "shifted": lambda c: c - 1,
    "close floats": lambda c: 1000.0001 + c * 1e-4,
    "text": lambda c: np.array(["group A", "group B", "group C"])[c],
    "numbers as text": lambda c: np.array(["1", "2", "10"])[c],
    "leading zeros": lambda c: np.array(["01", "02", "10"])[c],
    "versions": lambda c: np.array(["1.1", "1.10", "1.2"])[c],
    "decimal": lambda c: np.array([Decimal("0.1"), Decimal("0.2"), Decimal("0.3")], dtype=object)[c],
    "boolean": lambda c: c > 0,
    "boolean text": lambda c: np.where(c > 0, "TRUE", "FALSE"),
    "categorical": lambda c: pd.Categorical.from_codes(c, ["x", "y", "z"]),
    "nullable": lambda c: pd.array(c, dtype="Int64"),
    "partly missing": lambda c: pd.Series(c).where(np.arange(len(c)) % 9 > 0),
    "partly missing text": lambda c: pd.Series(["a", "b", "d"]).loc[c].reset_index(drop=True).where(c.cumsum() % 9 > 0),
    "whole floats": lambda c: 1e6 + c.astype(float),
}


def write_file(kind: str, folder: Path, seed: int, *, planted: bool) -> list[str]:
    """Write a file of one of `KINDS`, drawn by the seed, and return the arguments of ``midebias audit`` for it."""
    rng = np.random.default_rng(seed)
    levels = int(rng.integers(2, 4))
    c, y = rng.integers(levels, size=_ROWS), rng.integers(2, size=_ROWS)
    z = rng.normal(size=(_ROWS, int(rng.integers(2, 6))))
    place, within = int(rng.integers(z.shape[1])), bool(rng.integers(2)) and kind == "coded label"
    if planted:
        z[:, place] += 2.5 * c * ((y == 0) if within else 1)
    name = str(rng.choice(_NAMES))
    suffix = "parquet" if rng.random() < 0.6 else str(rng.choice(["csv", "tsv"]))
    columns: dict[str, Any] = {}
    if rng.random() < 0.7:
        columns["id"] = rng.permutation(_ROWS) if rng.random() < 0.5 else np.arange(_ROWS) + 5000
    if rng.random() < 0.5:
        columns["person"] = [f"person {i}" for i in range(_ROWS)]
    if kind == "list column":
        columns[name] = _draw(LISTS, rng)(z)
    else:
        columns |= {f"{name}_{j}": z[:, j] for j in range(z.shape[1])}
        if kind == "oddly typed column":
            columns[f"{name}_{place}"] = _draw(COLUMNS, rng)(z[:, place])
    coded = kind == "coded label"
    attribute: Any = _draw(CODES, rng)(c) if coded else np.array(["m", "f", "x"])[c]
    columns |= {"attribute": attribute, "label": _draw(CODES, rng)(y) if coded else y}
    frame = pd.DataFrame(columns)[list(rng.permutation(list(columns)))]
    path = folder / f"{kind.replace(' ', '-')}-{seed}-{'planted' if planted else 'clean'}.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path, index=bool(rng.integers(2)))
    else:
        frame.to_csv(path, index=bool(rng.integers(2)), sep="\t" if suffix == "tsv" else ",")
    label = ["--label", "label"] if within or rng.random() < 0.5 else []
    return ["audit", str(path), "--attribute", "attribute", *label, "--max-leakage", "0.05", "--probes", "linear"]


def _draw(choices: dict[str, Callable[[Any], Any]], rng: np.random.Generator) -> Callable[[Any], Any]:
    return choices[list(choices)[int(rng.integers(len(choices)))]]


def audit_file(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Run the command, and return its exit status and what it wrote to the standard error."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        status = run([*arguments, "--output-dir", str(folder / "runs")])
    return int(status), errors.getvalue()


def render_table(document: Mapping[str, Any]) -> str:
    """A row per kind of file, planted and clean."""
    rows = [
        (r["kind"], "planted" if r["planted"] else "clean", *(r[n] for n in ("files", "exit_0", "exit_1", "exit_2")))
        for r in document["rows"]
    ]
    lines = format_table(("told by", "", "files", "exit 0", "exit 1", "exit 2"), rows, left=2)
    return "\n".join([*lines, "", f"Exit status 2 is a refusal. `{document['command']}`", ""])


def main() -> None:
    """Audit so many planted files and as many clean ones."""
    script = Script("audit_files", __doc__, files=200, seed=0)
    rows: list[dict[str, Any]] = []
    for planted in (True, False):
        found = {kind: Counter[int]() for kind in KINDS}
        for i in range(script.given["files"]):
            kind = KINDS[i % len(KINDS)]
            with tempfile.TemporaryDirectory() as folder:
                arguments = write_file(kind, Path(folder), script.given["seed"] + i, planted=planted)
                found[kind][audit_file(arguments, Path(folder))[0]] += 1
        for kind, counts in found.items():
            row = {"kind": kind, "planted": planted, "files": counts.total()}
            rows.append(row | {f"exit_{status}": counts[status] for status in (0, 1, 2)})
            script.write(rows, script.given["seed"])


if __name__ == "__main__":
    main()
