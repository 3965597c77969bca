"""Runs the command from a checkout: `python cli.py generate …` is `ggufban generate …`."""

from ggufban.commands import main

if __name__ == "__main__":
    main()
