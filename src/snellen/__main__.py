"""``python -m snellen`` is the command ``snellen``."""

from __future__ import annotations

import sys

from snellen.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
