"""Random tables and files through the audit, the scikit-learn classifier and ``midebias train``: what comes of each.

Whatever the columns hold, an outcome is "passed", "leaks" or "refused" in one sentence. Counted as wrong: an error of
another kind, a verdict, exit status or row of the table that contradicts another, a column of the file that is named
nowhere in what is printed, and a served table that does not give the classifier's probabilities.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from midebias import audit
from midebias.cli import run
from midebias.errors import DataError, InputError
from midebias.serving import ServedTable
from midebias.sklearn import MIDebiasClassifier

from .audit_files import CODES, COLUMNS, LISTS
from .script import Script, format_table

__all__ = ["TRIALS", "render_table", "try_table"]

_WORDS = ("a", "B", "é", "None ", "1e5", "0x1f", "-", "inf", "12 kg", "3:45", "[1, 2]", "2020-01-01", "1,5", "007")
_NAMES = ("age", "Unnamed: 0", "id", "x y", "z_0", "é", "count", "index", "0", "sex", "proba", "weight", "a=b", "level")


def draw_column(rng: np.random.Generator, n: int) -> Any:
    """Draw a column of any kind, perhaps partly missing."""
    kind = rng.integers(8)
    values: Any
    if kind < 3:
        values = list(COLUMNS.values())[int(rng.integers(len(COLUMNS)))](rng.normal(size=n))
    elif kind < 5:
        values = list(CODES.values())[int(rng.integers(len(CODES)))](rng.integers(int(rng.integers(1, 4)), size=n))
    elif kind == 5:
        values = rng.choice(_WORDS, size=n) if rng.random() < 0.5 else rng.choice(_WORDS[:3], size=n)
    elif kind == 6:
        values = [f"code {i}" for i in rng.integers(int(rng.integers(2, 60)), size=n)]
    else:
        values = rng.integers(0, int(rng.choice([1, 3, 25, 10**6])), size=n)
    column = pd.Series(values)
    if rng.random() < 0.07:
        column = column.astype(object) if column.dtype.kind in "bM" else column
        column = column.where(rng.random(n) > rng.choice([0.05, 0.5, 1.0]))
    return column


def draw_frame(rng: np.random.Generator) -> pd.DataFrame:
    """Draw a table of three to nine columns, at times with one of lists, or one that tells another."""
    n = int(rng.choice([25, 110, 160, 450], p=[0.05, 0.3, 0.3, 0.35]))
    names = rng.permutation(_NAMES)[: int(rng.integers(3, 8))]
    frame = pd.DataFrame({str(name): draw_column(rng, n) for name in names})
    if rng.random() < 0.3:  # a leak about one of them
        told = frame.iloc[:, int(rng.integers(frame.shape[1]))].astype(str)
        frame["told"] = pd.factorize(told)[0] + 0.3 * rng.normal(size=n)
    if rng.random() < 0.2:
        frame["vector"] = list(LISTS.values())[int(rng.integers(len(LISTS)))](rng.normal(size=(n, 2)))
    return frame


def _call(arguments: list[str]) -> tuple[int, str, str]:
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = run(arguments)
    return int(status), out.getvalue(), errors.getvalue()


def _write(frame: pd.DataFrame, rng: np.random.Generator, folder: Path) -> Path:
    path = folder / f"table.{rng.choice(['csv', 'tsv', 'parquet'])}"
    if path.suffix == ".parquet":
        try:
            frame.to_parquet(path, index=bool(rng.integers(2)))
        except Exception:  # what Arrow cannot hold is nobody's file
            path = path.with_suffix(".csv")
    if path.suffix != ".parquet":
        frame.to_csv(path, index=bool(rng.integers(2)), sep="\t" if path.suffix == ".tsv" else ",")
    return path


def _check_refusal(status: int, errors: str) -> str:
    if status != 2 or not errors.startswith("midebias: ") or "Traceback" in errors or errors.strip().count("\n"):
        return f"wrong: status {status} with {errors!r:.200}"
    return "refused"


def try_file(rng: np.random.Generator) -> str:
    """Audit a file by the command line."""
    frame, limit = draw_frame(rng), float(rng.choice([0.0, 0.05]))
    roles = list(rng.permutation([c for c in frame.columns if c != "vector"]))
    given = ["--attribute", roles.pop(), "--probes", "linear", "--max-leakage", str(limit)]
    for option, share in (("--label", 0.5), ("--groups", 0.15)):
        given += [option, roles.pop()] if len(roles) > 1 and rng.random() < share else []
    with tempfile.TemporaryDirectory() as name:
        path = _write(frame, rng, Path(name))
        status, text, errors = _call(["audit", str(path), *given, "--output-dir", f"{name}/runs"])
        found = sorted(Path(name).glob("runs/*/results.json"))
        if not found:
            return _check_refusal(status, errors)
        document = json.loads(found[0].read_text(encoding="utf-8"))
    lost = [c for c in frame.columns if str(c) not in text]
    exceeding = [row for row in document["summary"] if row["leaks"] and row["leakage"] > limit]
    unjudged = [row for row in document["unaudited"] if row["nats"] > limit]
    expected = 1 if exceeding else 2 if unjudged else 0
    marked = sum(line.endswith("  leaks") for line in text.splitlines())
    if lost:
        return f"wrong: {lost[0]!r} is named nowhere"
    if not status == expected == document["exit_status"] or document["leaks"] != bool(marked):
        return f"wrong: status {status}, rows say {expected}, {marked} are marked"
    if document["leaks"] != document["verdict"].startswith("The representation leaks"):
        return "wrong: the verdict contradicts the table"
    return ("passed", "leaks", "not judged")[status]


def try_arrays(rng: np.random.Generator) -> str:
    """Audit columns in Python, with predictions."""
    n = int(rng.choice([110, 200]))
    z = rng.normal(size=(n, int(rng.integers(1, 4))))
    c, y = draw_column(rng, n), draw_column(rng, n)
    c, y = ((v.tolist(), v.to_numpy(), v)[int(rng.integers(3))] for v in (c, y))
    try:
        predictions = y if rng.random() < 0.5 else None
        result = audit(z, {"c": c}, y if rng.random() < 0.7 or predictions is not None else None,
                       predictions=predictions, probes=["linear"])  # fmt: skip
    except InputError:
        return "refused"
    decided = result.decide()
    if decided.leaks != any(s.leaks for s in result.summary) or (decided.exit_status == 1) != result.exceeds(0.0):
        return "wrong: the verdict contradicts the table"
    if result.differences and result.differences[0]["worst_group_accuracy"] != 1.0:
        return "wrong: y as its own prediction is not always right"
    return "leaks" if decided.leaks else "passed"


def try_classifier(rng: np.random.Generator) -> str:
    """Fit a classifier on a table, predict on its rows in another order, and compare with the served table."""
    frame = draw_frame(rng)
    n, names = len(frame), [str(c) for c in frame.columns]
    y, sensitive = draw_column(rng, n), str(rng.choice(names))
    try:
        model = MIDebiasClassifier(sensitive_columns=sensitive, epochs=1, random_state=0).fit(frame, y)
        rows = rng.permutation(n)[: int(rng.integers(1, n))]
        whole, part = model.predict_proba(frame), model.predict_proba(frame.iloc[rows])
        as_objects = model.predict_proba(frame.astype(object))
        served = ServedTable.from_model(model)
        told = served(torch.from_numpy(served.encode(frame)))[0].detach().numpy()
    except InputError:
        return "refused"
    for what, a, b in (("rows", whole[rows], part), ("objects", whole, as_objects), ("served", whole, told)):
        if not np.allclose(a, b, atol=1e-6):
            return f"wrong: {what} differ by {np.abs(a - b).max():.2g}"
    return "passed"


def try_training(rng: np.random.Generator) -> str:
    """Train on a file by the command line."""
    frame = draw_frame(rng)
    label, attribute, *_ = rng.permutation([str(c) for c in frame.columns])
    with tempfile.TemporaryDirectory() as name:
        path = _write(frame, rng, Path(name))
        path = path.rename(path.with_suffix(".csv")) if path.suffix == ".tsv" else path
        given = ["--label", label, "--attribute", attribute, "--epochs", "1", "--output-dir", f"{name}/runs"]
        status, text, errors = _call(["train", str(path), *given])
    if status:
        return _check_refusal(status, errors)
    lost = [c for c in frame.columns if str(c) not in text]
    return f"wrong: {lost[0]!r} is named nowhere" if lost else "passed"


TRIALS: dict[str, Callable[[np.random.Generator], str]] = {
    "file": try_file, "arrays": try_arrays, "classifier": try_classifier, "training": try_training,
}  # fmt: skip


def try_table(trial: str, seed: int) -> str:
    """Outcome of one trial; what it says of itself when wrong begins with "wrong"."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return TRIALS[trial](np.random.default_rng(seed))
    except DataError:
        return "refused"
    except Exception as error:
        return f"wrong: {type(error).__name__}: {str(error)[:160]}"


