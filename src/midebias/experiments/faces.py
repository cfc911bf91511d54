"""IMDB faces: gender without age, trained on one extreme of the bias and tested on the other and on all ages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..attributes import Categorical
from ..datasets.imdb_faces import IMDB_SPLITS, IMDBFaces, Split
from ..errors import DataError, InputError
from ..leakage.network_probe import probe
from ..methods import METHODS
from ..networks.classifier import Classifier
from ..randomness import seeded
from ..representations import FeatureMap
from ..training.checkpoints import write_atomically
from ..training.data import Batch, Problem
from ..training.loop import TrainingRun
from ..training.method import Method
from .process import peak_memory_mb

__all__ = ["FaceRun", "FacesTraining", "ResNet50Faces", "SmallFaces", "faces_table", "load_backbone", "run_faces"]

ENCODERS = ("resnet50", "small")


class FacesTraining:
    """`IMDBFaces` as a training run takes it: batches by their rows, the next one decoded meanwhile."""

    def __init__(self, faces: IMDBFaces) -> None:
        self.faces = faces
        self.y, self.levels, self.c = faces.y, faces.levels, faces.levels[:, 0]

    def __len__(self) -> int:
        return len(self.faces)

    def batch(self, rows: Tensor) -> Batch:
        """Decoded images with label and age bin."""
        x, rows = self.faces.images(rows)
        return Batch(x.contiguous(memory_format=torch.channels_last), self.y[rows], self.levels[rows], self.c[rows])

    def expect(self, rows: Tensor) -> None:
        """See `IMDBFaces.expect`."""
        self.faces.expect(rows)


class SmallFaces(Classifier):
    """A small encoder, for trials and tests: three convolutions of stride 2, global average, z of 32."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 32)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()) for a, b in pairwise(widths)
        )
        self.embedding, self.head = nn.Linear(32, 32), nn.Linear(32, 2)
        self.dim, self.n_classes = 32, 2
        self.shapes = (FeatureMap(16), FeatureMap(32), 32)

    def depths(self, x: Tensor) -> tuple[Tensor, ...]:
        """Two feature maps and z (n, 32)."""
        first = self.stages[0](x)
        second = self.stages[1](first)
        z = nn.functional.relu(self.embedding(self.stages[2](second).mean(dim=(2, 3))))
        return first, second, z


class ResNet50Faces(Classifier):
    """The paper's encoder of faces: ResNet-50, a 7x7 convolution to z of 128, ReLU; head of two.

    Parameters
    ----------
    weights : path or "pretrained" or None
        A state dict of torchvision's ``resnet50`` (a file of `torch.save`, read with ``weights_only``, or
        ``.safetensors``); torchvision's own ImageNet weights; or none.

    Raises
    ------
    InputError
        When torchvision is not installed or the state dict does not fit.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        try:
            from torchvision.models import ResNet50_Weights, resnet50  # type: ignore[import-not-found,unused-ignore]  # an extra
        except ImportError as error:
            raise InputError("encoder 'resnet50' needs torchvision: pip install torchvision") from error
        pretrained = weights == "pretrained"
        body = resnet50(weights=ResNet50_Weights.IMAGENET1K_V1 if pretrained else None)
        if weights is not None and not pretrained:
            load_backbone(body, Path(weights))
        self.stem = nn.Sequential(body.conv1, body.bn1, body.relu, body.maxpool)
        self.stages = nn.ModuleList([body.layer1, body.layer2, body.layer3, body.layer4])
        self.embedding, self.head = nn.Conv2d(2048, 128, 7), nn.Linear(128, 2)
        self.dim, self.n_classes = 128, 2
        self.shapes = (FeatureMap(256), FeatureMap(1024), 128)

    def depths(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of stages 1 and 3, and z (n, 128), of x (n, 3, 224, 224)."""
        first = self.stages[0](self.stem(x))
        third = self.stages[2](self.stages[1](first))
        z = nn.functional.relu(self.embedding(self.stages[3](third))).flatten(1)
        return first, third, z


def load_backbone(body: nn.Module, path: Path) -> None:
    """Fill ``body`` but for its last layer ``fc``, which is not used.

    Raises
    ------
    DataError
        When the file cannot be read or is not of this network; the message names it.
    """
    state = {k: v for k, v in _state_dict(path).items() if not k.startswith("fc.")}
    try:
        left = body.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise DataError(f"weights {path} do not fit: {str(error).splitlines()[-1].strip()}") from error
    missing = [k for k in left.missing_keys if not k.startswith("fc.")]
    if missing or left.unexpected_keys:
        what = f"lack {missing[0]}" if missing else f"hold {left.unexpected_keys[0]}, which the network does not have"
        raise DataError(f"weights {path} do not fit: they {what}")


def _state_dict(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded: Mapping[str, Tensor] = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)  # tensors, no code
    except Exception as error:
        raise DataError(f"weights {path} cannot be read as a state dict ({error})") from error
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise DataError(f"weights {path} cannot be read as a state dict: it holds something else")
    return loaded


