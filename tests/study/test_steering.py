"""Steering as a function of state and command: any sequence of commands keeps the invariants and can be undone."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogive._errors import InputError, UnknownNameError
from ogive.spaces.base import get_space
from ogive.spaces.template import Template
from ogive.study.config import StudyConfig
from ogive.study.operations import OPERATIONS, Command
from ogive.study.settings import nudge_table, parts_of
from ogive.study.steering import Steering

SMALL = Path(__file__).parents[2] / "examples" / "templates" / "small.yaml"
CELLS = get_space("nasbench201")


def fresh(space=None):
    space = space or Template.load(SMALL)
    return Steering.of(StudyConfig("any", maximize=("params",), strategy="random"), space)


def do(state, op, *words, **more):
    return state.apply(Command.from_words(op, [str(w) for w in words], **more))


class Person:
    """Somebody who sends commands that make sense, most of them, and never stops."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.count = 0

    def command(self, state):
        op = self.dice.choice([name for name, o in OPERATIONS.items() if o.kind != "act"])
        return Command(op, getattr(self, f"_{op}", dict)(*([state] if hasattr(self, f"_{op}") else [])))

    def _part(self, state):
        choice = self.dice.choice(sorted(parts_of(state.whole)))
        return {"choice": choice, "option": [self.dice.choice(parts_of(state.whole)[choice])]}

    _lock = _exclude = _free = _part

    def _nudge(self, state):
        return self._part(state) | {"h": round(self.dice.uniform(-1, 1), 2)}

    def _set_sampler(self, state):
        return {"strategy": self.dice.choice(["random", "evolution", "nsga2:population=8", "guided:T=0.2"])}

    def _set_objective(self, state):
        return {"maximize": ["params"], "minimize": self.dice.choice([[], ["macs"]]), "strategy": "nsga2"}

    def _set_constraint(self, state):
        return {"where": [f"params<={self.dice.randint(1, 9)}000000"]}

    def _set_budget(self, state):
        return {"trials": self.dice.randint(1, 1000)}

    def _name(self):
        self.count += 1
        return f"n{self.count}"

    def _edge(self, state):
        return self.dice.choice(state.whole.edges)

    def _add_node(self, state):
        return {"name": self._name(), "op": "identity", "on": self._edge(state).name}

    def _add_option(self, state):
        return {"name": self._name(), "op": "identity", "group": self.dice.choice(state.whole.groups).id}

    def _add_group(self, state):
        options = [{"id": self._name(), "op": "identity"}, {"id": self._name(), "op": "relu_conv_bn"}]
        return {"name": self._name(), "options": options, "on": self._edge(state).name}

    def _duplicate_group(self, state):
        return {"group": self.dice.choice(state.whole.groups).id, "behind": True}

    def _remove(self, state):
        return {"name": self.dice.choice(state.whole.nodes).id}

    def _connect(self, state):
        a, b = self.dice.sample(state.whole.nodes, 2)
        return {"source": a.id, "target": b.id, "optional": True}

    def _disconnect(self, state):
        edge = self._edge(state)
        return {"source": edge.source, "target": edge.target}

    def _set_args(self, state):
        return {"name": self.dice.choice(state.whole.nodes).id, "args": {"kernel": self.dice.choice([1, 3, 5])}}

    def _set_cardinality(self, state):
        return {"group": self.dice.choice(state.whole.groups).id, "low": 1, "high": self.dice.randint(1, 2)}

    def _goto(self, state):
        return {"to": self.dice.choice([self.dice.randint(0, state.rev), "main"])}

    def _branch(self, state):
        return {"name": self._name()}

    def _pin(self, state):
        return {"target": "a", "on": self.dice.random() < 0.5}

    def _tag(self, state):
        return self._pin(state) | {"tag": "t"}

    def _comment(self, state):
        return {"target": "a", "text": "why"}