def render_table(document: Mapping[str, Any]) -> str:
    """A row per kind of trial."""
    kinds = ("passed", "leaks", "not judged", "refused", "wrong")
    rows = [(r["trial"], f"{r['tables']:,}", *(f"{r.get(kind, 0):,}" for kind in kinds)) for r in document["rows"]]
    return "\n".join([*format_table(("trial", "tables", *kinds), rows), "", f"`{document['command']}`", ""])


def main() -> None:
    """Try so many tables; of ten, five are files, two arrays, two classifiers, and one in two tens a training."""
    script = Script("audit_tables", __doc__, tables=20_000, seed=0)
    found = {trial: Counter[str]() for trial in TRIALS}
    wrong: list[dict[str, Any]] = []
    for i in range(script.given["tables"]):
        place = i % 20
        trial = "training" if place == 19 else ("file", "arrays", "file", "classifier", "file")[place % 5]
        seed = script.given["seed"] + i
        outcome = try_table(trial, seed)
        if outcome.startswith("wrong"):
            wrong.append({"trial": trial, "seed": seed, "what": outcome})
        found[trial]["wrong" if outcome.startswith("wrong") else outcome] += 1
        if i % 200 == 199 or i + 1 == script.given["tables"]:
            rows = [{"trial": trial, "tables": c.total(), **dict(sorted(c.items()))} for trial, c in found.items()]
            script.write(rows, script.given["seed"], wrong=wrong[:50])


if __name__ == "__main__":
    main()
