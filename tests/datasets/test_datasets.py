from __future__ import annotations

import gzip
import hashlib
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from midebias.datasets import BiasedFashion, BiasedMNIST, ColoredFashion, ColoredMNIST, list_bundled_files, read_file
from midebias.datasets import files as files_module
from midebias.datasets.biased_mnist import BACKGROUNDS
from midebias.datasets.colored_mnist import PALETTE
from midebias.datasets.planted_biases import BIASES, BiasName
from midebias.errors import DataError, InputError

DATA = Path(files_module.__file__).parent / "data"


@pytest.fixture(scope="module")
def train() -> ColoredMNIST:
    return ColoredMNIST(limit=20_000)


@pytest.fixture(scope="module")
def test() -> ColoredMNIST:
    return ColoredMNIST(split="test")


def test_every_bundled_file_is_whole() -> None:
    assert len(list_bundled_files()) == 7
    assert len(read_file("mnist/t10k-labels-idx1-ubyte")) == 8 + 10_000
    assert read_file("german/german.data").count(b"\n") == 1000
    assert read_file("adult/adult.test").startswith(b"|")


def test_training_colours_follow_the_protocol(train: ColoredMNIST) -> None:
    assert train.images.shape == (20_000, 3, 28, 28)
    assert 0.0 <= float(train.images.min()) <= float(train.images.max()) <= 1.0
    checked = 0
    for digit in range(10):
        rows = train.targets == digit
        for channel, mean in enumerate(PALETTE[digit]):
            colours = train.colours[rows, channel]
            if 110 < mean < 145:  # three standard deviations away from both ends
                assert float(colours.mean()) == pytest.approx(mean / 255, abs=0.015)
                assert float(colours.var()) == pytest.approx(0.020, rel=0.1)
                checked += 1
    assert checked >= 3


def test_the_image_is_the_digit_times_one_colour(train: ColoredMNIST) -> None:
    image = train.images[3]
    gray = np.frombuffer(read_file("mnist/train-images-idx3-ubyte"), np.uint8, offset=16).reshape(-1, 28, 28)[3]
    brightest = int(gray.argmax())
    colour = image.flatten(1)[:, brightest] / (gray.max() / 255)
    for channel in range(3):
        assert torch.allclose(image[channel], colour[channel] * torch.from_numpy(gray / 255).float(), atol=1e-6)


def test_test_colours_say_nothing_about_the_digit(test: ColoredMNIST) -> None:
    assert len(test) == 10_000
    assert test.colour_classes is not None
    table = torch.zeros(10, 10, dtype=torch.float64)
    table.index_put_((test.targets, test.colour_classes), torch.ones(1, dtype=torch.float64), accumulate=True)
    expected = table.sum(1, keepdim=True) * table.sum(0, keepdim=True) / table.sum()
    chi_square = float(((table - expected) ** 2 / expected).sum())
    assert chi_square < 120  # 81 degrees of freedom: 0.003 of independent tables lie above


def test_attribute_both_ways(train: ColoredMNIST) -> None:
    brightest = train.images[:50].amax(dim=(2, 3))
    assert torch.equal(train.colours[:50], brightest)
    naive = [[min(int(float(v) * 255 + 1e-3) // 32, 7) for v in row] for row in brightest]
    assert train.levels[:50].tolist() == naive
    x, y, c = train[7]
    assert x.shape == (3, 28, 28)
    assert y == int(train.targets[7])
    assert torch.equal(c, train.levels[7])
    by_colour = ColoredMNIST(limit=10, attribute="colour", transform=lambda x: x + 1)
    assert torch.equal(by_colour[7][2], train.colours[7])
    assert torch.equal(by_colour[7][0], train.images[7] + 1)


def test_one_seed_one_data_set() -> None:
    first, again, other = (ColoredMNIST(limit=100, seed=s) for s in (5, 5, 6))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    assert torch.equal(first.images, ColoredMNIST(limit=200, seed=5).images[:100])  # a limit only cuts


def test_variance_and_palette_are_used() -> None:
    dark = ColoredMNIST(limit=500, palette=np.zeros((10, 3)), variance=1e-6)
    assert float(dark.images.max()) < 0.01
    spread = [
        float(ColoredMNIST(limit=2000, variance=v, palette=np.full((10, 3), 128)).colours.var()) for v in (0.01, 0.02)
    ]
    assert spread[1] == pytest.approx(2 * spread[0], rel=0.15)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "validation"}, "split"),
        ({"variance": 0.0}, "variance"),
        ({"variance": float("nan")}, "variance"),
        ({"variance": float("inf")}, "variance"),
        ({"attribute": "hue"}, "attribute"),
        ({"limit": 0}, "limit"),
        ({"limit": 60_001}, "limit"),
        ({"palette": [[1, 2, 3]]}, "palette"),
    ],
)
def test_bad_arguments_are_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ColoredMNIST(**wrong)  # type: ignore[arg-type]


