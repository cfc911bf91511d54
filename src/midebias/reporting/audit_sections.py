"""Sections of the HTML report that show an audit: verdict, leakage, map and groups."""

from collections.abc import Mapping
from html import escape
from typing import Any

from .html_elements import build_figure, build_section, build_table, format_figure

_MARKS = {"leaks": "Leaks", "clean": "No leakage found", "note": "Result"}
_SUMMARY = ("attribute", "rows", "leakage, nats", "95% interval", "entropy, nats", "balanced accuracy", "chance", "p")
_PROBES = ("attribute", "rows", "probe", "n", "balanced accuracy", "nats", "95% interval", "p")
_CERTIFIED = (
    "attribute", "rows", "balanced accuracy, at most", "seen", "difference of decisions, at most", "seen",
    "nats, at most", "seen",
)  # fmt: skip
_DIFFERENCES = {
    "demographic_parity_difference": "demographic parity difference",
    "equalized_odds_difference": "equalized odds difference",
    "accuracy_difference": "accuracy difference",
    "worst_group_accuracy": "worst group's accuracy",
}


def build_verdict(content: Mapping[str, Any]) -> str:
    """One sentence, marked by its status."""
    status, text = content["verdict"]["status"], escape(content["verdict"]["text"])
    return f'<p class="verdict {status}" role="status"><span class="mark">{_MARKS[status]}</span>{text}</p>'


def build_warnings(content: Mapping[str, Any]) -> str:
    """A list of sentences."""
    items = "".join(f"<li>{escape(str(w))}</li>" for w in content["warnings"])
    return f'<ul class="warnings" aria-label="Warnings">{items}</ul>'


def build_certificate(content: Mapping[str, Any]) -> str:
    """Upper bounds by attribute, beside what was seen."""
    certificate = content["certificate"]
    measures = (("balanced_accuracy", 3), ("decision_difference", 3), ("mi", 4))
    lines = [
        [
            b["attribute"], "overall" if b["criterion"] == "independence" else "within classes",
            *(f"{b[name + end]:.{digits}f}" for name, digits in measures for end in ("", "_seen")),
        ]
        for b in certificate["bounds"]
    ]  # fmt: skip
    text = (
        f"From {certificate['rows']:,} rows in {certificate['cells']:,} cells. Each bound holds for any classifier or "
        f"decision made from the cells, with a probability of {certificate['confidence']:.0%} over the draw of the "
        "rows, if they were drawn independently from those that the cells are used on, and nothing was fitted to them."
    )
    table = build_table(_CERTIFIED, lines, left=2, label="Certificate")
    return build_section("Certificate", f"<p>{escape(text)}</p>", table)


def build_leakage(content: Mapping[str, Any]) -> str:
    """Leakage by attribute, and what each probe found."""
    summary = content["leakage"]["summary"]
    overall = [s for s in summary if s["condition"].startswith(("overall", "within classes", "given "))]
    tables = [_build_summary(overall, "Leakage by attribute")]
    if classes := [s for s in summary if s not in overall]:
        count = f"Within each class: {sum(bool(s['leaks']) for s in classes)} of {len(classes)} leak"
        table = _build_summary(classes, "Leakage within each class")
        tables.append(f"<details><summary>{count}</summary>{table}</details>")
    probes = [
        [
            r["attribute"], r["condition"], r["probe"], f"{r['n']:,}", f"{r['balanced_accuracy']:.3f}",
            f"{r['mi']:.4f}", f"{r['low']:.4f} to {r['high']:.4f}", f"{r['p_adjusted']:.3g}",
        ]
        for r in content["leakage"]["rows"]
    ]  # fmt: skip
    return build_section(
        "Leakage by attribute",
        "<p>The largest held-out lower estimate over all probes. <em>Overall</em> is I(Z;C); <em>within "
        "classes</em> is I(Z;C|Y), beyond the label. p is the probability of an estimate at least as large if there "
        "were no leakage, adjusted for all tests.</p>",
        *tables,
    ) + build_section(
        "Accuracy of each probe",
        build_figure(
            "leakage-figure",
            "Each probe is tested on rows that it was not fitted on. Bars are 95% intervals. Red: significant.",
            build_table(_PROBES, probes, left=3, label="Every probe"),
        ),
    )


def _build_summary(summary: list[Mapping[str, Any]], label: str) -> str:
    lines = [
        [
            s["attribute"] + (" (leaks)" if s["leaks"] else ""), s["condition"], f"{s['leakage'] + 0.0:.4f}",
            f"{s['low']:.4f} to {s['high']:.4f}", f"{s['entropy']:.3f}", f"{s['balanced_accuracy']:.3f}",
            f"{s['balanced_chance']:.3f}", "< 0.001" if s["p_adjusted"] < 0.001 else f"{s['p_adjusted']:.3f}",
        ]
        for s in summary
    ]  # fmt: skip
    return build_table(_SUMMARY, lines, left=2, marked=[bool(s["leaks"]) for s in summary], label=label)


def build_map(content: Mapping[str, Any]) -> str:
    """The representation in two dimensions."""
    caption = (
        f"{content['map']['n']:,} rows, drawn at random. Where colours separate, the representation separates them. "
        "Where they mix here, other directions may still separate them; the probes test that. Select a name to show "
        "it alone."
    )
    figure = build_figure("map-figure", caption, extra='<ul class="key" aria-label="Colours"></ul>')
    return build_section("Map of the representation", figure)


def build_groups(content: Mapping[str, Any]) -> str:
    """Accuracy and rates of the predictions by group."""
    rows = content["groups"]
    lines = [
        [
            d["attribute"] + (" (without small groups)" if d["without_small"] else ""),
            *(format_figure(d[k]) for k in _DIFFERENCES),
        ]
        for d in content.get("differences", [])
    ]
    rates = [k for k in ("selection_rate", "true_positive_rate", "false_positive_rate") if k in rows[0]]
    groups = [
        [
            g["attribute"], g["group"] + (" (small)" if g["small"] else ""), f"{g['n']:,}", f"{g['accuracy']:.3f}",
            f"{g['low']:.3f} to {g['high']:.3f}", *(format_figure(g[k]) for k in rates),
        ]
        for g in rows
    ]  # fmt: skip
    header = ["attribute", "group", "n", "accuracy", "95% interval", *(k.replace("_", " ") for k in rates)]
    return build_section(
        "Predictions by group",
        build_table(["attribute", *_DIFFERENCES.values()], lines, left=1, label="Differences between groups"),
        build_figure(
            "groups-figure",
            "The group with the lowest value comes first. Bars are 95% intervals. Hollow rings mark groups that are "
            "too small to judge.",
            build_table(header, groups, left=2, label="Every group"),
        ),
    )
