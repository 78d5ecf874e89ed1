"""A run to show: a small real search on handwritten digits, no download, something to steer within seconds."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ogive.study.study import Study

TRIALS = 3000
SUPERNET = {"epochs": 300, "warm": 0.04}
"""A warm-up of a second or two, and minutes of search in which there is something to steer."""


def new_demo(folder: Path, seed: int = 0) -> Path:
    """Ask the question of the demo in a new directory and return that; the search itself is yet to begin.

    Parameters
    ----------
    folder : Path
    seed : int

    Raises
    ------
    InputError
        If the directory is occupied.
    StorageError
        If it cannot be written.
    """
    drawing = Path(str(files("ogive.studio"))) / "demo.yaml"
    Study(
        f"template:path={drawing}",
        "digits",
        maximize="accuracy@supernet",
        where="macs<=150000",
        strategy="guided",
        trials=TRIALS,
        seed=seed,
        supernet=SUPERNET,
        out=folder,
        command=f"ogive studio --demo --seed {seed}",
    )
    return folder
