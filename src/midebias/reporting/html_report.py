"""One self-contained page of pictures and figures. Draws what it is handed and computes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import InputError

__all__ = ["write_html_report"]

_MARKS = {"leaks": "Leaks", "clean": "No leakage found", "note": "Result"}
_LARGEST = 5_000_000  # bytes


def write_html_report(path: Path, *, title: str, content: Mapping[str, Any]) -> None:
    """Write a page that needs no network and no other file.

    Parameters
    ----------
    path : Path
    title : str
    content : mapping
        Any of these; what is missing or empty is not on the page.

        - ``verdict``: ``text`` and ``status``, one of "leaks", "clean", "note"
        - ``leakage``: ``summary`` and ``rows``, as in `AuditResult.to_dict`
        - ``map``: ``views`` (name, points in the unit square) and ``colourings`` (name, names, codes, ordered)
        - ``groups``, ``differences``: as in `AuditResult.to_dict`
        - ``training``: runs with ``name``, ``steps``, ``panels`` (name, series of name and values, None for a gap) and
          ``alarms`` (step, text)
        - ``front``: ``points`` (label, x, x_err, y, y_err, front, chosen), ``x_label``, ``y_label``, ``rule``
        - ``comparison``: rows with method, setting, accuracy, accuracy_std, mi, probe_accuracy, chance, ours
        - ``warnings``: sentences; ``settings``: a mapping; ``command``: text

    Raises
    ------
    InputError
        When the page would hold more than 5 MB.
    """
    text = _page(title, {k: v for k, v in content.items() if v})
    if len(text.encode()) > _LARGEST:
        raise InputError(f"content makes a page of {len(text.encode()):,} bytes; at most {_LARGEST:,} are accepted")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _page(title: str, content: Mapping[str, Any]) -> str:
    here = files(__package__ or "midebias")
    style, script = (here.joinpath(f"html_report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    # No "<" may stand in a script element: it could end it.
    data = json.dumps({"settings": {"alpha": 0.05}} | dict(content), allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    sections = (
        _verdict, _leakage, _map, _groups, _front, _comparison, _training, _reproduce,
    )  # fmt: skip
    body = "\n".join(part for section in sections if (part := section(content)))
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{body}
<footer>Made by midebias. All information is in nats. Figures are what these probes found on held-out rows;
somebody with more data or another probe may find more.</footer>
</main>
<script type="application/json" id="content">{data}</script>
<script>
{script}</script>
</body>
</html>
"""


def _verdict(content: Mapping[str, Any]) -> str:
    parts = []
    verdict = content.get("verdict")
    if verdict:
        status = verdict["status"]
        mark = f'<span class="mark">{_MARKS[status]}</span>'
        parts.append(f'<p class="verdict {status}" role="status">{mark}{escape(verdict["text"])}</p>')
    if content.get("warnings"):
        items = "".join(f"<li>{escape(str(w))}</li>" for w in content["warnings"])
        parts.append(f'<ul class="warnings" aria-label="Warnings">{items}</ul>')
    return "\n".join(parts)


