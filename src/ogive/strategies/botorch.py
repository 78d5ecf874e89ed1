"""BoTorch: Gaussian processes and noisy expected (hypervolume) improvement by Monte Carlo, over the pool of `bo`.

Balandat et al., "BoTorch: A Framework for Efficient Monte-Carlo Bayesian Optimization", NeurIPS 2020; Daulton, Balandat
and Bakshy, "Parallel Bayesian Optimization of Multiple Noisy Objectives with Expected Hypervolume Improvement", NeurIPS
2021; in the logarithmic form of Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian
Optimization", NeurIPS 2023. Where `bo` draws measurements, these draw what the function itself may be, at the best
architectures told as well, and an improvement is one of the function.
"""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ogive._imports import require
from ogive.strategies.base import STRATEGIES, Floats, count_option
from ogive.strategies.bayesian import Bayesian, Encoder, View, expected_gain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ogive.spaces.base import Space

_CHUNK = 256
_LENGTH = math.sqrt(2.0), math.sqrt(3.0)


class BoTorch(Bayesian):
    """`bo` with BoTorch's models and acquisition.

    Parameters
    ----------
    space, n_objectives, seed, initial, encoding, target, siblings
        See `Bayesian`. An improvement being one of the function, a sibling promises next to none.
    samples : int
        Draws from the posterior, of a quasi-random sequence.
    candidates : int
        Of how many classes the acquisition is computed: those where the same models promise most by `expected_gain`.

    Raises
    ------
    MissingDependencyError
        If BoTorch is not installed.
    """

    name = "botorch"

    def __init__(
        self,
        space: Space,
        *,
        n_objectives: int = 1,
        seed: int = 0,
        initial: int = 10,
        encoding: str | Encoder = "functional",
        target: str = "rank",
        siblings: bool = False,
        samples: int = 16,
        candidates: int = 200,
    ) -> None:
        super().__init__(
            space,
            n_objectives=n_objectives,
            seed=seed,
            initial=initial,
            encoding=encoding,
            target=target,
            siblings=siblings,
        )
        require("botorch", "bo", "the strategy 'botorch'")
        self.samples = count_option(self.name, "samples", samples, 1)
        self.candidates = count_option(self.name, "candidates", candidates, 1)

    def _view(self, X: Floats) -> View:
        """Fit one model for each objective, from where the last fit ended, and look at the candidates."""
        import torch
        from botorch.models.model_list_gp_regression import ModelListGP

        F, targets, learn = self._lessons()
        # Squared distances are means over a group, so that the prior of the length scales suits any number of features.
        scale = np.sqrt(np.bincount(self._features.groups))[self._features.groups]
        told, y, seen = (torch.from_numpy(part) for part in (F / scale, targets, X / scale))
        start = [None] * self.n_objectives if self._theta is None else list(self._theta)
        with _sandbox(self.rng):
            models = [self._fit(told, y[:, [j]], theta, learn) for j, theta in enumerate(start)]
            model = models[0] if len(models) == 1 else ModelListGP(*models)
            model = model.eval().requires_grad_(False)
            view = _Draws(model, told, y, seen, self.samples, self.candidates, self.rng)
        self._theta = np.stack([torch.nn.utils.parameters_to_vector(m.parameters()).numpy() for m in models])
        return view

    def _fit(self, X: Any, y: Any, theta: Floats | None, learn: bool) -> Any:
        """Return a Gaussian process with a length scale for each group of features."""
        import torch
        from botorch.exceptions.errors import ModelFittingError
        from botorch.fit import fit_gpytorch_mll
        from botorch.models.gp_regression import SingleTaskGP
        from gpytorch.constraints import GreaterThan
        from gpytorch.kernels import MaternKernel, ProductKernel
        from gpytorch.mlls import ExactMarginalLogLikelihood
        from gpytorch.priors import LogNormalPrior

        kernels = []
        for group in np.unique(self._features.groups):
            prior = LogNormalPrior(*_LENGTH)
            least = GreaterThan(0.025, transform=None, initial_value=prior.mode)
            members = np.flatnonzero(self._features.groups == group).tolist()
            kernels.append(MaternKernel(active_dims=members, lengthscale_prior=prior, lengthscale_constraint=least))
        model = SingleTaskGP(X, y, covar_module=ProductKernel(*kernels), outcome_transform=None)
        if theta is not None:
            torch.nn.utils.vector_to_parameters(torch.tensor(theta), model.parameters())
        if learn:
            # Where the fit fails, the model keeps what it had.
            with suppress(ModelFittingError):
                fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model


class _Draws:
    """The acquisition of the candidates that pass the screening."""

    def __init__(
        self, model: Any, told: Any, y: Any, seen: Any, samples: int, candidates: int, rng: np.random.Generator
    ) -> None:
        self._model, self._told, self._seen, self._samples = model, told, seen, samples
        self._worst = y.amin(dim=0) - 0.1
        self._pending: list[int] = []
        # In pieces, because a posterior is joint and its covariance grows with the square of the rows.
        parts = [model.posterior(part) for part in seen.split(_CHUNK)]
        mean, std = np.concatenate([p.mean for p in parts]), np.concatenate([p.variance.sqrt() for p in parts])
        order = np.argsort(-expected_gain(mean, std, y.numpy(), self._worst.numpy(), rng), kind="stable")
        self._best, self._rest = order[:candidates], order[candidates:]

    def promise(self, rng: np.random.Generator) -> Floats:
        """Return the logarithm of the expected improvement; of what was screened out, lower than all others."""
        import torch

        with _sandbox(rng) as seed:
            acquisition = self._acquisition(seed)
            values = torch.cat([acquisition(part) for part in self._seen[self._best][:, None].split(_CHUNK)]).numpy()
        promise = np.empty(len(self._seen))
        promise[self._best], promise[self._rest] = values, values.min() - 1.0 - np.arange(len(self._rest))
        return promise

    def _acquisition(self, seed: int) -> Any:
        import torch
        from botorch.acquisition.logei import qLogNoisyExpectedImprovement
        from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
        from botorch.sampling.normal import SobolQMCNormalSampler

        common = {
            "X_baseline": self._told,
            "X_pending": self._seen[self._pending] if self._pending else None,
            "prune_baseline": True,
            "sampler": SobolQMCNormalSampler(torch.Size([self._samples]), seed=seed),
        }
        if len(self._worst) == 1:
            return qLogNoisyExpectedImprovement(self._model, **common)
        return qLogNoisyExpectedHypervolumeImprovement(self._model, ref_point=self._worst, **common)

    def believe(self, kind: int) -> None:
        """Take a candidate of this class for one whose measurement is under way."""
        self._pending.append(kind)


@contextmanager
def _sandbox(rng: np.random.Generator) -> Iterator[int]:
    """Let BoTorch draw from a seed of our own, on one thread, and warn nobody; yields that seed.

    One thread, because sums in another order round otherwise, and the choices would depend on the number of cores.
    Its optional kernel in C++ stays away: compiled on the first use, it takes a compiler and a minute, and makes the
    choices depend on whether there is one.
    """
    import torch

    logei = require("botorch.acquisition.multi_objective.logei", "bo", "the strategy 'botorch'")
    attempted, logei._load_attempted = getattr(logei, "_load_attempted", True), True
    seed, threads = int(rng.integers(2**31)), torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Not `torch.manual_seed`, which also seeds the generators of the accelerators.
        torch.default_generator.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield seed
        finally:
            torch.set_num_threads(threads)
            logei._load_attempted = attempted


STRATEGIES.add("botorch", BoTorch)
