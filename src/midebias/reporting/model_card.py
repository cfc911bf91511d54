"""A model card: what a trained network is for, what was measured of it, and what that does not promise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

__all__ = ["model_card"]

_MINIMISED = {
    "separation": "I(Z;C|Y), what the representation tells about the attribute beyond the label (equalized odds' form)",
    "independence": "I(Z;C), what the representation tells about the attribute (demographic parity's form)",
}


def model_card(
    *,
    data: str,
    label: str,
    attributes: Sequence[str],
    method: str,
    criterion: str | None,
    measured_on: str,
    figures: Mapping[str, str],
    verdict: str | None,
    command: str,
    versions: Mapping[str, str],
    use: str,
) -> str:
    """Markdown of a model card after Mitchell et al., with the front matter that model hubs read.

    Parameters
    ----------
    data : str
        What it was trained on.
    label : str
        What it predicts.
    attributes : sequence of str
        What it was not to learn.
    method : str
        What trained it.
    criterion : {"separation", "independence"} or None
        What was minimised; None where the method minimises something else, or nothing.
    measured_on : str
        The rows the figures are of.
    figures : mapping of str to str
        Names of what was measured, with units, and values.
    verdict : str or None
        Of an audit, in a sentence; None where there was none.
    command : str
        What made it.
    versions : mapping of str to str
    use : str
        Lines of code or shell that load it.

    References
    ----------
    Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.

    Examples
    --------
    >>> card = model_card(
    ...     data="people.csv", label="income", attributes=["sex"], method="mib", criterion="separation",
    ...     measured_on="100 rows", figures={"accuracy": "0.850"}, verdict=None, command="midebias train people.csv",
    ...     versions={}, use="...",
    ... )
    >>> "| accuracy | 0.850 |" in card, card.startswith("---")
    (True, True)
    """
    named = _joined([_code(name) for name in attributes])
    trained = f"It was trained by the method {_code(method)}."
    if criterion is not None:
        trained += f" While it was, an estimate of {_MINIMISED[criterion]} was minimised beside the task's loss."
    lines = [
        "---",
        "library_name: midebias",
        "tags: [fairness, debiasing, mutual-information]",
        "---",
        "",
        f"# {_plain(label)} without {_joined([_plain(a) for a in attributes])}",
        "",
        f"A classifier of {_code(label)}, trained on {_code(data)}. Attribute that it was not to learn: {named}.",
        trained,
        "",
        "## Use",
        "",
        "```",
        use,
        "```",
        "",
        "It needs the inputs only: the attribute is not asked for.",
        "",
        "## Measured",
        "",
        f"On {measured_on}:",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {_plain(name)} | {_plain(value)} |" for name, value in figures.items()),
        "",
        *([] if verdict is None else [f"Audit: {_plain(verdict)}", ""]),
        "## Not promised",
        "",
        "- These are figures of one run on rows drawn like those trained on. Other people, sites or years may differ.",
        "- An estimate or a probe that finds nothing has not seen anything; it is no proof that there is nothing.",
        "- Nothing is said of attributes that were not named, nor of groups that are mixtures of several.",
        "- What is done with its answers, and with which threshold, can bring a disparity back.",
        "",
        "## Made by",
        "",
        "```",
        command,
        "```",
        "",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        "",
        "Ragonesi, Volpi, Cavazza, Murino, Learning Unbiased Representations via Mutual Information Backpropagation,",
        "arXiv 2003.06430.",
        "",
    ]
    return "\n".join(lines)


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _plain(text: str) -> str:
    """A name of the user's own inside a line or a cell of Markdown."""
    flat = " ".join(str(text).split())
    return "".join(f"\\{letter}" if letter in "|\\`*_<>[]#" else letter for letter in flat)


def _code(text: str) -> str:
    """A name of the user's own as code."""
    flat = " ".join(str(text).split())
    return f"`{flat}`" if "`" not in flat else json.dumps(flat)
