"""Options of a command as a record has them, and back."""

import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..errors import InputError


def collect_options(given: Mapping[str, Any], *left_out: str) -> dict[str, Any]:
    """Options by name as YAML has them, from the ``locals()`` of a command."""
    return {k: str(v) if isinstance(v, (StrEnum, Path)) else v for k, v in given.items() if k not in left_out}


def write_command(words: str, **options: Any) -> str:
    """Write the command line of a record: "midebias words --name value"; None and False are left out."""
    parts = ["midebias", words]
    for name, value in options.items():
        if value is not None and value is not False:
            option = f"--{name.replace('_', '-')}"
            parts.append(option if value is True else f"{option} {shlex.quote(str(value))}")
    return " ".join(parts)


def parse_numbers(text: str, kind: type[Any], option: str) -> list[Any]:
    """Numbers joined by commas. Raises `InputError` that names ``option``."""
    try:
        return [kind(part) for part in str(text).split(",")]
    except ValueError as error:
        raise InputError(f"{option} must be numbers joined by commas, got {text!r}") from error
