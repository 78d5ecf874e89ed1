"""Local search: move to the first better neighbour, start anew at a local optimum.

White, Nolen and Savani, "Exploring the Loss Landscape in Neural Architecture Search", UAI 2021 (arXiv 2005.02960),
in its first-improvement form ("query until lower").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ogive.strategies.base import STRATEGIES, Floats, Strategy, worth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes, Space


class Local(Strategy):
    """First-improvement local search over one-choice neighbours in random order, with random restarts.

    It remembers the place it climbs from and which neighbours of it were proposed, nothing else: the same
    architecture can be proposed again from another place. Whatever is told, asked for or not, becomes the new place
    when it is better than the present one.
    """

    name = "local"
    lockstep = True

    def __init__(self, space: Space, *, n_objectives: int = 1, seed: int = 0, lanes: int = 1) -> None:
        super().__init__(space, n_objectives=n_objectives, seed=seed, lanes=lanes)
        self._place = np.zeros((lanes, space.n_choices), dtype=space.dtype)
        self._worth = np.full(lanes, -np.inf)
        self._starting = np.ones(lanes, dtype=np.bool_)
        self._followed: Space | None = space
        self._lay_out(space.restriction.allowed)
        self._forget_tried()

    # ---------------------------------------------------------------- moves

    def _lay_out(self, allowed: NDArray[np.bool_]) -> None:
        """List the moves inside a restriction: one choice, some options further round among the allowed ones."""
        self._allowed = allowed
        self._count = allowed.sum(axis=1)
        self._option = np.argsort(~allowed, axis=1, kind="stable")
        self._rank = np.argsort(self._option, axis=1)
        self._choice = np.repeat(np.arange(len(allowed)), self._count - 1)
        self._shift = np.concatenate([np.arange(1, k, dtype=np.intp) for k in self._count])

    def _forget_tried(self) -> None:
        self._tried = np.zeros(self.lanes, dtype=np.intp)
        self._order = np.repeat(np.arange(len(self._shift))[:, None], self.lanes, axis=1)

    def _follow(self) -> None:
        """Take over a changed restriction: the moves are new, and a place outside it is left."""
        if self.space is self._followed:
            return
        self._followed = self.space
        if not np.array_equal(self.space.restriction.allowed, self._allowed):
            self._lay_out(self.space.restriction.allowed)
            self._forget_tried()
            outside = ~self.space.permits(self._place)
            self._starting |= outside
            self._worth[outside] = -np.inf

    def ask(self, n: int) -> Genotypes:
        """Return the next untried neighbours, or random starts where all were tried, ``(n * lanes, n_choices)``."""
        self._follow()
        out = np.empty((n, self.lanes, self.space.n_choices), dtype=self.space.dtype)
        # A loop over the batch: each proposal uses up one entry of the order that the next is drawn from.
        for row in out:
            self._propose(row)
        return out.reshape(-1, self.space.n_choices)

    def _propose(self, out: Genotypes) -> None:
        out[:] = self._place
        climbing = np.flatnonzero(~self._starting)
        while climbing.size:
            done = self._tried[climbing] == len(self._shift)
            self._starting[climbing[done]] = True
            climbing = climbing[~done]
            move = self._next_moves(climbing)
            choice, place = self._choice[move], self._place[climbing]
            turn = self._rank[choice, place[np.arange(len(place)), choice]] + self._shift[move]
            place[np.arange(len(place)), choice] = self._option[choice, turn % self._count[choice]]
            out[climbing] = place
            climbing = climbing[~self.space.valid(place)]
        starting = np.flatnonzero(self._starting)
        if starting.size:
            out[starting] = self.space.sample(starting.size, self.rng)

    def _next_moves(self, lanes: NDArray[np.intp]) -> NDArray[np.intp]:
        """One Fisher-Yates step a lane: swap a random untried move to the front of the untried ones and return it."""
        first = self._tried[lanes]
        at = first + (self.rng.random(lanes.size) * (len(self._shift) - first)).astype(np.intp)
        move = self._order[at, lanes]
        self._order[at, lanes] = self._order[first, lanes]
        self._order[first, lanes] = move
        self._tried[lanes] += 1
        return move

    # ---------------------------------------------------------------- answers

    def tell(self, genotypes: Genotypes, values: Floats, violation: Floats | None = None) -> None:
        """Move to the best row that is better than the present place, or that starts a search anew."""
        scores = worth(values, violation).reshape(-1, self.lanes)
        if not len(scores):
            return
        rows = np.asarray(genotypes).reshape(len(scores), self.lanes, -1)
        # Late answers about neighbours of an optimum that was given up are no starts.
        far = (rows != self._place).sum(axis=2) > 1
        welcome = (scores > self._worth) | (self._starting & far)
        welcome &= self.space.permits(rows.reshape(-1, rows.shape[2])).reshape(welcome.shape)
        best = np.where(welcome, scores, -np.inf).argmax(axis=0)
        moved = np.flatnonzero(welcome.any(axis=0))
        self._place[moved] = rows[best[moved], moved]
        self._worth[moved] = scores[best[moved], moved]
        self._starting[moved] = False
        self._tried[moved] = 0

    def _state(self) -> dict[str, Any]:
        return {
            "place": self._place,
            "worth": self._worth,
            "starting": self._starting,
            "allowed": self._allowed,
            "tried": self._tried,
            "order": self._order,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._place, self._worth, self._starting = state["place"], state["worth"], state["starting"]
        self._lay_out(state["allowed"])
        self._tried, self._order = state["tried"], state["order"]
        self._followed = None


STRATEGIES.add("local", Local)