@dataclass(frozen=True)
class FaceRun:
    """One training: on which split, by which method, from which seed."""

    train: Split
    method: str
    seed: int
    epochs: int
    encoder: str = "resnet50"
    weights: str | None = None
    size: int = 224
    batch_size: int | None = None
    max_steps: int | None = None
    limit: int | None = None
    lists: str | None = None
    workers: int = 4

    @property
    def name(self) -> str:
        """File name of its results, without ending."""
        return f"imdb-{self.train}-{self.encoder}-{self.method}-seed{self.seed}"

    def run(self, root: Path, on_step: Callable[[], None] | None = None) -> dict[str, Any]:
        """Train on one extreme; rows of the table."""
        if self.train not in ("eb1", "eb2"):
            raise InputError(f"train must be 'eb1' or 'eb2', got {self.train!r}")
        if self.encoder not in ENCODERS:
            raise InputError(f"encoder must be one of {', '.join(ENCODERS)}, got {self.encoder!r}")
        if self.method not in METHODS:
            raise InputError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        splits = {
            name: IMDBFaces(
                root, name, lists=self.lists, size=self.size, limit=self.limit, workers=self.workers
            )
            for name in IMDB_SPLITS
        }  # fmt: skip
        data = FacesTraining(splits[self.train])
        with seeded(self.seed):
            model: Classifier = SmallFaces() if self.encoder == "small" else ResNet50Faces(self.weights)
        model = cast(Any, model).to(memory_format=torch.channels_last)
        problem = Problem(2, Categorical(12), (12,))
        # The authors' settings of faces for their recipe; ours for the others.
        own: dict[str, Any] = {"critic_steps": 20, "mi_weight": 0.9, "hidden": (512, 512, 512), "lr": 1e-5}
        options = own if self.method == "reference" else {} if self.encoder == "small" else {"lr": 1e-4}
        method = METHODS[self.method](model, problem, seed=self.seed, **options)
        batch_size = self.batch_size or (24 if self.method == "reference" else 64)
        training = TrainingRun(
            method, data, epochs=self.epochs, batch_size=batch_size, seed=self.seed, max_steps=self.max_steps
        )
        training.advance(training.last_step, on_step=on_step)
        rows = []
        for name, faces in splits.items():
            if name == self.train:
                continue
            z, logits, y, ages = _evaluate(method, FacesTraining(faces))
            row: dict[str, Any] = {
                "dataset": "imdb",
                "method": self.method,
                "setting": f"{self.train} to {name}",
                "network": self.encoder,
                "seed": self.seed,
                "epochs": round(training.done_steps / training.steps_per_epoch, 3),
                "steps": training.done_steps,
                "train_images": len(data),
                "test_images": len(faces),
                "train_accuracy": training.records[-1].train_accuracy,
                "test_accuracy": float((logits.argmax(1) == y).float().mean()),
                "mi": None,
                "probe_accuracy": None,
                "chance": None,
                "seconds": training.seconds,
                "seconds_per_epoch": training.seconds / (training.done_steps / training.steps_per_epoch),
                "peak_memory_mb": peak_memory_mb(),
                "left_out": {k: f.skipped for k, f in splits.items()},
            }
            if name == "test" and len(y) >= 100:
                found = probe(z, ages, random_state=self.seed)
                row |= {"mi": found.mi.value, "probe_accuracy": found.accuracy, "chance": found.chance}
            rows.append(row)
        return {"run": asdict(self), "rows": rows}


@torch.no_grad()
def _evaluate(method: Method, data: FacesTraining, batch_size: int = 64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    method.model.eval()
    parts = []
    chunks = torch.arange(len(data)).split(batch_size)
    for i, rows in enumerate(chunks):
        batch = data.batch(rows)
        if i + 1 < len(chunks):
            data.expect(chunks[i + 1])
        parts.append((*method.representations(batch.x), batch.y, batch.c))
    method.model.train()
    z, logits, y, ages = (torch.cat(column) for column in zip(*parts, strict=True))
    return z, logits, y, ages


def run_faces(folder: Path, root: Path, runs: Sequence[FaceRun]) -> Iterator[tuple[FaceRun, list[dict[str, Any]]]]:
    """Each run's rows; what is finished lies in ``folder/cells`` and is not run again.

    Raises
    ------
    DataError
        When a finished run's file is damaged or was made with other settings.
    """
    for run in runs:
        path = folder / "cells" / f"{run.name}.json"
        if path.is_file():
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                same = content["run"] == asdict(run)
                rows = content["rows"]
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{path} is damaged ({error}): delete it to run that again") from error
            if not same:
                raise DataError(f"{path} was made with other settings than asked for: use another folder")
        else:
            content = run.run(root)
            rows = content["rows"]
            write_atomically(path, (json.dumps(content) + "\n").encode())
        yield run, rows


def faces_table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of text: a method a line, trained-on to tested-on a column, mean and spread over seeds."""
    settings = list(dict.fromkeys(r["setting"] for r in rows))
    lines = []
    for method in dict.fromkeys(r["method"] for r in rows):
        line = [method]
        for setting in settings:
            values = torch.tensor(
                [r["test_accuracy"] for r in rows if (r["method"], r["setting"]) == (method, setting)]
            )
            spread = f" ± {float(values.std()):.3f}" if len(values) > 1 else ""
            line.append(f"{float(values.mean()):.3f}{spread}" if len(values) else "")
        lines.append(line)
    return ["method", *settings], lines
