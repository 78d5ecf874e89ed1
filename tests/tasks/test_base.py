"""Tasks are found by name and options; their shapes need no files."""

from __future__ import annotations

import pytest

from ogive._errors import DataMissingError, InputError, UnknownNameError
from ogive.tasks import TASKS, get_task
from ogive.tasks.base import Task


@pytest.mark.parametrize("name", [name for name in TASKS.names() if name != "arrays"])
def test_shapes_are_known_without_files(name):
    shapes = {
        "digits": ((1, 8, 8), 10),
        "cifar10": ((3, 32, 32), 10),
        "cifar100": ((3, 32, 32), 100),
        "imagenet16-120": ((3, 16, 16), 120),
        "mnist": ((1, 28, 28), 10),
        "esc10": ((1, 96, 101), 10),
    }
    task = get_task(name)
    assert (task.input_shape, task.n_outputs) == shapes[name]
    assert get_task(task) is task
    assert task.reference


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "imagenet16-120", "mnist", "esc10"])
def test_missing_files_are_named_with_the_place_they_belong(name, monkeypatch, tmp_path):
    monkeypatch.setenv("OGIVE_DATA", str(tmp_path))
    with pytest.raises(DataMissingError) as found:
        get_task(name).split("train")
    message = str(found.value)
    assert str(tmp_path / name) in message
    for layout in type(get_task(name)).layouts:
        assert layout.folder in message
        assert layout.archive in message
    assert type(get_task(name)).extract in message
    assert len(message.splitlines()) == 1


def test_unknown_names_and_options_name_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown task 'digist'; did you mean 'digits'"):
        get_task("digist")
    with pytest.raises(UnknownNameError, match="option of task 'cifar10' 'pth'; did you mean 'path'"):
        get_task("cifar10:pth=/tmp")
    with pytest.raises(InputError, match="val=-5 must be a whole number"):
        get_task("cifar10:val=-5")


def test_options_round_trip_through_the_spec():
    task = get_task("cifar10:path=/some/place,val=100")
    assert (task.path, task.val) == ("/some/place", 100)
    assert get_task(task.spec).spec == task.spec == "cifar10:path=/some/place,val=100"
    assert isinstance(task, Task)
