"""One self-contained page of pictures and figures."""

import json
from collections.abc import Callable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..atomic_writing import write_atomically
from ..errors import InputError
from .audit_sections import build_certificate, build_groups, build_leakage, build_map, build_verdict, build_warnings
from .erasure_sections import build_cost, build_erasure, build_movement
from .run_sections import build_comparison, build_front, build_reproduction, build_training

_LARGEST = 5_000_000  # bytes
_SECTIONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "verdict": build_verdict,
    "warnings": build_warnings,
    "certificate": build_certificate,
    "leakage": build_leakage,
    "map": build_map,
    "groups": build_groups,
    "erasure": build_erasure,
    "kept": build_cost,
    "movement": build_movement,
    "front": build_front,
    "comparison": build_comparison,
    "training": build_training,
}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def write_html_report(path: Path, *, title: str, content: Mapping[str, Any]) -> None:
    """Write a page that needs no network and no other file.

    Parameters
    ----------
    path : Path
    title : str
    content : mapping
        Any of these; what is missing or empty is not on the page.

        - ``verdict``: ``text`` and ``status``, one of "leaks", "clean", "note"
        - ``certificate``: as in `Certificate.to_dict`
        - ``leakage``: ``summary`` and ``rows``, as in `AuditResult.to_dict`
        - ``map``: ``n``, ``views`` (name, points in the unit square) and ``colourings`` (name, names, codes, ordered)
        - ``groups``, ``differences``: as in `AuditResult.to_dict`
        - ``erasure``: ``before`` and ``after``, as in `AuditResult.to_dict`, and a ``note``
        - ``kept``: ``columns``, ``covariances`` and ``neighbours``, as in `midebias.experiments.erasure`
        - ``movement``: ``counts``, ``edges``, ``median``, ``mean_square`` of distances moved
        - ``training``: runs with ``name``, ``steps``, ``panels`` (name, series of name and values, None for a gap) and
          ``alarms`` (step, text)
        - ``front``: ``points`` (label, x, x_err, y, y_err, front, chosen), ``x_label``, ``y_label``, ``rule``
        - ``comparison``: rows with method, setting, accuracy, accuracy_std, mi, probe_accuracy, chance, ours
        - ``warnings``: sentences; ``settings``: a mapping; ``command``: text

    Raises
    ------
    InputError
        When the page would hold more than 5 MB.
    DataError
        When the file cannot be written.
    """
    text = _build_page(title, {k: v for k, v in content.items() if v}).encode()
    if len(text) > _LARGEST:
        raise InputError(f"content makes a page of {len(text):,} bytes; at most {_LARGEST:,} are accepted")
    write_atomically(path, text)


def _build_page(title: str, content: Mapping[str, Any]) -> str:
    here = files(__package__ or "midebias")
    style, script = (here.joinpath(f"html_report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    # No "<" may stand in a script element: it could end it.
    data = json.dumps({"settings": {"alpha": 0.05}} | dict(content), allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    sections = [build(content) for key, build in _SECTIONS.items() if key in content]
    if "settings" in content or "command" in content:
        sections.append(build_reproduction(content))
    body = "\n".join(sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{body}
<footer>Made by midebias. All information is in nats. The figures are what these probes found on held-out rows;
another probe, or more data, may find more.</footer>
</main>
<script type="application/json" id="content">{data}</script>
<script>
{script}</script>
</body>
</html>
"""
