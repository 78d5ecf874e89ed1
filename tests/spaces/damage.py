"""Arch strings with a few characters changed, and what every space owes them."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import strategies as st

from ogive._errors import ArchStringError

EDITS = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["", "0", "1", "7", ":", ",", "'", "(", "x"])), max_size=3)
"""Places, as shares of the length, and what takes the place of the character there."""


def check_damaged(space, arch, edits):
    """A damaged string is read as something that prints itself again, or refused with a position inside it."""
    for share, put in edits:
        at = int(share * (len(arch) - 1))
        arch = arch[:at] + put + arch[at + 1 :]
    try:
        g = space.parse(arch)
    except ArchStringError as error:
        message = str(error)
        (position,) = re.findall(r", position (\d+): ", message)
        assert 0 <= int(position) <= len(arch)
        assert "\n" not in message
    else:
        assert np.array_equal(space.parse(space.format(g)), g)