def holds(state):
    """The invariants of 2.1: an architecture is left, every choice has an option, what is said is of what exists."""
    settings = state.settings
    parts = {(c, o) for c, options in parts_of(state.whole).items() for o in options}
    for table in (settings.status, settings.nudges):
        assert {(c, o) for c, row in table.items() for o in row} <= parts
    sample = state.space.sample(4, np.random.default_rng(0))
    assert state.space.valid(sample).all()
    assert state.space.permits(sample).all()
    if isinstance(state.whole, Template):
        assert len(state.whole.nodes) <= 2000
        Template(settings.template).shapes(state.task)
        chosen = state.whole.chosen(sample)
        names = [node.id for node in state.whole.wiring.nodes]
        for choice, row in settings.status.items():
            for option, word in row.items():
                if option in names and choice in {g.id for g in state.whole.groups}:
                    assert (chosen[:, names.index(option)] == (word == "locked")).all()


def undo_all(state):
    while state.head.same_as:
        state = do(state, "undo")
    return state


def wander(state, seed, steps):
    """Send random commands until so many have been carried out; the others say why not in one line."""
    person, carried, refused = Person(seed), 0, []
    while carried < steps:
        try:
            state = state.apply(person.command(state))
            carried += 1
        except InputError as error:
            refused.append(str(error))
        # A space that has grown out of hand is cut back, so that the walk stays quick.
        if isinstance(state.whole, Template) and len(state.whole.nodes) > 24:
            state = do(state, "goto", 0)
    return state, refused


@pytest.mark.parametrize("seed", range(2))
def test_a_thousand_random_commands_and_all_is_undone(seed):
    start = fresh()
    state, refused = wander(start, seed, 1000)
    assert len(refused) > 50
    assert not any("\n" in reason for reason in refused)
    for revision in state.revisions:
        assert revision.rev == 0 or revision.parent is None or revision.parent < revision.rev
        assert revision.settings == state.revisions[revision.same_as].settings
    holds(state)
    back = undo_all(state)
    assert back.settings.hash == start.settings.hash
    assert Template(back.settings.template).digest == start.whole.digest


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 25))
def test_invariants_hold_after_every_command(seed, steps):
    state, person = fresh(), Person(seed)
    for _ in range(steps):
        try:
            state = state.apply(person.command(state))
        except InputError:
            continue
        holds(state)
    assert undo_all(state).settings.hash == fresh().settings.hash


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 15))
def test_a_log_of_commands_gives_the_same_state_again(seed, steps):
    state, person, log = fresh(), Person(seed), []
    for _ in range(steps):
        command = person.command(state)
        try:
            state = state.apply(command)
        except InputError:
            continue
        log.append(json.dumps(command.to_dict()))
    again = fresh()
    for text in log:
        again = again.apply(Command.from_dict(json.loads(text)))
    assert [r.settings.hash for r in again.revisions] == [r.settings.hash for r in state.revisions]
    assert again.notes == state.notes


def test_redo_takes_every_undo_back_until_something_else_is_done():
    state = fresh(CELLS)
    hashes = [state.settings.hash]
    for n in (3, 2, 1):
        state = do(state, "set_budget", n)
        hashes.append(state.settings.hash)
    for expected in hashes[-2::-1]:
        state = do(state, "undo")
        assert state.settings.hash == expected
    for expected in hashes[1:]:
        state = do(state, "redo")
        assert state.settings.hash == expected
    with pytest.raises(InputError, match="nothing to redo"):
        do(state, "redo")
    state = do(do(state, "undo"), "lock", "0->1", "none")
    with pytest.raises(InputError, match="nothing to redo"):
        do(state, "redo")
    # The revision left behind is still there.
    assert do(state, "goto", 3).settings.hash == hashes[3]
    with pytest.raises(InputError, match="nothing to undo"):
        do(undo_all(state), "undo")


def test_branches_are_returned_to_by_name():
    state = do(do(fresh(CELLS), "lock", "0->1", "none"), "branch", "bold")
    state = do(state, "exclude", "0->2", "none")
    bold = state.settings
    state = do(state, "goto", "main")
    assert (state.settings.branch, state.settings.status) == ("main", {"0->1": {"none": "locked"}})
    assert do(state, "goto", "bold").settings == bold
    with pytest.raises(InputError, match="branch 'bold' already"):
        do(state, "branch", "bold")
    with pytest.raises(UnknownNameError, match="did you mean 'bold'"):
        do(state, "goto", "blod")


