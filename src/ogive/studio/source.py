"""A network as PyTorch source that needs nothing of Ogive, with a check that it computes what it should."""

from __future__ import annotations

import operator
import re
from inspect import getsource
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from ogive._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from ogive.nn.template import Step

_CHECK = '''
def check():
    """Raise an AssertionError unless the network gives the output that was recorded when this file was written."""
    network, x = fill(Network(), list(KEYS), {shape})
    with torch.no_grad():
        difference = (network(x) - torch.tensor(RECORDED, dtype=torch.float64)).abs().max().item()
    assert difference <= 1e-6, f"the output differs by {{difference}}"


if __name__ == "__main__":
    check()
'''

_LOAD = '''
    def load(self, tensors):
        """Take the tensors of a safetensors file that was exported beside this one, and return the network."""
        self.load_state_dict({name: tensors[key] for name, key in KEYS.items()})
        return self
'''


def fill(network: nn.Module, names: list[str], shape: tuple[int, ...]) -> tuple[nn.Module, torch.Tensor]:
    """Give a network fixed weights, the same whatever made them, and a fixed input; both in double precision."""
    network = network.double().eval()
    weights = dict(network.named_parameters())
    with torch.no_grad():
        for k, weight in enumerate(weights[name] for name in names if name in weights):
            wave = torch.sin(0.7 * torch.arange(weight.numel(), dtype=torch.float64) + k)
            weight.copy_(wave.reshape(weight.shape) / weight[0].numel() ** 0.5)
    count = torch.Size(shape).numel()
    return network, torch.cos(0.3 * torch.arange(count, dtype=torch.float64)).reshape(shape)


def source(model: nn.Module, input_shape: tuple[int, ...], headline: Sequence[str], steps: Sequence[Step] = ()) -> str:
    """Return a Python file with a class `Network` that computes what the model computes, layer for layer.

    Its ``load`` takes the model's weights by their names here. Its ``check`` compares its output for fixed weights and
    a fixed input with what the model gave for the same. Double precision stays in the model.

    Parameters
    ----------
    model : Module
    input_shape : tuple of int
        Of one example.
    headline : sequence of str
        Lines of the comment on top.
    steps : sequence of Step, optional
        Blocks of a drawing, named in comments where they begin.

    Raises
    ------
    InputError
        If the network's forward pass depends on what it sees, so that it is no list of layers.
    """
    model = model.eval()
    try:
        with torch.no_grad():
            graph = _Tracer(torch.zeros(2, *input_shape)).trace(model)
    except (fx.proxy.TraceError, TypeError) as error:
        raise InputError(f"this network is no plain list of layers, so it has no source: {error}") from error
    layers, params = _rename(graph, model)
    body = _body(graph, [f"{s.id}: {s.op} {_arguments(s)}".rstrip() for s in steps])
    keys = _keys(model, {*layers, *params})
    filled, x = fill(model, list(keys.values()), (2, *input_shape))
    with torch.no_grad():
        recorded: Tensor = filled(x)
    lines = [*(f"# {line}" for line in headline), "", "import torch", "from torch import nn", ""]
    lines += ["KEYS = {", *(f"    {name!r}: {key!r}," for name, key in keys.items()), "}", ""]
    lines += [f"RECORDED = {recorded.tolist()}", "", "", "class Network(nn.Module):"]
    lines += [f'    """Maps (n, {", ".join(map(str, input_shape))}) to (n, {recorded.shape[1]})."""', ""]
    lines += ["    def __init__(self):", "        super().__init__()"]
    lines += [f"        self.{name} = nn.{_made(layer)}" for name, layer in layers.items()]
    lines += [f"        self.{name} = nn.Parameter(torch.zeros({tuple(p.shape)}))" for name, p in params.items()]
    lines += ["", "    def forward(self, x):", *(f"        {line}" for line in body)]
    return "\n".join([*lines, _LOAD, "", getsource(fill), _CHECK.format(shape=(2, *input_shape))])


