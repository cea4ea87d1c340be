import os
import signal
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock

import pytest
from conftest import eventually, start

from music_learning.errors import UNEXPECTED, AudioError
from music_learning.library import processes
from music_learning.library.processes import ENDED, Processes
from music_learning.predict.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.load(trained)


@pytest.fixture(scope="module")
def ready(predictor, trained):
    """Two processes that have loaded the models."""
    with pytest.MonkeyPatch.context() as patched, Processes(Elsewhere(predictor), trained) as made:
        patched.setattr(processes, "N_BEFORE", 0)
        patched.setattr(processes, "cpu_count", lambda: 3)
        with pytest.raises(AudioError, match="in this process"):
            made.predict(Path("first.wav"), explain=False)
        eventually(lambda: made._idle.qsize() == 2)
        yield made


class Elsewhere:
    """A predictor that is not to be asked, once there are others."""

    def __init__(self, predictor):
        self.version, self.models_version = predictor.version, predictor.models_version

    def predict(self, path, *, explain):
        raise AudioError("heard in this process")


@pytest.fixture
def clip(library):
    return sorted((library / "clips").iterdir())[0]


def pids(made):
    return {process._process.pid for process in made._living}


def test_says_what_the_predictor_says(ready, predictor, clip):
    assert ready.predict(clip, explain=True).to_dict() == predictor.predict(clip, explain=True).to_dict()
    assert ready.predict(clip, explain=False).to_dict() == predictor.predict(clip).to_dict()
    assert (ready.version, ready.models_version) == (predictor.version, predictor.models_version)


def statuses(monkeypatch):
    """The exit statuses of processes that end by themselves, as they come."""
    found, end = [], processes._Process.end

    def noted(process):
        if process._process.wait(timeout=60) >= 0:
            found.append(process._process.returncode)
        end(process)

    monkeypatch.setattr(processes._Process, "end", noted)
    return found


def test_without_processes_threads_go_on(predictor, trained, tmp_path, clip, monkeypatch):
    monkeypatch.setattr(processes, "N_BEFORE", 0)
    monkeypatch.setattr(processes, "cpu_count", lambda: 3)
    ended = statuses(monkeypatch)
    with Processes(predictor, trained, tmp_path / "no index") as made:  # which none can load
        made.predict(clip, explain=False)
        eventually(lambda: ended == [1, 1])
        assert not made._living
        assert made.predict(clip, explain=False).values == predictor.predict(clip).values


def test_without_memory_for_processes_there_are_none(predictor, trained, clip, monkeypatch):
    monkeypatch.setattr(processes, "N_BEFORE", 0)
    monkeypatch.setattr(processes, "free_bytes", lambda: 0.9e9)
    monkeypatch.setattr(processes, "Thread", None)  # which would start one
    with Processes(predictor, trained) as made:
        assert made.predict(clip, explain=False).values == predictor.predict(clip).values


def test_why_a_file_cannot_be_used_comes_back(ready, tmp_path):
    (tmp_path / "bad.mp3").write_bytes(b"no audio")
    with pytest.raises(AudioError, match="not an audio file"):
        ready.predict(tmp_path / "bad.mp3", explain=False)


@dataclass
class Program:
    """A path that, once it arrives at a process, runs a program there."""

    source: str

    def __reduce__(self):
        return exec, (self.source,)


def test_what_nobody_foresaw_is_said_with_its_traceback(ready, temporary):
    with pytest.raises(AudioError, match=rf"{UNEXPECTED}\w+: .* \(more in (.*)\.log; please report it\)") as raised:
        ready.predict(Program("pass"), explain=False)  # which leaves None for a path
    log = Path(str(raised.value).split("more in ")[1].split(";")[0])
    assert "Traceback" in log.read_text()


def test_file_that_ends_its_process_costs_itself(ready, predictor, clip, tmp_path):
    before = pids(ready)
    source = f"import os; open({str(tmp_path / 'log')!r}, 'a').write('x'); os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    with pytest.raises(AudioError, match=ENDED):
        ready.predict(Program(source), explain=False)
    assert (tmp_path / "log").read_text() == "xx"
    assert len(pids(ready)) == 2 and len(pids(ready) & before) == 1
    for _ in range(2):  # by the one that is new, too
        assert ready.predict(clip, explain=False).values == predictor.predict(clip).values


