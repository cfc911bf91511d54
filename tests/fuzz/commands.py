"""The command line: right commands but for one to three words, and files that are missing, empty, cut or folders."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from safetensors.torch import save_file

from midebias.cli import app, run
from midebias.errors import InputError
from midebias.networks import GlobalPoolClassifier
from midebias.randomness import seeded

from .garbage import draw_word, mutate
from .runner import BrokenPromise, Target, WouldRun

__all__ = ["TARGETS"]

_RNG = np.random.default_rng(0)
with seeded(0):
    _NETWORK = GlobalPoolClassifier(n_classes=3)
_CELL = """command: midebias reproduce colored-mnist
cells:
- {dataset: own.npz, method: plain, setting: null, seed: 0, epochs: 1, network: lnl, limit: null, max_steps: null,
   palette: null, image_size: null, batch_size: 20, held_out: false}
"""
_TRAIN = """command: train
dataset: own.npz
variance: null
rho: null
method: plain
network: lnl
palette: null
image_size: null
epochs: 1
seed: 0
limit: null
max_steps: 1
checkpoint_every: 30.0
"""
_SWEEP = """command: sweep
dataset: own.npz
setting: null
weights: '1'
trials: 1
seeds: '0'
epochs: 1
network: lnl
limit: null
image_size: null
storage: null
seed: 0
"""
_FOLDERS = {"run": _TRAIN, "comparison": _CELL, "swept": _SWEEP, "trained": _TRAIN}


def _files(folder: Path) -> None:
    """Right ones, which the commands below are about."""
    n = 60
    y, c = _RNG.integers(2, size=n), _RNG.integers(2, size=n)
    frame = pd.DataFrame({"z0": c + _RNG.normal(size=n), "z1": _RNG.normal(size=n), "sex": c, "y": y})
    frame.to_csv(folder / "people.csv", index=False)
    frame.to_parquet(folder / "people.parquet")
    pd.concat([frame] * 2).to_csv(folder / "table.csv", index=False)
    z = np.repeat(frame[["z0", "z1"]].to_numpy(np.float32), 2, axis=0)
    np.savez(folder / "z.npz", z=z, sex=np.repeat(c, 2), y=np.repeat(y, 2))
    np.save(folder / "z.npy", z)
    x = _RNG.integers(0, 255, (120, 6, 6, 3), dtype=np.uint8)
    own = {"x": x, "y": np.repeat(y, 2), "c": np.repeat(c, 2)}
    np.savez(folder / "own.npz", **own, **{f"{k}_test": v for k, v in own.items()})
    (folder / "run.yaml").write_text("epochs: 1\nseed: 3\n")
    (folder / "colours.txt").write_text("\n".join(f"{i} {i} {i}" for i in range(10)))
    (folder / "seed.yaml").write_text("seed: 3\n")
    for name, content in _FOLDERS.items():
        (folder / name).mkdir()
        (folder / name / "config.yaml").write_text(content)
    (folder / "comparison" / "cells").mkdir()
    save_file(_NETWORK.state_dict(), folder / "trained" / "model.safetensors")
    (folder / "faces").mkdir()
    (folder / "faces" / "imdb.mat").write_bytes(b"MATLAB 5.0 MAT-file")


_COMMANDS: dict[str, tuple[str, ...]] = {
    "demo": ("--seed", "1", "--variance", "0.02", "--config", "seed.yaml"),
    "train": (
        "own.npz", "--network", "lnl", "--method", "mib", "--epochs", "1", "--max-steps", "1", "--seed", "0",
        "--gradient-ratio", "1", "--criterion", "separation", "--config", "run.yaml",
    ),
    "train table": ("people.csv", "--label", "y", "--attribute", "sex", "--epochs", "1", "--mi-weight", "2"),
    "train images": ("colored-mnist", "--variance", "0.02", "--limit", "600", "--palette", "colours.txt"),
    "train again": ("--resume", "run"),
    "compare": (
        "own.npz", "--methods", "plain", "--seeds", "0", "--epochs", "1", "--network", "lnl", "--jobs", "1",
        "--batch-size", "20",
    ),
    "compare images": (
        "biased-mnist", "--methods", "plain,mib", "--seed", "0", "--settings", "0.99", "--palette", "colours.txt",
        "--limit", "600", "--held-out",
    ),
    "compare again": ("--resume", "comparison", "--only", "plain"),
    "reproduce": ("colored-mnist", "--quick", "--seeds", "0", "--epochs", "1", "--jobs", "1", "--only", "plain"),
    "reproduce faces": (
        "imdb", "--root", "faces", "--lists", "faces", "--encoder", "small", "--image-size", "8", "--only", "plain",
    ),
    "reproduce again": ("--resume", "comparison"),
    "sweep": (
        "own.npz", "--network", "lnl", "--epochs", "1", "--trials", "1", "--weights", "1", "--seeds", "0",
        "--storage", "study.log",
    ),
    "sweep table": (
        "people.csv", "--label", "y", "--attribute", "sex", "--criterion", "separation", "--tolerance", "0.1",
        "--trials", "1", "--weights", "1", "--epochs", "1",
    ),
    "sweep again": ("--resume", "swept"),
    "audit": (
        "z.npz", "--attribute", "sex", "--label", "y", "--probes", "linear", "--max-leakage", "9", "--seed", "0",
        "--columns", "z",
    ),
    "audit table": (
        "table.csv", "--attribute", "sex", "--predictions", "y", "--label", "y", "--probes", "linear",
        "--columns", "z*", "--max-rows", "200",
    ),
    "audit beside": ("z.npy", "--attribute", "sex", "--table", "table.csv", "--probes", "linear"),
    "export": ("trained", "--format", "torch-export", "--output", "model.pt2"),
    "data": ("--root", "."),
    "doctor": (),
}  # fmt: skip
_OPTIONS = sorted(
    {
        "--" + name.replace("_", "-")
        for command in app.registered_commands
        for name in inspect.signature(command.callback).parameters  # type: ignore[arg-type]
    }
)


def _hurt_file(rng: random.Random, folder: Path) -> str:
    kind = rng.randrange(7)
    source = rng.choice([p for p in folder.iterdir() if p.is_file() and p.stem != "hurt"])
    path = folder / f"hurt{source.suffix}"
    if path.is_dir():  # of an argument before
        path.rmdir()
    path.unlink(missing_ok=True)
    if kind == 0:
        return "missing" + source.suffix
    if kind == 1:
        path.mkdir(exist_ok=True)
    elif kind == 2:
        path.write_bytes(b"")
    elif kind == 3:
        path.write_bytes(source.read_bytes()[: rng.randrange(200)])
    elif kind == 4:
        path.write_bytes(mutate(rng, source.read_bytes()))
    elif kind == 5:
        path = source  # a file of another kind than is wanted
    else:
        path = folder / "loop"
        with contextlib.suppress(FileExistsError):
            path.symlink_to(path)
    return path.name


def _arguments(rng: random.Random, name: str, folder: Path) -> list[str]:
    words = list(_COMMANDS[name])
    if rng.random() < 0.7:  # some of the options, so that those that exclude each other are not always together
        pairs, at = [], 0
        while at < len(words):
            size = 2 if words[at].startswith("--") and at + 1 < len(words) and not words[at + 1].startswith("--") else 1
            pairs.append(words[at : at + size])
            at += size
        words = [w for i, pair in enumerate(pairs) if i < 1 or rng.random() < 0.6 for w in pair]
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        kind = rng.randrange(6)
        at = rng.randrange(len(words) + 1)
        if kind == 0 or not words:
            words[at:at] = [rng.choice(_OPTIONS), draw_word(rng)]
        elif kind == 1:
            words[min(at, len(words) - 1)] = draw_word(rng)
        elif kind == 2:
            words[min(at, len(words) - 1)] = _hurt_file(rng, folder)
        elif kind == 3:
            del words[min(at, len(words) - 1)]
        elif kind == 4:
            (folder / "hurt-config.yaml").write_bytes(mutate(rng, b"epochs: 1\nseed: [1]\nmethod: plain\nlimit: 600\n"))
            words += ["--config", "hurt-config.yaml"]
        else:
            places = [i for i, w in enumerate(words) if not w.startswith("--")]
            if places:
                words[rng.choice(places)] = rng.choice((draw_word(rng), _hurt_file(rng, folder)))
    out = rng.choice(("out",) * 9 + ("people.csv", "people.csv/below", "deep/er/out"))
    if name.split()[0] in ("demo", "train", "compare", "reproduce", "sweep", "audit"):
        words += ["--output-dir", out]
    return [name.split()[0], *words]


def _would_run(*_: Any, **__: Any) -> Any:
    raise WouldRun


@contextlib.contextmanager
def _nothing_long() -> Iterator[None]:
    """Work that takes minutes is not begun."""
    with contextlib.ExitStack() as stack:
        for place in (
            "midebias.cli.demo.load_planted_images", "midebias.cli.reproduce.run_comparison",
            "midebias.experiments.grid.Grid.run",
            "midebias.experiments.image_run.ImageRun.train",
            "midebias.experiments.image_sweep.ImageSweep.try_weight",
            "midebias.experiments.table_sweep.TableSweep.try_weight",
            "midebias.experiments.image_loading.load_planted_images",
        ):  # fmt: skip
            stack.enter_context(mock.patch(place, _would_run))
        yield


def _everything(folder: Path) -> set[Path]:
    return {p for p in folder.rglob("*") if not p.name.startswith("hurt") and p.name != "loop"}


def _command(name: str) -> Target:
    def feed(rng: random.Random, folder: Path) -> None:
        _files(folder)
        if rng.random() < 0.3:
            config = folder / rng.choice(list(_FOLDERS)) / "config.yaml"
            config.write_bytes(mutate(rng, config.read_bytes()))
        arguments = _arguments(rng, name, folder)
        before, home = _everything(folder), os.getcwd()
        errors = io.StringIO()
        try:
            os.chdir(folder)
            with contextlib.redirect_stderr(errors), _nothing_long():
                status = run(arguments)
        except SystemExit as error:
            raise BrokenPromise(f"{arguments}: SystemExit {error.code}") from error
        except (InputError, ValueError, TypeError, KeyError, OSError, RuntimeError, AttributeError) as error:
            raise BrokenPromise(f"{arguments}: {type(error).__name__} {error}") from error
        finally:
            os.chdir(home)
        said = errors.getvalue()
        if status not in (0, 1, 2) or (status == 2 and not said.strip()):
            raise BrokenPromise(f"{arguments}: status {status}, {said!r}")
        if "Traceback" in said:
            raise BrokenPromise(f"{arguments}: {said}")
        left = _everything(folder) - before
        if status == 2 and left:
            raise BrokenPromise(f"{arguments}: {said.strip()!r} leaves {sorted(p.name for p in left)}")
        if status == 2:
            raise InputError(said.strip())

    return Target(f"midebias {name}", feed)


TARGETS = {f"midebias {name}": _command(name) for name in _COMMANDS}
