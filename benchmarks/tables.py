"""Tables of the README and of ``docs/``, written from ``results/``.

``python -m benchmarks.tables`` replaces what stands between ``<!-- results/NAME.json -->`` and ``<!-- end -->``. Of a
comparison a marker may select: ``<!-- results/colored-mnist.json settings=0.020,0.050 methods=plain,lnl,mib -->``; see
`render_comparison`. ``python -m benchmarks.tables --collect RUN results/NAME.json`` first takes over a finished run.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.markdown.comparison import render_comparison
from midebias.errors import DataError
from midebias.experiments.comparison import Comparison, summarize
from midebias.experiments.run_folder import write_json

__all__ = ["collect_run", "fill_tables", "render_document"]

_MODULES = {
    name: f"benchmarks.{name.replace(' ', '_')}"
    for name in (
        "audit cost", "audit files", "audit tables", "budgets", "certificates", "conditional", "cost", "distribution",
        "erasure", "estimator speed", "fit time",
        "independence", "known rows", "large networks", "one line", "penalty sight", "planted leaks", "published tasks",
        "random covariates", "repeated folds", "selection", "small batches",
        "table weight regret", "unseen sites", "weight regret",
    )
} | {name: f"benchmarks.markdown.{name}" for name in ("estimators", "fairness")}  # fmt: skip
_BLOCK = re.compile(r"(<!-- (results/[\w./-]+\.json)((?: \w+=\S+)*) -->\n).*?(<!-- end -->)", re.DOTALL)
_KEY = ("dataset", "setting", "network", "method", "seed")


def render_document(document: Mapping[str, Any], options: Mapping[str, Sequence[str]] | None = None) -> str:
    """Markdown of a ``results.json``, by what its benchmark calls the table; without a name it is a comparison.

    Raises
    ------
    DataError
        A table of a name that no benchmark has, or options of anything but a comparison.
    """
    table = document.get("table")
    if table is None:
        return render_comparison(document, options or {})
    if table not in _MODULES:
        raise DataError(f"there is no table {table!r}; there are {', '.join(_MODULES)}")
    if options:
        raise DataError(f"the table {table!r} takes no options, got {', '.join(options)}")
    return import_module(_MODULES[table]).render_table(document)  # some of them need the benchmark extra


def fill_tables(text: str, root: Path) -> str:
    """``text`` with every table written anew from the file its marker names.

    Raises
    ------
    DataError
        When a marker names a file that is not there.
    """

    def replace(match: re.Match[str]) -> str:
        path = root / match[2]
        if not path.is_file():
            raise DataError(f"{match[2]} does not exist")
        options = {name: value.split(",") for name, value in (word.split("=", 1) for word in match[3].split())}
        return match[1] + render_document(json.loads(path.read_text(encoding="utf-8")), options) + match[4]

    return _BLOCK.sub(replace, text)


def collect_run(folder: Path, path: Path) -> None:
    """Take the results of a finished run over into a file of ``results/``.

    Rows of a comparison replace those of the same data set, setting, network, method and seed; other rows stay.
    Training curves are kept where the file has some already. Any other table replaces the file.
    """
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    if path.is_file() and "table" not in document:
        old = json.loads(path.read_text(encoding="utf-8"))
        new = {tuple(r[k] for k in _KEY): r for r in document["rows"]}
        kept = {tuple(r[k] for k in _KEY): r for r in old["rows"]}
        document["command"] = document["command"] if set(kept) <= set(new) else old["command"]
        document["rows"] = list((kept | new).values())
        document["summary"] = summarize(document["rows"])
        document["seed"] = sorted({r["seed"] for r in document["rows"]})
        if "traces" in old:
            document["traces"] = old["traces"] | Comparison.resume(folder).traces()
    write_json(path, document)


def _main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--collect", nargs=2, type=Path, metavar=("RUN", "FILE"), help="Take a finished run over.")
    given = parser.parse_args()
    readme = Path("README.md")
    if not readme.is_file():
        sys.exit("README.md is not here: run this at the root of the repository")
    if given.collect:
        collect_run(*given.collect)
    for page in (readme, *Path("docs").rglob("*.md")):
        page.write_text(fill_tables(page.read_text(encoding="utf-8"), Path()), encoding="utf-8")


if __name__ == "__main__":
    _main()
