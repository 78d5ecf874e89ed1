"""``accuracy@supernet`` reads a trained supernet, from a folder or alive, and refuses another's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ogive._errors import InputError
from ogive.metrics.base import Context, Cost, resolve
from ogive.metrics.evaluate import evaluate
from ogive.metrics.guard import LeakError, forbidden
from ogive.spaces.base import get_space
from ogive.spaces.template import Template
from ogive.tasks import get_task
from ogive.training.recalibration import Scorer
from ogive.training.supernet import Supernet
from ogive.training.supernet_config import SupernetConfig
from ogive.training.supernet_data import val_parts
from ogive.training.supernet_trainer import SupernetTrainer

NAMES = ["accuracy@supernet", "loss@supernet"]
SPACE = get_space("nasbench201:C=2,N=1")
TASK = get_task("digits")
TOY = Path(__file__).parents[2] / "examples" / "templates" / "toy.yaml"
ARCHS = SPACE.sample(4, np.random.default_rng(1))


def train(space=SPACE, task=TASK, steps=10, **changes):
    config = SupernetConfig(**({"epochs": 2, "recalibrate": 3} | changes))
    run = SupernetTrainer(Supernet(space, task), task, config)
    run.run(steps)
    return run


@pytest.fixture(scope="module")
def run():
    return train()


def measure(source, space=SPACE, task=TASK, archs=ARCHS, names=NAMES):
    found = evaluate(names, space, archs, Context(task=task, options={"supernet": source}))
    assert not found.failures
    return np.stack([found.values[name] for name in names])


def test_registered_with_unit_and_direction():
    found = {n: (m.unit, m.direction, m.cost, m.identity) for n in NAMES for m in [resolve(n)]}
    assert found == {
        "accuracy@supernet": ("%", "max", Cost.FORWARD, "genotype"),
        "loss@supernet": ("nats", "min", Cost.FORWARD, "genotype"),
    }


def test_values_are_those_of_the_scorer_on_the_search_part(run):
    scorer = Scorer(run.supernet, TASK, rows=val_parts(TASK, 0.5)[0], recalibrate=3)
    expected = [scorer(g) for g in ARCHS]
    found = measure(run)
    np.testing.assert_array_equal(found, [[e[k] for e in expected] for k in ("accuracy", "loss")])
    assert len(set(found[1])) == 4


def test_a_folder_a_mapping_and_a_live_object_give_the_same(run, tmp_path):
    run.save(tmp_path)
    expected = measure(run)
    for source in (tmp_path, str(tmp_path), {"folder": str(tmp_path)}, SimpleNamespace(trainer=run)):
        np.testing.assert_array_equal(measure(source), expected)


def test_a_folder_is_read_again_when_it_was_written_again(run, tmp_path):
    run.save(tmp_path)
    before = measure(tmp_path)
    later = SupernetTrainer.load(tmp_path, TASK)
    later.run(5)
    later.save(tmp_path)
    after = measure(tmp_path)
    assert (after != before).any()
    np.testing.assert_array_equal(after, measure(later))


def test_a_live_supernet_is_scored_anew_after_each_step():
    run = train()
    before = measure(run)
    np.testing.assert_array_equal(measure(run), before)
    run.run(1)
    assert (measure(run)[1] != before[1]).all()


def test_a_drawing_is_known_by_what_it_shows(tmp_path):
    """The file of the template may lie elsewhere, or be gone."""
    path = tmp_path / "drawn.yaml"
    space = Template.load(TOY).save(path)
    run = train(space, steps=2)
    run.save(tmp_path / "supernet")
    path.unlink()
    archs = space.sample(2, np.random.default_rng(0))
    found = measure(tmp_path / "supernet", Template.load(TOY), archs=archs)
    np.testing.assert_array_equal(found, measure(run, space, archs=archs))


def test_what_does_not_fit_is_said(run, tmp_path):
    with pytest.raises(InputError, match=r"'accuracy@supernet' needs a trained supernet; .* --supernet runs/supernet"):
        measure(None)
    with pytest.raises(InputError, match="needs a trained supernet"):
        measure(3.5)
    with pytest.raises(InputError, match=r"holds no supernet.safetensors; make one with ogive supernet train --out"):
        measure(tmp_path)
    (tmp_path / "supernet.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        measure(tmp_path)
    other = get_space("nasbench201:C=4,N=1")
    with pytest.raises(InputError, match="holds space 'nasbench201:C=2,N=1', not 'nasbench201:C=4,N=1'; give that one"):
        measure(run, other)
    with pytest.raises(InputError, match="was trained on task 'digits', not 'digits:variant=noisy'; give that one"):
        measure(run, task=get_task("digits:variant=noisy"))
    run.save(tmp_path)
    with pytest.raises(InputError, match="was trained on task 'digits', not 'digits:variant=noisy'; give that one"):
        measure(tmp_path, task=get_task("digits:variant=noisy"))
    with pytest.raises(InputError, match="task"):
        measure(run, task=None)


def test_a_search_that_must_not_know_the_task_cannot_ask_a_supernet(run):
    with forbidden("accuracy@train/digits"), pytest.raises(LeakError):
        measure(run)
