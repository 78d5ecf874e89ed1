"""A strategy of your own: simulated annealing (Kirkpatrick et al. 1983) of one objective.

Use it: ogive search --plugin examples/plugins/strategy.py --strategy annealing:cooling=0.95
"""

import numpy as np

from ogive.strategies import STRATEGIES, Strategy


class Annealing(Strategy):
    """Step to a random neighbour; a worse one is kept with a chance that falls as the temperature does."""

    name = "annealing"

    def __init__(self, space, *, n_objectives=1, seed=0, heat=1.0, cooling=0.99):
        super().__init__(space, n_objectives=n_objectives, seed=seed)
        self.heat, self.cooling = heat, cooling
        self.place, self.worth = None, -np.inf

    def ask(self, n):
        if self.place is None:
            return self.space.sample(n, self.rng)
        return self.space.mutate(np.repeat(self.place[None], n, axis=0), self.rng)

    def tell(self, genotypes, values, violation=None):
        worth = values[:, 0] if violation is None else np.where(violation > 0, -np.inf, values[:, 0])
        for row, new in zip(genotypes.copy(), worth.tolist(), strict=True):
            self.heat = max(self.heat * self.cooling, 0.05)
            if new >= self.worth or self.rng.random() < np.exp((new - self.worth) / self.heat):
                self.place, self.worth = row, new

    def _state(self):
        return {"heat": self.heat, "place": self.place, "worth": self.worth}

    def _restore(self, state):
        self.heat, self.place, self.worth = state["heat"], state["place"], state["worth"]


STRATEGIES.add("annealing", Annealing)
