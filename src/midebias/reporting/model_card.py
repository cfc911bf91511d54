"""A model card: what a trained network is for, its results, and their limitations."""

import json
import re
from collections.abc import Mapping, Sequence

from .method_titles import title_method

_MINIMISED = {
    "separation": "I(Z;C|Y), what the representation tells about the attribute beyond the label (as in equalized odds)",
    "independence": "I(Z;C), what the representation tells about the attribute (as in demographic parity)",
}


def write_model_card(
    *, data: str, label: str, attributes: Sequence[str], method: str, criterion: str | None, measured_on: str,
    figures: Mapping[str, str], verdict: str | None, command: str, versions: Mapping[str, str], use: str,
) -> str:  # fmt: skip
    """Write the Markdown of a model card after Mitchell et al., with the front matter that model hubs read.

    Parameters
    ----------
    data, label : str
        Training data, and what is predicted.
    attributes : sequence of str
        What it was not to learn.
    method : str
        Key of what trained it, as on the command line.
    criterion : {"separation", "independence"} or None
        What was minimised; None where the method minimises something else, or nothing.
    measured_on : str
        The rows that the figures are of.
    figures : mapping of str to str
        Measures, with units, and their values.
    verdict : str or None
        Of an audit, in a sentence; None where there was none.
    command, use : str
        The command that made it, and lines of code or shell that load it.
    versions : mapping of str to str
        Of packages.

    References
    ----------
    Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.

    Examples
    --------
    >>> card = write_model_card(
    ...     data="people.csv", label="income", attributes=["sex"], method="mib", criterion="separation",
    ...     measured_on="100 rows", figures={"accuracy": "0.850"}, verdict=None, command="midebias train people.csv",
    ...     versions={}, use="...",
    ... )
    >>> "| accuracy | 0.850 |" in card, card.startswith("---")
    (True, True)
    """
    trained_by = f"It was trained by {title_method(method)}."
    if criterion is not None:
        trained_by += f" The training minimised an estimate of {_MINIMISED[criterion]}, beside the loss of the task."
    rows = "".join(f"| {_escape(name)} | {_escape(value)} |\n" for name, value in figures.items())
    audit = "" if verdict is None else f"\nAudit: {_escape(verdict)}\n"
    return f"""---
library_name: midebias
tags: [fairness, debiasing, mutual-information]
---

# Classifier of {_escape(label)}

A classifier of {_quote_code(label)}, trained on {_escape(data)}.
Attributes that it was not to learn: {", ".join(map(_quote_code, attributes))}.
{trained_by}

## Use

```
{use}
```

It needs the inputs only, not the attribute.

## Results

On {measured_on}:

| measure | value |
| --- | --- |
{rows}{audit}
## Limitations

- These are figures of one run, on rows like the training rows. Other people, sites or years may differ.
- An estimate or a probe that finds no leakage does not prove that there is none.
- The figures say nothing about attributes that are not named here, or about intersections of groups.
- How the predictions are used, and with which threshold, can bring a disparity back.

## Command

```
{command}
```

{", ".join(f"{name} {version}" for name, version in versions.items())}

Ragonesi, Volpi, Cavazza, Murino, Learning Unbiased Representations via Mutual Information Backpropagation,
arXiv 2003.06430.
"""


def _escape(text: str) -> str:
    """Escape a name of the user's own for a line or a cell of Markdown."""
    return re.sub(r"([|\\`*_<>\[\]#])", r"\\\1", " ".join(str(text).split()))


def _quote_code(text: str) -> str:
    """Write a name of the user's own as code."""
    flat = " ".join(str(text).split())
    return f"`{flat}`" if "`" not in flat else json.dumps(flat)