def damaged(folder: Path, change: str) -> None:
    (folder / "mnist").mkdir(parents=True)
    for path in (DATA / "mnist").iterdir():
        shutil.copy(path, folder / "mnist" / path.name)
    path = folder / "mnist" / "train-labels-idx1-ubyte.gz"
    content = path.read_bytes()
    if change == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif change == "empty":
        path.write_bytes(b"")
    elif change == "flipped":
        raw = bytearray(gzip.decompress(content))
        raw[5000] ^= 1
        path.write_bytes(gzip.compress(bytes(raw)))
    elif change == "garbage":
        path.write_bytes(b"not a gzip file")
    else:
        path.unlink()


@pytest.mark.parametrize("change", ["truncated", "empty", "flipped", "garbage", "missing"])
def test_a_damaged_file_gives_one_sentence_that_names_it(tmp_path: Path, change: str) -> None:
    damaged(tmp_path, change)
    with pytest.raises(DataError, match="train-labels-idx1-ubyte") as caught:
        ColoredMNIST(tmp_path)
    assert "\n" not in str(caught.value)


def test_root_and_environment_point_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnist").mkdir()
    for name in ("t10k-labels-idx1-ubyte", "t10k-images-idx3-ubyte"):
        (tmp_path / name).write_bytes(read_file(f"mnist/{name}"))  # plain, and not in a folder of its own
    here = ColoredMNIST(tmp_path, "test", limit=10)
    monkeypatch.setenv("MIDEBIAS_DATA", str(tmp_path))
    assert torch.equal(ColoredMNIST(split="test", limit=10).images, here.images)
    with pytest.raises(DataError, match="not found"):
        ColoredMNIST(split="train")


def authors_file(path: Path, **replaced: object) -> Path:
    rng = np.random.default_rng(0)
    content: dict[str, object] = {
        "train_image": rng.integers(0, 256, (12, 28, 28, 3), dtype=np.uint8),
        "train_label": np.arange(12) % 10,
        "test_image": rng.integers(0, 256, (4, 28, 28, 3), dtype=np.uint8),
        "test_label": np.arange(4),
    }
    # Writing a pickle executes nothing: the authors' files are pickled, and the reader under test must cope.
    np.save(path, np.array(content | replaced, dtype=object), allow_pickle=True)  # what reading must refuse
    return path


