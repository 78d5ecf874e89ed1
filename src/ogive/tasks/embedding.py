"""Tasks as vectors: the Fisher information of a probe network's last filters, and simulated tasks around a real one.

After Task2Vec (Achille et al., "Task2Vec: Task Embedding for Meta-Learning", ICCV 2019), which is also how ArchLock
(Zhou, Ren and Xu, ICLR 2024) tells tasks apart. An embedding says which filters of one fixed probe matter to a task;
embeddings from different probes cannot be compared.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ogive.tasks.base import Task

Floats = NDArray[np.float64]

_BATCH = 64
_PENALTY = 1e-2
"""On the squared weights of the head; a head that is sure of every example has no information left to show."""
_HEAD_STEPS = 200


def fisher_embedding(
    task: Task, probe: nn.Module, *, side: int = 16, examples: int = 1000, draws: int = 4, seed: int = 0
) -> Floats:
    """Return the Fisher information of a task in each filter of a probe's last convolution, ``(filters,)``.

    A linear head is fitted on the frozen features of training examples. Labels are drawn from the head's own posterior;
    the squared gradients of their log-likelihood are averaged over examples, labels and the weights of a filter.

    Parameters
    ----------
    task : Task
        Of images ``(channels, height, width)``; only its training split is read.
    probe : Module
        Maps ``(n, 3, side, side)`` through convolutions to a linear layer, as ResNets of torchvision and timm do and as
        `ogive.training.probe.train_probe` returns. It is run in evaluation mode and left as it was, on its device.
    side : int
        Height and width that images are resized to; 224 for networks trained on ImageNet.
    examples : int
        Largest number of training examples that are looked at, drawn without replacement.
    draws : int
        Labels drawn for each example.
    seed : int

    Returns
    -------
    ndarray of float64, (filters,)
        Not negative.

    Raises
    ------
    InputError
        If the examples are no images, or the probe has no ungrouped convolution before a linear layer.
    DataMissingError
        If the task's files are not on this machine.
    """
    device = next(probe.parameters()).device
    x, y = (part.to(device) for part in _images(task, side, examples, seed))
    generator = torch.Generator(device).manual_seed(seed)
    with _frozen(probe), _Tap(probe, x[:2]) as tap:
        with torch.no_grad():
            features = torch.cat([tap.features(batch) for batch in torch.split(x, _BATCH)])
        head = _fitted_head(features, y, task.n_outputs)
        total = torch.zeros(tap.conv.out_channels, dtype=torch.float64, device=device)
        for batch in torch.split(x, _BATCH):
            likelihood = F.log_softmax(head(tap.features(batch)), dim=1)
            columns = tap.columns()
            # A weight's gradient is a sum over positions of slope times input. Its square, summed over the weights of a
            # filter, needs only the products of inputs between positions, of which there are few.
            products = columns.transpose(1, 2) @ columns / columns.shape[1]
            labels = torch.multinomial(likelihood.detach().exp(), draws, replacement=True, generator=generator)
            for label in labels.T:
                drawn = likelihood.gather(1, label[:, None]).sum()
                (slope,) = torch.autograd.grad(drawn, tap.made, retain_graph=True)
                slope = slope.flatten(2)
                total += (slope @ products * slope).sum(dim=(0, 2))
    return np.asarray((total / (len(x) * draws)).cpu().numpy())


def cosine(a: Floats, b: Floats) -> Floats:
    """Return the cosines between embeddings, ``(..., m, d)`` and ``(..., n, d)`` to ``(..., m, n)``; nan for zeros."""
    with np.errstate(invalid="ignore"):
        unit = [v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (np.asarray(a), np.asarray(b))]
    return np.asarray(unit[0] @ np.swapaxes(unit[1], -1, -2))


def simulated_targets(source: Floats, n: int, cosine: float, rng: np.random.Generator) -> Floats:
    """Draw embeddings at a given cosine to the source's, in random directions, as ArchLock's released code does.

    Their norm is the cosine times the source's, two of them have a cosine of about its square, and coordinates may be
    negative, which those of real tasks cannot be; `resembling_targets` draws ones that may be real.

    Parameters
    ----------
    source : ndarray of float64, (d,)
    n : int
        15 in the published search.
    cosine : float
        In (0, 1]; 0.9 in the published search.
    rng : Generator

    Returns
    -------
    ndarray of float64, (n, d)

    Raises
    ------
    InputError
        If the cosine is out of range, or the source has no direction or a single coordinate.
    """
    source = np.asarray(source, dtype=np.float64)
    norm = np.linalg.norm(source)
    if not 0 < cosine <= 1:
        raise InputError(f"the cosine of simulated targets is in (0, 1], not {cosine:g}")
    if source.ndim != 1 or len(source) < 2 or not (np.isfinite(norm) and norm > 0):
        raise InputError("simulated targets need a source embedding of at least two numbers that are not all zero")
    unit = source / norm
    aside = rng.standard_normal((n, len(source)))
    aside -= np.outer(aside @ unit, unit)
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    return np.asarray(cosine * norm * (cosine * unit + np.sqrt(1 - cosine**2) * aside))


def resembling_targets(source: Floats, others: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Draw embeddings that lie around the source's as those of real tasks lie around each other.

    Directions are drawn from the Gaussian with the covariance of the real embeddings at length 1, added to the source's
    direction, and cut off at zero, since no Fisher information is negative. Each has the source's norm.

    Parameters
    ----------
    source : ndarray of float64, (d,)
    others : ndarray of float64, (t, d)
        Embeddings of at least two real tasks by the same probe.
    n : int
    rng : Generator

    Returns
    -------
    ndarray of float64, (n, d)

    Raises
    ------
    InputError
        If there are fewer than two real tasks.
    """
    if len(others) < 2:
        raise InputError("the spread of real tasks needs the embeddings of at least two of them")
    norm = np.linalg.norm(source)
    real = others / np.linalg.norm(others, axis=1, keepdims=True)
    weights = rng.standard_normal((n, len(others))) / np.sqrt(len(others) - 1)
    drawn = np.maximum(source / norm + weights @ (real - real.mean(axis=0)), 0.0)
    return np.asarray(norm * drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


# -------------------------------------------------------------------- parts


def as_images(task: Task, x: NDArray[np.generic], side: int) -> Tensor:
    """Return examples as a probe sees them: normalised over the task, three channels, `side` pixels, ``(n, 3, s, s)``.

    One channel is shown three times; of any number but one and three, the mean is. Sizes are changed bilinearly.

    Raises
    ------
    InputError
        If the examples are no images.
    """
    if len(task.input_shape) != 3:
        raise InputError(f"task '{task.spec}' has examples of shape {task.input_shape}; a probe needs images (c, h, w)")
    mean, std = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (task.mean, task.std))
    images = (torch.tensor(np.ascontiguousarray(x)).float() - mean) / std
    if images.shape[1] not in (1, 3):
        images = images.mean(dim=1, keepdim=True)
    images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    return images.expand(-1, 3, -1, -1)


