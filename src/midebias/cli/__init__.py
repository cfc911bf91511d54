"""The command line: one module a verb."""

import sys
from typing import Annotated

import typer
from typer import Option

from .. import __version__
from ..errors import DataError, InputError
from .audit import audit
from .compare import compare
from .data import data
from .demo import demo
from .doctor import doctor
from .erase import erase
from .export import export
from .reproduce import reproduce
from .sweep import sweep
from .train import train

__all__ = ["app", "run"]

app = typer.Typer(
    name="midebias",
    help="Learn representations that carry little about a known biased attribute.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _command in (demo, train, compare, reproduce, sweep, audit, erase, export, data, doctor):
    app.command()(_command)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"midebias {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[bool, Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 threshold not met, 2 bad input, 130 interrupted."""
    message = None
    try:
        status = app(arguments, standalone_mode=False)
    except (InputError, DataError) as error:
        status, message = 2, str(error)
    except OSError as error:  # a full disk, a folder without permission
        status, message = 2, f"{error.filename or 'a file'} cannot be read or written ({error.strerror})"
    except KeyboardInterrupt:
        status = 130
    except ImportError as error:
        if "pip install 'midebias[" not in str(error):
            raise
        status, message = 2, str(error)
    except Exception as error:
        # Errors of the argument parser know how to show themselves; all others are ours and keep their traceback.
        show = getattr(error, "show", None)
        if type(error).__name__ == "Abort":
            status = 130
        elif show is None:
            raise
        else:
            show()
            status = int(getattr(error, "exit_code", 2))
    if status == 130:  # which the argument parser, too, returns of an interruption
        message = "interrupted"
    if message is not None:
        sys.stderr.write(f"midebias: {message}\n")
    return status if isinstance(status, int) else 0