class _Value(fx.Proxy):
    """Stands for a tensor while a graph is traced, and knows what it is for one example."""

    value: Any

    def dim(self) -> int:
        return int(self.value.dim())

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape, in which only the number of examples is left open."""
        return (self.size(0), *self.value.shape[1:])


class _Tracer(fx.Tracer):
    """Follows a forward pass that asks for shapes, which are those of one example."""

    def __init__(self, example: Tensor) -> None:
        super().__init__()
        self._example, self._computing = example, False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self._computing else super().getattr(attr, attr_val, parameter_proxy_cache)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        assert isinstance(obj, _Value)
        return iter([operator.getitem(obj, i) for i in range(len(obj.value))])

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *more: Any, **named: Any) -> fx.Proxy:
        made = super().create_proxy(kind, target, args, kwargs, *more, **named)
        assert isinstance(made, _Value)
        self._computing = True
        made.value = self._computed(kind, target, args, kwargs)
        self._computing = False
        return made

    def _computed(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        """Return what a node gives for the example."""
        held, words = (
            fx.node.map_aggregate(a, lambda v: v.value if isinstance(v, _Value) else v) for a in (args, kwargs)
        )
        if kind == "placeholder":
            return self._example
        if kind == "get_attr":
            owner, _, last = target.rpartition(".")
            return getattr(self.root.get_submodule(owner), last)
        if kind == "call_module":
            return self.root.get_submodule(target).forward(*held, **words)
        if kind == "call_method":
            return getattr(held[0], target)(*held[1:], **words)
        return target(*held, **words) if kind == "call_function" else None


def _made(layer: nn.Module) -> str:
    """Return the call that makes a layer; what PyTorch prints of these two leaves something out, or says too much."""
    if isinstance(layer, nn.AvgPool2d):
        return f"AvgPool2d({_told(layer, 'kernel_size', 'stride', 'padding', 'ceil_mode', 'count_include_pad')})"
    if isinstance(layer, nn.BatchNorm2d):
        return f"BatchNorm2d({_told(layer, 'num_features', 'eps', 'momentum', 'affine', 'track_running_stats')})"
    return repr(layer)


def _told(layer: nn.Module, *names: str) -> str:
    return ", ".join(f"{name}={getattr(layer, name)}" for name in names)


def _flat(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _keys(model: nn.Module, used: set[str]) -> dict[str, str]:
    """Return the name of each tensor in the file's network, and the one it has in the model."""
    out = {}
    for key in model.state_dict():
        path, _, last = key.rpartition(".")
        if _flat(path) in used:
            out[f"{_flat(path)}.{last}"] = key
        elif _flat(key) in used:
            out[_flat(key)] = key
    return out


def _rename(graph: fx.Graph, model: nn.Module) -> tuple[dict[str, nn.Module], dict[str, Tensor]]:
    """Give layers and parameters of a graph names without dots, and return both, in the model's order."""
    used = {node.target for node in graph.nodes if node.op in ("call_module", "get_attr")}
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            node.target = _flat(node.target)
    layers = {_flat(name): layer for name, layer in model.named_modules() if name in used}
    tensors = (*model.named_parameters(), *model.named_buffers())
    return layers, {_flat(name): tensor for name, tensor in tensors if name in used}


def _body(graph: fx.Graph, blocks: Sequence[str]) -> list[str]:
    """Return the lines of the forward pass, with a comment where a block begins."""
    text = graph.python_code("self").src
    lines = [re.sub(r";\s*\w+(?: = \w+)* = None\s*$", "", line.strip()) for line in text.splitlines()]
    lines = [re.sub(r"\s*#.*$", "", line) for line in lines]
    lines = [
        re.sub(r"^(\w+) : [\w.\[\], ]+ = ", r"\1 = ", line) for line in lines if line and not line.startswith("def ")
    ]
    out, now = [], -1
    for line in lines:
        begun = re.search(r"self\.blocks_(\d+)(?=[_(])", line)
        if blocks and begun and int(begun[1]) != now:
            now = int(begun[1])
            out.append(f"# {blocks[now]}")
        out.append(line)
    return out


def _arguments(step: Step) -> str:
    told = ", ".join(f"{name}={value}" for name, value in step.args.items())
    return f"({told})" if told else ""
