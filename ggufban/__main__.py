"""`python -m ggufban` is `ggufban`."""

from ggufban.commands import main

if __name__ == "__main__":
    main()
