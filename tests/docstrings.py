"""Compares signatures with numpydoc docstrings.

The rule, for every public class, function and method:

- Each parameter has one entry ``name : type`` (or ``a, b : type``) under Parameters or Other Parameters, ``*args`` and
  ``**kwargs`` with their stars; no entry names anything that is not a parameter.
- A class documents the parameters of its constructor, inherited ones too, in its own docstring. A dataclass or a named
  tuple may list its fields under Attributes instead, together with its properties.
- A method that overrides another may leave to it the parameters that both have, and to a method of another package
  that takes any arguments, such as a hook of Lightning's Trainer, all of them.
- A method with at most two parameters may have a docstring of one line instead that names them.
- Names with a leading underscore are private and need no entry.
- What a class or function raises has an entry under Raises, of a class in its docstring or in that of a method.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

_ENTRY = re.compile(r"(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*)(?P<type> : \S.*)?")

_OF_COURSE = {"AttributeError", "ImportError", "NotImplementedError"}  # names, extras and methods that are missing


def read_section(docstring: str, title: str) -> list[str]:
    """Return the entries of a numpydoc section, the lines without indentation below its underline."""
    lines = inspect.cleandoc(docstring).splitlines()
    entries = list[str]()
    for start in range(len(lines) - 1):
        if lines[start] == title and lines[start + 1] == "-" * len(title):
            for line, following in zip(lines[start + 2 :], [*lines[start + 3 :], ""], strict=True):
                if following and set(following) == {"-"}:
                    break  # the title of the next section
                if line and not line[0].isspace():
                    entries.append(line)
    return entries


def read_names(docstring: str, *titles: str) -> list[str]:
    """Return the names of all entries; a line that is not an entry, or has no type, is returned with ` : ?`."""
    names = list[str]()
    for entry in (entry for title in titles for entry in read_section(docstring, title)):
        match = _ENTRY.fullmatch(entry)
        names += match["names"].split(", ") if match and match["type"] else [f"{entry} : ?"]
    return names


def list_parameters(function: Callable[..., Any]) -> list[str]:
    """Return the parameters of a signature as numpydoc writes them."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = inspect.signature(function).parameters.values()
    return [stars.get(p.kind, "") + p.name for p in parameters if p.name != "self" and not p.name.startswith("_")]


def compare(required: list[str], documented: list[str], allowed: list[str], inherited: list[str]) -> list[str]:
    """Return what is wrong with these entries of a docstring."""
    wrong = [f"no entry for {name!r}" for name in required if name not in documented + inherited]
    wrong += [f"{name!r} is not a parameter" for name in documented if name not in allowed]
    return wrong + [f"{name!r} has two entries" for name in sorted(set(documented)) if documented.count(name) > 1]


def _is_ours(thing: Any, package: str) -> bool:
    return str(getattr(thing, "__module__", "")).split(".")[0] == package


def _check_class(cls: Any, package: str) -> list[str]:
    docstring = vars(cls).get("__doc__") or ""
    required = list_parameters(cls) if _is_ours(inspect.unwrap(cls.__init__), package) else []
    fields = [f.name for f in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    if issubclass(cls, tuple):
        required = fields = list(getattr(cls, "_fields", []))
    if fields and not read_section(docstring, "Parameters"):
        properties = [name for name, _ in inspect.getmembers(cls, lambda member: isinstance(member, property))]
        return compare(required, read_names(docstring, "Attributes"), fields + properties, [])
    return compare(required, read_names(docstring, "Parameters", "Other Parameters"), required, [])


def _check_method(cls: type, name: str, package: str) -> list[str]:
    members = [vars(base)[name] for base in cls.__mro__ if name in vars(base)]
    own, *overridden = [getattr(member, "__func__", member) for member in members]  # of class and static methods
    required = list_parameters(own)[isinstance(members[0], classmethod) :]  # without cls
    docstring = own.__doc__ or ""
    documented = read_names(docstring, "Parameters", "Other Parameters")
    inherited = list[str]()
    for function in overridden:
        if _is_ours(function, package):
            inherited += read_names(function.__doc__ or "", "Parameters", "Other Parameters")
        elif inspect.isfunction(function) and function.__name__ == name:  # torch's forward is _forward_unimplemented
            theirs = list_parameters(function)
            inherited += required if any(p.startswith("*") for p in theirs) else theirs
    if not documented and len(required) <= 2 and len(docstring.strip().splitlines()) == 1:
        inherited += [p for p in required if re.search(rf"(?<!\w){re.escape(p)}(?!\w)", docstring)]
    return compare(required, documented, required, inherited)


def list_methods(cls: type, package: str) -> Iterator[str]:
    """Yield the names of public methods that this package defines."""
    for base in cls.__mro__:
        for name, member in vars(base).items():
            method = isinstance(member, (classmethod, staticmethod)) or inspect.isfunction(member)
            if method and not name.startswith("_") and _is_ours(base, package):
                yield name


def _check_errors(thing: Any, package: str) -> list[str]:
    documents = [thing.__doc__ or ""]
    for base in thing.__mro__ if inspect.isclass(thing) else ():
        if _is_ours(base, package):
            members = [getattr(member, "__func__", member) for member in vars(base).values()]
            documents += [base.__doc__ or "", *(m.__doc__ or "" for m in members if inspect.isfunction(m))]
    documented = " ".join(entry for text in documents for entry in read_section(text, "Raises"))
    raised = set(re.findall(r"raise (\w+Error)", inspect.getsource(inspect.unwrap(thing)))) - _OF_COURSE
    return [f"{error} is raised and not documented" for error in sorted(raised) if error not in documented.split()]


def check(thing: Any, package: str) -> list[str]:
    """Return what is wrong with the docstrings of a public class or function of this package."""
    if not inspect.isclass(thing):
        required = list_parameters(thing)
        documented = read_names(thing.__doc__ or "", "Parameters", "Other Parameters")
        return compare(required, documented, required, []) + _check_errors(thing, package)
    wrong = _check_class(thing, package) + _check_errors(thing, package)
    for name in sorted(set(list_methods(thing, package))):
        wrong += [f"{name}: {problem}" for problem in _check_method(thing, name, package)]
    return wrong