def _leakage(content: Mapping[str, Any]) -> str:
    if "leakage" not in content:
        return ""
    header = ["attribute", "rows", "leakage, nats", "95% interval", "of at most", "balanced accuracy", "chance", "p"]
    summary = content["leakage"]["summary"]
    overall = [s for s in summary if s["condition"] in ("overall", "within classes")]
    classes = [s for s in summary if s["condition"] not in ("overall", "within classes")]
    tables = [
        _table(
            header,
            [_leakage_line(s) for s in part],
            left=2,
            marked=[bool(s["leaks"]) for s in part],
            label=label,
        )
        for part, label in ((overall, "Leakage by attribute"), (classes, "Leakage within each class"))
        if part
    ]
    if classes:
        leaking = sum(bool(s["leaks"]) for s in classes)
        said = f"Within each class: {leaking} of {len(classes)} leak"
        tables[-1] = f"<details><summary>{said}</summary>{tables[-1]}</details>"
    probes = [
        [
            r["attribute"], r["condition"], r["probe"], f"{r['n']:,}", f"{r['balanced_accuracy']:.3f}",
            f"{r['mi']:.4f}", f"{r['low']:.4f} to {r['high']:.4f}", f"{r['p_adjusted']:.3g}",
        ]
        for r in content["leakage"]["rows"]
    ]  # fmt: skip
    names = ["attribute", "rows", "probe", "n", "balanced accuracy", "nats", "95% interval", "p"]
    return (
        "<section><h2>What does the representation tell?</h2>"
        "<p>The largest held-out lower estimate over all probes. <em>Overall</em> is I(Z;C); <em>within "
        "classes</em> is I(Z;C|Y), beyond the label. p: how likely so much is by chance, over all tests.</p>"
        + "".join(tables)
        + "<h2>Which probe reads it, against chance?</h2>"
        + _figure(
            "leakage-figure",
            "Fresh probes, each judged on rows it was not fitted on; bars are 95% intervals. Red: not by chance.",
            _table(names, probes, left=3, label="Every probe"),
        )
        + "</section>"
    )


def _leakage_line(s: Mapping[str, Any]) -> list[str]:
    p = s["p_adjusted"]
    return [
        s["attribute"] + (" (leaks)" if s["leaks"] else ""), s["condition"], f"{s['leakage'] + 0.0:.4f}",
        f"{s['low']:.4f} to {s['high']:.4f}", f"{s['entropy']:.3f}", f"{s['balanced_accuracy']:.3f}",
        f"{s['balanced_chance']:.3f}", "< 0.001" if p < 0.001 else f"{p:.3f}",
    ]  # fmt: skip


def _map(content: Mapping[str, Any]) -> str:
    if "map" not in content:
        return ""
    caption = (
        f"{content['map']['n']:,} rows, drawn at random. Where colours part, the representation tells them apart; "
        "where they mix here, it may still do so in other directions: the probes decide. Press a name to see it alone."
    )
    return (
        "<section><h2>What does it look like?</h2>"
        + _figure("map-figure", caption, "", extra='<ul class="key" aria-label="Colours"></ul>')
        + "</section>"
    )


def _groups(content: Mapping[str, Any]) -> str:
    if "groups" not in content:
        return ""
    keys = (
        ("demographic_parity_difference", "demographic parity difference"),
        ("equalized_odds_difference", "equalized odds difference"),
        ("accuracy_difference", "accuracy difference"),
        ("worst_group_accuracy", "worst group's accuracy"),
    )
    lines = [
        [
            d["attribute"] + (" (without small groups)" if d["without_small"] else ""),
            *("–" if d[k] is None else f"{d[k]:.3f}" for k, _ in keys),
        ]
        for d in content.get("differences", [])
    ]
    rates = [k for k in ("selection_rate", "true_positive_rate", "false_positive_rate") if k in content["groups"][0]]
    groups = [
        [
            g["attribute"], g["group"] + (" (small)" if g["small"] else ""), f"{g['n']:,}", f"{g['accuracy']:.3f}",
            f"{g['low']:.3f} to {g['high']:.3f}", *("–" if g[k] is None else f"{g[k]:.3f}" for k in rates),
        ]
        for g in content["groups"]
    ]  # fmt: skip
    header = ["attribute", "group", "n", "accuracy", "95% interval", *(k.replace("_", " ") for k in rates)]
    return (
        "<section><h2>Are the predictions equally good for everybody?</h2>"
        + _table(["attribute", *(n for _, n in keys)], lines, left=1, label="Differences between groups")
        + _figure(
            "groups-figure",
            "Worst first. Bars are 95% intervals; hollow rings mark groups too small to judge.",
            _table(header, groups, left=2, label="Every group"),
        )
        + "</section>"
    )


