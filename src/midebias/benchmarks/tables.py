"""Tables of the README, written from ``results/``: ``python -m midebias.benchmarks.tables``.

A table stands between ``<!-- results/NAME.json -->`` and ``<!-- end -->``; everything between is replaced.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..protocols import DataError

__all__ = ["accuracy_table", "fill"]

_NAMES = {
    "plain": "plain training",
    "mib": "**midebias**",
    "mib_penalty_only": "midebias, penalty alone",
    "mib_adjustment_only": "midebias, logit adjustment alone",
}
_BLOCK = re.compile(r"(<!-- (results/[\w./-]+\.json) -->\n).*?(<!-- end -->)", re.DOTALL)


def accuracy_table(document: Mapping[str, Any]) -> str:
    """Markdown table of a ``results.json`` of Colored MNIST: mean over seeds, test accuracy with its spread."""
    lines = [
        "| method | train accuracy | test accuracy (unbiased colours) | I(Z; colour) ≥, nats | probe reads colour |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    chance = sum(r["chance"] for r in document["rows"]) / len(document["rows"])
    for method, row in document["summary"].items():
        lines.append(
            f"| {_NAMES.get(method, method)} | {row['train_accuracy']:.3f} | "
            f"{row['test_accuracy']:.3f} ± {row['test_accuracy_std']:.3f} (lowest {row['test_accuracy_min']:.3f}) | "
            f"{row['mi']:.2f} | {row['probe_accuracy']:.2f} (chance {chance:.2f}) |"
        )
    seeds = ", ".join(str(s) for s in document["seed"])
    epochs = document["rows"][0]["epochs"]
    lines += ["", f"{epochs:g} epochs, seeds {seeds}, mean ± standard deviation: `{document['command']}`"]
    if "cost" in document:
        cost = document["cost"]
        lines += [
            "",
            f"Seconds per epoch over plain training, interleaved: **{cost['ours_over_plain']:.2f}**. "
            f"Peak memory over plain training: **{document['peak_memory_ours_over_plain']:.2f}**. A step of the "
            f"reference recipe (K = {cost['reference_critic_steps']}, batch {cost['reference_batch_size']}) takes "
            f"{cost['reference_over_ours_per_step']:.1f} times a step of ours (batch {cost['ours_batch_size']}), "
            f"{cost['reference_over_ours_per_image']:.0f} times per image.",
        ]
    return "\n".join(lines) + "\n"


def fill(text: str, root: Path) -> str:
    """``text`` with every table written anew from the file its marker names.

    Raises
    ------
    DataError
        When a marker names a file that is not there.
    """

    def table(match: re.Match[str]) -> str:
        path = root / match[2]
        if not path.is_file():
            raise DataError(f"{match[2]} does not exist")
        return match[1] + accuracy_table(json.loads(path.read_text(encoding="utf-8"))) + match[3]

    return _BLOCK.sub(table, text)


def main() -> None:
    """Rewrite the tables of the README in the current folder."""
    readme = Path("README.md")
    if not readme.is_file():
        sys.exit("README.md is not here: run this at the root of the repository")
    readme.write_text(fill(readme.read_text(encoding="utf-8"), Path()), encoding="utf-8")


if __name__ == "__main__":
    main()
