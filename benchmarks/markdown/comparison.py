"""A comparison on images as Markdown: a table, and a caption that says what was measured, of what, over what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midebias.errors import DataError
from midebias.experiments.comparison import CEILING, tabulate_comparison
from midebias.reporting.method_titles import title_method

from ..script import format_table

__all__ = ["name_method", "render_comparison"]

_TITLES = {
    CEILING: "plain training on unbiased images (ceiling)",
    "mib:adjust=0:rebalance=0": "penalty alone",
    "mib:depths=2": "MI backpropagation, last two depths only",
    "mib:gradient_ratio=0": "logit adjustment and rebalancing, no penalty",
    "mib:rebalance=0": "penalty and logit adjustment, no rebalancing",
}
_NETWORKS = {"paper": "the paper's network", "lnl": "the network of Learning Not to Learn"}
_COLUMNS = {
    "train_accuracy": ("train accuracy", ".3f"),
    "test_accuracy": ("test accuracy", ".3f"),
    "mi": ("I(Z;C) ≥, nats", ".2f"),
    "probe_accuracy": ("a probe reads c", ".2f"),
    "chance": ("chance", ".2f"),
}
_OPTIONS = ("settings", "methods", "published", "columns")

Entries = Sequence[Mapping[str, Any]]


def name_method(method: str) -> str:
    """A method as tables call it, with its options."""
    return _TITLES.get(method) or title_method(method)


def render_comparison(document: Mapping[str, Any], options: Mapping[str, Sequence[str]]) -> str:
    """Accuracy of each method in each setting; of one setting, what is left of the attribute too.

    Parameters
    ----------
    document : mapping
        A ``results.json`` of `midebias compare` or `midebias reproduce`.
    options : mapping
        ``settings`` and ``methods`` that are shown, in this order; ``published`` figures by name, or "none"; of one
        setting, ``columns``. Default is all there are.

    Raises
    ------
    DataError
        When an option is unknown, or selects nothing.
    """
    unknown = set(options) - set(_OPTIONS)
    if unknown:
        raise DataError(f"a comparison has no option {min(unknown)!r}; it has {', '.join(_OPTIONS)}")
    document = _select(document, options)
    summary, labels = document["summary"], _label_methods(document)
    if len({e["setting"] for e in summary}) == 1 and "reweighted_accuracy" not in summary[0]:
        return _render_setting(summary, labels, options.get("columns", list(_COLUMNS))) + _caption(document, labels, {})
    header, rows = tabulate_comparison(document)
    header = [h.replace("variance=", "σ² = ").replace("rho=", "ρ = ") for h in header]
    lines = format_table(header, [[labels.get(row[0], row[0]), *row[1:]] for row in rows])
    return "\n".join(lines) + "\n" + _caption(document, labels, document.get("published", {}))


def _select(document: Mapping[str, Any], options: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    summary = list(document["summary"])
    if "settings" in options:
        values = {e["setting"]: float(e["setting"].split("=")[-1]) for e in summary}
        summary = [e for s in options["settings"] for e in summary if values[e["setting"]] == float(s)]
    if "methods" in options:
        summary = [e for m in options["methods"] for e in summary if e["method"] == m]
        if settings := options.get("settings"):
            order = [float(s) for s in settings]
            summary.sort(key=lambda e: order.index(float(e["setting"].split("=")[-1])))
    if not summary:
        raise DataError(f"{dict(options)} selects no rows")
    published = document.get("published", {})
    if "published" in options:
        wanted = options["published"]
        chosen = {d: {k: v for k, v in p["test_accuracy"].items() if k in wanted} for d, p in published.items()}
        published = {d: p | {"test_accuracy": chosen[d]} for d, p in published.items() if chosen[d]}
    return {**document, "summary": summary, "published": published}


def _seeds(document: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[int, ...]:
    same = ("dataset", "method", "setting", "network")
    return tuple(sorted(r["seed"] for r in document["rows"] if all(r[k] == entry[k] for k in same)))


def _label_methods(document: Mapping[str, Any]) -> dict[str, str]:
    """Titles; those of methods that had fewer steps or seeds than the others say so."""
    summary = document["summary"]
    epochs = max(e["epochs"] for e in summary)
    most = max(e["seeds"] for e in summary)
    labels = {}
    for method in dict.fromkeys(e["method"] for e in summary):
        mine = [e for e in summary if e["method"] == method]
        label = name_method(method)
        if mine[0]["epochs"] < epochs - 0.01:
            steps = next(r["steps"] for r in document["rows"] if r["method"] == method)
            label += f", {steps:,} steps"
        if (fewest := min(e["seeds"] for e in mine)) < most:
            label += f", {fewest} seed{'s' * (fewest > 1)}"
        labels[method] = f"**{label}**" if method == "mib" else label
    return labels


def _render_setting(summary: Entries, labels: Mapping[str, str], columns: Sequence[str]) -> str:
    unknown = set(columns) - set(_COLUMNS)
    if unknown:
        raise DataError(f"a comparison has no column {min(unknown)!r}; it has {', '.join(_COLUMNS)}")
    rows = []
    for entry in summary:
        cells = [format(entry[c], _COLUMNS[c][1]) for c in columns]
        if entry["seeds"] > 1 and "test_accuracy" in columns:
            spread = f" ± {entry['test_accuracy_std']:.3f} (lowest {entry['test_accuracy_min']:.3f})"
            cells[columns.index("test_accuracy")] += spread
        rows.append([labels[entry["method"]], *cells])
    return "\n".join(format_table(["method", *(_COLUMNS[c][0] for c in columns)], rows)) + "\n"


def _caption(document: Mapping[str, Any], labels: Mapping[str, str], published: Mapping[str, Any]) -> str:
    summary = document["summary"]
    first = summary[0]
    if "reweighted_accuracy" in first:
        what = "Accuracy on held-out training images, weighted by 1/p(y|c), and I(Z;C|Y) on the same images"
    else:
        unbiased = "unbiased " * (first["dataset"] in ("colored-mnist", "biased-mnist"))
        what = f"Accuracy on the {unbiased}test images"
    epochs = max(e["epochs"] for e in summary)
    images = max(r["train_images"] for r in document["rows"])
    text = f"{what} after {epochs:g} epochs of {images:,} training images, on {_NETWORKS[first['network']]}; "
    text += f"{_describe_seeds(document, labels)}."
    text += "".join(f" Published figures: {p['source']}." for p in published.values())
    return f"\n{text} `{document['command']}`\n"


def _describe_seeds(document: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Seeds that the rows have: those of most methods first, then those of the others."""
    runs: dict[str, str] = {}
    for method in labels:
        by_seeds: dict[tuple[int, ...], list[str]] = {}
        for entry in document["summary"]:
            if entry["method"] == method:
                by_seeds.setdefault(_seeds(document, entry), []).append(entry["setting"].split("=")[-1])
        parts = []
        for seeds, settings in by_seeds.items():
            part = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
            parts.append(part + f" at {', '.join(settings)}" * (len(by_seeds) > 1))
        runs[name_method(method)] = "; ".join(parts)
    common = max(runs.values(), key=list(runs.values()).count)
    text = "; ".join([common, *(f"{name}: {said}" for name, said in runs.items() if said != common)])
    several = any(e["seeds"] > 1 for e in document["summary"])
    return f"mean ± standard deviation over {text}" if several else text
