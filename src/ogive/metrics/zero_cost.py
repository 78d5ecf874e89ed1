"""Zero-cost proxies: scores of an untrained network from one batch, meant to rank networks as training would.

The proxies and what each one adds up are in `PROXIES`. "Weights" are those of convolutions and linear layers, without
biases and normalisation layers; "gradient" is that of the mean loss of the batch, in training mode. A network through
which nothing flows scores 0 where the proxy is a sum of gradients (that is its true value) and ``-inf``, below every
other, where a logarithm or a correlation is undefined. No proxy is ever NaN.

Only few of them rank better than the number of parameters, so ``params`` and ``macs`` belong beside every score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ogive._errors import DivergedError, InputError, UnknownNameError
from ogive.metrics.base import Context, Cost, Metric, register

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from torch import Tensor, nn

    from ogive.spaces.base import Genotypes, Space
    from ogive.tasks.base import Task


@dataclass(frozen=True)
class ZeroCostConfig:
    """Settings of the proxies, ``Context.options["zero_cost"]``.

    Attributes
    ----------
    batch_size : int
        Examples in the batch. nwot, jacov and epe_nas grow with it: compare only scores of one batch size.
    data : {"task", "random"}
        Examples of the task's training split, or Gaussian inputs with uniformly drawn labels.
    zico_batches : int
        Equal parts that zico splits the batch into.

    Raises
    ------
    InputError
        If a setting has a value it cannot have.
    """

    batch_size: int = 64
    data: Literal["task", "random"] = "task"
    zico_batches: int = 2

    def __post_init__(self) -> None:
        if self.data not in ("task", "random"):
            raise InputError(f"zero_cost option data is 'task' or 'random', not '{self.data}'")
        if self.zico_batches < 2 or self.batch_size < 2 * self.zico_batches:
            raise InputError(
                f"zero_cost needs zico_batches >= 2 and at least two examples in each, not batch_size="
                f"{self.batch_size}, zico_batches={self.zico_batches}"
            )

    @classmethod
    def of(cls, settings: ZeroCostConfig | Mapping[str, Any]) -> ZeroCostConfig:
        """Return the settings as they are, or from a mapping.

        Raises
        ------
        UnknownNameError
            If a key is no setting.
        """
        if isinstance(settings, ZeroCostConfig):
            return settings
        known = [f.name for f in fields(cls)]
        for key in settings:
            if key not in known:
                raise UnknownNameError.of("option of zero_cost", key, known)
        return cls(**settings)


def score_network(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    quantities: Collection[str],
    *,
    seed: int = 0,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    zico_batches: int = 2,
) -> dict[str, float]:
    """Score a network as it is on one batch; proxies that can share a pass do.

    The model and PyTorch's global random state are left exactly as they were: every pass works on a copy.

    Parameters
    ----------
    model : Module
        Maps ``(n, *shape)`` to logits ``(n, classes)``.
    inputs : Tensor, (n, *shape)
        On the model's device.
    targets : Tensor of int64, (n,)
    quantities : collection of str
        Names of `PROXIES`.
    seed : int
        Fixes what is drawn: zen's weights and inputs, and dropout masks.
    loss : callable, optional
        Of (logits, targets), the mean over the batch; cross-entropy by default.
    zico_batches : int
        Equal parts that zico splits the batch into.

    Returns
    -------
    dict of str to float
        In the order of `quantities`.

    Raises
    ------
    UnknownNameError
        If a quantity is no zero-cost proxy.
    InputError
        If zico has fewer than two mini-batches or fewer than two examples in one.
    DivergedError
        If a score overflows or the network computes NaN.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from ogive.metrics import _zero_cost_passes as passes
    from ogive.training.seeding import seeded

    for name in quantities:
        if name not in PROXIES:
            raise UnknownNameError.of("zero-cost proxy", name, PROXIES)
    canonical = {name: PROXIES[name].alias or name for name in quantities}
    wanted = set(canonical.values())
    if "zico" in wanted and not 2 <= zico_batches <= len(inputs) // 2:
        raise InputError(f"zico cannot split {len(inputs)} examples into {zico_batches} batches of at least two")
    loss = loss or cross_entropy
    scores: dict[str, float] = {}
    with torch.enable_grad(), seeded(seed, inputs.device):
        if wanted & passes.OF_LOSS_PASS:
            scores |= passes.loss_pass(model, inputs, targets, wanted, loss)
        if "zico" in wanted:
            scores["zico"] = passes.zico_pass(model, inputs, targets, loss, zico_batches)
        if "synflow" in wanted:
            scores["synflow"] = passes.synflow_pass(model, inputs)
        if "zen" in wanted:
            scores["zen"] = passes.zen_pass(model, inputs, seed)
        if "l2_norm" in wanted:
            scores["l2_norm"] = passes.l2_norm(model)
    return {name: _checked(name, scores[proxy]) for name, proxy in canonical.items()}


def _checked(name: str, value: float) -> float:
    if math.isnan(value) or value == math.inf:
        raise DivergedError(f"{name} is {value} for this network: its weights, activations or gradients overflow")
    return value


def _provider(names: tuple[str, ...], space: Space, genotype: Genotypes, context: Context) -> Mapping[str, float]:
    """Build the network with freshly drawn weights and score it on a batch of the task."""
    import torch

    from ogive.training.seeding import seeded
    from ogive.training.trainer import find_device

    task, device = context.need_task(names[0]), find_device(context.device)
    config = ZeroCostConfig.of(context.options.get("zero_cost", {}))
    with seeded(context.seed):
        # Built on the CPU also for a GPU, so that one seed gives one set of weights.
        model = space.build(genotype, task).to(device)
    x, y = draw_batch(task, config, context.seed)
    inputs, targets = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
    return score_network(model, inputs, targets, names, seed=context.seed, zico_batches=config.zico_batches)


