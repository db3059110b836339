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

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for folder in ("model", "pipelines", "dragon") for path in (ROOT / folder).rglob("*.py")
)

# What a module may import are modules whose number is not above its own; the number of a module is
# that of the longest name here that begins its own. Rooms of one number do not know each other.
FLOORS = {
    "model": 0,
    "pipelines.text": 1,
    "pipelines.core": 2,
    "pipelines.corpora": 3,
    "pipelines.examples": 4,
    "pipelines.index": 4,
    "pipelines.tokens": 4,
    "pipelines.training": 5,
    "pipelines.interop": 6,
    "pipelines.inference": 6,
    "pipelines.evaluation": 7,
    "pipelines.tasks": 8,
    "pipelines.word_vectors": 8,
    "pipelines.attention_ladder": 8,
    "pipelines.sweeps": 8,
    "pipelines.report": 9,
    "pipelines.checks": 10,
    "pipelines.lineage": 10,
    "pipelines.exports": 11,
    "pipelines.recipe": 11,
    "pipelines.stages": 12,
    "pipelines.server": 13,
    "pipelines.planning": 13,
    "pipelines.orchestration": 13,
    "pipelines.definitions": 14,
    "pipelines.preload": 14,
    "pipelines.cli": 15,
    "dragon": 15,
}
ROOMS = [name for name, number in FLOORS.items() if 3 <= number <= 9]

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


def place_of(module: str) -> tuple[str | None, int | None]:
    """The room or floor that a module is in, and its number."""
    known = [name for name in FLOORS if module == name or module.startswith(f"{name}.")]
    place = max(known, key=len, default=None)
    return place, None if place is None else FLOORS[place]


def each_source(*folders: str) -> list[Path]:
    return [path for path in SOURCES if path.relative_to(ROOT).as_posix().startswith(folders)]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    name = name_of(path)
    here, floor = place_of(name)
    for imported in imports(path):
        there, other = place_of(imported)
        if there == here or there is None or floor is None or other is None:
            continue
        assert other <= floor, f"{imported} is above"
        assert other < floor or here not in ROOMS, f"{imported} is a room beside"


def test_every_module_has_a_floor() -> None:
    without = {name_of(path) for path in SOURCES if place_of(name_of(path))[1] is None}
    assert without == {"pipelines"}, "give them a floor in FLOORS"


def test_no_module_hangs_on_itself() -> None:
    """Neither directly nor through others: a circle ties two subjects together for ever."""
    names = {name_of(path) for path in SOURCES}
    graph = {name_of(path): sorted(imports(path) & names) for path in SOURCES}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a circle: {' -> '.join((*way[way.index(name) :], name))}"
        if name not in done:
            for imported in graph[name]:
                if imported != name:
                    visit(imported, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_files_and_functions_fit_on_a_screen() -> None:
    lengths = []
    for path in SOURCES:
        text = path.read_text()
        assert len(text.splitlines()) <= 350, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths.append((node.end_lineno or 0) - node.lineno + 1)
    assert sum(length > 50 for length in lengths) < 0.005 * len(lengths)


@pytest.mark.parametrize("path", each_source("model/"), ids=name_of)
def test_the_model_knows_torch_and_nothing_else(path: Path) -> None:
    for imported in imports(path):
        top = imported.split(".")[0]
        assert top in PURE | {"torch", "model"}, imported
        assert not re.match(r"importlib\.(resources|metadata)", imported)


def test_each_heavy_library_has_its_place() -> None:
    places = {
        "mlflow": r"pipelines\.core\.tracking\.(server|serving)",
        "starlette": r"pipelines\.server\..*",
        "uvicorn": r"pipelines\.(server\..*|orchestration\.front)",
        "dagster": r"pipelines\.(orchestration\..*|definitions)",
        "safetensors": r"pipelines\.(training|interop|exports)\..*",
        "jinja2": r"pipelines\.interop\.chat_templates",
        "gguf": r"pipelines\.interop\..*",
        "transformers": "nowhere",
        "sacrebleu": r"pipelines\.tasks\.translation\.evaluation",
        "babel": r"pipelines\.corpora\.generators\.translations",
        "num2words": r"pipelines\.corpora\.generators\.translations",
        "pyarrow": r"pipelines\.(text|corpora|examples|index|tokens)\..*|.*\.item_sets",
        "pydivsufsort": r"pipelines\.index\.building",
        "sklearn": r"pipelines\.(evaluation\.baselines|word_vectors\.neighbours)",
        "matplotlib": r"pipelines\.report\.pictures",
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


def test_declaring_loads_nothing_heavy() -> None:
    """Sections of a recipe and declarations name their makings, and do not import them."""
    statement = "from pathlib import Path\nfrom pipelines.stages import declare\n"
    statement += "from pipelines.recipe.loading import load_recipes\n"
    statement += "assert declare(load_recipes(Path('recipes')).values())"
    loaded = loaded_by(statement)
    assert loaded.isdisjoint({*DEFINITIONS_WITHOUT, "dagster", "numpy", "pyarrow", "matplotlib"})


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
    assert best < 0.15
    run = "from pipelines.cli.main import app\napp.main({}, 'dragon', standalone_mode=False)"
    heavy = {*DEFINITIONS_WITHOUT, "dagster", "pydantic", "pyarrow", "numpy", "rich", "typer"}
    assert loaded_by(run.format(["--help"])).isdisjoint(heavy)
    from pipelines.cli.main import VERBS

    lines = [run.format([verb, "--help"]) for verb in VERBS]
    assert loaded_by("\n".join(lines)).isdisjoint(heavy)
