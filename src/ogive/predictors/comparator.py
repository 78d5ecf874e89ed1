"""A calibrated comparator: which of two architectures is better on a task, how surely, and when it cannot say.

The worth of an architecture on a task is the mean output of an ensemble of small networks; the probability that one
beats another is the logistic function of the difference of their worths (Bradley and Terry, Biometrika 39, 1952), so it
is antisymmetric and transitive by construction. Networks learn from pairs (Burges et al., "Learning to Rank using
Gradient Descent", ICML 2005); one temperature for all is fitted on what they did not see (Guo et al., "On Calibration
of Modern Neural Networks", ICML 2017, section 4.2), with the smoothing of Platt, "Probabilistic Outputs for Support
Vector Machines", 1999, section 2.2. Comparing architectures across tasks is the idea of Chen et al., "Contrastive
Neural Architecture Search with Neural Architecture Comparator", CVPR 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from ogive._errors import InputError, UnknownNameError
from ogive.predictors.base import PREDICTORS, Floats, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ogive.spaces.base import Genotypes

    _Folds = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.intp]]

_REFERENCE = 512
_HELD_PAIRS = 5000
_NO_TASK = np.empty(0)


class Comparator:
    """An ensemble that compares architectures, on one task or on many told apart by their embeddings.

    A network sees the features of an architecture (put signed proxies beside them, see `SignedProxies`) and, of the
    task, its cosine to each task it was fitted on; so embeddings may have any length, and a new task is read by what
    it resembles.

    Parameters
    ----------
    members : int
        Networks; each leaves out one fold.
    width : int
        Units of each of the two hidden layers.
    steps : int
        Steps of AdamW for each member.
    learning_rate, weight_decay : float
    folds : int
        Folds for the temperature, at least 2 and at most `members`.
    holdout : {"architectures", "tasks"}
        What the comparator will be asked about, and so what a fold leaves out: new architectures on the fitted tasks,
        or new architectures on new tasks. Without embeddings the tasks cannot be told apart, their disagreement is
        noise to every member, and the first serves for both.
    confidence : float
        Probability in (0.5, 1] that the likelier winner must have for an answer to count as sure.
    seed : int

    Attributes
    ----------
    temperature : float
        What the outputs of the networks are divided by; above 1 where they were too sure of themselves.
    """

    name: ClassVar[str] = "comparator"

    def __init__(
        self,
        members: int = 8,
        width: int = 64,
        steps: int = 200,
        learning_rate: float = 5e-3,
        weight_decay: float = 1.0,
        folds: int = 4,
        holdout: Literal["architectures", "tasks"] = "architectures",
        confidence: float = 0.75,
        seed: int = 0,
    ) -> None:
        if not 2 <= folds <= members or width < 1 or steps < 1:
            raise InputError("a comparator needs 2 <= folds <= members, and width and steps >= 1")
        if holdout not in ("architectures", "tasks"):
            raise InputError(f"a comparator holds out architectures or tasks, not '{holdout}'")
        if not 0.5 < confidence <= 1.0:
            raise InputError(f"the confidence of a comparator is above 0.5 and at most 1, not {confidence:g}")
        self.members, self.width, self.steps, self.folds = members, width, steps, folds
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.holdout, self.confidence, self.seed = holdout, confidence, seed
        self.temperature = 1.0
        self._unit: tuple[float, float, float] | None = None

    # ---------------------------------------------------------------- learning

    def fit(self, X: Floats, y: Floats) -> Self:
        """Learn a single task from n measured rows; see `Predictor.fit`."""
        X, y = checked(X, y, least=2 * self.folds)
        held = self._fit(X, np.empty((1, 0)), y[None])[:, 0]
        worth = self._outputs(X, np.empty((1, 0)))[:, 0]
        left_out = np.ma.masked_array(worth, ~held).mean(axis=0).filled(0.0)
        slope, offset = np.polyfit(left_out, y, 1)
        noise = np.sqrt(((y - offset - slope * left_out) ** 2).mean())
        self._unit = float(slope), float(offset), max(float(noise), 1e-9)
        return self

    def fit_tasks(self, features: Floats, embeddings: Floats, scores: Floats) -> Self:
        """Learn several tasks.

        Parameters
        ----------
        features : ndarray of float64, (n, d)
            Of distinct architectures.
        embeddings : ndarray of float64, (t, k)
            One row a task; k may be 0 for tasks that shall not be told apart.
        scores : ndarray of float64, (t, n)
            Higher is better; only the order within a task matters. NaN where not measured.

        Raises
        ------
        InputError
            If the shapes do not fit, a number is not finite, there is too little to learn from or to calibrate with,
            or tasks shall be held out and there is but one.
        """
        self._fit(*_checked(features, embeddings, scores))
        self._unit = None
        return self

    def _fit(self, features: Floats, embeddings: Floats, scores: Floats) -> NDArray[np.bool_]:
        """Learn, and return what each member was not shown, ``(members, t, n)``."""
        from ogive.predictors._pair_ensemble import PairEnsemble

        rng = np.random.default_rng(self.seed)
        self._centre, self._scale = features.mean(axis=0), _positive(features.std(axis=0))
        self._tasks = _unit_rows(embeddings)
        cosines = self._tasks @ self._tasks.T if embeddings.shape[1] else np.empty((len(scores), 0))
        self._task_centre, self._task_scale = cosines.mean(axis=0), _positive(cosines.std(axis=0))
        self._reference = features[rng.permutation(len(features))[:_REFERENCE]]
        self.temperature = 1.0
        train, held, fold = self._held_out(np.isfinite(scores), rng)
        inputs = features.shape[1] + cosines.shape[1]
        self._ensemble = PairEnsemble(self.members, inputs, self.width, self.seed)
        self._ensemble.learn(
            (features - self._centre) / self._scale,
            self._seen(embeddings),
            scores,
            train,
            steps=self.steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        self._calibrate(self._outputs(features, embeddings), scores, held, fold, rng)
        return held

    def _held_out(self, there: NDArray[np.bool_], rng: np.random.Generator) -> _Folds:
        """Return what each member learns from and what its fold holds, both ``(members, t, n)``, and its fold."""
        t, n = there.shape
        new_tasks = self.holdout == "tasks"
        folds = min(self.folds, t) if new_tasks else self.folds
        if folds < 2:
            raise InputError("a comparator that holds out tasks needs at least two of them")
        fold = np.arange(self.members) % folds
        rows = (fold[:, None] == rng.permutation(n) % folds)[:, None]
        if not new_tasks:
            return ~rows & there, rows & there, fold
        tasks = (fold[:, None] == rng.permutation(t) % folds)[:, :, None]
        return ~rows & ~tasks & there, rows & tasks & there, fold

    def _calibrate(
        self,
        outputs: Floats,
        scores: Floats,
        held: NDArray[np.bool_],
        fold: NDArray[np.intp],
        rng: np.random.Generator,
    ) -> None:
        """Find the temperature under which the pairs within each fold, as its members see them, are likeliest."""
        from scipy.optimize import minimize_scalar

        found = []
        for k in range(int(fold.max()) + 1):
            worth = outputs[fold == k].mean(axis=0)
            for task in np.flatnonzero(held[k].any(axis=1)):
                rows = np.flatnonzero(held[k, task])
                a, b = rows[rng.integers(0, len(rows), (2, _HELD_PAIRS))]
                order = np.sign(scores[task, a] - scores[task, b])
                found.append((order * (worth[task, a] - worth[task, b]))[order != 0])
        margin = np.concatenate(found)
        if not margin.size:
            raise InputError("nothing is left to calibrate a comparator with: measure more architectures that differ")

        # Platt's smoothing: a few pairs that all come out right do not prove certainty. Pairs share architectures, so
        # what counts is how many of these there are.
        doubt = 1.0 / (2.0 + float(held.any(axis=0).sum()))

        def loss(log_temperature: float) -> float:
            scaled = margin * np.exp(-log_temperature)
            return float((np.logaddexp(0.0, -scaled) + doubt * scaled).mean())

        self.temperature = float(np.exp(minimize_scalar(loss, bounds=(-6.0, 6.0), method="bounded").x))

    # ---------------------------------------------------------------- answers

    def worth(self, features: Floats, embedding: Floats = _NO_TASK) -> tuple[Floats, Floats]:
        """Return the worth of each row on a task, and its standard deviation over the members, two arrays ``(n,)``.

        Worth is in logits: a difference of 1 is odds of e to 1. Its zero is the mean of the fitted architectures.

        Parameters
        ----------
        features : ndarray of float64, (n, d)
        embedding : ndarray of float64, (k,)
            Of the task; may be left out if the comparator was fitted without embeddings.
        """
        outputs = self._outputs(features, np.asarray(embedding, dtype=np.float64)[None])[:, 0]
        return outputs.mean(axis=0), outputs.std(axis=0, ddof=1)

    def win_probability(
        self, first: Floats, second: Floats, embedding: Floats = _NO_TASK
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the probability that each first row beats its second on a task, and whether that is sure.

        Parameters
        ----------
        first, second : ndarray of float64, (n, d)
        embedding : ndarray of float64, (k,)

        Returns
        -------
        probability : ndarray of float64, (n,)
            ``p(a, b) + p(b, a) = 1`` and ``p(a, a) = 0.5``.
        sure : ndarray of bool, (n,)
            Where the likelier winner has at least `confidence`; elsewhere the comparator abstains.
        """
        from scipy.special import expit

        worth, _ = self.worth(np.concatenate([first, second]), embedding)
        p = expit(worth[: len(first)] - worth[len(first) :])
        return p, np.maximum(p, 1.0 - p) >= self.confidence

    def ranks(self, features: Floats, embedding: Floats = _NO_TASK) -> Floats:
        """Return the position of each row among all on a task, ``(n,)``: 0 is the best, equals share their mean."""
        from scipy.stats import rankdata

        # Worths closer than rounding are equal, whatever order the rows came in.
        return np.asarray(rankdata(-self.worth(features, embedding)[0].round(9)) - 1.0)

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of a measurement of each row of the task given to `fit`.

        A straight line through the left-out worths gives the unit, its residual the noise.

        Raises
        ------
        InputError
            If the comparator was fitted on several tasks.
        """
        if self._unit is None:
            raise InputError(
                "predict gives values of the one task of fit(X, y); after fit_tasks ask for worth or ranks"
            )
        slope, offset, noise = self._unit
        worth, spread = self.worth(X)
        return offset + slope * worth, np.hypot(slope * spread, noise)

    def _seen(self, embeddings: Floats) -> Floats:
        """Return what the networks see of tasks, ``(t, number of fitted tasks or 0)``."""
        if embeddings.shape[1] != self._tasks.shape[1]:
            raise InputError(
                f"the comparator was fitted with embeddings of length {self._tasks.shape[1]}, not {embeddings.shape[1]}"
            )
        if not embeddings.shape[1]:
            return embeddings
        return np.asarray((_unit_rows(embeddings) @ self._tasks.T - self._task_centre) / self._task_scale)

    def _outputs(self, features: Floats, embeddings: Floats) -> Floats:
        """Return the worth each member gives, ``(members, t, n)``."""
        features = np.asarray(features, dtype=np.float64)
        rows = (np.concatenate([features, self._reference]) - self._centre) / self._scale
        seen = self._seen(embeddings)
        tiled = np.hstack([np.tile(rows, (len(seen), 1)), np.repeat(seen, len(rows), axis=0)])
        out = self._ensemble(tiled).reshape(self.members, len(seen), len(rows))
        # Networks that learn from differences leave their own zero open.
        out -= out[..., len(features) :].mean(axis=2, keepdims=True)
        return np.asarray(out[..., : len(features)] / self.temperature)


@dataclass(frozen=True)
class Judge:
    """A fitted comparator asked by genotype and by task name, as searches over pairs ask.

    Parameters
    ----------
    comparator : Comparator
    features : callable
        Genotypes ``(n, n_choices)`` to the features the comparator was fitted on, ``(n, d)``.
    embeddings : mapping of str to ndarray of float64, (k,)
        By task name.
    """

    comparator: Comparator
    features: Callable[[Genotypes], Floats]
    embeddings: Mapping[str, Floats]

    def win_probability(self, a: Genotypes, b: Genotypes, task: str) -> Floats:
        """Return the probability that each row of `a` beats the same row of `b`, ``(n,)``; 0.5 where it abstains.

        Raises
        ------
        UnknownNameError
            If the task has no embedding.
        """
        if task not in self.embeddings:
            raise UnknownNameError.of("task of the comparator", task, self.embeddings)
        p, sure = self.comparator.win_probability(self.features(a), self.features(b), self.embeddings[task])
        return np.asarray(np.where(sure, p, 0.5))


def _checked(features: Floats, embeddings: Floats, scores: Floats) -> tuple[Floats, Floats, Floats]:
    X, E, Y = (np.asarray(a, dtype=np.float64) for a in (features, embeddings, scores))
    if X.ndim != 2 or E.ndim != 2 or Y.shape != (len(E), len(X)) or not Y.size:
        raise InputError(
            f"a comparator needs features (n, d), embeddings (t, k) and scores (t, n), not {X.shape}, {E.shape}, "
            f"{Y.shape}"
        )
    if not (np.isfinite(X).all() and np.isfinite(E).all()) or np.isinf(Y).any():
        raise InputError("a feature, embedding or score is infinite or NaN; only scores may be NaN, where not measured")
    return X, E, Y


def _positive(spread: Floats) -> Floats:
    return np.asarray(np.where(spread > 1e-9, spread, 1.0))


def _unit_rows(embeddings: Floats) -> Floats:
    """Return embeddings at length 1; one of zeros, which has no direction, stays."""
    return np.asarray(embeddings / _positive(np.linalg.norm(embeddings, axis=1, keepdims=True)))


PREDICTORS.add("comparator", Comparator)
