"""Identity: one JSON text for a value, and a fingerprint moved by all code that counts."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core import identity
from pipelines.core.identity import canonical, code_fingerprint, digest, library_versions
from pipelines.recipe.loading import load_recipes
from pipelines.stages import declare

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_canonical_json_is_read_back_and_written_alike(value: object) -> None:
    written = canonical(value)
    assert json.loads(written) == value
    assert canonical(json.loads(written)) == written


def test_canonical_json_is_one_text() -> None:
    assert (
        canonical({"b": [1, 1.0, None], "a": "é\u2028"})
        == '{"a":"é\u2028","b":[1,1.0,null]}'.encode()
    )
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": (1, 2)}) == digest({"a": [1, 2]})
    assert digest("x") == hashlib.sha256(b'"x"').hexdigest()
    for unequal in ((1, 1.0), ("1", 1), (None, "null"), ({}, [])):
        assert digest(unequal[0]) != digest(unequal[1])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes", object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        canonical(value)


def test_a_build_tag_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity.metadata, "version", lambda _: "2.1+cpu")
    assert library_versions(["torch", "torch"]) == {"torch": "2.1"}
    assert library_versions(["torch"], exact=True) == {"torch": "2.1+cpu"}


# A package of its own, so that code can be changed and fingerprints compared

FILES = {
    "__init__.py": "",
    "top.py": "from sample.direct import f\ndef g():\n    import sample.lazy\n    return f\n",
    "direct.py": '"""A module."""\nfrom . import relative\nN = 1\ndef f(x):\n    """Words."""\n'
    "    return x\n",
    "relative.py": "from .deep.far import LEAF\n",
    "deep/__init__.py": "",
    "deep/far.py": "LEAF = [1, 2]\n",
    "lazy.py": "if True:\n    from sample import conditional\n",
    "conditional.py": "X = f'{1!r:>{2}}'\n",
    "apart.py": "Y = 1\n",
    "plugins/__init__.py": "import pkgutil\nfound = list(pkgutil.iter_modules(__path__))\n",
    "plugins/one.py": "Z = 1\n",
    "uses_plugins.py": "import sample.plugins\n",
}
Sample = Callable[..., str]


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sample:
    """``sample(module, file, text)``: the module's fingerprint once the file holds the text.

    With entries as ``uses``, it is that of code that uses these of the plugins.
    """
    monkeypatch.setattr(identity, "PROJECT", (*identity.PROJECT, "sample"))
    monkeypatch.syspath_prepend(str(tmp_path))
    root = tmp_path / "sample"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    def fingerprint(
        module: str, file: str = "", text: str = "", uses: identity.Uses = identity.EVERYTHING
    ) -> str:
        for name, original in FILES.items():
            (root / name).write_text(original)
        if file:
            (root / file).parent.mkdir(exist_ok=True)
            (root / file).write_text(text)
        forget()
        found = code_fingerprint(f"sample.{module}", uses)
        if file and file not in FILES:
            (root / file).unlink()
        return found

    return fingerprint


def forget() -> None:
    importlib.invalidate_caches()
    identity.forget_code()


@pytest.fixture(autouse=True)
def _forget_afterwards() -> object:
    yield
    forget()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("direct.py", "from . import relative\nN = 1\ndef f(x):\n    return x\n"),
        ("direct.py", FILES["direct.py"].replace("Words.", "Other words.")),
        ("direct.py", FILES["direct.py"].replace("N = 1", "N   =  1  # a comment\n\n")),
        ("direct.py", FILES["direct.py"].replace("(x):", "(\n    x,\n):")),
        ("deep/far.py", "LEAF = [\n    1,\n    2,\n]\n"),
        ("deep/far.py", '"""Now it has words."""\nLEAF = [1, 0x2]\n'),
        ("apart.py", "Y = 2\n"),
        ("plugins/one.py", "Z = 2\n"),
        ("deep/__init__.py", '"""Words."""\nimport sample.apart\ndef unused():\n    return 1\n'),
    ],
)  # fmt: skip
def test_what_cannot_matter_leaves_the_fingerprint(sample: Sample, file: str, text: str) -> None:
    assert sample("top", file, text) == sample("top")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("top.py", FILES["top.py"].replace("return f", "return f, 1")),
        ("direct.py", FILES["direct.py"].replace("N = 1", "N = True")),
        ("direct.py", FILES["direct.py"].replace("N = 1", "N = 1.0")),
        ("direct.py", FILES["direct.py"].replace("N = 1", "N = '1'")),
        ("direct.py", FILES["direct.py"].replace("f(x)", "f(x, /)")),
        ("direct.py", FILES["direct.py"].replace("def f", "async def f")),
        ("relative.py", FILES["relative.py"] + "LEAF.append(3)\n"),
        ("deep/far.py", "LEAF = [2, 1]\n"),
        ("deep/far.py", "LEAF = (1, 2)\n"),
        ("lazy.py", FILES["lazy.py"].replace("True", "1")),
        ("conditional.py", "X = f'{1!s:>{2}}'\n"),
        ("conditional.py", "X = f'{1!r:>{3}}'\n"),
        ("__init__.py", "import random\nrandom.seed(1)\n"),
        ("deep/__init__.py", "FLAG = 1\n"),
        ("deep/__init__.py", "if True:\n    import sample.apart\n"),
    ],
)
def test_all_code_that_can_be_reached_counts(sample: Sample, file: str, text: str) -> None:
    assert sample("top", file, text) != sample("top")


def test_a_catalogue_depends_on_all_its_files(sample: Sample) -> None:
    before = sample("uses_plugins")
    assert sample("uses_plugins", "plugins/one.py", "Z = 2\n") != before
    assert sample("uses_plugins", "plugins/two.py", "Z = 1\n") != before
    assert sample("uses_plugins") == before


def test_what_only_shows_does_not_count_where_it_only_shows(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "from . import relative\nN = 2\n"
    assert sample("top", "direct.py", other) != sample("top")
    monkeypatch.setattr(identity, "SHOWS_ONLY", {"sample.top": {"sample.direct"}})
    assert sample("top", "direct.py", other) == sample("top")
    assert sample("direct", "direct.py", other) != sample("direct")


def test_of_a_catalogue_those_entries_count_that_are_used(sample: Sample) -> None:
    def code(entries: tuple[str, ...], file: str = "", text: str = "") -> str:
        return sample("uses_plugins", file, text, {"sample.plugins": entries})

    assert code(("one",)) != code(()) != sample("uses_plugins")
    assert code(("one",), "plugins/one.py", "Z = 2\n") != code(("one",))
    assert code((), "plugins/one.py", "Z = 2\n") == code(())
    assert code(("one",), "plugins/two.py", "Z = 2\n") == code(("one",))
    with pytest.raises(ValueError, match=r"sample\.plugins has no entry three"):
        code(("one", "three"))


def test_a_catalogue_that_is_not_named_counts_whole(sample: Sample) -> None:
    """An entry of another catalogue may have the same name."""
    other: identity.Uses = {"sample.other": ("one",)}
    before = sample("uses_plugins", uses=other)
    assert before == sample("uses_plugins")
    assert sample("uses_plugins", "plugins/two.py", "Z = 2\n", other) != before


def test_every_asset_names_what_it_uses_of_each_catalogue_that_its_code_reaches() -> None:
    recipes = load_recipes(Path(__file__).parents[2] / "recipes").values()
    for declared in declare(recipes):
        code = identity.reachable(declared.making.partition(":")[0], declared.uses)
        walked = {name for name in code if identity._entries(name)}
        assert walked == set(declared.uses), declared.key


def test_finding_code_runs_none_of_it() -> None:
    statement = (
        "import sys; from pipelines.core.identity import code_fingerprint;"
        "code_fingerprint('pipelines.training.declare');"
        "print([name for name in sys.modules if name.startswith(('torch', 'model', 'dagster'))])"
    )
    told = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True)
    assert told.stdout.strip() == "[]", told.stdout + told.stderr
