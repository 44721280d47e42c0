"""The command `alps`, also as `python -m alps_exp`: it says in one line what is wrong with a package that it needs."""

from __future__ import annotations

import os
import sys

from alps_exp.cli.imports import import_fault


def main() -> None:
    """Run the command line, once its packages can be imported."""
    try:
        from alps_exp.cli.main import main as run
    except Exception as error:  # a package that does not fit the others can raise any
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        print(f"alps: {import_fault(error)}", file=sys.stderr)
        sys.exit(1)
    run()


if __name__ == "__main__":
    main()
