"""Sections of the HTML report that show an erasure: leakage before and after, what is kept, and how far rows moved."""

from collections.abc import Mapping
from html import escape
from typing import Any

from .html_elements import build_figure, build_section, build_table, format_figure

_LEAKAGE = (
    "attribute", "rows", "nats before", "95% interval", "nats after", "95% interval", "accuracy before", "after",
    "chance",
)  # fmt: skip
_PROBES = ("attribute", "rows", "probe", "accuracy before", "after", "nats before", "after", "95% interval", "p after")
_KEPT = ("what", "before", "after", "by chance")


def build_erasure(content: Mapping[str, Any]) -> str:
    """Leakage before and after, of each attribute and by each probe."""
    before, after = (content["erasure"][when] for when in ("before", "after"))
    pairs = list(zip(before["summary"], after["summary"], strict=True))
    leakage = [
        [
            a["attribute"], a["condition"], f"{a['leakage'] + 0.0:.4f}", _format_interval(a),
            f"{b['leakage'] + 0.0:.4f}", _format_interval(b), format_figure(a["balanced_accuracy"]),
            format_figure(b["balanced_accuracy"]), format_figure(b["balanced_chance"]),
        ]
        for a, b in pairs
    ]  # fmt: skip
    asked = [r for r in zip(before["rows"], after["rows"], strict=True) if not r[0]["condition"].startswith("y = ")]
    probes = [
        [
            a["attribute"], a["condition"], a["probe"], format_figure(a["balanced_accuracy"]),
            format_figure(b["balanced_accuracy"]), f"{a['mi']:.4f}", f"{b['mi']:.4f}", _format_interval(b),
            f"{b['p_adjusted']:.3g}",
        ]
        for a, b in asked
    ]  # fmt: skip
    return build_section(
        "Leakage before and after",
        f"<p>{escape(content['erasure']['note'])}</p>",
        build_table(
            _LEAKAGE, leakage, left=2, marked=[bool(b["leaks"]) for _, b in pairs], label="Leakage before and after"
        ),
        build_table(_PROBES, probes, left=3, marked=[bool(b["leaks"]) for _, b in asked], label="Each probe"),
    )


def build_cost(content: Mapping[str, Any]) -> str:
    """What probes tell of other columns, covariances and neighbours."""
    kept, neighbours = content["kept"], content["kept"]["neighbours"]
    lines = list[list[str]]()
    for a, b in ((c["before"], c["after"]) for c in kept["columns"]):
        accuracy = (a["balanced_accuracy"], b["balanced_accuracy"], a["balanced_chance"])
        lines.append([f"balanced accuracy of a probe of {a['attribute']}", *map(format_figure, accuracy)])
        told = (f"{s['leakage'] + 0.0:.4f}" for s in (a, b))
        lines.append([f"what a probe tells of {a['attribute']}, nats", *told, "0"])
    for a in neighbours["alike"]:
        shares = (a["before"], a["after"], a["chance"])
        lines.append([f"ten nearest neighbours with the same {a['column']}", *map(format_figure, shares)])
    lines.append(["ten nearest neighbours that are still among them", "1", format_figure(neighbours["kept"]), ""])
    changes = [[name, f"{100 * change:.1f}%"] for name, change in kept["covariances"].items()]
    more = build_table(["column", "change of its covariance with z"], changes, left=1, label="Covariances")
    return build_section(
        "What was kept",
        f"<p>Rows held out. Neighbours of {neighbours['queries']:,} rows, by Euclidean distance among "
        f"{neighbours['among']:,}.</p>",
        build_table(_KEPT, lines, left=1, label="What was kept"),
        more if changes else "",
    )


def build_movement(content: Mapping[str, Any]) -> str:
    """A histogram of the distances that rows moved."""
    moved = content["movement"]
    caption = (
        "Distance that each row held out moved, over the root mean square distance of rows from their mean. Half of "
        f"the rows moved less than {moved['median']:.3f}. The mean of the squares, {moved['mean_square']:.3f}, is the "
        "movement as a share of the variance."
    )
    return build_section("How far rows moved", build_figure("movement-figure", caption))


def _format_interval(found: Mapping[str, Any]) -> str:
    return f"{found['low']:.4f} to {found['high']:.4f}"
