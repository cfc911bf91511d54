"""IMDB faces: gender without age, trained on one extreme of the bias and tested on the other and on all ages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch

from ..attributes import Categorical
from ..datasets.imdb_faces import IMDB_SPLITS, IMDBFaces, Split
from ..leakage.network_probe import probe
from ..methods import METHODS
from ..networks.classifier import Classifier
from ..networks.digits import GlobalPoolClassifier
from ..randomness import seeded
from ..training.data import Problem
from ..training.evaluation import evaluate
from ..training.method import Method
from .face_networks import ResNet50Faces
from .grid import Cell, Grid
from .image_data import StreamedImages
from .image_methods import choose_precision
from .process import measure_peak_memory_mb
from .summary import summarize_runs

ENCODERS = ("resnet50", "small")


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
    accelerator: Any = None
    precision: str | None = None

    @property
    def name(self) -> str:
        """File name of its results, without ending."""
        return f"imdb-{self.train}-{self.encoder}-{self.method}-seed{self.seed}"

    def prepare(self) -> tuple[Method, Any]:
        """Build method and Trainer. Raises `InputError`, `DataError` where network, weights and device do not fit."""
        from ..lightning.trainer import make_trainer

        with seeded(self.seed):
            small = self.encoder == "small"  # for trials
            model: Classifier = GlobalPoolClassifier(n_classes=2) if small else ResNet50Faces(self.weights)
        model = cast(Any, model).to(memory_format=torch.channels_last)
        # The authors' settings of faces for their recipe; ours for the others.
        own: dict[str, Any] = {"critic_steps": 20, "mi_lr_ratio": 0.9, "hidden": (512, 512, 512), "lr": 1e-5}
        usual = {} if small else {"lr": 1e-4}
        trainer = make_trainer(accelerator=self.accelerator or "auto", devices=1)
        precision = choose_precision(self.precision, trainer.strategy.root_device)
        options = own if self.method == "reference" else usual
        problem = Problem(2, Categorical(12), (12,))
        return METHODS[self.method](model, problem, precision=precision, seed=self.seed, **options), trainer

    def run(self) -> dict[str, Any]:
        """Train on one extreme, test on the other and on all ages: a row each."""
        from ..lightning import MethodModule

        method, trainer = self.prepare()
        device = trainer.strategy.root_device
        options: dict[str, Any] = {k: getattr(self, k) for k in ("lists", "size", "limit", "workers")}
        splits = {name: IMDBFaces(self.root, name, **options) for name in IMDB_SPLITS}
        parts = {name: StreamedImages(faces, faces.levels, faces.levels[:, 0]) for name, faces in splits.items()}
        batch_size = self.batch_size or (24 if self.method == "reference" else 64)
        training = MethodModule(
            method, parts[self.train], epochs=self.epochs, batch_size=batch_size, seed=self.seed,
            max_steps=self.max_steps,
        )  # fmt: skip
        training.advance(trainer=trainer)
        method.model.to(device)  # from which the Trainer took it
        epochs, rows = training.done_steps / training.steps_per_epoch, []
        for name, data in parts.items():
            if name == self.train:
                continue
            z, logits = evaluate(method, data, batch_size=64)
            row: dict[str, Any] = {
                "dataset": "imdb", "method": self.method, "setting": f"{self.train} to {name}",
                "network": self.encoder, "seed": self.seed,
                "epochs": round(epochs, 3), "steps": training.done_steps,
                "train_images": len(parts[self.train]), "test_images": len(data),
                "train_accuracy": training.records[-1].train_accuracy,
                "test_accuracy": float((logits.argmax(1) == data.y).float().mean()),
                "mi": None, "probe_accuracy": None, "chance": None,
                "seconds": training.seconds, "seconds_per_epoch": training.seconds / epochs,
                "peak_memory_mb": measure_peak_memory_mb(device.type), "accelerator": device.type,
                "precision": method.precision,
                "left_out": {k: f.skipped for k, f in splits.items()},
            }  # fmt: skip
            if name == "test" and len(data) >= 100:
                found = probe(z, data.c, random_state=self.seed)
                row |= {"mi": found.mi.value, "probe_accuracy": found.accuracy, "chance": found.chance}
            rows.append(row)
        return {"rows": rows}


class FacesTable(Grid[FaceCell]):
    """Trainings on both extremes, by each method."""

    cell_type = FaceCell

    def describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Mean and standard deviation over seeds."""
        by, columns = ("dataset", "setting", "network", "method"), ("test_accuracy", "mi", "probe_accuracy")
        return {"table": "faces", "summary": summarize_runs(rows, by=by, columns=columns)}