def test_a_command_for_an_older_revision_is_refused_with_what_has_changed():
    state = do(fresh(CELLS), "exclude", "0->1", "none", base_rev=0)
    state = do(state, "nudge", "0->2", "none", 0.5, base_rev=1)
    with pytest.raises(InputError) as caught:
        do(state, "lock", "0->1", "skip_connect", base_rev=0)
    assert "revision 0" in str(caught.value)
    assert "status of 0->1=none: free -> excluded" in str(caught.value)
    assert "nudges of 0->2=none: 0 -> 0.5" in str(caught.value)
    with pytest.raises(InputError, match="no revision 9"):
        do(state, "lock", "0->1", "skip_connect", base_rev=9)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["lock", "0->9", "none"], r"unknown choice .* '0->9'"),
        (["lock", "0->1", "nnoe"], "did you mean 'none'"),
        (["lock", "a_conv3"], "has no nodes; name a choice and an option"),
        (["lock"], "name a choice and an option"),
        (["lock", "choice=0->1"], "name an option of choice '0->1' too"),
        (["nudge", "0->1", "none", "2"], "h is a number from -1 to 1, not 2"),
        (["nudge", "choice=0->1", "option=none"], "needs h"),
        (["free", "0->1", "none"], "would change nothing"),
        (["set_sampler", "strategy=evolutoin"], "did you mean 'evolution'"),
        (["set_sampler", "T=0.5"], "strategy 'random' has no T"),
        (["set_sampler", "guided", "uniform=0.8", "mutation=0.3"], "more than 1 together"),
        (["set_sampler"], "nothing to set"),
        (["set_objective", "maximize=parasm"], "did you mean 'params'"),
        (["set_objective", "maximize=params", "minimize=params"], "named twice"),
        (["set_objective", "params", "macs", "strategy=evolution"], "one objective"),
        (["set_objective"], "nothing to search for"),
        (["set_constraint", "params<<3"], "params<<3"),
        (["set_budget", "0"], "at least 1"),
        (["step", "1.5"], "whole number"),
        (["add_option", "g", "n", "identity"], "is no drawing"),
        (["goto", "7"], "numbered 0 to 0"),
        (["evaluate"], "needs archs"),
        (["explode"], "unknown steering command"),
        (["pause", "now"], "'now' is too much"),
        (["lock", "node=a", "chioce=b"], "is too much|no nodes"),
        (["tag", "a", "t", "on=false"], "no such tag"),
    ],
)
def test_a_refusal_says_why_in_one_line(words, error):
    with pytest.raises(InputError, match=error) as caught:
        do(fresh(CELLS), *words)
    assert "\n" not in str(caught.value)


def test_locks_and_exclusions_of_a_plain_space():
    state = do(do(fresh(CELLS), "lock", "0->1", "none"), "exclude", "0->2", "none")
    assert state.space.restriction.allowed[0].tolist() == [True, False, False, False, False]
    assert state.space.restriction.allowed[1].tolist() == [False, True, True, True, True]
    with pytest.raises(InputError, match="locked to 'none'; free it first"):
        do(state, "lock", "0->1", "skip_connect")
    for option in CELLS.choices[1].options[1:-1]:
        state = do(state, "exclude", "0->2", option)
    with pytest.raises(InputError, match="choice '0->2' has no option left"):
        do(state, "exclude", "0->2", CELLS.choices[1].options[-1])
    assert do(state, "free", "0->2").settings.status == {"0->1": {"none": "locked"}}


def test_a_study_keeps_its_own_restriction_under_steering():
    space = CELLS.restrict(exclude={"0->1": ["none"]})
    state = do(fresh(space), "exclude", "0->1", "skip_connect")
    assert state.space.restriction.allowed[0].tolist() == [False, False, True, True, True]
    assert do(state, "undo").space.restriction.allowed[0].tolist() == [False, True, True, True, True]


def test_a_template_without_a_way_through_is_refused():
    document = Template.load(SMALL).to_dict()
    document["edges"] = [e for e in document["edges"] if e != ["half", "second"]]
    document["edges"].append({"from": "half", "to": "second", "optional": True})
    state = do(fresh(Template(document)), "exclude", "half->classes")
    with pytest.raises(InputError, match="no valid architecture"):
        do(state, "exclude", "half->second")