def test_process_that_was_killed_in_between_costs_nothing(ready, predictor, clip):
    for pid in pids(ready):
        os.kill(pid, signal.SIGKILL)
    for _ in range(2):
        assert ready.predict(clip, explain=False).values == predictor.predict(clip).values


@pytest.fixture
def alone(predictor, trained, clip, monkeypatch):
    """One process, in place of which none can be started; and threads."""
    monkeypatch.setattr(processes, "N_BEFORE", 0)
    monkeypatch.setattr(processes, "cpu_count", lambda: 3)
    monkeypatch.setattr(processes, "free_bytes", lambda: 1.5 * processes.PROCESS_BYTES)
    with Processes(predictor, trained) as made:
        made.predict(clip, explain=False)
        eventually(lambda: made._idle.qsize() == 1)
        made._places[0] = str(trained / "none")
        yield made


def test_process_that_cannot_be_replaced_costs_one_file(alone, predictor, clip):
    os.kill(*pids(alone), signal.SIGKILL)
    with pytest.raises(AudioError, match=ENDED):
        alone.predict(clip, explain=False)
    assert not alone._living
    for _ in range(2):
        assert alone.predict(clip, explain=False).values == predictor.predict(clip).values


def test_answer_that_could_not_be_read_is_not_the_next_files(alone, predictor, library, monkeypatch):
    first, second = sorted((library / "clips").iterdir())[:2]
    assert predictor.predict(first).values != predictor.predict(second).values
    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(processes.pickle, "load", Mock(side_effect=MemoryError))
        alone.predict(first, explain=False)
    assert alone.predict(second, explain=False).values == predictor.predict(second).values


def test_process_with_other_models_hears_nothing(predictor, trained, clip, monkeypatch):
    """They may have been trained anew since the run began."""
    monkeypatch.setattr(processes, "N_BEFORE", 0)
    monkeypatch.setattr(processes, "cpu_count", lambda: 3)
    before, ended = Mock(wraps=predictor, version="before"), Mock(wraps=processes._Process.end)
    monkeypatch.setattr(processes._Process, "end", lambda process: ended(process))
    with Processes(before, trained) as made:
        made.predict(clip, explain=False)
        eventually(lambda: ended.call_count == 2)
        assert not made._living
        assert made.predict(clip, explain=False).values == predictor.predict(clip).values
    assert before.predict.call_count == 2


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def test_ctrl_c_is_not_for_processes(ready, predictor, clip):
    before = pids(ready)
    for pid in before:
        os.kill(pid, signal.SIGINT)
    for _ in range(2):
        assert ready.predict(clip, explain=False).values == predictor.predict(clip).values
    assert pids(ready) == before


on_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux who is running")


@on_linux
def test_processes_that_are_still_loading_end_with_the_run(predictor, trained, clip, monkeypatch):
    monkeypatch.setattr(processes, "N_BEFORE", 0)
    monkeypatch.setattr(processes, "cpu_count", lambda: 3)
    with Processes(predictor, trained) as made:
        made.predict(clip, explain=False)
        eventually(lambda: len(made._living) == 2)
        started = pids(made)
        assert all(map(is_running, started))
    assert not any(map(is_running, started))


@on_linux
def test_processes_end_with_a_run_that_is_killed(trained, clip):
    program = f"""
import time
from pathlib import Path
from music_learning.library import processes
from music_learning.predict.predictor import Predictor
processes.N_BEFORE, processes.cpu_count = 0, lambda: 3
with processes.Processes(Predictor.load({str(trained)!r}), Path({str(trained)!r})) as made:
    made.predict(Path({str(clip)!r}), explain=False)
    while made._idle.qsize() < 2:
        time.sleep(0.05)
    print(*[process._process.pid for process in made._living], flush=True)
    time.sleep(600)
"""
    with start("-c", program) as run:
        started = [int(pid) for pid in run.stdout.readline().split()]
        assert len(started) == 2 and all(map(is_running, started))
        run.kill()
        run.wait(timeout=60)
        eventually(lambda: not any(map(is_running, started)))
