"""Networks of timm in the image door: training, resuming, loading and exporting."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from midebias.cli import run
from midebias.cli.train_images import resolve_options
from midebias.errors import InputError
from midebias.experiments.augmentation import build_augmentation
from midebias.experiments.comparison import ImageCell
from midebias.experiments.image_loading import load_images
from midebias.experiments.image_run import run_method
from midebias.experiments.image_sweep import ImageSweep
from midebias.networks import backbone
from midebias.networks.backbones import Backbone
from midebias.randomness import seeded
from midebias.serving import export_model, load_run

pytestmark = [
    pytest.mark.usefixtures("vision"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # of what is imported
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 images, 100 of them for tests, whose label is which half is bright, and whose attribute is a tint."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    lines = ["file,side,tint,split"]
    for i in range(360):
        y, c = rng.integers(2), rng.integers(2)
        pixels = rng.integers(0, 90, (32, 32, 3), dtype=np.uint8)
        pixels[:16] += np.uint8(80 * y)
        pixels[:, :, 2] += np.uint8(60 * c)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{y},{c},{'train' if i < 260 else 'test'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def load(photos: Path) -> Any:
    # At 16 pixels a stride meets a map of one pixel, whose bfloat16 gradient oneDNN computes from memory not written.
    return load_images(str(photos), None, 0, label="side", attribute="tint", image_size=32)


class Stopped(Exception):
    pass


def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(photos: Path, tmp_path: Path) -> None:
    data = load(photos)
    settings: dict[str, Any] = {
        "network": "timm:test_resnet", "augment": "light", "epochs": 1, "batch_size": 32, "max_steps": 3,
        "precision": "32",
    }  # fmt: skip
    with seeded(5):
        save_file(backbone("timm:test_resnet").tap.model.state_dict(), tmp_path / "w.safetensors")
    settings["weights"] = str(tmp_path / "w.safetensors")
    whole = run_method("mib", data, **settings)
    checkpoint = {"checkpoint": tmp_path / "checkpoint.safetensors", "checkpoint_every": 0.0}
    steps = iter(range(2))

    def stop() -> None:
        if next(steps) == 1:
            raise Stopped

    with pytest.raises(Stopped):
        run_method("mib", data, **settings, **checkpoint, on_step=stop)
    (tmp_path / "w.safetensors").unlink()  # all that is needed lies in the checkpoint
    resumed = run_method("mib", data, **settings, **checkpoint)
    expected, found = whole.method.model.state_dict(), resumed.method.model.state_dict()
    assert all(torch.equal(expected[name], value) for name, value in found.items())


def test_train_leaves_a_folder_from_which_the_network_is_loaded_and_exported(photos: Path, tmp_path: Path) -> None:
    command = ["train", str(photos), "--label", "side", "--attribute", "tint", "--network", "timm:test_vit"]
    more = ["--image-size", "32", "--max-steps", "1", "--epochs", "1", "--augment", "light"]
    assert run([*command, *more, "--output-dir", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["network"], config["augment"], config["image_size"]) == ("timm:test_vit", "light", 32)
    (row,) = json.loads((folder / "results.json").read_text())["rows"]
    assert row["network"] == "timm:test_vit"
    served = load_run(folder)
    with seeded(1):
        again = backbone("timm:test_vit", image_size=32).eval()
    again.load_state_dict(load_file(folder / "model.safetensors"))
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, z = served(x)
        torch.testing.assert_close(logits, again(x))  # x in [0, 1]: served as it was trained
        torch.testing.assert_close(z, again.encode(x))
    assert export_model(served, tmp_path / "m.pt2").largest_difference < 1e-5


def test_a_folder_is_scaled_to_what_the_network_was_made_for(photos: Path) -> None:
    given = dict.fromkeys(
        ("variance", "rho", "gradient_ratio", "mi_lr_ratio", "mi_weight", "max_mi", "criterion", "estimator", "seed",
         "critic_steps", "rebalance", "palette", "image_size", "label", "attribute", "epochs", "limit", "max_steps",
         "checkpoint_every", "weights", "root", "table", "image", "split_by", "class_weights", "accelerator",
         "devices", "num_nodes", "precision", "batch_size", "learning_rate", "n_cells")
    ) | {"dataset": str(photos), "method": "mib", "augment": "none"}  # fmt: skip
    assert resolve_options(given | {"network": "timm:test_resnet"})["image_size"] == 160
    assert resolve_options(given | {"network": "lnl"})["image_size"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--network", "resnet18"], "network must be paper, lnl, timm:NAME"),
        (["--network", "timm:resnett18"], "near it are resnet18"),
        (["--network", "timm:test_resnet", "--weights", "nowhere.pt"], "nowhere.pt cannot be read"),
        (["--network", "lnl", "--weights", "w.pt"], "weights apply to"),
        (["--network", "torchvision:vit_b_16", "--image-size", "28"], "patch"),
        (["--augment", "heavy"], "augment"),
    ],
)
def test_bad_options_exit_2(options: list[str], said: str, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = ["--label", "side", "--attribute", "tint", "--output-dir", str(photos / "runs")]
    assert run(["train", str(photos), *given, *options]) == 2
    assert said in " ".join(capfd.readouterr().err.split())


def test_light_augmentation_mirrors_and_shifts_and_keeps_colours() -> None:
    x = torch.zeros(64, 3, 32, 32)
    x[:, :, :, :4] = torch.tensor([0.9, 0.5, 0.1])[:, None, None]
    augment = build_augmentation("light", (32, 32))
    assert augment is not None

    def draw(seed: int) -> Tensor:
        with seeded(seed):
            return augment(x)

    first = draw(0)
    assert first.shape == x.shape
    assert torch.equal(first, draw(0))
    assert not torch.equal(first, draw(1))
    assert 10 < int((first[:, 0, 16, 0] == 0).sum()) < 54  # half of them are mirrored
    colours = {tuple(colour) for colour in first.permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0).tolist()}
    assert colours == {(0.0, 0.0, 0.0), tuple(x[0, :, 0, 0].tolist())}
    assert not (first[:, 0] > 0).all(dim=(1, 2)).any()
    trivial = build_augmentation("trivial", (32, 32))
    assert trivial is not None
    with seeded(0):
        assert trivial(torch.full((4, 3, 32, 32), 0.3)).isfinite().all()
    assert build_augmentation("none", (32, 32)) is None


def test_augmentation_without_torchvision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.transforms", None)
    with pytest.raises(InputError, match="vision"):
        build_augmentation("light", (32, 32))


def test_compare_and_sweep_take_the_networks_that_train_does(photos: Path) -> None:
    given: dict[str, Any] = {"label": "side", "attribute": "tint", "image_size": 16, "network": "timm:test_resnet"}
    cell = ImageCell(
        str(photos), None, "club", 0, 1, **given, batch_size=64, learning_rate=0.01, max_steps=2, precision="32"
    )
    assert ":" not in cell.name
    out = cell.prepare(cell.load()).train()
    assert (out.row["network"], out.row["steps"], out.method.lr) == ("timm:test_resnet", 2, 0.01)
    swept = ImageSweep(given | {"dataset": str(photos), "setting": None, "epochs": 1, "batch_size": 32}, [0])
    made = swept.prepare(0.3, 0)
    assert isinstance(made.module.method.model, Backbone)
    assert (made.module.method.gradient_ratio, made.module.batch_size) == (0.3, 32)
    assert made.data.held_out


@pytest.mark.parametrize("command", ["train", "compare", "sweep"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--image-size", "16"], "network 'paper' takes 28x28 images"),
        (["--network", "timm:resnett18"], "near it are resnet18"),
        (["--network", "lnl", "--image-size", "16", "--precision", "16-mixed", "--accelerator", "cpu"], "16-mixed"),
    ],
)
def test_what_a_network_or_device_refuses_leaves_no_folder(
    command: str, options: list[str], said: str, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--label", "side", "--attribute", "tint", "--output-dir", str(tmp_path / "runs")]
    assert run([command, str(photos), *given, *options]) == 2
    assert said in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "runs").exists()
