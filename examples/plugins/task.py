"""A task of your own: which way do the stripes run? Generated, so that it needs no files.

Use it: ogive measure ARCH... --plugin examples/plugins/task.py --task stripes
"""

import numpy as np

from ogive.tasks import TASKS, Split, Task


class Stripes(Task):
    """Noisy sine stripes of 12 x 12 pixels in four directions."""

    name = "stripes"
    input_shape = (1, 12, 12)
    n_outputs = 4
    mean = (0.0,)
    std = (1.0,)

    def split(self, which):
        """Return 600 examples for training, 200 for validation, 200 for test; each split has its own seed."""
        n, seed = {"train": (600, 0), "val": (200, 1), "test": (200, 2)}[which]
        rng = np.random.default_rng(seed)
        y = np.arange(n) % 4
        angle = y * np.pi / 4
        across = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ np.indices((12, 12)).reshape(2, -1)
        waves = np.sin(across * rng.uniform(0.8, 1.6, (n, 1)) + rng.uniform(0, 2 * np.pi, (n, 1)))
        noisy = (waves + rng.normal(0, 0.7, waves.shape)).astype(np.float32)
        return Split(noisy.reshape(n, 1, 12, 12), y.astype(np.int64))


TASKS.add("stripes", Stripes)
