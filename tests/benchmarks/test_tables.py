from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.pictures import PICTURES
from benchmarks.tables import collect_run, fill_tables, render_document
from midebias.errors import DataError
from midebias.experiments.comparison import summarize

ROOT = Path(__file__).parents[2]


def row(
    method: str, setting: str, seed: int, accuracy: float, *, epochs: float = 5.0, steps: int = 1170
) -> dict[str, Any]:
    return {
        "dataset": "colored-mnist", "network": "paper", "method": method, "setting": f"variance={setting}",
        "seed": seed, "epochs": epochs, "steps": steps, "train_images": 60_000, "train_accuracy": 1.0,
        "test_accuracy": accuracy, "mi": 0.5, "probe_accuracy": 0.4, "chance": 0.1, "seconds_per_epoch": 1.0,
        "peak_memory_mb": 1.0,
    }  # fmt: skip


def document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    published = {"colored-mnist": {"source": "a paper", "test_accuracy": {
        "LNL": {"variance=0.020": 0.8}, "Gray": {"variance=0.020": 0.7}}}}  # fmt: skip
    return {"command": "a command", "seed": [0, 1], "rows": rows, "summary": summarize(rows), "published": published}


ROWS = [
    row("plain", "0.020", 0, 0.4),
    row("plain", "0.020", 1, 0.5),
    row("mib", "0.020", 0, 0.96),
    row("mib", "0.020", 1, 0.98),
    row("mib", "0.050", 0, 0.99),
    row("mib", "0.050", 1, 0.99),
    row("reference", "0.020", 0, 0.3, epochs=0.85, steps=400),
]


def test_a_row_of_fewer_steps_and_seeds_says_so() -> None:
    text = render_document(document(ROWS))
    assert "| reference recipe, 400 steps, 1 seed | 0.300 |  |" in text
    assert "| **MI backpropagation** | **0.970 ± 0.014** | **0.990 ± 0.000** |" in text
    assert "mean ± standard deviation over seeds 0, 1; reference recipe: seed 0. Published figures: a paper." in text


def test_a_marker_selects_settings_methods_and_published_figures(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "small.json").write_text(json.dumps(document(ROWS)))
    marker = "<!-- results/small.json settings=0.05,0.02 methods=plain,mib published=LNL -->\n"
    text = fill_tables(f"before\n{marker}old\n<!-- end -->\nafter", tmp_path)
    assert text.startswith(f"before\n{marker}| method | σ² = 0.050 | σ² = 0.020 |")
    assert text.endswith("<!-- end -->\nafter")
    assert "| LNL (published) |  | 0.800 |" in text
    assert "Gray" not in text
    assert "reference" not in text
    assert fill_tables(text, tmp_path) == text


def test_one_setting_shows_what_is_left_of_the_attribute() -> None:
    text = render_document(
        document(ROWS), {"settings": ["0.02"], "methods": ["mib"], "columns": ["test_accuracy", "mi"]}
    )
    assert "| method | test accuracy | I(Z;C) ≥, nats |" in text
    assert "| **MI backpropagation** | 0.970 ± 0.014 (lowest 0.960) | 0.50 |" in text


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (document(ROWS), {"colour": ["red"]}, "no option 'colour'"),
        (document(ROWS), {"methods": ["none"]}, "selects no rows"),
        (document(ROWS), {"settings": ["0.02"], "columns": ["luck"]}, "no column 'luck'"),
        ({"table": "unheard of"}, {}, "no table 'unheard of'"),
        ({"table": "cost"}, {"settings": ["1"]}, "takes no options"),
    ],
)
def test_a_marker_that_cannot_be_meant_is_refused(content: dict[str, Any], options: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        render_document(content, options)


def test_a_finished_run_replaces_its_own_rows_and_leaves_others(tmp_path: Path) -> None:
    path, run = tmp_path / "results.json", tmp_path / "run"
    run.mkdir()
    (run / "results.json").write_text(json.dumps(document([row("mib", "0.020", 1, 0.5), row("mib", "0.020", 2, 0.9)])))
    collect_run(run, path)
    assert len(json.loads(path.read_text())["rows"]) == 2
    path.write_text(json.dumps(document(ROWS)))
    collect_run(run, path)
    collected = json.loads(path.read_text())
    assert [r["test_accuracy"] for r in collected["rows"]] == [0.4, 0.5, 0.96, 0.5, 0.99, 0.99, 0.3, 0.9]
    (mib,) = [e for e in collected["summary"] if (e["method"], e["setting"]) == ("mib", "variance=0.020")]
    assert (mib["seeds"], mib["test_accuracy"]) == (3, pytest.approx((0.96 + 0.5 + 0.9) / 3))
    assert collected["seed"] == [0, 1, 2]


def test_pictures_name_files_that_are_there() -> None:
    for name, (source, _) in PICTURES.items():
        assert (ROOT / "docs" / "images" / name).is_file()
        assert (ROOT / "results" / f"{source}.json").is_file()
