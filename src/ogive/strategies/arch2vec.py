"""Bayesian optimisation in the latent space of an architecture embedding.

Yan et al., "Does Unsupervised Architecture Representation Learning Help Neural Architecture Search?" (arch2vec),
NeurIPS 2020, arXiv 2006.06936, section 3.3. What differs from its code: nothing is proposed twice, nor anything that
computes the same as what was proposed; the improvement is that on the best answer so far, not on a fixed accuracy; a
deviation is the root of a variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._errors import InputError
from ogive.strategies._latent import Latent
from ogive.strategies._pool import Pool, enumerable, sampled
from ogive.strategies.base import STRATEGIES, Floats, Strategy, target_option
from ogive.strategies.bayesian import Bayesian, View, _View
from ogive.strategies.botorch import BoTorch

if TYPE_CHECKING:
    from pathlib import Path

    from ogive.predictors.graph_autoencoder import Embedding
    from ogive.spaces.base import Space

_ELITES, _DECODED, _STEP = 4, 4, 0.5


class Arch2VecBO(Bayesian):
    """`bo` on the vectors of an embedding.

    Where the space is too large to list, architectures decoded from points near the best ones join the candidates.

    Parameters
    ----------
    space, n_objectives, seed, initial, target
        See `Bayesian`; the paper has 16 random architectures and raw accuracies.
    embedding : Embedding or path
        See `Latent`.
    """

    name = "arch2vec-bo"

    def __init__(
        self,
        space: Space,
        *,
        n_objectives: int = 1,
        seed: int = 0,
        initial: int = 16,
        embedding: Embedding | Path | str = "",
        target: str = "rank",
    ) -> None:
        target_option(self.name, target)  # before an embedding is trained
        self._latent = Latent(space, embedding)
        super().__init__(
            space,
            n_objectives=n_objectives,
            seed=seed,
            initial=initial,
            encoding=self._latent,
            target=target,
            siblings=False,
        )

    def _candidates(self) -> tuple[Pool, Floats]:
        if enumerable(self.space):
            return super()._candidates()
        best = self._latent(self._history.genotypes[self._history.best_first()[:_ELITES]])
        near = np.repeat(best, _DECODED, axis=0)
        near += _STEP * self.rng.standard_normal(near.shape)
        decoded = self._latent.decode(near, self.rng)
        drawn = sampled(self.space, self._history, self.rng)
        # With what was tried, so that its equals are known and left out.
        pool = Pool(self.space, np.concatenate([self._tried(), drawn, decoded[self.space.permits(decoded)]]))
        return pool, self._latent(pool.genotypes[pool.first])


class Arch2VecDNGO(Arch2VecBO):
    """The same with the published model, a network of one hidden layer under a Bayesian output layer.

    The network is trained anew after every tenth more answers, its output layer after every answer.
    """

    def _view(self, X: Floats) -> View:
        from ogive.predictors.dngo import DNGO

        F, targets, learn = self._lessons()
        models = [DNGO(seed=int(self.rng.integers(2**31))) for _ in range(self.n_objectives)]
        for objective, model in enumerate(models):
            if self._theta is not None:
                model.network = self._theta[objective]
            model.fit(F, targets[:, objective], learn=learn)
        self._theta = np.stack([model.network for model in models if model.network is not None])
        return _View([model.posterior(X) for model in models], targets)


class Arch2VecBoTorch(Arch2VecBO, BoTorch):
    """The same with the models and the acquisition of the strategy `botorch`."""


SURROGATES: dict[str, type[Arch2VecBO]] = {"gp": Arch2VecBO, "dngo": Arch2VecDNGO, "botorch": Arch2VecBoTorch}


def arch2vec_bo(
    space: Space,
    *,
    n_objectives: int = 1,
    seed: int = 0,
    initial: int = 16,
    embedding: Embedding | Path | str = "",
    surrogate: str = "gp",
    target: str = "rank",
) -> Strategy:
    """Return the strategy ``arch2vec-bo``.

    Parameters
    ----------
    space, n_objectives, seed, initial, embedding, target
        See `Arch2VecBO`.
    surrogate : {"gp", "dngo", "botorch"}
        Our Gaussian process; the published network; BoTorch's Gaussian process and acquisition.

    Raises
    ------
    InputError
        If an option has no such value.
    MissingDependencyError
        If BoTorch is asked for and not installed.
    """
    if surrogate not in SURROGATES:
        raise InputError(f"strategy 'arch2vec-bo' needs surrogate={' or '.join(SURROGATES)}, not {surrogate}")
    options: dict[str, Any] = {"n_objectives": n_objectives, "seed": seed, "initial": initial, "target": target}
    return SURROGATES[surrogate](space, embedding=embedding, **options)


STRATEGIES.add("arch2vec-bo", arch2vec_bo)
