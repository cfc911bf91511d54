"""IMDB faces: gender without age, trained on one extreme of the bias and tested on the other and on all ages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from ..attributes import Categorical
from ..datasets.imdb_faces import IMDB_SPLITS, IMDBFaces, Split
from ..leakage.network_probe import probe
from ..methods import METHODS
from ..networks.classifier import Classifier
from ..randomness import seeded
from ..training.data import Batch, BatchReader, Problem
from ..training.loop import TrainingRun
from ..training.method import Method
from .face_networks import ResNet50Faces, SmallFaces
from .grid import Cell, Grid
from .process import measure_peak_memory_mb
from .summary import summarize_runs

ENCODERS = ("resnet50", "small")


class FacesTraining:
    """`IMDBFaces` as a training run takes it: batches by their rows, decoded ahead."""

    def __init__(self, faces: IMDBFaces) -> None:
        self.faces = faces
        self.y, self.levels, self.c = faces.y, faces.levels, faces.levels[:, 0]

    def __len__(self) -> int:
        return len(self.faces)

    def batch(self, rows: Tensor) -> Batch:
        """Decoded images with label and age bin."""
        return self._label(self.faces.images(rows))

    def open_reader(self) -> BatchReader:
        """Open a reader of batches, decoded in other processes."""
        read = self.faces.open_reader()
        return lambda order: map(self._label, read(order))

    def _label(self, decoded: tuple[Tensor, Tensor]) -> Batch:
        x, rows = decoded
        return Batch(x.contiguous(memory_format=torch.channels_last), self.y[rows], self.levels[rows], self.c[rows])


@dataclass(frozen=True)
class FaceCell(Cell):
    """One training: on which split, by which method, from which seed."""

    moving: ClassVar[tuple[str, ...]] = ("root", "workers")

    root: str
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
    workers: int | None = None

    @property
    def name(self) -> str:
        """File name of its results, without ending."""
        return f"imdb-{self.train}-{self.encoder}-{self.method}-seed{self.seed}"

    def run(self) -> dict[str, Any]:
        """Train on one extreme, test on the other and on all ages: a row each."""
        options: dict[str, Any] = {k: getattr(self, k) for k in ("lists", "size", "limit", "workers")}
        splits = {name: IMDBFaces(self.root, name, **options) for name in IMDB_SPLITS}
        data = FacesTraining(splits[self.train])
        with seeded(self.seed):
            model: Classifier = SmallFaces() if self.encoder == "small" else ResNet50Faces(self.weights)
        model = cast(Any, model).to(memory_format=torch.channels_last)
        problem = Problem(2, Categorical(12), (12,))
        # The authors' settings of faces for their recipe; ours for the others.
        own: dict[str, Any] = {"critic_steps": 20, "mi_lr_ratio": 0.9, "hidden": (512, 512, 512), "lr": 1e-5}
        usual = {} if self.encoder == "small" else {"lr": 1e-4}
        chosen = own if self.method == "reference" else usual
        method = METHODS[self.method](model, problem, seed=self.seed, **chosen)
        batch_size = self.batch_size or (24 if self.method == "reference" else 64)
        training = TrainingRun(
            method, data, epochs=self.epochs, batch_size=batch_size, seed=self.seed, max_steps=self.max_steps
        )
        training.advance(training.last_step)
        epochs, rows = training.done_steps / training.steps_per_epoch, []
        for name, faces in splits.items():
            if name == self.train:
                continue
            z, logits, y, ages = _evaluate(method, FacesTraining(faces))
            row: dict[str, Any] = {
                "dataset": "imdb", "method": self.method, "setting": f"{self.train} to {name}",
                "network": self.encoder, "seed": self.seed,
                "epochs": round(epochs, 3), "steps": training.done_steps,
                "train_images": len(data), "test_images": len(faces),
                "train_accuracy": training.records[-1].train_accuracy,
                "test_accuracy": float((logits.argmax(1) == y).float().mean()),
                "mi": None, "probe_accuracy": None, "chance": None,
                "seconds": training.seconds, "seconds_per_epoch": training.seconds / epochs,
                "peak_memory_mb": measure_peak_memory_mb(),
                "left_out": {k: f.skipped for k, f in splits.items()},
            }  # fmt: skip
            if name == "test" and len(y) >= 100:
                found = probe(z, ages, random_state=self.seed)
                row |= {"mi": found.mi.value, "probe_accuracy": found.accuracy, "chance": found.chance}
            rows.append(row)
        return {"rows": rows}


@torch.no_grad()
def _evaluate(method: Method, data: FacesTraining, batch_size: int = 64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    method.model.eval()
    chunks = torch.arange(len(data)).split(batch_size)
    parts = [(*method.representations(batch.x), batch.y, batch.c) for batch in data.open_reader()(chunks)]
    method.model.train()
    z, logits, y, ages = map(torch.cat, zip(*parts, strict=True))
    return z, logits, y, ages


class FacesTable(Grid[FaceCell]):
    """Trainings on both extremes, by each method."""

    cell_type = FaceCell

    def describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Mean and standard deviation over seeds."""
        by, columns = ("dataset", "setting", "network", "method"), ("test_accuracy", "mi", "probe_accuracy")
        return {"table": "faces", "summary": summarize_runs(rows, by=by, columns=columns)}
