"""The studio from Python: a link that works while it is open and refuses afterwards."""

from __future__ import annotations

import httpx
import pytest

from ogive._errors import InputError, StorageError
from ogive.study import Study


def small(**more):
    return Study("nasbench201", "digits", maximize="params", minimize="macs", trials=10, seed=1, **more)


def test_a_study_shows_itself(tmp_path):
    study = small(out=tmp_path / "run").run()
    link = study.studio()
    try:
        with httpx.Client(follow_redirects=True) as client:
            assert client.get(link.url).status_code == 200
            base = link.url.partition("/login")[0]
            state = client.get(f"{base}/api/state").json()
            assert (state["budget"]["done"], state["best"]["arch"]) == (10, study.best.arch)
            # What is found later is shown too: the page reads the log.
            study.run(5)
            assert client.get(f"{base}/api/state").json()["budget"]["done"] == 15
        assert f'href="{link.url}"' in link._repr_html_()
    finally:
        link.close()
        link.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(link.url)


def test_a_study_in_memory_has_nothing_to_show():
    with pytest.raises(InputError, match="out="):
        small().studio()


def test_a_run_that_is_gone_is_said_in_one_line(tmp_path):
    study = small(out=tmp_path / "run").run()
    (tmp_path / "run" / "config.yaml").unlink()
    with pytest.raises(StorageError, match="no run"):
        study.studio()
