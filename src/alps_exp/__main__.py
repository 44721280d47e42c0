"""The command `alps`, also `python -m alps_exp`. Reports a broken dependency in one line."""

from __future__ import annotations

import os
import sys

from alps_exp.cli.imports import import_fault


def main() -> None:
    """Run the command line, once its packages can be imported."""
    try:
        from alps_exp.cli.main import main as run
    except Exception as error:  # incompatible packages can raise anything on import
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        print(f"alps: {import_fault(error)}", file=sys.stderr)
        sys.exit(1)
    run()


if __name__ == "__main__":
    main()
