"""Entry point of the command line: ``midebias`` or ``python -m midebias``."""

import sys


def main() -> None:
    """Run the command line; exit status 0, 1, 2 or 130 as documented."""
    try:
        from .cli import run
        from .experiments.process import keep_freed_memory
    except ModuleNotFoundError as error:
        sys.stderr.write(f"midebias: {error.name} is not installed; pip install 'midebias[cli]'\n")
        raise SystemExit(2) from None
    keep_freed_memory()
    raise SystemExit(run())


if __name__ == "__main__":
    main()
