"""Sections of the HTML report that show a run: training, weights, comparison, and how to reproduce it."""

from collections.abc import Mapping
from html import escape
from typing import Any

from .html_elements import build_figure, build_section, build_table, format_spread

_BESIDE = {
    "unbiased_accuracy": "mean over groups", "worst_group_accuracy": "worst group", "mi": "leakage, nats",
    "probe_accuracy": "accuracy of the probe", "chance": "chance",
}  # fmt: skip


def build_training(content: Mapping[str, Any]) -> str:
    """Curves over the steps, with alarms."""
    lines = [[r["name"], str(a["step"]), a["text"]] for r in content["training"] for a in r["alarms"]]
    caption = "Red triangles are alarms, listed below." if lines else ""
    table = build_table(["run", "step", "alarm"], lines, left=3, label="Alarms") if lines else ""
    return build_section("Training", build_figure("training-figure", caption), table)


def build_front(content: Mapping[str, Any]) -> str:
    """Leakage against accuracy or loss over settings, and the setting chosen."""
    front = content["front"]
    lines = [
        [
            p["label"] + (" (chosen)" if p.get("chosen") else ""), format_spread(p["x"], p.get("x_err")),
            format_spread(p["y"], p.get("y_err")), "yes" if p.get("front") else "",
        ]
        for p in front["points"]
    ]  # fmt: skip
    header = ["setting", front["x_label"], front["y_label"], "on the front"]
    return build_section(
        "Leakage and its cost",
        f"<p>{escape(front['rule'])}</p>",
        build_figure(
            "front-figure",
            "Bars are one standard error. The dashed line joins settings that no other setting beats on both axes. "
            "The diamond is the setting that was chosen.",
            build_table(header, lines, left=1, label="Every setting"),
        ),
    )


def build_comparison(content: Mapping[str, Any]) -> str:
    """Accuracy and leakage of each method in each setting."""
    lines = [
        [
            r["method"], r["setting"], format_spread(r["accuracy"], r.get("accuracy_std")),
            *(format_spread(r.get(key), None) for key in _BESIDE),
        ]
        for r in content["comparison"]
    ]  # fmt: skip
    header = ["method", "setting", "accuracy", *_BESIDE.values()]
    return build_section(
        "Comparison of methods",
        build_figure(
            "comparison-figure",
            "Accuracy on the test set, and leakage of z in nats: a held-out lower bound by a fresh probe. Bars are one "
            "standard deviation.",
            build_table(header, lines, left=2, label="Every method"),
        ),
    )


def build_reproduction(content: Mapping[str, Any]) -> str:
    """The command, with a button that copies it, and the settings."""
    parts = []
    if command := content.get("command"):
        parts.append(f'<pre id="command">{escape(command)}</pre>')
        parts.append('<button type="button" id="copy">Copy the command</button>')
    if settings := content.get("settings", {}):
        lines = [[str(k).replace("_", " "), _format_setting(v)] for k, v in settings.items()]
        parts.append(build_table(["setting", "value"], lines, left=2, label="Settings"))
    return build_section("Command and settings", *parts)


def _format_setting(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else "–" if value is None else str(value)
