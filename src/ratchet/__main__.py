"""``python -m ratchet``: the same as the command ``ratchet``."""

from ratchet.cli import main

if __name__ == "__main__":
    main()
