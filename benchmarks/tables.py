"""Tables of the README and of ``docs/``, written from ``results/``: ``python -m benchmarks.tables``.

A table stands between ``<!-- results/NAME.json -->`` and ``<!-- end -->``; everything between is replaced.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from midebias.errors import DataError
from midebias.experiments.comparison import comparison_table
from midebias.reporting.figures import METHOD_TITLES

__all__ = ["fill", "markdown_table", "method_name"]

_NAMES = METHOD_TITLES | {
    "ceiling": "plain training without the bias: the ceiling",
    "mib": "**midebias**",
    "mib:adjust=0:rebalance=0": "penalty alone",
    "mib:rebalance=0": "penalty and logit adjustment",
    "mib:gradient_ratio=0": "logit adjustment and rebalancing, no penalty",
    "reference": "reference recipe, some steps",
}
_RENDERERS = {
    "audit cost": ("benchmarks.audit_cost", "audit_cost_markdown"),
    "budgets": ("benchmarks.budgets", "budgets_markdown"),
    "cost": ("benchmarks.cost", "cost_markdown"),
    "distribution": ("benchmarks.distribution", "distribution_markdown"),
    "estimator speed": ("benchmarks.estimator_speed", "estimator_speed_markdown"),
    "estimators": ("midebias.experiments.estimator_comparison", "estimators_markdown"),
    "fairness": ("midebias.experiments.fairness", "fairness_markdown"),
    "fit time": ("benchmarks.fit_time", "fit_time_markdown"),
    "independence": ("benchmarks.independence", "independence_markdown"),
    "large networks": ("benchmarks.large_networks", "large_networks_markdown"),
    "one line": ("benchmarks.one_line", "one_line_markdown"),
    "planted leaks": ("benchmarks.planted_leaks", "planted_leaks_markdown"),
    "regret": ("benchmarks.weight_regret", "weight_regret_markdown"),
    "table weight regret": ("benchmarks.table_weight_regret", "table_weight_regret_markdown"),
    "repeated folds": ("benchmarks.repeated_folds", "repeated_folds_markdown"),
}
_BLOCK = re.compile(r"(<!-- (results/[\w./-]+\.json) -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown_table(document: Mapping[str, Any]) -> str:
    """Markdown of a ``results.json``, by what its benchmark calls the table.

    Without such a name it is a comparison: of one setting with leakage, of several without.

    Raises
    ------
    DataError
        A table of a name that no benchmark has.
    """
    table = document.get("table")
    if table is not None:
        if table not in _RENDERERS:
            raise DataError(f"there is no table {table!r}; there are {', '.join(_RENDERERS)}")
        module, renderer = _RENDERERS[table]
        # Some of them need the benchmark extra.
        return getattr(import_module(module), renderer)(document)
    settings = {entry["setting"] for entry in document["summary"]}
    held_out = "reweighted_accuracy" in document["summary"][0]
    if len(settings) == 1 and not held_out:
        return _one_setting(document) + "\n" + _made_by(document, published=False)
    return _accuracies(document) + "\n" + _made_by(document, published=True)


def _one_setting(document: Mapping[str, Any]) -> str:
    lines = [
        "| method | train accuracy | accuracy, unbiased test | I(Z;C) ≥, nats | probe reads c | chance |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for entry in document["summary"]:
        test = f"{entry['test_accuracy']:.3f}"
        if entry["seeds"] > 1:
            test += f" ± {entry['test_accuracy_std']:.3f} (lowest {entry['test_accuracy_min']:.3f})"
        lines.append(
            f"| {method_name(entry['method'])} | {entry['train_accuracy']:.3f} | "
            f"{test} | "
            f"{entry['mi']:.2f} | {entry['probe_accuracy']:.2f} | {entry['chance']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _accuracies(document: Mapping[str, Any]) -> str:
    header, rows = comparison_table(document)
    titles = [h.replace("variance=", "σ² = ").replace("rho=", "ρ = ") for h in header]
    # Lines that would be mostly empty are told below the table.
    sparse = [row for row in rows if 2 * sum(cell == "" for cell in row[1:]) > len(row) - 1]
    lines = ["| " + " | ".join(titles) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    lines += ["| " + " | ".join([method_name(row[0]), *row[1:]]) + " |" for row in rows if row not in sparse]
    said = []
    for i, title in enumerate(titles[1:], start=1):
        cells = [f"{method_name(row[0])} {row[i]}" for row in sparse if row[i]]
        if cells:
            said.append(f"{title}: {', '.join(cells)}")
    if said:
        lines += ["", f"Run at some settings only. {'. '.join(said)}."]
    return "\n".join(lines) + "\n"


def _made_by(document: Mapping[str, Any], *, published: bool) -> str:
    runs: dict[str, dict[tuple[int, ...], list[str]]] = {}
    for entry in document["summary"]:
        mine = {r["seed"] for r in document["rows"] if all(r[k] == entry[k] for k in ("method", "setting", "network"))}
        by_seeds = runs.setdefault(method_name(entry["method"]).strip("*"), {})
        by_seeds.setdefault(tuple(sorted(mine)), []).append(entry["setting"].split("=")[-1])
    # Methods that were run alike are said together; settings are named where a method's differ.
    alike: dict[str, list[str]] = {}
    for name, by_seeds in runs.items():
        parts = [
            ", ".join(map(str, seeds)) + (f" at {', '.join(settings)}" if len(by_seeds) > 1 else "")
            for seeds, settings in by_seeds.items()
        ]
        alike.setdefault("; ".join(parts), []).append(name)
    said = ". ".join(f"Seeds of {', '.join(names)}: {seeds}" for seeds, names in alike.items())
    epochs = max(entry["epochs"] for entry in document["summary"])
    sources = [f" Published: {p['source']}." for p in document.get("published", {}).values() if published]
    fewer = {method_name(e["method"]): e["epochs"] for e in document["summary"] if e["epochs"] < epochs - 0.01}
    trained = f"{epochs:g} epochs" + "".join(f", {n:.2g} of {name}" for name, n in fewer.items())
    return (
        f"{trained}; mean ± standard deviation over seeds, no ± where there is one. {said}.{''.join(sources)} "
        f"`{document['command']}`\n"
    )


def method_name(method: str) -> str:
    """A method as the tables call it."""
    return _NAMES.get(method, method)


def fill(text: str, root: Path) -> str:
    """``text`` with every table written anew from the file its marker names.

    Raises
    ------
    DataError
        When a marker names a file that is not there.
    """

    def table(match: re.Match[str]) -> str:
        path = root / match[2]
        if not path.is_file():
            raise DataError(f"{match[2]} does not exist")
        return match[1] + markdown_table(json.loads(path.read_text(encoding="utf-8"))) + match[3]

    return _BLOCK.sub(table, text)


def main() -> None:
    """Rewrite the tables of the README and of ``docs/`` in the current folder."""
    readme = Path("README.md")
    if not readme.is_file():
        sys.exit("README.md is not here: run this at the root of the repository")
    for page in (readme, *Path("docs").glob("*.md")):
        page.write_text(fill(page.read_text(encoding="utf-8"), Path()), encoding="utf-8")


if __name__ == "__main__":
    main()
