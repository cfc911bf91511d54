"""Training killed at random moments and resumed: does it end with the weights of an undisturbed run?"""

from __future__ import annotations

import hashlib
import logging
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from midebias.training.checkpoints import read_checkpoint

from .script import Script

__all__ = ["kill_and_resume"]

_LOG = logging.getLogger(__name__)

_TRAIN = [
    "train", "colored-mnist", "--network", "lnl", "--limit", "4096", "--epochs", "4", "--checkpoint-every", "0",
]  # fmt: skip


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "midebias", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _hash_weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def _count_steps(run: Path | None) -> int:
    """Steps of the latest checkpoint, 0 before the first."""
    path = None if run is None else run / "checkpoint.safetensors"
    return int(read_checkpoint(path)["run"]["done_steps"]) if path is not None and path.exists() else 0


def _kill_within(
    process: subprocess.Popen[bytes], run: Callable[[], Path | None], generator: random.Random, most: int
) -> bool:
    """SIGKILL after a random number of further steps, at a random moment of the next; False if the run ended first.

    Counted in checkpoints that it writes, not in seconds, so that a busy machine changes nothing: at most ``most``,
    and in one attempt of five before it has gone on at all.
    """
    at = before = _count_steps(run())
    target = before + (0 if generator.random() < 0.2 else generator.randint(1, most))
    began = time.monotonic()
    while at < target and process.poll() is None:
        time.sleep(0.005)
        at = _count_steps(run())
    seconds_each = (time.monotonic() - began) / max(1, at - before)
    # Before its first step, a run imports for some seconds; later a step and its checkpoint take a fraction of one.
    ends = time.monotonic() + generator.uniform(0, 4.0 if target == before else min(1.0, seconds_each))
    while time.monotonic() < ends and process.poll() is None:
        time.sleep(0.001)
    process.kill()  # does nothing to one that has ended
    return process.wait() == -signal.SIGKILL


def kill_and_resume(kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """SIGKILL at ``kills`` random moments, over as many runs as that takes; each must end like the undisturbed one."""
    generator = random.Random(seed)
    if _start(*_TRAIN, "--output-dir", str(folder / "undisturbed")).wait():
        raise RuntimeError("the undisturbed run failed")
    (undisturbed,) = (folder / "undisturbed").iterdir()
    expected, steps, done, runs, same = _hash_weights(undisturbed), _count_steps(undisturbed), 0, 0, 0
    at_steps: list[int] = []
    while done < kills:
        runs += 1
        parent = folder / f"run{runs}"

        def run(parent: Path = parent) -> Path | None:
            return next(iter(parent.glob("*")), None)

        process = _start(*_TRAIN, "--output-dir", str(parent))
        while done < kills and _kill_within(process, run, generator, steps // 4):
            done += 1
            reached = run()
            at_steps.append(_count_steps(reached))
            _LOG.info("kill %d at step %d of run %d", done, at_steps[-1], runs)
            begun = reached is not None and (reached / "checkpoint.safetensors").exists()
            if not begun and reached is not None:
                shutil.rmtree(reached)  # nothing was saved yet: it starts afresh
            process = (
                _start("train", "--resume", str(reached)) if begun else _start(*_TRAIN, "--output-dir", str(parent))
            )
        if process.wait() != 0:
            raise RuntimeError(f"run {runs} could not be resumed")
        last = run()
        same += last is not None and _hash_weights(last) == expected
    return {"kills": done, "at_steps": at_steps, "steps": steps, "runs": runs, "same_weights": same}


if __name__ == "__main__":
    script = Script("kills", __doc__, kills=50, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        script.write([kill_and_resume(script.given["kills"], script.given["seed"], Path(folder))], script.given["seed"])
