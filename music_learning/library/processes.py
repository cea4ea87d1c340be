"""Hear many files in several processes, this one and one for each further core, since threads wait for each other.

Python runs one thread at a time. FFmpeg gives each packet back to it, and the front end and the models each small step,
so that on two cores a thread takes up to 1.7 times as long as a process. But a process loads the models first, 2 s and
0.35 GB: so it is threads that begin, and where that was all there is to hear, nothing is loaded.

Requests and answers are pickled: both ends of the pipe are this program, and nobody else can write to it.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import BinaryIO, Self

import torch

from music_learning.errors import AudioError, unexpected
from music_learning.parallel import cpu_count, free_bytes
from music_learning.predict.analysis import Analysis
from music_learning.predict.predictor import Predictor

N_BEFORE = 100  # files that threads hear; for fewer, loading takes longer than it saves
PROCESS_BYTES = 1e9  # at the most, with all that it shares with others
MAX_DEATHS = 2  # of the process that hears a file, before that is blamed
MAX_WAIT_S = 1  # for the end of a process that was killed
ENDED = "it ended the process that heard it, perhaps for want of memory"
# The path is this process' own, whatever lies in the folder where it was started.
_PROGRAM = """
import json, sys
sys.path[:], *folders = json.loads(sys.argv[1])
from music_learning.library.processes import serve
serve(*folders)
"""


_PYTHON = (sys.executable, "-I", f"-Xutf8={sys.flags.utf8_mode}", "-c", _PROGRAM)


class Processes:
    """Hears as a Predictor does, for many threads at once; a context, at whose end the processes end.

    A file that ends one of the further processes is heard once more by another one, and then refused.
    """

    def __init__(self, predictor: Predictor, models: Path, index: Path | None = None) -> None:
        """
        Args:
            predictor: hears on one core, and on all until there are processes.
            models, index: what it was loaded from.
        """
        self.predictor = predictor
        self._places = [str(models), None if index is None else str(index)]
        self._numbers = count()
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._living: set[_Process] = set()
        self._lock, self._is_closed = Lock(), False

    @property
    def version(self) -> str:
        return self.predictor.version

    @property
    def models_version(self) -> str:
        return self.predictor.models_version

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        with self._lock:
            self._is_closed = True
            for process in self._living:
                process.end()

    def predict(self, path: Path, *, explain: bool) -> Analysis:
        """As `Predictor.predict` of a file. Raises AudioError also where it ends each process that hears it."""
        if next(self._numbers) == N_BEFORE:
            self._begin()
        try:
            process = self._idle.get_nowait()
        except Empty:
            return self.predictor.predict(path, explain=explain)
        for _ in range(MAX_DEATHS):
            with suppress(_EndedError):
                answer = process.ask(path, explain)
                self._idle.put(process)
                if isinstance(answer, AudioError):
                    raise answer
                return answer
            self._end(process)
            try:
                process = self._started()
            except _EndedError:
                break
        else:
            self._idle.put(process)
        raise AudioError(ENDED)

    def _begin(self) -> None:
        with suppress(RuntimeError):  # there may be as many threads as may be
            for _ in range(int(min(cpu_count() - 1, free_bytes() / PROCESS_BYTES))):
                Thread(target=self._add, daemon=True).start()

    def _add(self) -> None:
        """Start a process that is idle; where none can be started, threads go on."""
        with suppress(_EndedError):
            self._idle.put(self._started())

    def _started(self) -> "_Process":
        """A new process that has loaded the models. Raises _EndedError where it can't, or they have changed."""
        with self._lock:
            if self._is_closed:
                raise _EndedError
            process = _Process(self._places)
            self._living.add(process)
        try:
            if process.answer() != self.version:
                raise _EndedError
        except BaseException:
            self._end(process)
            raise
        return process

    def _end(self, process: "_Process") -> None:
        with self._lock:
            self._living.discard(process)
        process.end()


class _EndedError(Exception):
    """A process is no more."""


class _Process:
    """A process that hears, and the way to it."""

    def __init__(self, places: list[str | None]) -> None:
        try:
            self._process = subprocess.Popen(
                [*_PYTHON, json.dumps([[*map(str, sys.path)], *places])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is not for it; where this does nothing, `serve` is deaf to it
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        except OSError:
            raise _EndedError from None

    def ask(self, path: Path, explain: bool) -> Analysis | AudioError:
        """What hearing a file gave or raised. Raises _EndedError."""
        try:
            _send((path, explain), self._process.stdin)
        except (OSError, ValueError):  # the latter: it was closed
            raise _EndedError from None
        return self.answer()

    def answer(self) -> Analysis | AudioError | str:
        """What it says next, at first the version of its models. After any error it is at its end.

        Else the next file would be given this one's answer.
        """
        try:
            return pickle.load(self._process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError, ValueError):
            raise _EndedError from None
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # it may hang in a read of a disk that is away
            self._process.wait(timeout=MAX_WAIT_S)
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()


def _send(what: object, pipe: BinaryIO) -> None:
    pipe.write(pickle.dumps(what))
    pipe.flush()


def serve(models: str, index: str | None) -> None:
    """What a process does: hear what it is asked for, until whoever started it closes the pipe, or ends.

    It hears in its main thread, whose memory C's library keeps for the next file; a second thread's is given back and
    fetched again for each, which takes 5 % longer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    requests: SimpleQueue[tuple[Path, bool]] = SimpleQueue()
    Thread(target=_receive, args=(requests,), daemon=True).start()
    try:
        torch.set_num_threads(1)
        predictor = Predictor.load(models, index=index)
        _send(predictor.version, answers)
        while True:
            _send(_answer(predictor, *requests.get()), answers)
    finally:
        os._exit(1)  # the other thread is in the middle of a read, at which Python would end with a complaint


def _receive(requests: SimpleQueue) -> None:
    try:
        while True:
            requests.put(pickle.load(sys.stdin.buffer))
    finally:
        os._exit(0)  # in the middle of a file, too


def _answer(predictor: Predictor, path: Path, explain: bool) -> Analysis | AudioError:
    try:
        return predictor.predict(path, explain=explain)
    except AudioError as error:
        return error
    except Exception as error:  # which may refuse to be pickled
        return AudioError(unexpected(error, str(path)))
