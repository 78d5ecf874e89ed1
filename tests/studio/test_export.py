"""Candidates as files: source that stands alone, JSON, weights."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from ogive.spaces.base import Shape, get_space
from ogive.spaces.template import Template
from ogive.studio.app import Studio
from ogive.studio.engines import Engine
from ogive.studio.export import headline
from ogive.studio.guard import Keys
from ogive.studio.reading import Reading
from ogive.studio.source import source
from ogive.study import Study
from tests.studio.runs import SMALL, Asgi, cell_run

HOST = "127.0.0.1:8123"
SPACES = ["nasbench201:C=4,N=1", "nasbench101", "nats_sss", "transnas_macro", "mobilenetv3", f"template:path={SMALL}"]


def exporting(folder):
    """Return a function that asks the studio of a run for a file."""
    keys = Keys()
    client = Asgi(Studio([Reading(folder, folder.name, Engine(folder))], keys, [HOST], 8123).app, HOST)
    client.cookies.set("ogive-studio-8123", keys.cookie)
    return lambda number, kind: client.get(f"/api/export/{number}?format={kind}")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return cell_run(tmp_path_factory.mktemp("export") / "cells", 20)


@pytest.fixture(scope="module")
def shared_weights(tmp_path_factory):
    """A search that trains its supernet for a moment."""
    folder = tmp_path_factory.mktemp("export") / "oneshot"
    recipe = {"epochs": 1, "batch_size": 256}
    space = f"template:path={SMALL}"
    Study(space, "digits", maximize="accuracy@supernet", trials=4, supernet=recipe, out=folder).run()
    return folder


def best_of(folder):
    reading = Reading(folder, folder.name, Engine(folder))
    reading.update()
    return reading.best()


def read(text):
    scope = {"__name__": "exported"}
    exec(compile(text, "exported.py", "exec"), scope)
    return scope


def assert_equal(model, text, shape):
    """Assert that a file computes what a model computes, also with weights that it does not check itself by."""
    scope = read(text)
    scope["check"]()
    model = model.double().eval()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 0.5)
        network = scope["Network"]().double().load(model.state_dict()).eval()
        x = torch.rand(3, *shape, dtype=torch.float64)
        expected = model(x)
        torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spec", SPACES)
def test_source_computes_what_the_network_computes(spec):
    space = get_space(spec)
    torch.manual_seed(0)
    for genotype in space.sample(2, np.random.default_rng(5)):
        model = space.build(genotype, Shape((3, 16, 16), 10))
        assert_equal(model, source(model, (3, 16, 16), [spec]), (3, 16, 16))


def test_every_way_to_merge_has_source():
    nodes = [
        {"id": "image", "op": "input"},
        {"id": "a", "op": "conv_bn_relu", "channels": 4},
        {"id": "b", "op": "separable_conv"},
        {"id": "both", "op": "conv_bn_relu", "channels": 6, "merge": "concat"},
        {"id": "c", "op": "relu_conv_bn"},
        {"id": "gate", "op": "factorized_reduction", "stride": 2, "merge": "gated"},
        {"id": "classes", "op": "output"},
        {"id": "also", "op": "output", "merge": "mean"},
    ]
    pairs = ["image a", "a both", "b both", "both c", "both gate", "c gate", "gate classes", "both also", "c also"]
    edges = [dict(zip(("from", "to"), pair.split(), strict=True)) for pair in pairs]
    edges.append({"from": "image", "to": "b", "optional": True})
    space = Template({"nodes": nodes, "edges": edges})
    for genotype in space.enumerate():
        model = space.build(genotype, Shape((3, 8, 8), 10))
        text = source(model, (3, 8, 8), ["merges"], space.steps(genotype))
        assert_equal(model, text, (3, 8, 8))
        assert "# gate: factorized_reduction" in text


def test_the_best_candidate_stands_alone_as_a_file(cells, tmp_path):
    best = best_of(cells)
    answer = exporting(cells)(best["id"], "py")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith(f'filename="cells-{best["id"]}.py"')
    (tmp_path / "net.py").write_text(answer.text, encoding="utf-8")
    assert "ogive" not in answer.text.lower()
    bare = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "net.py"], cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # What it is held to can be missed.
    scope = read(answer.text)
    scope["RECORDED"][0][0] += 1e-5
    with pytest.raises(AssertionError):
        scope["check"]()


def test_what_a_run_is_called_cannot_leave_its_comment():
    lines = headline({"id": 1, "run": "x\nimport os", "arch": "a\r\u2028b", "metrics": {}})
    assert all(line.isprintable() and line.isascii() for line in lines)


def test_json_names_the_architecture(cells):
    best = best_of(cells)
    found = exporting(cells)(best["id"], "json").json()
    space = get_space(found["space"])
    assert space.format(np.array(found["genotype"], dtype=space.dtype)) == found["arch"] == best["arch"]
    assert found["metrics"] == pytest.approx(best["metrics"])


def test_weights_are_those_of_the_supernet(shared_weights):
    from safetensors.torch import load

    best, export = best_of(shared_weights), exporting(shared_weights)
    tensors = load(export(best["id"], "safetensors").content)
    # The source takes them by its own names.
    network = read(export(best["id"], "py").text)["Network"]().load(tensors)
    study = Study.open(shared_weights)
    model = study.problem.space.build(study.problem.space.parse(best["arch"]), study.problem.context.task)
    model.load_state_dict(tensors)
    x = torch.rand(2, *study.problem.context.task.input_shape)
    torch.testing.assert_close(network.eval()(x), model.eval()(x))


def test_what_has_no_weights_says_how_to_get_some(cells):
    answer = exporting(cells)(best_of(cells)["id"], "safetensors")
    assert answer.status_code == 400
    assert "train it alone" in answer.json()["error"]


def test_an_unknown_format_is_refused(cells):
    answer = exporting(cells)(best_of(cells)["id"], "pickle")
    assert answer.status_code == 404
    assert "pickle" in answer.json()["error"]
