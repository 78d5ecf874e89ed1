"""How often the intervals of a certificate hold the truth: seeds and test examples drawn anew each time.

    python benchmarks/certificate_intervals.py [draws]

A network of a seed has a skill, an example a difficulty, both normal; the network is right with the logistic chance of
their sum. Printed for the accuracy of one network and for the difference of two on the same examples.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy import stats

from ogive.methods._certificate import difference, estimate

_EXAMPLES, _DIFFICULTY, _SKILLS = 300, 1.5, (1.0, 1.3)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def covered(seeds: int, spread: float, draws: int) -> tuple[float, float, float]:
    """Return the shares of intervals that hold the truth, and the median half width for a difference."""
    rng = np.random.default_rng([seeds, int(100 * spread)])
    normal = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000) * np.hypot(spread, _DIFFICULTY)
    truth = [100 * logistic(skill + normal).mean() for skill in _SKILLS]
    held, widths = np.zeros(2), []
    for _ in range(draws):
        examples = rng.normal(0, _DIFFICULTY, _EXAMPLES)
        chances = [logistic(rng.normal(skill, spread, (seeds, 1)) + examples) for skill in _SKILLS]
        one, other = (rng.random(p.shape) < p for p in chances)
        single, pair = estimate(one), difference(other, one)
        held += [single.low <= truth[0] <= single.high, pair.low <= truth[1] - truth[0] <= pair.high]
        widths.append(pair.high - pair.mean)
    return (*(held / draws).tolist(), float(np.median(widths)))


if __name__ == "__main__":
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    print("seeds  spread of skill  one network  difference  half width of a difference")
    for seeds in (2, 3, 5):
        for spread in (0.05, 0.2, 0.4, 1.0):
            one, pair, width = covered(seeds, spread, draws)
            print(f"{seeds:>5}  {spread:>15}  {one:>11.1%}  {pair:>10.1%}  {width:>10.1f} points")
