"""What is left of an attribute that is known for few of the training rows, and what drawing it for the others helps.

The loops are those of `benchmarks.one_line`, with the one line. Rows whose attribute is not known are masked, or have
it drawn anew in every epoch from boosted trees of c from input and label, which learn from the known rows: so the
penalty sees how uncertain it is. Leakage is what a fresh probe reads on test rows whose attribute is known to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import torch
from torch import nn

from midebias.attributes import Categorical
from midebias.experiments.summary import format_spread, summarize_runs
from midebias.leakage import probe
from midebias.penalty import MIPenalty
from midebias.randomness import seeded
from midebias.tabular.missing_attributes import draw_missing

from .one_line import LOOPS
from .script import Script, format_table

__all__ = ["measure_known_rows", "render_table"]

_TRAIN, _TEST, _EPOCHS, _BATCH, _DIM = 10_000, 6_000, 14, 500, 32


def measure_known_rows(loop: str, known: float, how: str, seed: int) -> dict[str, Any]:
    """Train with the one line where a share ``known`` of the rows has its attribute; "masked" or "drawn"."""
    kind, make = LOOPS[loop]
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (_TRAIN,), generator=g)
    c = torch.where(torch.rand(_TRAIN, generator=g) < 0.9, y, 1 - y)
    x = make(y, c, g)
    test_y, test_c = (torch.randint(2, (_TEST,), generator=g) for _ in range(2))
    test_x = make(test_y, test_c, g)
    there = torch.rand(_TRAIN, generator=g) < known
    gaps = c.double().where(there, torch.nan)
    with seeded(seed):
        model: Any = kind()
    penalty = MIPenalty(_DIM, Categorical(2), seed=seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS * (_TRAIN // _BATCH))
    for epoch in range(_EPOCHS):
        given = c.where(there, -1)
        if how == "drawn":
            given = draw_missing(gaps, x.flatten(1), y, Categorical(2), seed=1000 * seed + epoch).long()
        for rows in torch.randperm(_TRAIN, generator=g).split(_BATCH):
            z = model.features(x[rows])
            loss = nn.functional.cross_entropy(model.head(z), y[rows]) + penalty(z, given[rows], y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        z = model.features(test_x)
        accuracy = float((model.head(z).argmax(1) == test_y).float().mean())
    found = probe(z, test_c, random_state=seed)
    row = {"loop": loop, "known": known, "unknown rows": how, "seed": seed, "accuracy": accuracy}
    return row | {"mi": found.mi.value, "probe_balanced_accuracy": found.balanced_accuracy}


def render_table(document: Mapping[str, Any]) -> str:
    """Markdown: means and standard deviations over seeds."""
    by, columns = ("loop", "known", "unknown rows"), ("accuracy", "mi", "probe_balanced_accuracy")
    lines = format_table(
        ("loop", "rows whose attribute is known", "the others", "accuracy", "I(Z;C), nats", "probe, balanced"),
        [
            (r["loop"], f"{r['known']:.0%}", r["unknown rows"], *(format_spread(r, column) for column in columns))
            for r in summarize_runs(document["rows"], by=by, columns=columns)
        ],
        left=3,
    )  # fmt: skip
    return "\n".join([*lines, "", f"On test rows, where attribute and label are independent. `{document['command']}`"])


def main() -> None:
    """Measure what is asked for, and write the rows."""
    script = Script(
        "known_rows", __doc__, loops=["perceptron on a table", "convolutions on images"], known=[1.0, 0.2, 0.05],
        seeds=[0, 1, 2],
    )  # fmt: skip
    given, found = script.given, list[dict[str, Any]]()
    for loop, known, how, seed in product(given["loops"], given["known"], ("masked", "drawn"), given["seeds"]):
        if known == 1 and how == "drawn":
            continue
        found.append(measure_known_rows(loop, known, how, seed))
        script.write(found, given["seeds"])


if __name__ == "__main__":
    main()
