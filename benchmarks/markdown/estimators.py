"""Estimates beside known mutual information as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midebias.experiments.estimator_comparison import OURS, is_near

from ..script import format_table

__all__ = ["render_table"]


def _compare_others(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of the other estimators, beside ours on the same pairs."""
    ours = {(r["task"], r["seed"]): r for r in rows if r["estimator"] == OURS}
    header = (
        "estimator",
        "runs",
        "near the truth",
        f"`{OURS}`, same runs",
        "mean distance, nats",
        f"`{OURS}`, same runs",
    )
    lines = []
    for name in dict.fromkeys(r["estimator"] for r in rows if r["estimator"] != OURS):
        theirs = [r for r in rows if r["estimator"] == name and (r["task"], r["seed"]) in ours]
        same = [ours[r["task"], r["seed"]] for r in theirs]
        cells = [str(len(theirs)), *(f"{sum(map(is_near, side))}" for side in (theirs, same))]
        cells += [f"{sum(abs(r['value'] - r['truth']) for r in side) / len(side):.3f}" for side in (theirs, same)]
        lines.append([name, *cells])
    if not lines:
        return []
    public = sorted({r["seed"] for r in rows if r["kind"] == "public"})
    seeds = f"seed{'s' if len(public) > 1 else ''} {', '.join(map(str, public))}"
    note = f" Public code: {seeds}, by `--public FILE`." if public else ""
    return [*format_table(header, lines), "", f"Near the truth: within 0.1 nats or 15%, whichever is more.{note}"]


def render_table(document: Mapping[str, Any]) -> str:
    """How many estimates lie near the truth, and which do not."""
    titles = {
        "within_small": "within 0.05 nats or 10% of the truth, whichever is more; at most five columns a side",
        "within_all": "within 0.1 nats or 15% of the truth, whichever is more; all",
        "covered": "95% interval covers the truth; normal and discrete families",
    }
    shares = [(text, document["summary"][key]) for key, text in titles.items()]
    cells = [(text, share["hits"], share["of"], f"{share['share']:.2f}") for text, share in shares]
    lines = format_table(("criterion", "met by", "of", "share"), cells)
    ours = [r for r in document["rows"] if r["estimator"] == OURS]
    far = [r for r in ours if abs(r["value"] - r["truth"]) > max(0.05, 0.1 * r["truth"])]
    misses = "; ".join(f"`{r['task']}` {r['value']:.2f} for {r['truth']:.2f} (seed {r['seed']})" for r in far)
    seeds: dict[tuple[int, ...], int] = {}
    for task in dict.fromkeys(r["task"] for r in ours):
        mine = tuple(sorted(r["seed"] for r in ours if r["task"] == task))
        seeds[mine] = seeds.get(mine, 0) + 1
    runs = "; ".join(f"{n} tasks with seeds {', '.join(map(str, mine))}" for mine, n in seeds.items())
    others = _compare_others(document["rows"])
    return (
        "\n".join(lines)
        + f"\n\nEstimates farther from the truth than 0.05 nats and 10%: {misses or 'none'}.\n\n"
        + f"{document['n']:,} pairs, default settings; {runs}. `{document['command']}`\n"
        + ("\n" + "\n".join(others) + "\n" if others else "")
    )