def draw_batch(task: Task, config: ZeroCostConfig, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the batch that every architecture of a study is scored on.

    Returns
    -------
    x : ndarray of float32, (n, *input_shape)
        Normalised by the task's mean and standard deviation; with ``data="random"`` standard normal.
    y : ndarray of int64, (n,)

    Raises
    ------
    DataMissingError
        If ``data="task"`` and the task's files are not on this machine.
    InputError
        If the training split is smaller than the batch.
    """
    rng = np.random.default_rng(seed)
    if config.data == "random":
        x = rng.standard_normal((config.batch_size, *task.input_shape), dtype=np.float32)
        return x, rng.integers(0, task.n_outputs, config.batch_size)
    train = task.split("train")
    if len(train) < config.batch_size:
        raise InputError(
            f"task '{task.name}' has {len(train)} training examples, fewer than zero_cost's batch_size "
            f"{config.batch_size}; set a smaller one"
        )
    rows = rng.choice(len(train), config.batch_size, replace=False)
    shape = (-1, *(1 for _ in task.input_shape[1:]))
    mean, std = (np.asarray(s, dtype=np.float32).reshape(shape) for s in (task.mean, task.std))
    return (train.x[rows].astype(np.float32) - mean) / std, train.y[rows].astype(np.int64)


@dataclass(frozen=True)
class Proxy:
    """What a reader must know of one proxy; see `Metric` for the attributes."""

    description: str
    reference: str
    cost: Cost = Cost.BACKWARD
    scale: Literal["linear", "log"] = "linear"
    data: bool = True
    alias: str = ""


_ABDELFATTAH = "Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021, arXiv 2101.08134"
_MELLOR = "Mellor et al., Neural Architecture Search without Training, ICML 2021, arXiv 2006.04647"

PROXIES: Mapping[str, Proxy] = {
    "grad_norm": Proxy("sum over layers of the Euclidean norm of the weight gradient", _ABDELFATTAH, scale="log"),
    "snip": Proxy(
        "sum over weights of |weight * gradient|",
        "Lee et al., SNIP, ICLR 2019, arXiv 1810.02340; summed as in " + _ABDELFATTAH,
        scale="log",
    ),
    "grasp": Proxy(
        "minus the sum over weights of weight * (Hessian of the loss times its gradient)",
        "Wang et al., GraSP, ICLR 2020, arXiv 2002.07376; summed as in " + _ABDELFATTAH,
    ),
    "fisher": Proxy(
        "sum over weights of the Fisher information of the channel each feeds: half the mean over examples of "
        "(sum over positions of activation * gradient)^2",
        "Theis et al., 2018, arXiv 1801.05787; Turner et al., BlockSwap, ICLR 2020; summed as in " + _ABDELFATTAH,
        scale="log",
    ),
    "synflow": Proxy(
        "sum over weights of |weight * gradient of the summed outputs|, all parameters made absolute, batch norms "
        "taken out, one input of ones, in float64",
        "Tanaka et al., SynFlow, NeurIPS 2020, arXiv 2006.05467; summed as in " + _ABDELFATTAH,
        scale="log",
        data=False,
    ),
    "jacov": Proxy(
        "minus the sum of log(v + k) + 1 / (v + k), k = 1e-5, over eigenvalues v of the correlation between examples "
        "of the input gradients of the summed logits",
        _MELLOR + " (first version)",
    ),
    "nwot": Proxy(
        "log-determinant of the kernel that counts, for each two examples, the ReLUs in the same state",
        _MELLOR,
        cost=Cost.FORWARD,
    ),
    "zen": Proxy(
        "log of the mean distance between the last feature maps of x and x + 0.01 e, plus for each batch norm half the "
        "log of its mean variance; weights, x and e standard normal",
        "Lin et al., Zen-NAS, ICCV 2021, arXiv 2102.01063",
        cost=Cost.FORWARD,
        data=False,
    ),
    "epe_nas": Proxy(
        "sum over classes of |sum of log(|c| + k)|, k = 1e-5, over correlations c between the class's examples of the "
        "input gradients; above 100 classes normalised differences of all pairs of classes",
        "Lopes et al., EPE-NAS, 2021, arXiv 2102.08099",
    ),
    "plain": Proxy("sum over weights of weight * gradient", _ABDELFATTAH),
    "l2_norm": Proxy("sum over layers of the Euclidean norm of the weights", _ABDELFATTAH, cost=Cost.COUNT, data=False),
    "zico": Proxy(
        "sum over layers of the log of the sum over weights of mean / standard deviation of |gradient| over "
        "mini-batches",
        "Li et al., ZiCo, ICLR 2023, arXiv 2301.11300",
    ),
    "jacob_cov": Proxy("another name of jacov", _MELLOR + " (first version)", alias="jacov"),
    "naswot": Proxy("another name of nwot", _MELLOR, cost=Cost.FORWARD, alias="nwot"),
}
"""Every zero-cost proxy by name; for all of them the papers take higher as better."""

register(
    *(
        Metric(
            name=name,
            provider=_provider,
            direction="max",
            cost=p.cost,
            scale=p.scale,
            needs=frozenset({"task", "weights", *(("data",) if p.data else ())}),
            batched=False,
            baseline=("params", "macs"),
            description=p.description,
            reference=p.reference,
        )
        for name, p in PROXIES.items()
    )
)
