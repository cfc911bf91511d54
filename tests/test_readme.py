from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from midebias.benchmarks.tables import accuracy_table, fill
from midebias.protocols import DataError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_results() -> None:
    assert len(re.findall(r"<!-- results/", README)) >= 2
    assert fill(README, ROOT) == README, "run: python -m midebias.benchmarks.tables"


def test_a_marker_without_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results/none\.json"):
        fill("<!-- results/none.json -->\n<!-- end -->", tmp_path)


def test_summaries_are_means_of_their_rows() -> None:
    for path in (ROOT / "results").glob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        for method, summary in document["summary"].items():
            accuracies = [r["test_accuracy"] for r in document["rows"] if r["method"] == method]
            assert sum(accuracies) / len(accuracies) == pytest.approx(summary["test_accuracy"])
        assert accuracy_table(document).count("\n|") == len(document["summary"]) + 1


def test_the_one_line_runs_as_it_stands() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    state = torch.get_rng_state()
    names: dict[str, object] = {}
    try:
        exec(compile(code, "README.md", "exec"), names)
    finally:
        torch.set_rng_state(state)  # the reader's loop draws from the global generator
    assert torch.isfinite(names["loss"])  # type: ignore[call-overload]


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).is_file(), target
