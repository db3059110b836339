"""Imports point down only, heavy libraries stay where they are used, and no door runs code."""

from __future__ import annotations

import ast
import importlib.util
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path for folder in ("model", "pipelines") for path in (ROOT / folder).rglob("*.py")
)

# A module's floor is that of the longest name here that begins its own.
FLOORS = {
    "model": 0,
    "pipelines.text": 1,
    "pipelines.recipe": 1,
    "pipelines.core.identity": 1,
    "pipelines.core.artefact": 2,
    "pipelines.core.store": 3,
    "pipelines.lineage.trace": 3,
    "pipelines.core.tracking": 3,
    "pipelines.stages": 4,
    "pipelines.orchestration.checks": 4,
    "pipelines.orchestration.automation": 4,
    "pipelines.definitions": 5,
    "pipelines.orchestration.graph": 5,
    "pipelines.preload": 5,
    "pipelines.cli": 5,
}
# Between the floors stands what serves the assets: it knows artefacts, and no Dagster.
BESIDE_STORE = (
    "batches",
    "card",
    "climbing",
    "describe",
    "evaluating",
    "fitting",
    "interop",
    "markup",
    "masked",
    "page",
    "pictures",
    "processor",
    "progress",
    "project",
    "resources",
    "runs",
    "translating",
    "vectors",
)
FLOORS |= {f"pipelines.{name}": 3 for name in BESIDE_STORE}

# What F0 may import: torch, and what computes in Python without touching a disk, a clock or a net.
PURE = {
    *("__future__", "bisect", "collections", "contextlib", "copy", "dataclasses", "difflib"),
    *("enum", "functools", "hashlib", "importlib", "inspect", "itertools", "math", "pkgutil"),
    *("random", "re", "statistics", "typing", "warnings"),
}
DEFINITIONS_WITHOUT = ("torch", "mlflow", "datasets", "pandas")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, on_load: bool = False) -> set[str]:
    """What a file imports, relative names resolved; ``on_load``: not what its functions do.

    What is there for the types' sake is never imported.
    """
    name = name_of(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif not (on_load and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)
    return found


def floor_of(module: str) -> int | None:
    known = [name for name in FLOORS if module == name or module.startswith(f"{name}.")]
    return FLOORS[max(known, key=len)] if known else None


def each_source(*folders: str) -> list[Path]:
    return [path for path in SOURCES if path.relative_to(ROOT).as_posix().startswith(folders)]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    floor = floor_of(name_of(path))
    for imported in imports(path):
        other = floor_of(imported)
        assert other is None or floor is None or other <= floor, f"{imported} is above"


def test_every_module_has_a_floor() -> None:
    without = {name_of(path) for path in SOURCES if floor_of(name_of(path)) is None}
    assert without == {"pipelines"}, "give them a floor in FLOORS"


@pytest.mark.parametrize("path", each_source("model/"), ids=name_of)
def test_the_model_knows_torch_and_nothing_else(path: Path) -> None:
    for imported in imports(path):
        top = imported.split(".")[0]
        assert top in PURE | {"torch", "model"}, imported
        assert not re.match(r"importlib\.(resources|metadata)", imported)


@pytest.mark.parametrize("path", each_source("pipelines/text/", "pipelines/recipe"), ids=name_of)
def test_text_and_recipes_know_nothing_of_the_house(path: Path) -> None:
    for imported in imports(path):
        top = imported.split(".")[0]
        forbidden = {"dagster", "mlflow", "torch", "datasets", "safetensors", "pandas"}
        # One module streams the hub's data sets, by the library that everybody uses for it.
        assert top not in forbidden - ({"datasets"} if path.stem == "hub" else set())
        if top == "pipelines":
            assert imported.startswith(("pipelines.text", "pipelines.recipe")), imported


def test_each_heavy_library_has_its_place() -> None:
    places = {
        "mlflow": r"pipelines\.tracking\.sending",
        "dagster": r"pipelines\."
        r"(assets|checks|automation|graph|definitions|resources|runs|cli)\b.*",
        "safetensors": r"pipelines\.(artifacts|fitting|interop\..*)",
        "gguf": r"pipelines\.interop\..*",
        "transformers": "nowhere",
        "sacrebleu": r"pipelines\.translating",
        "babel": r"pipelines\.text\.translations",
        "num2words": r"pipelines\.text\.translations",
        "pyarrow": r"pipelines\.(artifacts|text\..*)",
        "sklearn": r"pipelines\.(text\.baselines|vectors)",
        "matplotlib": r"pipelines\.pictures",
        "pandas": "nowhere",
        "pickle": "nowhere",
        "cloudpickle": "nowhere",
        "joblib": "nowhere",
        "shelve": "nowhere",
        "marshal": "nowhere",
        "dill": "nowhere",
    }
    for path in SOURCES:
        for imported in imports(path):
            place = places.get(imported.split(".")[0])
            assert place is None or re.fullmatch(place, name_of(path)), f"{path}: {imported}"


@pytest.mark.parametrize("path", each_source("pipelines/assets/"), ids=name_of)
def test_assets_are_thin(path: Path) -> None:
    heavy = {"torch", "mlflow", "datasets", "pandas", "numpy", "pyarrow", "sklearn", "matplotlib"}
    heavy |= {
        "safetensors",
        "model.training.loop",
        "pipelines.training.fitting",
        "pipelines.evaluation.language",
    }
    for imported in imports(path, on_load=True):
        assert imported not in heavy
        assert imported.split(".")[0] not in heavy
    # Dagster and the declaration read the annotations themselves.
    assert "__future__" not in set(imports(path))
    # The bytes go through the making and the store.
    calls = {
        ast.unparse(n.func)
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call)
    }
    assert "open" not in calls


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_read_is_ever_run(path: Path) -> None:
    forbidden = (
        r"(eval|exec|compile|os\.system|torch\.(load|save)|yaml\.(load|load_all|unsafe_load)"
    )
    forbidden += r"|\w+\.read_pickle|pickle\.\w+|np\.load)"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not re.fullmatch(forbidden, called), f"line {node.lineno}: {called}"
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert given.get("shell") != "True", f"line {node.lineno}"
            assert given.get("allow_pickle") != "True", f"line {node.lineno}"


