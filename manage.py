#!/usr/bin/env python
"""Puts platform/ on the path, nothing else: `python manage.py` is `rowhouse`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "platform"))

from rowhouse.cli import main

if __name__ == "__main__":
    main()
