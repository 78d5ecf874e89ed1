"""Every proxy against its definition worked out another way: by hand, by loops, by finite differences."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ogive._errors import DivergedError, InputError, OgiveError, UnknownNameError
from ogive.metrics._zero_cost_formulas import epe_nas, jacov, nwot, zico
from ogive.metrics.base import METRICS, Context, Cost
from ogive.metrics.evaluate import evaluate
from ogive.metrics.zero_cost import PROXIES, ZeroCostConfig, draw_batch, score_network
from ogive.spaces.base import get_space
from ogive.tasks.base import get_task

NAMES = [name for name, p in PROXIES.items() if not p.alias]
N, CLASSES = 6, 3


def small_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 5, 3, stride=2, bias=False), nn.BatchNorm2d(5), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, CLASSES),
    )  # fmt: skip


def small_batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(N, 2, 7, 7, generator=g), torch.arange(N) % CLASSES


def gradients(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    weights = [m.weight for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    return list(torch.autograd.grad(cross_entropy(model(x), y), weights))


def test_a_linear_layer_under_a_quadratic_loss_has_closed_forms() -> None:
    model = nn.Linear(3, 2, bias=False)
    g = torch.Generator().manual_seed(3)
    x = torch.randn(4, 3, generator=g)
    found = score_network(
        model, x, torch.zeros(4, dtype=torch.long), ["grad_norm", "snip", "plain", "grasp", "fisher", "l2_norm"],
        loss=lambda logits, _: 0.5 * logits.square().sum() / len(logits),
    )  # fmt: skip
    w, s = model.weight.detach().double().numpy(), (x.T @ x / 4).double().numpy()
    gradient, outputs = w @ s, x.double().numpy() @ w.T
    assert found["grad_norm"] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
    assert found["snip"] == pytest.approx(np.abs(w * gradient).sum(), rel=1e-6)
    assert found["plain"] == pytest.approx(np.trace(w.T @ w @ s), rel=1e-5)
    assert found["grasp"] == pytest.approx(-np.trace(w.T @ w @ s @ s), rel=1e-5)
    assert found["fisher"] == pytest.approx(3 * 0.5 * ((outputs**2 / 4) ** 2).mean(axis=0).sum(), rel=1e-5)
    assert found["l2_norm"] == pytest.approx(np.linalg.norm(w), rel=1e-6)


def test_grasp_is_a_finite_difference_of_the_gradient_along_itself() -> None:
    model, (x, y) = small_network().double().train(), small_batch()
    x = x.double()
    here = gradients(model, x, y)
    ends = []
    for sign in (1.0, -1.0):
        moved = copy.deepcopy(model)
        layers = [m for m in moved.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        for layer, g in zip(layers, here, strict=True):
            layer.weight.data += sign * 1e-5 * g
        ends.append(gradients(moved, x, y))
    weights = [m.weight for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    products = [(a - b) / 2e-5 for a, b in zip(*ends, strict=True)]
    expected = -sum(float((w.detach() * h).sum()) for w, h in zip(weights, products, strict=True))
    assert score_network(model, x, y, ["grasp"])["grasp"] == pytest.approx(expected, rel=1e-5)


def test_first_order_proxies_agree_with_plain_autograd() -> None:
    model, (x, y) = small_network().train(), small_batch()
    g = gradients(model, x, y)
    weights = [m.weight.detach() for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    found = score_network(model, x, y, ["grad_norm", "snip", "plain"])
    assert found["grad_norm"] == pytest.approx(sum(float(t.norm()) for t in g), rel=1e-6)
    assert found["snip"] == pytest.approx(
        sum(float((w * t).abs().sum()) for w, t in zip(weights, g, strict=True)), rel=1e-5
    )
    assert found["plain"] == pytest.approx(sum(float((w * t).sum()) for w, t in zip(weights, g, strict=True)), rel=1e-4)


def test_fisher_is_the_loop_over_examples_channels_and_positions() -> None:
    model, (x, y) = small_network().train(), small_batch()
    kept: list[tuple[int, torch.Tensor]] = []
    for m in model.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            m.register_forward_hook(lambda m, _, out: kept.append((m.weight[0].numel(), out)))
    loss = cross_entropy(model(x), y)
    slopes = torch.autograd.grad(loss, [out for _, out in kept])
    expected = 0.0
    for (fan_in, out), slope in zip(kept, slopes, strict=True):
        a, g = (t.detach().double().reshape(N, t.shape[1], -1) for t in (out, slope))
        for c in range(a.shape[1]):
            sums = [sum(float(u * v) for u, v in zip(a[i, c], g[i, c], strict=True)) for i in range(N)]
            expected += fan_in * 0.5 * sum(v**2 for v in sums) / N
    assert score_network(small_network(), x, y, ["fisher"])["fisher"] == pytest.approx(expected, rel=1e-5)


def test_jacov_and_epe_nas_follow_from_one_gradient_an_example() -> None:
    # Without batch norm the examples do not interact, so the batch Jacobian can be had one by one.
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(98, 12), nn.ReLU(), nn.Linear(12, CLASSES))
    x, y = small_batch()
    rows = []
    for example in x:
        e = example[None].clone().requires_grad_(True)
        rows.append(torch.autograd.grad(model(e).sum(), e)[0].flatten().numpy())
    corr = np.corrcoef(np.array(rows, dtype=np.float64))
    values = np.linalg.eigvals(corr).real
    found = score_network(model, x, y, ["jacov", "epe_nas"])
    assert found["jacov"] == pytest.approx(-sum(math.log(v + 1e-5) + 1 / (v + 1e-5) for v in values), rel=1e-5)
    expected = 0.0
    for c in range(CLASSES):
        own = [i for i in range(N) if int(y[i]) == c]
        expected += abs(sum(math.log(abs(corr[i, j]) + 1e-5) for i in own for j in own))
    assert found["epe_nas"] == pytest.approx(expected, rel=1e-5)


def test_epe_nas_compares_classes_in_pairs_when_there_are_more_than_a_hundred() -> None:
    rows, labels = np.random.default_rng(0).standard_normal((7, 30)), np.array([5, 5, 9, 130, 9, 5, 2])
    corr = np.corrcoef(rows)
    e = {}
    for c in (2, 5, 9, 130):
        own = np.flatnonzero(labels == c)
        e[c] = sum(math.log(abs(corr[i, j]) + 1e-5) for i in own for j in own) / len(own)
    expected = sum(abs(a - b) for a in e.values() for b in e.values()) / len(e)
    assert epe_nas(rows, labels, 200) == pytest.approx(expected)
    assert epe_nas(rows, labels, 100) != pytest.approx(expected)


def test_nwot_is_the_determinant_of_counted_agreements() -> None:
    model, (x, y) = small_network().train(), small_batch()
    states: list[torch.Tensor] = []
    for m in model.modules():
        if isinstance(m, nn.ReLU):
            m.register_forward_hook(lambda _, __, out: states.append((out > 0).flatten(1)))
    model(x)
    bits = torch.cat(states, dim=1).tolist()
    kernel = [[sum(a == b for a, b in zip(bits[i], bits[j], strict=True)) for j in range(N)] for i in range(N)]
    expected = np.linalg.slogdet(np.array(kernel, dtype=float))[1]
    found = score_network(small_network(), x, y, ["nwot", "naswot"])
    assert found["nwot"] == found["naswot"] == pytest.approx(expected, rel=1e-12)


def test_nwot_of_equal_examples_is_minus_infinity() -> None:
    assert nwot(np.array([[0b10100000], [0b10100000], [0b01000000]], dtype=np.uint8), 3) == -math.inf


def test_synflow_of_a_chain_is_layers_times_the_product_of_absolute_matrices() -> None:
    torch.manual_seed(2)
    sizes = [4, 6, 5, 3]
    layers = [nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(sizes)]
    product = np.ones(4)
    for layer in layers:
        product = np.abs(layer.weight.detach().double().numpy()) @ product
    x, y = torch.randn(6, 4), torch.zeros(6, dtype=torch.long)
    expected = len(layers) * product.sum()
    assert score_network(nn.Sequential(*layers), x, y, ["synflow"])["synflow"] == pytest.approx(expected, rel=1e-12)
    # Batch norm is taken out, whatever its state, and the data do not matter.
    norm = nn.BatchNorm1d(6)
    norm.running_var.fill_(7.0)
    model = nn.Sequential(layers[0], norm, layers[1], layers[2])
    assert score_network(model, 5 * x, y, ["synflow"])["synflow"] == pytest.approx(expected, rel=1e-12)


def test_zen_of_a_convolution_is_known_in_expectation_and_batch_norm_leaves_it() -> None:
    # ||0.01 W e|| for standard normal W of 8 inputs, on 16 channels of 10 x 10 positions: 0.01 sqrt(8 * 1600).
    x, y = torch.zeros(64, 8, 10, 10), torch.zeros(64, dtype=torch.long)
    plain = nn.Sequential(nn.Conv2d(8, 16, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))
    found = [score_network(plain, x, y, ["zen"], seed=s)["zen"] for s in range(8)]
    assert np.mean(found) == pytest.approx(math.log(0.01 * math.sqrt(8 * 1600)), abs=0.05)
    normed = nn.Sequential(plain[0], nn.BatchNorm2d(16), *plain[1:])
    compensated = [score_network(normed, x, y, ["zen"], seed=s)["zen"] for s in range(8)]
    assert np.mean(compensated) == pytest.approx(np.mean(found), abs=0.05)


def test_zen_reads_neither_weights_nor_data() -> None:
    x, y = small_batch()
    other = small_network(seed=9)
    a = score_network(small_network(), x, y, ["zen"], seed=4)
    assert a == score_network(other, x + 3, y, ["zen"], seed=4)
    assert a != score_network(other, x, y, ["zen"], seed=5)


@pytest.mark.parametrize("batches", [2, 3])
def test_zico_is_the_loop_over_weights_and_mini_batches(batches: int) -> None:
    x, y = small_batch()
    model = small_network().train()
    parts = [gradients(model, a, b) for a, b in zip(x.chunk(batches), y.chunk(batches), strict=True)]
    expected = 0.0
    for layer in zip(*parts, strict=True):
        ratios = 0.0
        for values in zip(*(g.flatten().abs().double().tolist() for g in layer), strict=True):
            deviation = float(np.std(values))
            ratios += float(np.mean(values)) / deviation if deviation > 0 else 0.0
        expected += math.log(ratios)
    found = score_network(model, x, y, ["zico"], zico_batches=batches)["zico"]
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("batches", [1, 4])
def test_zico_needs_two_mini_batches_of_two_examples(batches: int) -> None:
    x, y = small_batch()
    with pytest.raises(InputError, match=f"6 examples into {batches} batches"):
        score_network(small_network(), x, y, ["zico"], zico_batches=batches)


def test_zico_leaves_out_layers_and_weights_that_do_not_vary() -> None:
    vary, still, dead = np.array([1.0, 2.0]), np.array([3.0, 3.0]), np.zeros(2)
    pair = [[vary, vary * [3, 1]], [still, still], [dead, dead]]
    assert zico(pair) == pytest.approx(math.log(2.0))  # mean 2 over deviation 1; the second weight has no deviation
    assert zico([[dead, dead]]) == -math.inf


# -------------------------------------------------------------------- promises of score_network


def test_all_at_once_equals_one_at_a_time() -> None:
    model, (x, y) = small_network(), small_batch()
    together = score_network(model, x, y, list(PROXIES), seed=1)
    assert list(together) == list(PROXIES)
    for name in PROXIES:
        assert score_network(model, x, y, [name], seed=1) == {name: pytest.approx(together[name], rel=1e-6)}


class Counted(nn.Sequential):
    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Counted.calls += 1
        return super().forward(x)


def test_proxies_of_the_loss_share_one_forward() -> None:
    x, y = small_batch()
    model = Counted(*small_network())
    Counted.calls = 0
    score_network(model, x, y, ["grad_norm", "snip", "grasp", "fisher", "plain", "jacov", "epe_nas", "nwot"])
    assert Counted.calls == 1
    Counted.calls = 0
    score_network(model, x, y, list(PROXIES))
    assert Counted.calls == 1 + 2 + 1 + 2  # loss, zico's two parts, synflow, zen's two inputs


def test_nothing_of_the_caller_changes() -> None:
    model = nn.Sequential(*small_network(), nn.Dropout(0.5))
    x, y = small_batch()
    model[0].weight.requires_grad_(False)
    model[3].weight.grad = torch.ones_like(model[3].weight)
    model.eval()
    model[1].train()
    model[2].register_forward_hook(lambda *_: None)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    grads = {k: None if p.grad is None else p.grad.clone() for k, p in model.named_parameters()}
    frozen = {k: p.requires_grad for k, p in model.named_parameters()}
    modes, hooks = [m.training for m in model.modules()], [list(m._forward_hooks) for m in model.modules()]
    inputs = x.clone()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    score_network(model, x, y, list(PROXIES), seed=3)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    for k, p in model.named_parameters():
        assert p.requires_grad == frozen[k]
        assert (p.grad is None) == (grads[k] is None)
        assert p.grad is None or torch.equal(p.grad, grads[k])
    assert [m.training for m in model.modules()] == modes
    assert [list(m._forward_hooks) for m in model.modules()] == hooks
    assert torch.equal(x, inputs)
    assert not x.requires_grad
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_the_seed_fixes_dropout() -> None:
    model, (x, y) = nn.Sequential(*small_network(), nn.Dropout(0.5)), small_batch()
    names = ["grad_norm", "jacov", "zen"]
    assert score_network(model, x, y, names, seed=3) == score_network(model, x, y, names, seed=3)
    assert score_network(model, x, y, names, seed=3) != score_network(model, x, y, names, seed=4)


def test_it_works_inside_no_grad_and_with_frozen_weights() -> None:
    model, (x, y) = small_network(), small_batch()
    expected = score_network(model, x, y, NAMES)
    for p in model.parameters():
        p.requires_grad_(False)
    with torch.no_grad():
        assert score_network(model, x, y, NAMES) == expected


class Severed(nn.Module):
    """Nothing of the input reaches the head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu, self.head = nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.zeros_like(self.relu(self.stem(x) * 0)).mean((2, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_a_network_through_which_nothing_flows_has_a_defined_score(name: str) -> None:
    x, y = small_batch()
    value = score_network(Severed(), x, y, [name])[name]
    if name in {"jacov", "epe_nas", "nwot", "zen", "zico"}:
        assert value == -math.inf
    elif name == "l2_norm":
        assert value > 0
    elif name == "fisher":
        assert value >= 0  # the head's bias still acts
    else:
        assert value == 0.0
        assert not math.copysign(1.0, value) < 0


def test_one_example_without_a_gradient_leaves_correlations_undefined() -> None:
    rows = np.random.default_rng(0).standard_normal((4, 9))
    assert math.isfinite(jacov(rows))
    rows[2] = 0.0
    assert jacov(rows) == epe_nas(rows, np.array([0, 0, 1, 1]), 2) == -math.inf


def test_nan_and_overflow_are_errors_that_name_the_proxy() -> None:
    model, (x, y) = small_network(), small_batch()
    model[0].weight.data[0, 0, 0, 0] = math.nan
    for name in ("grad_norm", "l2_norm", "synflow"):
        with pytest.raises(DivergedError, match=name):
            score_network(model, x, y, [name])
    huge = nn.Sequential(*(nn.Linear(4, 4) for _ in range(9)))
    for p in huge.parameters():
        p.data.fill_(1e38)
    with pytest.raises(DivergedError, match="synflow is inf"):
        score_network(huge, torch.ones(4, 4), torch.zeros(4, dtype=torch.long), ["synflow"])


def test_an_unknown_proxy_is_named_with_the_nearest() -> None:
    x, y = small_batch()
    with pytest.raises(UnknownNameError, match=r"'synflw'.*'synflow'"):
        score_network(small_network(), x, y, ["synflw"])


# -------------------------------------------------------------------- the metrics


@pytest.mark.parametrize("name", list(PROXIES))
def test_a_reader_finds_what_a_score_means(name: str) -> None:
    m = METRICS.get(name)
    assert m.baseline == ("params", "macs")
    assert m.direction == "max"
    assert m.unit
    assert m.description
    assert "20" in m.reference
    assert m.cost in (Cost.COUNT, Cost.FORWARD, Cost.BACKWARD)
    assert {"task", "weights"} <= m.needs
    assert not m.batched
    assert (m.scale == "log") == (name in {"grad_norm", "snip", "fisher", "synflow"})


SPACE = get_space("nasbench201:C=4,N=1")


def test_the_metric_scores_the_seeded_network_on_the_seeded_batch() -> None:
    task = get_task("digits")
    genotype = SPACE.sample(1, np.random.default_rng(0))
    x, y = draw_batch(task, ZeroCostConfig(batch_size=16), seed=7)
    torch.manual_seed(7)
    model = SPACE.build(genotype[0], task)
    expected = score_network(model, torch.from_numpy(x), torch.from_numpy(y), NAMES, seed=7)
    found = evaluate(NAMES, SPACE, genotype, Context(task, seed=7, options={"zero_cost": {"batch_size": 16}}))
    assert {k: v[0] for k, v in found.values.items()} == expected


def test_the_batch_is_drawn_from_normalised_training_examples() -> None:
    task = get_task("digits")
    x, y = draw_batch(task, ZeroCostConfig(batch_size=200), seed=0)
    train = task.split("train")
    pool = {(row.tobytes(), int(label)) for row, label in zip(train.x.astype(np.float32), train.y, strict=True)}
    back = np.round(x * np.float32(task.std[0]) + np.float32(task.mean[0])).astype(np.float32)
    assert all((row.tobytes(), int(label)) in pool for row, label in zip(back, y, strict=True))
    assert abs(x.mean()) < 0.1
    assert x.std() == pytest.approx(1, abs=0.1)
    assert not np.array_equal(y, draw_batch(task, ZeroCostConfig(batch_size=200), seed=1)[1])


def test_without_data_the_failure_says_so_and_random_inputs_work() -> None:
    task, genotype = get_task("cifar10"), SPACE.sample(1, np.random.default_rng(0))
    found = evaluate(["grad_norm"], SPACE, genotype, Context(task))
    assert "cifar10" in found.failures[0]
    options = {"zero_cost": {"data": "random", "batch_size": 8}}
    found = evaluate(["grad_norm", "zen"], SPACE, genotype, Context(task, options=options))
    assert not found.failures
    assert np.isfinite([found.values["grad_norm"], found.values["zen"]]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batchsize": 3}, "'batchsize'.*'batch_size'"),
        ({"data": "imagenet"}, "'task' or 'random', not 'imagenet'"),
        ({"zico_batches": 1}, "zico_batches >= 2"),
        ({"batch_size": 3}, "at least two examples"),
        ({"batch_size": 10_000}, "training examples, fewer than"),
    ],
)
def test_bad_settings_are_one_clear_line(options: dict[str, object], message: str) -> None:
    genotype = SPACE.sample(1, np.random.default_rng(0))
    with pytest.raises(InputError, match=message):
        evaluate(["plain"], SPACE, genotype, Context(get_task("digits"), options={"zero_cost": options}))


def test_a_metric_without_a_task_says_so() -> None:
    with pytest.raises(OgiveError, match="'snip' needs a task"):
        evaluate(["snip"], SPACE, SPACE.sample(1, np.random.default_rng(0)), Context())