def test_what_is_said_of_a_node_goes_and_comes_back_with_it():
    state = do(do(do(fresh(), "exclude", "b_pool"), "nudge", "b_pool", 1), "remove", "b_pool")
    assert (state.settings.status, state.settings.nudges) == ({}, {})
    back = do(state, "undo").settings
    assert back.status == {"second": {"b_pool": "excluded"}}
    assert back.nudges == {"second": {"b_pool": 1.0}}


def test_an_id_is_never_given_twice_also_after_undo():
    state = do(do(fresh(), "add_option", "first", "x", "identity"), "undo")
    with pytest.raises(InputError, match="'x' was used before; 'x_2' is free"):
        do(state, "add_option", "first", "x", "identity")


def test_nudges_of_sets_are_sums_within_bounds():
    state = do(do(fresh(), "nudge", "b_pool", 0.75), "nudge", "b_dilated", 0.5)
    table = nudge_table(state.whole, state.settings.nudges)
    names = state.whole.choices[1].options
    expected = {"b_residual": 0, "b_dilated": 0.5, "b_pool": 0.75, "b_residual+b_dilated": 0.5,
                "b_residual+b_pool": 0.75, "b_dilated+b_pool": 1.0}  # fmt: skip
    assert dict(zip(names, table[1], strict=False)) == expected
    assert not table[0].any()


def test_notes_are_kept_apart_from_revisions():
    state = fresh(CELLS)
    for words in (["pin", "a"], ["tag", "a", "good"], ["tag", "a", "small"], ["comment", "a", "so it is"]):
        state = do(state, *words)
    assert state.rev == 0
    assert state.notes == {"a": {"pinned": True, "tags": ("good", "small"), "comments": ("so it is",)}}
    for words in (["pin", "a"], ["tag", "a", "good"], ["tag", "a", "small"], ["comment", "a", "so it is"]):
        state = do(state, *words, "on=false")
    assert state.notes == {}


def test_words_json_and_python_say_the_same():
    spoken = [
        (["nudge", "0->1", "none", "-0.5"], {"choice": "0->1", "option": "none", "h": -0.5}),
        (["lock", "b_pool"], {"node": "b_pool"}),
        (["nudge", "b_pool", "0.5"], {"node": ["b_pool"], "h": 0.5}),
        (["set_constraint", "params<=5", "macs<=7"], {"where": ["params<=5", "macs<=7"]}),
        (["set_constraint", "where=[]"], {"where": []}),
        (["add_node", "n", "conv_bn_relu", "on=a->b", 'args={"kernel": 3}'],
         {"name": "n", "op": "conv_bn_relu", "on": "a->b", "args": {"kernel": 3}}),
        (["goto", "3"], {"to": "3"}),
        (["step"], {}),
        (["evaluate", "1", "2"], {"archs": ["1", "2"]}),
    ]  # fmt: skip
    for (op, *words), args in spoken:
        assert Command.from_words(op, words, id="x") == Command.from_dict({"op": op, "args": args, "id": "x"})


@pytest.mark.parametrize(
    "data",
    [
        None, [], "lock", {}, {"op": 3}, {"op": "lock", "args": 3}, {"op": "step", "args": {"n": True}},
        {"op": "pause", "id": ""}, {"op": "pause", "base_rev": "1"}, {"op": "pause", "note": None},
        {"op": "pause", "more": 1}, {"op": "nudge", "args": {"choice": "a", "option": "b", "h": float("nan")}},
        {"op": "set_args", "args": {"name": "n", "args": {"a": float("inf")}}},
        {"op": "set_args", "args": {"name": "n", "args": {"a": "x" * 5_000_001}}},
        {"op": "add_group", "args": {"name": "g", "options": [3]}},
        {"op": "export", "args": {"arch": "a", "format": "pt"}},
    ],
)  # fmt: skip
def test_what_is_no_command_is_refused(data):
    with pytest.raises(InputError) as caught:
        Command.from_dict(data)
    assert "\n" not in str(caught.value)


def test_every_operation_says_what_it_does():
    assert all(o.does and o.kind for o in OPERATIONS.values())
