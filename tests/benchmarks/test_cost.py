"""The cost benchmark reckons what it says, on a few images."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cost import time_over_plain, time_recipe
from benchmarks.distribution import merge_processes
from benchmarks.tables import render_document
from midebias.errors import InputError
from midebias.experiments.image_data import ImageData
from midebias.experiments.planted_images import load_planted_images
from midebias.experiments.process import measure_peak_memory_mb
from midebias.experiments.run_folder import write_json
from midebias.training.data import TensorData


@pytest.fixture(scope="module")
def data() -> ImageData:
    whole = load_planted_images("colored-mnist", 0.02, 0, limit=768)
    few = TensorData(*(t[:200] for t in (whole.test.x, whole.test.y, whole.test.levels, whole.test.c)))
    return replace(whole, test=few)


def test_cost_over_plain(data: ImageData) -> None:
    plain, ours = time_over_plain(data.train, ["mib"], epochs=1)
    assert (plain["method"], ours["method"]) == ("plain", "mib")
    assert plain["over_plain"] == 1.0
    assert ours["over_plain"] == pytest.approx(ours["seconds_per_epoch"] / plain["seconds_per_epoch"])


def test_time_until_a_target_against_the_recipe(data: ImageData) -> None:
    found = time_recipe(data, epochs=1, steps=2, target=0.01)
    assert found["reached"] >= 0.01
    epochs, seconds = found["our_epochs"], found["our_seconds"]
    assert found["reference_over_ours_same_epochs"] == pytest.approx(
        found["reference_seconds_per_epoch"] * epochs / seconds
    )
    assert found["reference_over_ours_per_epoch"] > 1
    row = {"method": "mib", "seconds_per_epoch": 3.0, "over_plain": 1.06}
    made = {"seed": [0], "command": "made by", "versions": {"threads": "2"}}
    table = render_document({"table": "cost", "rows": [row], "recipe": found} | made)
    assert "**1.06** times as long as plain training" in table
    assert "made by" in table
    with pytest.raises(InputError, match="not reached"):
        time_recipe(data, epochs=1, steps=2, target=1.1)


def test_freed_memory_is_kept_in_a_process_of_its_own() -> None:
    program = (
        "import torch, resource\n"
        "from midebias.experiments.process import keep_freed_memory\n"
        "kept = keep_freed_memory()\n"
        "for _ in range(30): torch.zeros(2**24)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(30): torch.zeros(2**24)\n"
        "print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    if out[0] == "False":
        pytest.skip("the C library takes no such options")
    assert int(out[1]) < 2000  # one anew is 16,384 pages; before it is at rest, a few are
    assert measure_peak_memory_mb() > 50


def test_processes_of_another_number_are_kept_beside_each_other(tmp_path: Path) -> None:
    def rows(world: int, images: float) -> list[dict[str, Any]]:
        return [
            {
                "estimator": name, "processes": world, "cpu_seconds_per_step": 1.0, "images_per_second": images,
                "bytes_per_step": 10, "collectives_per_step": 7, "communication_share": 0.05,
                "communication_share_of_the_last": 0.03, "gradient_bytes_per_step": 100,
            }
            for name in ("none", "gaussian")
        ]  # fmt: skip

    path = tmp_path / "distribution.json"
    for world, images in ((2, 150.0), (1, 100.0), (2, 180.0)):
        write_json(path, merge_processes(path, rows(world, images), f"run {world}"))
    document = json.loads(path.read_text())
    assert [r["processes"] for r in document["rows"]] == [1, 1, 2, 2]
    table = render_document(document)
    assert "| ratio | 1.80 | 1.80 |" in table
    assert "`run 1` and `run 2`" in table
