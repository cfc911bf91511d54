"""Bytes, words and objects that nobody should pass."""

from __future__ import annotations

import random
import struct
from typing import Any

import numpy as np
import torch

__all__ = ["draw_value", "draw_word", "mutate"]

_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_TOKENS = (
    b"", b"\x00", b"\xff" * 8, b"NaN", b"inf", b"-1", b"1e999", b"{", b"}", b"[", b"]", b'"', b"'", b",", b";", b"\n",
    b"\r\n", b"\t", b"PK\x03\x04", b"PAR1", b"\x93NUMPY", b"MATLAB 5.0", b"<U5", b"|O", b"\xef\xbb\xbf", b"\xfe\xff",
    b"../../etc/passwd", b"!!python/object/apply:os.system", b"cos\nsystem\n", b"&a [*a, *a]", b"# ", b"null",
)  # fmt: skip


def mutate(rng: random.Random, content: bytes, others: list[bytes] | None = None) -> bytes:
    """Content with one to eight damages."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1) if rng.random() < 0.5 else rng.randrange(min(len(data), 160) + 1)
        kind = rng.randrange(9)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + rng.choice((1, 2, 4, 8, 64, 1024))]
        elif kind == 4:
            data[at:at] = rng.choice(_TOKENS)
        elif kind == 5:
            size, order = rng.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
            packed = struct.pack(rng.choice("<>") + order, rng.choice(_NUMBERS) % 2 ** (8 * size))
            data[at : at + size] = packed
        elif kind == 6:
            piece = data[at : at + rng.choice((4, 16, 64))]
            data[at:at] = piece * rng.choice((1, 2, 50))
        elif kind == 7 and others:
            other = rng.choice(others)
            cut = rng.randrange(len(other) + 1)
            data[at:] = other[cut:]
        else:
            data[at : at + 8] = rng.randbytes(8)
    return bytes(data[: 1 << 22])


_WORDS = (
    "", " ", "nan", "inf", "-inf", "-1", "0", "1", "3", "1e999", "1e-400", "99999999999999999999999", "0x10",
    "1_000", "１",
    "abc", "é", "日本", "\x1b[31m", "[red]", "[/]", "{0}", "%s", "$(true)", "a" * 3000, "../..", ".", "/", "/dev/null",
    "-",
    "--", "=", ",", ",,", "1,2,,", "1;2", "null", "[]", "{}", "True", "plain", "mib", "plain,mib",
    "mib:gradient_ratio=1", "mib:gradient_ratio=x", "mib:seed=1", "mib:", ":", "mib:gradient_ratio=-1",
    "mib:gradient_ratio=nan", "a:b:c", "sqlite:///x/y/z", "z", "y", "c", "x", "sex", "z_*", "*", "[", "linear",
    "linear,linear", "0.5", "-0.5", "1.5", "2", "600", "100000",
)  # fmt: skip


def draw_word(rng: random.Random) -> str:
    """What somebody may type."""
    return rng.choice(_WORDS)


def _tensor(rng: random.Random) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    shape = rng.choice(
        ((), (0,), (1,), (7,), (120,), (120, 3), (120, 1), (3, 120), (0, 3), (120, 0), (120, 3, 2), (120, 3, 2, 2))
    )
    values = torch.randn(shape, generator=generator)
    kind = rng.randrange(10)
    if kind == 0:
        values = values * float("nan")
    elif kind == 1:
        values = values * 1e38 * 10
    elif kind == 2:
        values = torch.zeros(shape)
    dtype = rng.choice(
        (torch.float32, torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
        torch.uint8,
         torch.bool, torch.complex64)
    )  # fmt: skip
    return (
        values.to(dtype) if dtype.is_floating_point or dtype.is_complex else (values * 3).nan_to_num(0).long().to(dtype)
    )


def draw_value(rng: random.Random) -> Any:
    """What somebody may pass."""
    kind = rng.randrange(12)
    if kind < 4:
        return _tensor(rng)
    if kind < 6:
        array = _tensor(rng)
        array = array.float() if array.dtype == torch.bfloat16 else array
        return array.numpy()
    simple: tuple[Any, ...] = (
        None, True, False, 0, 1, -1, 2, 3, 10**30, 0.5, -0.5, float("nan"), float("inf"), -float("inf"), 1e300, 1j,
        "", "abc",
        "separation", "independence", "gaussian", b"abc", [], (), {}, set(), [1, 2], [None], ["a", 1], {"a": [1, 2]},
        object(),
        range(5), np.float64("nan"), np.int64(3), np.array(["a", "b"]), np.array([None, 1], dtype=object),
        np.array("2020-01-01", dtype="datetime64[D]"), [[1, 2], [3]], 3.0, "3", Ellipsis,
    )  # fmt: skip
    return rng.choice(simple)
