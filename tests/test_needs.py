"""What the commands say to a Python that is too old, or lacks packages."""

import ast
import os
import subprocess
import sys

import pytest
from conftest import PATIENCE_S, ROOT, call_main

import data_loading
import model_train
from music_learning import needs
from music_learning.errors import UserError

SCRIPTS = sorted(ROOT.glob("*.py"))
COMMANDS = [*SCRIPTS, ROOT / "music_learning" / "__main__.py"]


def run_bare(folder, *command):
    """Run Python without any package, in a folder of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-S", "-B", *map(str, command)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_python_without_packages_gets_a_sentence(script, tmp_path):
    done = run_bare(tmp_path, script, "--help")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: this Python has no ")
    assert done.stderr.count("\n") == 1
    assert str(ROOT) in done.stderr


def test_so_does_the_package():
    done = run_bare(ROOT, "-m", "music_learning")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: this Python has no ")


def test_other_missing_modules_keep_their_traceback(tmp_path):
    for name in ("music_learning.gone", "asyncio.gone"):
        done = run_bare(ROOT, "-c", f"import music_learning.needs, {name}")
        assert "Traceback" in done.stderr


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "ImportError('failed') from KeyboardInterrupt()"])
def test_ctrl_c_while_packages_are_imported_is_no_traceback(tmp_path, raised):
    (tmp_path / "slow_package.py").write_text(f"raise {raised}")
    program = f"import sys; sys.path += [{str(ROOT)!r}, {str(tmp_path)!r}]; import music_learning.needs, slow_package"
    done = run_bare(tmp_path, "-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


def test_ctrl_c_leaves_an_interactive_python_running():
    program = "import sys; sys.ps1 = '>>> '; import music_learning.needs; raise KeyboardInterrupt"
    assert run_bare(ROOT, "-c", program).stderr.endswith("KeyboardInterrupt\n")


def test_python_that_is_too_old_gets_a_sentence(tmp_path):
    done = run_bare(ROOT, "-c", "import sys; sys.version_info = (3, 9, 2); import music_learning.needs")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: Python 3.11 or newer is needed, {sys.executable} is 3.9; ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("path", [*COMMANDS, ROOT / "music_learning" / "needs.py"], ids=lambda path: path.name)
def test_old_python_comes_as_far_as_the_sentence(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    first = next(node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    assert path.stem == "needs" or [alias.name for alias in first.names] == ["music_learning.needs"]


def test_commands_that_help(tmp_path, monkeypatch):
    project = tmp_path / "my project"
    (project / ".venv" / "bin").mkdir(parents=True)
    own = project / ".venv" / "bin" / "python"
    monkeypatch.setattr(needs, "PROJECT", str(project))
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert needs.remedy("sklearn") == "install it: /usr/bin/python3 -m pip install scikit-learn"
    assert needs.remedy() == "install music-learning with a newer one"
    (project / "pyproject.toml").touch()
    make = f"make -C '{project}' demo, then start the same command with '{own}'"
    pip = "install what is needed: /usr/bin/python3 -m pip install"
    assert needs.remedy("torch") == f"{pip} '{project}', or: {make}"
    assert needs.remedy("fastapi") == f"{pip} '{project}[app]', or: {make}"
    assert needs.remedy() == f"install a newer one, then: {make}"
    own.touch()
    assert needs.remedy("torch") == needs.remedy() == f"start the same command with '{own}'"
    monkeypatch.setattr(sys, "executable", str(own))
    assert needs.remedy("torch").startswith(f"install what is needed: '{own}' -m pip install '{project}', or: ")


def test_quoting():
    assert [needs.quoted(text) for text in ("/a/b-c_d.e", "/a b", "/it's")] == ["/a/b-c_d.e", "'/a b'", r"'/it'\''s'"]


@pytest.mark.parametrize(("script", "file"), [(data_loading, "data/songs.csv"), (model_train, "data/splits.csv")])
def test_from_another_folder_the_one_looked_in_is_named_and_nothing_is_made(script, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"{tmp_path / file} is missing; run .* or start this in the folder that holds"):
        call_main(script)
    assert list(tmp_path.iterdir()) == []
