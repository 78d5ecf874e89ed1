"""What each command that makes a revision does to the settings; a refusal names the part that is in the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from inspect import signature
from typing import TYPE_CHECKING, Any

from ogive._errors import InputError, UnknownNameError
from ogive._registry import parse_spec
from ogive.metrics.base import Constraint, resolve
from ogive.spaces import template_edit
from ogive.spaces.template import PROBE, Template
from ogive.strategies.base import STRATEGIES
from ogive.study.settings import Part, Settings, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ogive.spaces.base import Space, TaskShape


@dataclass(frozen=True)
class Place:
    """Where an edit happens: the present settings, their space without locks, ids used so far, shapes to check on."""

    settings: Settings
    space: Space
    used: frozenset[str] = frozenset()
    task: TaskShape = PROBE

    def targets(self, args: Mapping[str, Any]) -> list[Part]:
        """Return the parts that a command names, by choice and option or by node."""
        known = parts_of(self.space)
        home = {option: choice for choice, options in known.items() for option in options if option != "on"}
        home |= {choice: choice for choice, options in known.items() if options == ("on",)}
        if "node" in args:
            if not isinstance(self.space, Template):
                raise InputError(f"space '{self.space.name}' has no nodes; name a choice and an option")
            return [self._node(name, home) for name in args["node"]]
        if "choice" not in args:
            raise InputError("name a choice and an option, or a node or optional edge of the template")
        choice = args["choice"]
        if choice not in known:
            raise UnknownNameError.of(f"choice of space '{self.space.name}'", choice, known)
        for option in args.get("option", ()):
            if option not in known[choice]:
                raise UnknownNameError.of(f"option of choice '{choice}'", option, known[choice])
        return [(choice, option) for option in args.get("option", known[choice])]

    @staticmethod
    def _node(name: str, home: Mapping[str, str]) -> Part:
        if name not in home:
            raise UnknownNameError.of("option or optional edge of the template", name, home)
        return home[name], "on" if home[name] == name else name


def _set_status(place: Place, args: Mapping[str, Any], word: Any) -> Settings:
    if "choice" in args and "option" not in args:
        raise InputError(f"name an option of choice '{args['choice']}' too")
    status = {c: dict(row) for c, row in place.settings.status.items()}
    single = not isinstance(place.space, Template)
    for choice, option in place.targets(args):
        rivals = [o for o, w in status.get(choice, {}).items() if w == "locked" and o != option]
        if word == "locked" and single and rivals:
            raise InputError(f"choice '{choice}' is locked to '{rivals[0]}'; free it first")
        status.setdefault(choice, {})[option] = word
    return replace(place.settings, status=status)


def _free(place: Place, args: Mapping[str, Any]) -> Settings:
    whole = "choice" in args and "option" not in args and args["choice"] not in parts_of(place.space)
    gone = set(place.targets({"node": [args["choice"]]} if whole and isinstance(place.space, Template) else args))
    return replace(place.settings, status=_without(place.settings.status, gone))


def _nudge(place: Place, args: Mapping[str, Any]) -> Settings:
    if "choice" in args and "option" not in args:
        raise InputError(f"name an option of choice '{args['choice']}' too")
    parts = place.targets(args)
    nudges = _without(place.settings.nudges, set(parts))
    for choice, option in parts if args["h"] else ():
        nudges.setdefault(choice, {})[option] = args["h"]
    return replace(place.settings, nudges=nudges)


def _without(table: Mapping[str, Mapping[str, Any]], gone: set[Part]) -> dict[str, dict[str, Any]]:
    kept = {c: {o: v for o, v in row.items() if (c, o) not in gone} for c, row in table.items()}
    return {choice: row for choice, row in kept.items() if row}


def _set_sampler(place: Place, args: Mapping[str, Any]) -> Settings:
    text = args.get("strategy", place.settings.strategy)
    sampler = {} if "strategy" in args else dict(place.settings.sampler)
    given = {k: v for k, v in args.items() if k not in ("strategy", "explore")}
    if "explore" in args:
        from ogive.strategies.guided import slider

        given = slider(args["explore"]) | given
    if not args:
        raise InputError("nothing to set; give strategy, T, uniform, mutation or explore")
    name, _ = parse_spec(text, "algorithm")
    factory = STRATEGIES.get(name)
    for option in given:
        if option not in signature(factory).parameters:
            raise InputError(f"strategy '{name}' has no {option}; only a guided one samples by a distribution")
    sampler |= given
    if sampler.get("uniform", 0.0) + sampler.get("mutation", 0.0) > 1:
        raise InputError("the shares uniform and mutation are more than 1 together")
    return _for_objectives(replace(place.settings, strategy=text, sampler=sampler))


def _set_objective(place: Place, args: Mapping[str, Any]) -> Settings:
    up, down = tuple(args.get("maximize", ())), tuple(args.get("minimize", ()))
    if not (up or down):
        raise InputError("nothing to search for; name a metric to maximise or to minimise")
    names = [resolve(name).name for name in (*up, *down)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"metric '{twice[0]}' is named twice; keep one")
    changed = replace(place.settings, maximize=up, minimize=down)
    if "strategy" in args:
        changed = _set_sampler(replace(place, settings=changed), {"strategy": args["strategy"]})
    return _for_objectives(changed)


def _for_objectives(settings: Settings) -> Settings:
    """Return the settings if their strategy takes so many objectives."""
    name = parse_spec(settings.strategy, "algorithm")[0]
    if len(settings.objectives) > 1 and not getattr(STRATEGIES.get(name), "multi_objective", True):
        raise InputError(
            f"strategy '{name}' has one objective, not {len(settings.objectives)}; set the objectives with "
            "strategy=nsga2"
        )
    return settings


def _set_constraint(place: Place, args: Mapping[str, Any]) -> Settings:
    for text in args["where"]:
        Constraint.parse(text)
    return replace(place.settings, where=tuple(args["where"]))


def _set_budget(place: Place, args: Mapping[str, Any]) -> Settings:
    return replace(place.settings, trials=args["trials"])


# ---------------------------------------------------------------- drawings


def _redraw(edit: Callable[..., Template], *names: str) -> Callable[[Place, Mapping[str, Any]], Settings]:
    """Return an edit of the drawing: `names` are its positional arguments, the others go by name."""

    def apply(place: Place, args: Mapping[str, Any]) -> Settings:
        template = place.space
        if not isinstance(template, Template):
            raise InputError(f"space '{template.name}' is no drawing; only a template can be redrawn")
        late = place.used - set(template.retired) - ids_of(template.to_dict())
        if late:
            template = template_edit.retire(template, sorted(late))
        rest = {k: v for k, v in args.items() if k not in names}
        drawn = edit(template, *(args[n] for n in names), **rest, task=place.task)
        return _redrawn(place.settings, drawn)

    return apply


def _redrawn(settings: Settings, template: Template) -> Settings:
    """Return the settings with another drawing; what is said of parts that are gone goes with them."""
    known = {(choice, option) for choice, options in parts_of(template).items() for option in options}
    tables = []
    for table in (settings.status, settings.nudges):
        gone = {(choice, option) for choice, row in table.items() for option in row} - known
        tables.append(_without(table, gone))
    return replace(settings, template=template.to_dict(), status=tables[0], nudges=tables[1])


def ids_of(document: Mapping[str, Any]) -> set[str]:
    """Return the ids of the nodes and groups of a drawing."""
    return {item["id"] for kind in ("nodes", "groups") for item in document.get(kind, ())}


EDITS: dict[str, Callable[[Place, Mapping[str, Any]], Settings]] = {
    "lock": lambda place, args: _set_status(place, args, "locked"),
    "exclude": lambda place, args: _set_status(place, args, "excluded"),
    "free": _free,
    "nudge": _nudge,
    "set_sampler": _set_sampler,
    "set_objective": _set_objective,
    "set_constraint": _set_constraint,
    "set_budget": _set_budget,
    "add_node": _redraw(template_edit.add_node, "name", "op"),
    "add_option": _redraw(template_edit.add_option, "group", "name", "op"),
    "add_group": _redraw(template_edit.add_group, "name", "options"),
    "duplicate_group": _redraw(template_edit.duplicate_group, "group"),
    "remove": _redraw(template_edit.remove, "name"),
    "connect": _redraw(template_edit.connect, "source", "target"),
    "disconnect": _redraw(template_edit.disconnect, "source", "target"),
    "set_args": _redraw(template_edit.set_args, "name", "args"),
    "set_cardinality": _redraw(template_edit.set_cardinality, "group", "low", "high"),
}