def test_the_authors_file_is_read(tmp_path: Path) -> None:
    path = authors_file(tmp_path / "mnist_10color_jitter_var_0.020.npy")
    data = ColoredMNIST.from_npy(path)
    assert data.images.shape == (12, 3, 28, 28)
    assert float(data.images.max()) == 1.0
    assert data.targets.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert len(ColoredMNIST.from_npy(path, "test", attribute="colour")[0][2]) == 3


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_strangers_pickle_is_not_executed(tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    path = authors_file(tmp_path / "hostile.npy", test_label=Hostile(trap))
    with pytest.raises(DataError, match=r"hostile\.npy"):
        ColoredMNIST.from_npy(path)
    assert not trap.exists()
    whole = tmp_path / "whole.npy"
    with whole.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(Hostile(trap), file)  # writing a pickle executes nothing; the reader under test must refuse it
    with pytest.raises(DataError, match=r"whole\.npy"):
        ColoredMNIST.from_npy(whole)
    assert not trap.exists()


def test_other_npy_files_are_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain.npy"
    np.save(plain, np.zeros(3))
    with pytest.raises(DataError, match="plain array"):
        ColoredMNIST.from_npy(plain)
    with pytest.raises(DataError, match="does not exist"):
        ColoredMNIST.from_npy(tmp_path / "nowhere.npy")
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(DataError, match=r"text\.npy"):
        ColoredMNIST.from_npy(tmp_path / "text.npy")
    with pytest.raises(DataError, match="images must be"):
        ColoredMNIST.from_npy(authors_file(tmp_path / "flat.npy", train_image=np.zeros((12, 5))))


def test_biased_backgrounds_follow_rho() -> None:
    train = BiasedMNIST(rho=0.9)
    assert train.images.shape == (60_000, 3, 28, 28)
    assert float(train.conflicting.float().mean()) == pytest.approx(0.1, abs=0.005)
    distance = (train.colour_classes - train.targets)[train.conflicting] % 10
    frequency = torch.bincount(distance, minlength=10)[1:] / len(distance)
    torch.testing.assert_close(frequency, torch.full((9,), 1 / 9), rtol=0, atol=0.015)
    test = BiasedMNIST(split="test")
    for k in range(10):  # the colour says nothing of the class
        assert float((test.targets[test.colour_classes == k] == k).float().mean()) == pytest.approx(0.1, abs=0.04)
    assert bool(BiasedMNIST(split="test", rho=0.0).conflicting.all())


def test_the_digit_is_white_and_all_else_the_background() -> None:
    data = BiasedMNIST(split="test", limit=50)
    gray = np.frombuffer(read_file("mnist/t10k-images-idx3-ubyte"), np.uint8, offset=16).reshape(-1, 28, 28)
    for i in (0, 17, 49):
        digit = torch.from_numpy(gray[i] > 0)
        background = torch.tensor(BACKGROUNDS[int(data.colour_classes[i])]) / 255
        assert bool((data.images[i][:, digit] == 1).all())
        assert torch.allclose(data.images[i][:, ~digit], background[:, None].expand(3, int((~digit).sum())))
    x, y, c = data[3]
    assert (y, c) == (int(data.targets[3]), int(data.colour_classes[3]))
    assert torch.equal(x, data.images[3])


def test_biased_mnist_is_its_seed() -> None:
    a, b, other = (BiasedMNIST(split="test", rho=0.5, seed=s, limit=500) for s in (1, 1, 2))
    assert torch.equal(a.images, b.images)
    assert not torch.equal(a.colour_classes, other.colour_classes)
    longer = BiasedMNIST(split="test", rho=0.5, seed=1, limit=600)
    assert torch.equal(longer.images[:500], a.images)


def test_fewer_confusing_colours_are_the_next_digits() -> None:
    data = BiasedMNIST(split="test", rho=0.2, n_confusing=2)
    assert set(((data.colour_classes - data.targets) % 10).tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"split": "valid"}, "split"),
        ({"rho": 1.5}, "rho"),
        ({"n_confusing": 0}, "n_confusing"),
        ({"limit": 0}, "limit"),
        ({"backgrounds": [[0, 0, 0]]}, "backgrounds"),
        ({"backgrounds": [[0, 0, 300]] * 10}, "backgrounds"),
    ],
)
def test_biased_mnist_names_bad_arguments(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        BiasedMNIST(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("bias", BIASES)
def test_each_bias_takes_ten_values_that_a_picture_shows(bias: BiasName) -> None:
    data = BiasedMNIST(split="test", rho=0.1, bias=bias, limit=2000)
    assert data.images.shape == (2000, 3, 28, 28)
    assert 0 <= float(data.images.min()) <= float(data.images.max()) <= 1
    assert torch.equal(data.bias_classes[:, 0], data.colour_classes)
    # One digit: what is drawn around it, or of it, differs more between values than within one.
    rows = data.targets == 1
    # Wherever a texture begins, its spectrum is the same.
    pixels = torch.fft.fft2(data.images[rows].mean(1)).abs().log1p() if bias == "texture" else data.images[rows]
    values = data.colour_classes[rows]
    means = torch.stack([pixels[values == k].flatten(1).mean(0) for k in range(10)])
    nearest = torch.cdist(pixels.flatten(1), means).argmin(1)
    assert float((nearest == values).float().mean()) > 0.3  # chance is 0.1


def test_two_biases_are_drawn_independently() -> None:
    data = BiasedMNIST(split="train", rho=0.9, bias=("background", "foreground"), limit=5000)
    own = data.bias_classes == data.targets[:, None]
    assert own.float().mean(0).tolist() == pytest.approx([0.9, 0.9], abs=0.015)
    assert float((~own).all(1).float().mean()) == pytest.approx(0.01, abs=0.005)
    assert torch.equal(data.conflicting, (~own).all(1))
    c = data[0][2]
    assert isinstance(c, torch.Tensor)
    assert c.tolist() == data.bias_classes[0].tolist()
    assert torch.equal(data.colour_classes, BiasedMNIST(split="train", rho=0.9, limit=5000).colour_classes)


def test_a_turned_digit_is_turned_back() -> None:
    data = BiasedMNIST(split="test", rho=0, bias="rotation", limit=200)
    plain = BiasedMNIST(split="test", rho=0, bias="patch", limit=200).images
    upright = (data.colour_classes == 4) | (data.colour_classes == 5)  # by nine degrees
    turned = (data.colour_classes == 0) | (data.colour_classes == 9)
    close = [float((data.images[rows] * plain[rows]).sum() / plain[rows].square().sum()) for rows in (upright, turned)]
    assert close[0] > 1.3 * close[1]


@pytest.mark.parametrize("bias", ["size", (), ("patch", "patch")])
def test_biases_that_there_are_not_are_refused(bias: object) -> None:
    with pytest.raises(InputError, match="bias must be"):
        BiasedMNIST(split="test", limit=10, bias=bias)  # type: ignore[arg-type]


def test_clothes_are_read_from_a_folder_as_torchvision_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"fashion/t10k-labels.*zalandoresearch"):
        BiasedFashion(tmp_path, "test")
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    sums = {}
    for part in ("t10k-labels-idx1-ubyte", "t10k-images-idx3-ubyte"):  # other images in the same format
        content = read_file(f"mnist/{part}")
        (folder / f"{part}.gz").write_bytes(gzip.compress(content))
        sums[f"fashion/{part}"] = hashlib.sha256(content).hexdigest()
    with pytest.raises(DataError, match="another file"):
        ColoredFashion(tmp_path, "test")
    monkeypatch.setattr(files_module, "_FASHION", sums)
    clothes, digits = BiasedFashion(tmp_path, "test", limit=50), BiasedMNIST(split="test", limit=50)
    assert torch.equal(clothes.colour_classes, digits.colour_classes)
    assert len(torch.unique(clothes.images)) > len(torch.unique(digits.images))  # shades
    assert torch.equal(ColoredFashion(tmp_path, "test", limit=50).images, ColoredMNIST(split="test", limit=50).images)
