"""Tables, figures and sections of the HTML report, as text."""

from collections.abc import Sequence
from html import escape


def build_section(heading: str, *parts: str) -> str:
    """Join HTML under a heading."""
    return f"<section><h2>{escape(heading)}</h2>{''.join(parts)}</section>"


def build_figure(name: str, caption: str, table: str = "", *, extra: str = "") -> str:
    """Make room for the drawing that the script makes under ``name``, with its figures as a table to unfold."""
    details = f"<details><summary>The figures as a table</summary>{table}</details>" if table else ""
    return (
        f'<figure id="{name}"><div class="controls"></div><div class="drawing"></div>{extra}'
        f"<figcaption>{escape(caption)}</figcaption>{details}</figure>"
    )


def build_table(
    header: Sequence[str], lines: Sequence[Sequence[str]], *, left: int, label: str, marked: Sequence[bool] = ()
) -> str:
    """Build a table that scrolls: ``left`` columns of words, then figures; ``marked`` lines are red."""
    kinds = ["" if i < left else ' class="num"' for i in range(len(header))]
    head = "".join(f'<th scope="col"{k}>{escape(h)}</th>' for h, k in zip(header, kinds, strict=True))
    body = ""
    for i, line in enumerate(lines):
        cells = "".join(f"<td{k}>{escape(t)}</td>" for t, k in zip(line, kinds, strict=True))
        body += f"<tr{' class=leaks' if i < len(marked) and marked[i] else ''}>{cells}</tr>"
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def format_figure(value: float | None) -> str:
    """Three decimals, or a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def format_spread(value: float | None, spread: float | None) -> str:
    """Three decimals with the standard deviation, where there is one."""
    return format_figure(value) + (f" ± {spread:.3f}" if spread else "")