def test_names_say_what_things_are() -> None:
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")]:
        assert not re.search(r"utils?|helpers?|misc|manager|wrapper|common|v2", path.stem), path


def loaded_by(statement: str) -> set[str]:
    """The modules in a new process after a statement."""
    told = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    ).stdout
    return {name.split(".")[0] for name in told.splitlines()[-1].split()}


def test_definitions_load_nothing_heavy() -> None:
    loaded = loaded_by("import pipelines.definitions")
    assert "dagster" in loaded
    assert loaded.isdisjoint(DEFINITIONS_WITHOUT)


def test_text_loads_nothing_heavy() -> None:
    modules = [name_of(path) for path in each_source("pipelines/text/")]
    loaded = loaded_by(f"import {', '.join(modules)}")
    heavy = {*DEFINITIONS_WITHOUT, "dagster", "sklearn", "scipy", "matplotlib"}
    assert loaded.isdisjoint(heavy)


def test_help_is_quick_and_light() -> None:
    command = [sys.executable, "-c", "from pipelines.cli.main import run; run()", "--help"]
    # Processor time of the child, which other work on the machine lengthens little.
    best = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert best < 0.3
    statement = "import sys\nsys.argv = ['dragon', '--help']\nfrom pipelines.cli.main import app\n"
    statement += "app(standalone_mode=False)"
    loaded = loaded_by(statement)
    assert loaded.isdisjoint({*DEFINITIONS_WITHOUT, "dagster", "pyarrow", "numpy", "rich"})
