"""Every public name says what it is, shows an example that runs, and names the errors it raises."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

import pytest

_MODULES = (
    "midebias", "midebias.attributes", "midebias.datasets", "midebias.estimators", "midebias.lightning",
    "midebias.serving", "midebias.sklearn",
)  # fmt: skip
_RECORDS = {"Exported", "ServedModel"}  # what functions return; their examples are those of the functions
PUBLIC = [
    pytest.param(getattr(import_module(module), name), id=f"{module}.{name}")
    for module in _MODULES
    for name in import_module(module).__all__
    if callable(getattr(import_module(module), name)) and name not in _RECORDS
]


def _documents(thing: Any) -> str:
    """Docstrings of a function, or of a class and of what its bases and methods say."""
    parts = [thing.__doc__ or ""]
    if inspect.isclass(thing):
        for base in thing.__mro__:
            if base.__module__.split(".")[0] == "midebias":
                parts.append(base.__doc__ or "")
                parts += [m.__doc__ or "" for m in vars(base).values() if inspect.isfunction(m)]
    return "\n".join(parts)


@pytest.mark.parametrize("thing", PUBLIC)
def test_it_has_an_example(thing: Any) -> None:
    assert ">>> " in (thing.__doc__ or ""), "an example is missing"


@pytest.mark.parametrize("thing", PUBLIC)
def test_it_names_the_errors_it_raises(thing: Any) -> None:
    raised = set(re.findall(r"raise (\w+Error)", inspect.getsource(inspect.unwrap(thing))))
    documented = _documents(thing)
    for error in raised - {"AttributeError", "ImportError", "NotImplementedError"}:
        assert error in documented, f"{error} is raised and not documented"
    if raised:
        assert "Raises\n" in documented or "Raises `" in documented


@pytest.mark.parametrize("thing", PUBLIC)
def test_it_explains_each_argument(thing: Any) -> None:
    names = [n for n in inspect.signature(thing).parameters if n not in ("self", "args", "kwargs", "options")]
    documented = _documents(thing)
    for name in set(names) - {"split", "transform", "download", "root"}:  # torchvision's
        assert re.search(rf"\b{name}\b", documented), f"{name} is not explained"
