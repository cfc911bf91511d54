"""Training killed at random moments and resumed, until it ends with the weights of an undisturbed run, or does not.

python -m midebias.benchmarks.kills --kills 50 --output results/kills.json
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..checkpoints import read_checkpoint
from .results import results_document, write_json

__all__ = ["killed_and_resumed"]

_TRAIN = [
    "train", "colored-mnist", "--network", "lnl", "--limit", "1024", "--epochs", "4", "--checkpoint-every", "0",
]  # fmt: skip


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "midebias", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _sum(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def killed_and_resumed(kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """SIGKILL at ``kills`` random moments, over as many runs as that takes; each must end like the undisturbed one."""
    generator = random.Random(seed)
    started = time.monotonic()
    if _start(*_TRAIN, "--output-dir", str(folder / "undisturbed")).wait():
        raise RuntimeError("the undisturbed run failed")
    whole = time.monotonic() - started  # loading included, where a kill may fall as well
    (undisturbed,) = (folder / "undisturbed").iterdir()
    expected, done, runs, same = _sum(undisturbed), 0, 0, 0
    at_steps: list[int] = []
    while done < kills:
        runs += 1
        parent = folder / f"run{runs}"
        process = _start(*_TRAIN, "--output-dir", str(parent))
        while True:
            while process.poll() is None and not list(parent.glob("*/checkpoint.safetensors")):
                time.sleep(0.02)
            time.sleep(generator.uniform(0, whole))
            if process.poll() is not None or done >= kills:
                break
            process.kill()
            process.wait()
            (run,) = parent.iterdir()
            if (run / "results.json").exists():
                break
            done += 1
            at_steps.append(int(read_checkpoint(run / "checkpoint.safetensors")["run"]["done_steps"]))
            process = _start("train", "--resume", str(run))
        if process.wait() not in (0, -signal.SIGKILL):
            raise RuntimeError(f"run {runs} could not be resumed")
        same += _sum(next(parent.iterdir())) == expected
    return {"kills": done, "at_steps": at_steps, "runs": runs, "same_weights": same}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = killed_and_resumed(arguments.kills, arguments.seed, Path(folder))
    options = f"--kills {arguments.kills} --seed {arguments.seed} --output {arguments.output}"
    command = f"python -m midebias.benchmarks.kills {options}"
    write_json(arguments.output, results_document(command, arguments.seed, [row]))


if __name__ == "__main__":
    main()
