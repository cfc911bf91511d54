"""What a step of training on a folder of JPEGs spends waiting for images, by workers that decode."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from midebias.datasets import ImageTable
from midebias.experiments.image_data import StreamedImages
from midebias.experiments.image_methods import build_for_images
from midebias.experiments.own_images import load_own_images
from midebias.lightning import MethodModule
from midebias.training.data import Batch, BatchReader

from .script import Script


def draw_folder(root: Path, n: int, size: int) -> None:
    """Photographs of ``size`` pixels: noise on a ramp, which compresses as photographs do."""
    rng = np.random.default_rng(0)
    lines = ["file,y,c,split"]
    for i in range(n):
        y, c = int(rng.integers(2)), int(rng.integers(2))
        coarse = rng.integers(0, 160, (size // 16, size // 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
        pixels = np.asarray(image).copy()
        pixels[: size // 2 + y * size // 4, :, 2 * c] += 60
        Image.fromarray(pixels).save(root / f"{i}.jpg", quality=85)
        lines.append(f"{i}.jpg,{y},{c},{'test' if i < 200 else 'train'}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


class Timed:
    """A training set that adds up the seconds that its reader is waited for."""

    def __init__(self, data: Any) -> None:
        self.data, self.seconds, self.batches = data, 0.0, 0
        self.y, self.levels, self.c = data.y, data.levels, data.c

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, rows: Tensor) -> Batch:
        """See `TrainingData`."""
        return self.data.batch(rows)

    def open_reader(self) -> BatchReader:
        """See `TrainingData`."""
        read = self.data.open_reader()

        def wait(order: Any) -> Iterator[Batch]:
            batches = iter(read(order))
            while True:
                started = time.perf_counter()
                batch = next(batches, None)
                self.seconds += time.perf_counter() - started
                if batch is None:
                    return
                self.batches += 1
                yield batch

        return wait


def measure(data: Any, *, network: str, batch_size: int, epochs: int) -> dict[str, float]:
    """Train ``mib`` and split the seconds of all steps but the first epoch's."""
    timed = Timed(data.train)
    method = build_for_images("mib", data, options=None, network=network, seed=0)
    run = MethodModule(method, timed, epochs=epochs + 1, batch_size=batch_size)
    run.advance(run.steps_per_epoch)  # workers are started, and whatever is made at the first call
    before, waited = run.seconds, timed.seconds
    run.advance(epochs * run.steps_per_epoch)
    steps, seconds, waiting = epochs * run.steps_per_epoch, run.seconds - before, timed.seconds - waited
    return {"ms_per_step": 1000 * seconds / steps, "ms_waiting": 1000 * waiting / steps, "share": waiting / seconds}


def main() -> None:
    """Draw the folder, and train from it with each number of workers."""
    script = Script(
        "image_loading", __doc__, images=20_000, size=256, image_size=64, workers=[0, 1, 2], network="lnl",
        batch_size=256, epochs=1,
    )  # fmt: skip
    given, rows = script.given, list[dict[str, float]]()
    with tempfile.TemporaryDirectory() as folder:
        draw_folder(Path(folder), given["images"], given["size"])
        data = load_own_images(folder, 0, image_size=given["image_size"], memory=0)
        assert isinstance(data.train, StreamedImages)
        for workers in given["workers"]:
            assert isinstance(data.train.files, ImageTable)
            data.train.files.workers = workers
            options = {name: given[name] for name in ("network", "batch_size", "epochs")}
            rows.append({"workers": workers, "threads": torch.get_num_threads()} | measure(data, **options))
            script.write(rows, 0)


if __name__ == "__main__":
    main()
