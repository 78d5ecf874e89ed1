"""The stored toy table: the 256 networks of `examples/templates/toy.yaml`, each trained alone twice.

``python benchmarks/toy_table.py --out tests/toy.csv`` makes it again.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from ogive.spaces.template import Template

TASK = "digits:noise=0.45,test=497"
TEMPLATE = Path(__file__).parents[1] / "examples" / "templates" / "toy.yaml"


@cache
def toy() -> tuple[Template, pd.DataFrame]:
    """Return the space and the table in the order of the space's numbers.

    `val_accuracy` is what a search sees, `accuracy` (mean of validation and test over both trainings) the truth.
    """
    space = Template.load(TEMPLATE)
    table = pd.read_csv(Path(__file__).with_name("toy.csv"))
    table.index = pd.Index(space.index(space.parse(table["arch"].tolist())))
    return space, table.sort_index()
