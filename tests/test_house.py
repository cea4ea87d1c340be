"""The layout: which files stand at the top, which way imports point, and that no function has grown too long."""

import ast
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from conftest import ROOT, run_python

import music_learning

PACKAGE = ROOT / "music_learning"
SCRIPTS = ("app", "data_collection", "data_loading", "model_demo", "model_train", "pipeline")
# Each may import what stands before it, and what stands in its own row or folder.
LAYERS = (
    ("needs", "errors", "streams", "parallel", "pipeline_config", "columns"),
    ("files", "paths"),
    ("decoder",),
    ("audio",),
    ("features", "songs"),
    ("model",),
    ("training",),
    ("evaluation",),
    ("predict",),
    ("plots", "library"),
    ("web", "commands"),
)
COLLECT_MAY_IMPORT = {"errors", "parallel", "pipeline_config", "columns", "files", "paths", "songs", "collect"}
NEIGHBOURS_APART = {"plots": "library", "library": "plots"}
LAYER = {name: layer for layer, names in enumerate(LAYERS) for name in names}
ONLY_IN = {
    "ray": {"library"},
    "fsspec": {"library"},
    "s3fs": {"library"},
    "mutagen": {"library"},
    "pyarrow": {"library"},
    "sqlglot": {"library"},
    "sqlite3": {"collect", "library"},
    "matplotlib": {"plots"},
    "fastapi": {"web"},
    "uvicorn": {"web"},
    "starlette": {"web"},
    "fastapi_offline": {"web"},
}


def imported(path: Path) -> list[str]:
    """The modules that a file imports, anywhere in it, as dotted names; `from a import b` counts as `a.b`."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def wing(path: Path) -> str:
    """The part of the package that a file belongs to: `audio` or `songs`, say."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or not path.name.startswith("__"))


def test_only_the_scripts_stand_at_the_top():
    assert sorted(path.stem for path in ROOT.glob("*.py")) == sorted(SCRIPTS)


def test_every_wing_has_its_place():
    assert {wing(path) for path in MODULES} == {*LAYER, "collect"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    here = wing(path)
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] not in SCRIPTS, f"{path} imports the script {parts[0]}"
        assert here in ONLY_IN.get(parts[0], {here}), f"{path} imports {parts[0]}"
        if parts[0] == "music_learning":
            there = parts[1]
            assert there in (*LAYER, "collect", "__version__"), f"{path} imports {name}: name the module it is in"
            if here == "collect":
                is_local = path.name == "local.py" and there == "audio"
                assert there in COLLECT_MAY_IMPORT or there == "__version__" or is_local, f"{path} imports {name}"
                continue
            assert there != "collect" and there != NEIGHBOURS_APART.get(here), f"{path} imports {name}"
            assert there in (here, "__version__") or LAYER[there] <= LAYER[here], f"{path} imports {name}"
            if here == "predict" and there == "evaluation":
                assert parts[2] == "conformal", f"{path} imports {name}"


def test_no_circles():
    graph = {}
    for path in MODULES:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        graph[module] = [name for name in imported(path) if name.startswith("music_learning.")]
    known = {name: {dep if dep in graph else dep.rpartition(".")[0] for dep in deps} for name, deps in graph.items()}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module in graph and module not in done:
            for dependency in known[module] - {module}:
                visit(dependency, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_scripts_import_no_scripts():
    for script in SCRIPTS:
        assert not {name.split(".")[0] for name in imported(ROOT / f"{script}.py")} & set(SCRIPTS)


PROGRAMS = sorted(
    path for folder in (PACKAGE, ROOT / "tools", ROOT / "benchmarks") for path in folder.rglob("*.py")
) + [ROOT / f"{script}.py" for script in SCRIPTS]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_short_and_take_few_arguments(path):
    """At most 60 lines and 6 parameters."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{path}: {node.name} is too long"
            taken = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            names = [argument.arg for argument in taken if argument.arg not in ("self", "cls")]
            assert len(names) <= 6, f"{path}: {node.name} takes {', '.join(names)}"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_imported_from_the_package_is_there(path):
    """Benchmarks and tools, too, which nothing else runs."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "music_learning":
            if node.module.startswith("music_learning.web"):
                pytest.importorskip("fastapi", reason="the page's packages are missing")
            module = import_module(node.module)
            for alias in node.names:
                is_module = (PACKAGE.parent / Path(*node.module.split("."), f"{alias.name}.py")).exists()
                assert is_module or hasattr(module, alias.name), f"{path} imports {node.module}.{alias.name}"


def test_tools_and_benchmarks_import_no_scripts():
    for path in PROGRAMS:
        assert not {name.split(".")[0] for name in imported(path)} & set(SCRIPTS), path


def test_pyproject_names_every_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = settings["tool"]["setuptools"]["packages"]
    named = {name for name in packages if "released" not in name}
    assert named == {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    module, _, function = settings["project"]["scripts"]["music-learning"].partition(":")
    assert callable(getattr(import_module(module), function))


def test_import_is_light():
    """Importing the package loads neither torch nor anything else that takes time."""
    program = "import sys, music_learning; print(music_learning.__version__, 'torch' in sys.modules, len(sys.modules))"
    version, has_torch, n_modules = run_python("-c", program).stdout.split()
    assert (version, has_torch) == (music_learning.__version__, "False")
    assert int(n_modules) < 150


def test_version_of_the_command():
    done = run_python("-m", "music_learning", "--version")
    assert (done.returncode, done.stdout) == (0, f"music-learning {music_learning.__version__}\n")
