"""Where data and tables live on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def data_home() -> Path:
    """Return the folder of datasets and tables: ``OGIVE_DATA``, or the platform's user data folder."""
    given = os.environ.get("OGIVE_DATA")
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("ogive", appauthor=False))