def _images(task: Task, side: int, most: int, seed: int) -> tuple[Tensor, Tensor]:
    split = task.split("train")
    rows = np.sort(np.random.default_rng(seed).permutation(len(split))[:most])
    return as_images(task, split.x[rows], side), torch.tensor(split.y[rows])


def _fitted_head(features: Tensor, y: Tensor, n_outputs: int) -> nn.Sequential:
    """Return multinomial logistic regression on standardised features, with a small penalty on the weights."""
    mean, std = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
    z = (features - mean) / std
    head = nn.Linear(z.shape[1], n_outputs, device=z.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=_HEAD_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(head(z), y) + _PENALTY * head.weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    head.requires_grad_(False)
    return nn.Sequential(_Standardise(mean, std), head)


class _Standardise(nn.Module):
    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class _Tap:
    """Reads a network on the way: what enters its last linear layer, and what enters and leaves its last convolution.

    The output of that convolution is cut off from what made it, so that gradients go no further back.
    """

    def __init__(self, probe: nn.Module, x: Tensor) -> None:
        self.probe = probe
        order: list[nn.Module] = []
        layers = [m for m in probe.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        hooks = [m.register_forward_hook(lambda m, *_: order.append(m)) for m in layers]
        with torch.no_grad():
            probe(x)
        for hook in hooks:
            hook.remove()
        convs = [m for m in order if isinstance(m, nn.Conv2d) and not isinstance(m.padding, str)]
        if not convs or not isinstance(order[-1], nn.Linear) or convs[-1].groups != 1 or convs.count(convs[-1]) > 1:
            raise InputError(
                "a probe is a network of convolutions that ends in a linear layer; its last convolution is ungrouped, "
                "is run once and has its padding in pixels"
            )
        self.conv, self.linear = convs[-1], order[-1]

    def __enter__(self) -> Self:
        self._hooks = [
            self.conv.register_forward_hook(self._cut),
            self.linear.register_forward_pre_hook(self._keep),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _cut(self, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        self._seen, self.made = inputs[0].detach(), output.detach().requires_grad_()
        return self.made

    def _keep(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._features = inputs[0]

    def columns(self) -> Tensor:
        """Return what each weight of a filter of the last convolution met, ``(n, weights, positions)``."""
        padding: Any = self.conv.padding
        return F.unfold(self._seen, self.conv.kernel_size, self.conv.dilation, padding, self.conv.stride)

    def features(self, x: Tensor) -> Tensor:
        """Return what the last linear layer reads for each example, ``(n, width)``."""
        self.probe(x)
        return self._features


@contextmanager
def _frozen(probe: nn.Module) -> Iterator[None]:
    """Run a network in evaluation mode without gradients of its weights, and put it back as it was."""
    modes = [(m, m.training) for m in probe.modules()]
    wants = [(p, p.requires_grad) for p in probe.parameters()]
    probe.eval().requires_grad_(False)
    try:
        yield
    finally:
        for m, mode in modes:
            m.training = mode
        for p, want in wants:
            p.requires_grad_(want)