def _training(content: Mapping[str, Any]) -> str:
    if "training" not in content:
        return ""
    lines = [[r["name"], str(a["step"]), a["text"]] for r in content["training"] for a in r["alarms"]]
    table = _table(["run", "step", "alarm"], lines, left=3, label="Alarms") if lines else ""
    return (
        "<section><h2>How did training go?</h2>"
        + _figure("training-figure", "Red triangles are alarms: rest on them to read why.", "")
        + table
        + "</section>"
    )


def _front(content: Mapping[str, Any]) -> str:
    if "front" not in content:
        return ""
    front = content["front"]
    lines = [
        [
            p["label"] + (" (chosen)" if p.get("chosen") else ""), _pm(p["x"], p.get("x_err")),
            _pm(p["y"], p.get("y_err")), "yes" if p.get("front") else "",
        ]
        for p in front["points"]
    ]  # fmt: skip
    header = ["setting", front["x_label"], front["y_label"], "on the front"]
    return (
        "<section><h2>What does less leakage cost?</h2>"
        f"<p>{escape(front['rule'])}</p>"
        + _figure(
            "front-figure", "Bars are one standard error. Dashed: the front. Diamond: the one chosen.",
            _table(header, lines, left=1, label="Every setting"),
        )
        + "</section>"
    )  # fmt: skip


def _comparison(content: Mapping[str, Any]) -> str:
    if "comparison" not in content:
        return ""
    lines = [
        [
            r["method"], r["setting"], _pm(r["accuracy"], r.get("accuracy_std")), _pm(r.get("mi"), None),
            _pm(r.get("probe_accuracy"), None), _pm(r.get("chance"), None),
        ]
        for r in content["comparison"]
    ]  # fmt: skip
    header = ["method", "setting", "accuracy", "leakage, nats", "probe's accuracy", "chance"]
    return (
        "<section><h2>How do the methods compare?</h2>"
        + _figure(
            "comparison-figure",
            "Accuracy on the test, and what a probe still reads from z in nats. Bars: one standard deviation.",
            _table(header, lines, left=2, label="Every method"),
        )
        + "</section>"
    )  # fmt: skip


def _reproduce(content: Mapping[str, Any]) -> str:
    if "settings" not in content and "command" not in content:
        return ""
    command = content.get("command")
    block = (
        f'<pre id="command">{escape(command)}</pre><button type="button" id="copy">Copy the command</button>'
        if command
        else ""
    )
    lines = [[str(k).replace("_", " "), _plain(v)] for k, v in content.get("settings", {}).items()]
    table = _table(["setting", "value"], lines, left=2, label="Settings") if lines else ""
    return f"<section><h2>How can it be reproduced?</h2>{block}{table}</section>"


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "–" if value is None else str(value)


def _pm(value: float | None, spread: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" + (f" ± {spread:.3f}" if spread else "")


def _figure(name: str, caption: str, table: str, *, extra: str = "") -> str:
    details = f"<details><summary>The figures as a table</summary>{table}</details>" if table else ""
    return (
        f'<figure id="{name}"><div class="controls"></div><div class="drawing"></div>{extra}'
        f"<figcaption>{escape(caption)}</figcaption>{details}</figure>"
    )


def _table(
    header: Sequence[str], lines: Sequence[Sequence[str]], *, left: int, label: str, marked: Sequence[bool] = ()
) -> str:
    """The first ``left`` columns are words, all others figures. Wide tables scroll, also by keyboard."""
    kinds = ["" if i < left else ' class="num"' for i in range(len(header))]
    head = "".join(f'<th scope="col"{k}>{escape(h)}</th>' for h, k in zip(header, kinds, strict=True))
    rows = []
    for i, line in enumerate(lines):
        cells = "".join(f"<td{k}>{escape(str(t))}</td>" for t, k in zip(line, kinds, strict=True))
        rows.append(f"<tr{' class=leaks' if i < len(marked) and marked[i] else ''}>{cells}</tr>")
    body = "".join(rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
