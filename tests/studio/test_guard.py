"""Who the studio answers: the matrix of section 7 of its specification, each refusal with its status."""

from __future__ import annotations

import pytest

from ogive.studio.app import Studio
from ogive.studio.engines import Engine
from ogive.studio.guard import CSRF_HEADER, MAX_FAILURES, Keys
from ogive.studio.reading import Reading
from tests.studio.runs import Asgi, cell_run

HOST = "127.0.0.1:8123"
COOKIE = "ogive-studio-8123"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return cell_run(tmp_path_factory.mktemp("guard") / "run")


class Busy(Engine):
    """Looks as if a process worked on the run, so that a command need not start one."""

    running = True


@pytest.fixture
def studio(run):
    keys = Keys()
    studio = Studio([Reading(run, "run", Busy(run))], keys, [HOST, "localhost:8123"], 8123)
    # Streams of a test must end by themselves.
    studio.ending.set()
    return studio


@pytest.fixture
def client(studio):
    client = Asgi(studio.app, HOST)
    client.cookies.set(COOKIE, studio.keys.cookie)
    return client


def ask(client, what, **headers):
    if what == "commands":
        headers = {"content-type": "application/json", **headers}
        return client.post("/api/commands", content=b'{"op":"pause"}', headers=headers)
    return client.get(f"/api/{what}", headers=headers)


EVERY = ["state", "stream", "commands"]


@pytest.mark.parametrize("what", EVERY)
def test_what_is_right_is_answered(client, studio, what):
    answer = ask(client, what, **{CSRF_HEADER: studio.keys.csrf})
    assert answer.status_code in (200, 202)


@pytest.mark.parametrize("what", EVERY)
def test_without_a_cookie_nobody_is_answered(client, studio, what):
    client.cookies.clear()
    assert ask(client, what, **{CSRF_HEADER: studio.keys.csrf}).status_code == 401


@pytest.mark.parametrize("what", EVERY)
def test_a_bad_token_or_cookie_is_refused(client, studio, what):
    right = {CSRF_HEADER: studio.keys.csrf}
    assert ask(client, what, authorization="Bearer wrong", **right).status_code == 401
    client.cookies.set(COOKIE, studio.keys.cookie[:-1])
    assert ask(client, what, **right).status_code == 401
    client.cookies.clear()
    client.cookies.set("ogive-studio-8124", studio.keys.cookie)
    assert ask(client, what, **right).status_code == 401


@pytest.mark.parametrize("what", EVERY)
@pytest.mark.parametrize("host", ["evil.example:8123", "127.0.0.1:9999", "127.0.0.1", "evil.example@127.0.0.1:8123"])
def test_a_foreign_host_is_refused(client, studio, what, host):
    assert ask(client, what, host=host, **{CSRF_HEADER: studio.keys.csrf}).status_code == 400


@pytest.mark.parametrize("what", EVERY)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8123", "http://127.0.0.1:9999"])
def test_a_foreign_origin_is_refused(client, studio, what, origin):
    assert ask(client, what, origin=origin, **{CSRF_HEADER: studio.keys.csrf}).status_code == 403


@pytest.mark.parametrize("what", EVERY)
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_makes_the_browser_send_is_refused(client, studio, what, site):
    answer = ask(client, what, **{"sec-fetch-site": site, CSRF_HEADER: studio.keys.csrf})
    assert answer.status_code == 403


@pytest.mark.parametrize("what", EVERY)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_cannot_speak_for_the_page(client, studio, what, kind):
    assert ask(client, what, **{"content-type": kind, CSRF_HEADER: studio.keys.csrf}).status_code == 415


def test_a_command_needs_the_second_secret(client, studio):
    assert ask(client, "commands").status_code == 403
    assert ask(client, "commands", **{CSRF_HEADER: "wrong"}).status_code == 403
    assert ask(client, "state").json()["csrf"] == studio.keys.csrf


def test_a_script_with_the_token_needs_no_cookie(client, studio):
    client.cookies.clear()
    bearer = {"authorization": f"Bearer {studio.keys.token}"}
    assert ask(client, "state", **bearer).status_code == 200
    assert ask(client, "commands", **bearer).status_code == 202


def test_login_gives_a_cookie_and_takes_the_token_out_of_the_address(client, studio):
    client.cookies.clear()
    answer = client.get(f"/login?token={studio.keys.token}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"{COOKIE}=")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/api/state").status_code == 200
    assert studio.keys.token not in answer.headers["set-cookie"]


def test_a_link_on_another_site_logs_in_by_a_page_of_our_own(client, studio):
    client.cookies.clear()
    answer = client.get(f"/login?token={studio.keys.token}", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert 'content="0;url=/"' in answer.text


def test_a_one_time_token_opens_once(client, studio):
    client.cookies.clear()
    token = studio.keys.one_time()
    assert client.get(f"/login?token={token}").status_code == 303
    assert client.get(f"/login?token={token}").status_code == 401
    assert client.get(f"/login?token={studio.keys.token}").status_code == 303


def test_after_ten_wrong_tokens_even_the_right_one_must_wait(client, studio, monkeypatch):
    client.cookies.clear()
    for i in range(MAX_FAILURES):
        assert client.get(f"/login?token=guess{i}").status_code == 401
    assert client.get(f"/login?token={studio.keys.token}").status_code == 429
    bearer = {"authorization": f"Bearer {studio.keys.token}"}
    assert ask(client, "state", **bearer).status_code == 429
    client.cookies.set(COOKIE, studio.keys.cookie)
    assert ask(client, "state").status_code == 200, "a page that is open is not locked out"
    client.cookies.clear()
    import ogive.studio.guard as module

    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 61)
    assert client.get(f"/login?token={studio.keys.token}").status_code == 303


def test_only_health_is_public(client):
    client.cookies.clear()
    assert client.get("/healthz").text == "ok"
    for path in ("/", "/static/index.html", "/api/runs", "/api/events", "/nothing"):
        assert client.get(path).status_code == 401
    assert client.get("/healthz", headers={"host": "evil.example"}).status_code == 400


def test_every_answer_carries_the_headers_that_shut_others_out(client):
    for path in ("/healthz", "/api/state", "/", "/login?token=wrong", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert not [h for h in headers if h.startswith("access-control")]


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/nothing.js"],
)
def test_files_outside_the_page_are_not_there(client, path):
    assert client.get(path).status_code == 404


def test_secrets_are_long_and_new_each_time():
    keys, other = Keys(), Keys()
    assert len(keys.token) >= 43
    assert len({keys.token, keys.session, other.token, other.session, keys.cookie, keys.csrf}) == 6
