"""Names, nearest names, plug-ins and the written form of options."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive._errors import InputError, OgiveError, UnknownNameError, nearest
from ogive._registry import Registry, load_plugin, parse_spec


def test_builtin_is_imported_on_first_use():
    registry: Registry[object] = Registry("thing", {"present": "json", "absent": "json"})
    assert "present" in registry
    assert registry.names() == ["absent", "present"]
    assert registry.names("pre*") == ["present"]
    with pytest.raises(UnknownNameError):  # json registers nothing here
        registry.get("present")


def test_unknown_name_names_the_nearest():
    registry: Registry[int] = Registry("strategy", {})
    registry.add("evolution", 1)
    registry.add("random", 2)
    with pytest.raises(UnknownNameError, match="unknown strategy 'evolutoin'; did you mean 'evolution'"):
        registry.get("evolutoin")
    with pytest.raises(UnknownNameError, match="known: evolution, random"):
        registry.get("zzz")


def test_second_registration_is_refused():
    registry: Registry[object] = Registry("thing", {})
    first = object()
    assert registry.add("a", first) is first
    assert registry.add("a", first) is first
    with pytest.raises(InputError, match="'a' is registered twice"):
        registry.add("a", object())


def test_errors_are_builtins_too():
    error = UnknownNameError.of("space", "x", ["y"])
    assert isinstance(error, (OgiveError, ValueError))
    assert isinstance(error, LookupError)
    assert str(error) == "unknown space 'x'; known: y"


def test_nearest_of_nothing():
    assert nearest("x", []) == "known: none"


def test_plugin_from_file(tmp_path):
    path = tmp_path / "halves.py"
    path.write_text("from ogive.metrics import metric\n@metric('halves')\ndef halves(s, g, c): return g.sum(1) / 2\n")
    load_plugin(str(path))
    load_plugin(str(path))  # a second time changes nothing
    from ogive.metrics import resolve

    assert resolve("halves").name == "halves"


@pytest.mark.parametrize("source", ["no/such/file.py", "no_such_module_anywhere"])
def test_absent_plugin(source):
    with pytest.raises(InputError, match="plug-in"):
        load_plugin(source)


def test_options_keep_their_types():
    name, options = parse_spec("evolution:population=30,rate=0.5,age=true,mode=fast")
    assert name == "evolution"
    assert options == {"population": 30, "rate": 0.5, "age": True, "mode": "fast"}
    assert parse_spec("random") == ("random", {})


def test_option_without_value():
    with pytest.raises(InputError, match="option 'C' of 'nasbench201:C' has no value"):
        parse_spec("nasbench201:C")


word = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda w: w not in {"true", "false", "nan", "inf"})


@given(word, st.dictionaries(word, st.one_of(st.integers(), st.booleans(), word.filter(lambda w: w != "infinity"))))
def test_spec_round_trip(name, options):
    text = name + ":" + ",".join(f"{k}={v}" for k, v in options.items())
    assert parse_spec(text) == (name, options)
