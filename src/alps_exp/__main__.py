"""`python -m alps_exp VERB ...` is `alps VERB ...`."""

from alps_exp.commands.main import main

if __name__ == "__main__":
    main()
