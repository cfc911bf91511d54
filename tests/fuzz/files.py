"""Readers of files, fed with damaged files."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save
from scipy.io import savemat

from midebias.datasets import IMDBFaces, open_public_images, read_image_folder, read_labelled_arrays, read_palette
from midebias.datasets.files import read_idx
from midebias.datasets.pickled_arrays import read_array_dict
from midebias.leakage.embedding_files import read_embeddings
from midebias.networks import GlobalPoolClassifier
from midebias.networks.local_weights import read_state_dict
from midebias.randomness import seeded
from midebias.serving import load_run
from midebias.training.checkpoints import read_checkpoint, write_checkpoint

from .garbage import mutate
from .runner import BrokenPromise, Target

__all__ = ["TARGETS"]

_RNG = np.random.default_rng(0)
_Z = _RNG.normal(size=(12, 3)).astype(np.float32)
_FRAME = pd.DataFrame(
    {
        "z0": _Z[:, 0],
        "z1": _Z[:, 1],
        "sex": ["f", "m"] * 6,
        "y": [0, 1] * 6,
        "when": pd.date_range("2020-01-01", periods=12),
    }
)


def _bytes(write: Callable[[Any], Any]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _target(name: str, suffix: str, seeds: list[bytes], read: Callable[[Path], Any]) -> Target:
    corpus, latest = list(seeds), list[bytes]()

    def feed(rng: random.Random, folder: Path) -> None:
        path = folder / f"fuzzed{suffix}"
        latest[:] = [mutate(rng, rng.choice(corpus), corpus)]
        path.write_bytes(latest[0])
        read(path)

    return Target(name, feed, ("fuzzed",), corpus, latest)


def _embeddings(path: Path) -> None:
    named = () if path.suffix == ".npy" else ("sex",)
    found = read_embeddings(path, named)
    if not all(len(v) == len(found.z) for v in found.columns.values()) and path.suffix != ".npz":
        raise BrokenPromise("columns of other lengths than z")


def _arrays(path: Path) -> None:
    for part in read_labelled_arrays(path).values():
        if not len(part["x"]) == len(part["y"]) == len(part["c"]) or not bool(torch.isfinite(part["x"]).all()):
            raise BrokenPromise("arrays that do not go together")


def _npz(**arrays: Any) -> bytes:
    return _bytes(lambda f: np.savez(f, **arrays))


_X = _RNG.integers(0, 255, (12, 8, 8, 3), dtype=np.uint8)
_Y, _C = np.arange(12) % 3, np.arange(12) % 2
_OWN = {"x": _X, "y": _Y, "c": _C}
_PICKLED = {"train_image": _X, "train_label": _Y}
_STATE = {"steps": 3, "loss": 0.5, "list": [1, None, "a"], "w": torch.arange(6.0).reshape(2, 3), "t": (True, {"a": 1})}


def _checkpoint() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder) / "c", _STATE)
        return (Path(folder) / "c").read_bytes()


def _read_state(path: Path) -> None:
    state = read_checkpoint(path)
    if not torch.equal(state["w"], _STATE["w"]) or state["t"] != _STATE["t"]:  # the sum leaves no other
        raise BrokenPromise("a damaged checkpoint was read")


def _mat() -> bytes:
    n = 6
    table = {
        "dob": np.full(n, 720_000.0), "photo_taken": np.full(n, 2000.0), "gender": np.arange(n) % 2 * 1.0,
        "full_path": np.array([f"0{i}/nm{i}_1.jpg" for i in range(n)], dtype=object),
        "face_score": np.full(n, 3.0), "second_face_score": np.full(n, np.nan),
    }  # fmt: skip
    return _bytes(lambda f: savemat(f, {"imdb": table}))


def _faces(rng: random.Random, folder: Path) -> None:
    corpus = TARGETS["imdb.mat"].corpus
    assert corpus is not None
    (folder / "imdb.mat").write_bytes(mutate(rng, rng.choice(corpus), corpus))
    for i in range(6):
        (folder / f"0{i}").mkdir(exist_ok=True)
        (folder / f"0{i}" / f"nm{i}_1.jpg").write_bytes(_JPEG if rng.random() < 0.5 else mutate(rng, _JPEG))
    lists = None
    if rng.random() < 0.3:
        (folder / "test.txt").write_bytes(mutate(rng, b"00/nm0_1.jpg\n01/nm1_1.jpg\n"))
        lists = folder
    split = rng.choice(("eb1", "eb2", "test"))
    faces = IMDBFaces(folder, split, size=8, workers=1, lists=lists)  # type: ignore[arg-type]
    x = faces.images(torch.arange(len(faces)))
    if not bool(torch.isfinite(x).all()) or x.shape[1:] != (3, 8, 8):
        raise BrokenPromise("images of another shape")


def _image(kind: str) -> bytes:
    return _bytes(lambda f: Image.fromarray(_X[0]).save(f, format=kind))


_JPEG = _image("JPEG")
_IMAGES = {".png": _image("PNG"), ".jpg": _JPEG, ".gif": _image("GIF"), ".bmp": _image("BMP"), ".tif": _image("TIFF"),
           ".webp": _image("WEBP"), ".ppm": _image("PPM")}  # fmt: skip


def _folder(rng: random.Random, folder: Path) -> None:
    suffix = rng.choice(list(_IMAGES))
    lines = ["file,y,c,split"]
    for i in range(6):
        content = _IMAGES[suffix]
        (folder / f"fuzzed{i}{suffix}").write_bytes(mutate(rng, content) if rng.random() < 0.2 else content)
        lines.append(f"fuzzed{i}{suffix},{i % 2},{i % 3},{'train' if i < 4 else 'test'}")
    table = "\n".join(lines).encode()
    (folder / "labels.csv").write_bytes(mutate(rng, table) if rng.random() < 0.6 else table)
    parts = read_image_folder(folder, image_size=rng.choice((None, 8)))
    if any(len(p["x"]) != len(p["y"]) or len(p["x"]) != len(p["c"]) for p in parts.values()):
        raise BrokenPromise("parts that do not go together")


_LISTS = {
    "list_attr_celeba.txt": b"3\nMale Blond_Hair\nfuzzed1.jpg 1 -1\nfuzzed2.jpg -1 1\nfuzzed3.jpg -1 -1\n",
    "list_eval_partition.txt": b"fuzzed1.jpg 0\nfuzzed2.jpg 0\nfuzzed3.jpg 2\n",
    "metadata.csv": b"img_filename,y,split,place\nfuzzed1.jpg,0,0,1\nfuzzed2.jpg,1,0,0\nfuzzed3.jpg,1,2,1\n",
    "fairface_label_train.csv": b"file,age,gender,race\nfuzzed1.jpg,3-9,Male,Black\nfuzzed2.jpg,0-2,Female,White\n",
    "fairface_label_val.csv": b"file,age,gender,race\nfuzzed3.jpg,3-9,Female,White\n",
}


def _public(rng: random.Random, folder: Path) -> None:
    for i in range(1, 4):
        for place in (folder, folder / "fuzzed_align_celeba"):
            place.mkdir(exist_ok=True)
            (place / f"fuzzed{i}.jpg").write_bytes(_JPEG if rng.random() < 0.9 else mutate(rng, _JPEG))
    for name, content in _LISTS.items():
        (folder / name).write_bytes(mutate(rng, content) if rng.random() < 0.5 else content)
    name = rng.choice(("celeba", "waterbirds", "fairface", "wilds"))
    if name == "celeba":
        (folder / "fuzzed_align_celeba").rename(folder / "img_align_celeba")
    try:
        images = open_public_images(name, folder, "all", image_size=8, attributes="place" if name == "wilds" else None)
        if not len(images.read()) == len(images.y) == len(images.c):
            raise BrokenPromise("images and labels of different lengths")
    finally:
        if name == "celeba":
            (folder / "img_align_celeba").rename(folder / "fuzzed_align_celeba")


with seeded(0):
    _NETWORK = GlobalPoolClassifier(n_classes=3)
_CONFIG = b"command: train\nmethod: plain\nnetwork: lnl\n"
_TABLE = json.dumps(
    {
        "task": "classification", "classes": ["a", "b"],
        "columns": [
            {"name": "age", "kind": "number", "mean": 1.0, "scale": 2.0, "indicator": True},
            {"name": "work", "kind": "category", "categories": ["p", "s"]},
        ],
    }
).encode()  # fmt: skip


def _run_folder(rng: random.Random, folder: Path) -> None:
    run = folder / "fuzzed"
    run.mkdir()
    images = rng.random() < 0.5
    weights = save({k: v.contiguous() for k, v in _NETWORK.state_dict().items()})
    if not images:
        layers = {"encoder.0.weight": (4, 5), "encoder.0.bias": (4,), "encoder.2.weight": (2, 4),
        "encoder.2.bias": (2,),
                  "head.weight": (2, 2), "head.bias": (2,)}  # fmt: skip
        weights = save({k: torch.ones(v, dtype=torch.float64) for k, v in layers.items()})
    files = {"model.safetensors": weights, "config.yaml": _CONFIG}
    if not images:
        files["preprocessing.json"] = _TABLE
    hurt = rng.choice(list(files))
    for name, content in files.items():
        if name != hurt or rng.random() < 0.95:
            (run / name).write_bytes(mutate(rng, content) if name == hurt else content)
    served = load_run(run)
    if not all(len(out) == 2 for out in served(served.example)):
        raise BrokenPromise("a model that does not predict")


def _idx(rng: random.Random, folder: Path) -> None:
    content = b"\x00\x00\x08\x01\x00\x00\x00\x0a" + bytes(range(10))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(mutate(rng, content))
    read_idx("mnist/t10k-labels-idx1-ubyte", folder)
    raise BrokenPromise("a file of another SHA-256 sum was read")


def _palette(path: Path) -> None:
    colours = np.array(read_palette(path))
    if colours.shape != (10, 3) or not ((colours >= 0) & (colours <= 255)).all():
        raise BrokenPromise("colours that are none")


def _read_pickle(path: Path) -> None:
    content = read_array_dict(path)
    if any(v.dtype.hasobject and v.size > 10_000 for v in content.values()):
        raise BrokenPromise("objects")


def _weights(path: Path) -> None:
    if not all(isinstance(v, torch.Tensor) for v in read_state_dict(path).values()):
        raise BrokenPromise("no tensors")


def _parquet() -> list[bytes]:
    return [_bytes(lambda f, c=c: _FRAME.to_parquet(f, compression=c)) for c in ("snappy", None, "gzip")]


_CSV = _FRAME.to_csv(index=False).encode()
_ALL = [
    _target("npy", ".npy", [_bytes(lambda f: np.save(f, _Z)), _bytes(lambda f: np.save(f, _Y))], _embeddings),
    _target("npz", ".npz", [_npz(z=_Z, sex=_C), _bytes(lambda f: np.savez_compressed(f, z=_Z, sex=_C))], _embeddings),
    _target("csv", ".csv", [_CSV, _CSV.replace(b"\n", b"\r\n")], _embeddings),
    _target("tsv", ".tsv", [_FRAME.to_csv(index=False, sep="\t").encode()], _embeddings),
    _target("parquet", ".parquet", _parquet(), _embeddings),
    _target("own npz", ".npz", [_npz(**_OWN), _npz(**_OWN, x_test=_X, y_test=_Y, c_test=_C),
                                _npz(x=_X / 255, y=_Y, c=_C / 3)], _arrays),
    # Writing a pickle executes nothing: the reader that is fuzzed reads the authors' pickled files.
    _target("pickled npy", ".npy", [_bytes(lambda f: np.save(f, np.array(_PICKLED, dtype=object), allow_pickle=True))],
            _read_pickle),
    _target("checkpoint", ".safetensors", [_checkpoint()], _read_state),
    _target("palette", ".txt", [b"\n".join(b"%d, %d %d" % (i, 2 * i, 255 - i) for i in range(10))], _palette),
    _target("weights", ".pt", [_bytes(lambda f: torch.save({"w": torch.ones(3)}, f))], _weights),
    _target("safetensors weights", ".safetensors", [save({"w": torch.ones(3)})], _weights),
    Target("imdb.mat", _faces, ("imdb.mat", "test.txt", "fuzz-"), [_mat()]),
    Target("public images", _public, ("fuzzed", "fuzz-")),
    Target("image folder", _folder, ("fuzzed", "labels.csv", "fuzz-")),
    Target("run folder", _run_folder, ("fuzzed",)),
    Target("idx", _idx, ("t10k-labels",)),
]  # fmt: skip
TARGETS = {t.name: t for t in _ALL}
