"""What optimizers remember of parameters that are put away for a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn
    from torch.optim import Optimizer


@dataclass
class Shelf:
    """The place of each parameter in the optimizers, and what they remember of it.

    Attributes
    ----------
    optimizers : list of Optimizer
        Those that train all parameters of the network, in the order they were attached.
    memory : dict
        ``memory[parameter name][number of the optimizer]`` is the group and the state of a parameter put away.
    """

    optimizers: list[Optimizer] = field(default_factory=list)
    memory: dict[str, dict[int, tuple[int, dict[str, Any]]]] = field(default_factory=dict)

    def put(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Take parameters out of the optimizers, with all that is remembered of them."""
        for name, parameter in parameters.items():
            kept = self.memory.setdefault(name, {})
            for number, optimizer in enumerate(self.optimizers):
                for group, settings in enumerate(optimizer.param_groups):
                    if any(p is parameter for p in settings["params"]):
                        settings["params"] = [p for p in settings["params"] if p is not parameter]
                        kept[number] = group, optimizer.state.pop(parameter, {})

    def take(self, parameters: Mapping[str, nn.Parameter], order: Sequence[nn.Parameter]) -> None:
        """Give parameters back to the optimizers, in the order that all have in the network.

        An optimizer that was attached after a parameter was put away gets it in its first group.
        """
        rank = {p: i for i, p in enumerate(order)}
        for name, parameter in parameters.items():
            kept = self.memory.pop(name, {})
            for number, optimizer in enumerate(self.optimizers):
                group, state = kept.get(number, (0, {}))
                params = [*optimizer.param_groups[group]["params"], parameter]
                optimizer.param_groups[group]["params"] = sorted(params, key=lambda p: rank.get(p, len(rank)))
                if state:
                    optimizer.state[parameter] = state

    def tensors(self) -> dict[str, Tensor]:
        """Return what is remembered as ``<optimizer>.<group>.<entry>.<parameter>``."""
        return {
            f"{number}.{group}.{entry}.{name}": value
            for name, kept in self.memory.items()
            for number, (group, state) in kept.items()
            for entry, value in state.items()
            if value is not None
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` gave."""
        self.memory = {}
        for key, value in tensors.items():
            number, group, entry, name = key.split(".", 3)
            kept = self.memory.setdefault(name, {})
            kept.setdefault(int(number), (int(group), {}))[1][entry] = value
