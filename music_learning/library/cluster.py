"""Hear batches on a Ray cluster, or on the Ray of this machine alone: what a worker's end takes away is heard again.

Each worker process is one core's, loads the models once, and fetches what it hears itself. Keys for a server of files
are each node's own: this machine's never travel.
"""

import logging
import os
import secrets
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from music_learning import __version__
from music_learning.errors import UserError
from music_learning.library.parts import Batch, Engine, Heard
from music_learning.library.processes import ENDED, MAX_DEATHS
from music_learning.library.remote import NEEDS_PACKAGES
from music_learning.library.rows import AudioFile
from music_learning.library.scan import ModelListener, library_row
from music_learning.parallel import cpu_count
from music_learning.predict.predictor import Predictor

IN_FLIGHT_PER_CORE = 2  # batches, so that no core waits for this machine
MAX_LOSSES = 10  # of the node, before that counts as the process' death
CONNECT_TIMEOUT_S = 30
OBJECT_STORE_BYTES = 100_000_000  # of a Ray of this machine alone: the models, and some rows
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what nodes have to say of their processes is not for this terminal
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as Ray will do anyway, and warns of
}
_LISTENERS: dict[str, ModelListener] = {}  # of a worker process, by the models' version


@dataclass
class Gathering:
    """A batch, and those of its rows that are there."""

    batch: Batch
    rows: list[dict] = field(default_factory=list)


@dataclass
class Job:
    """Files of a batch that one process hears."""

    gathering: Gathering
    files: tuple[AudioFile, ...]
    deaths: int = 0
    losses: int = 0


@contextmanager
def on_cluster(address: str | None, models: Path, predictor: Predictor) -> Iterator[Engine]:
    """An engine for the length of a block.

    Args:
        address: of a running cluster, `auto` for the one that this machine belongs to; None starts a Ray here.
        models: their folder, whose content the workers are sent.
        predictor: of these models.

    Raises:
        UserError: Ray is missing, or the cluster can't be joined.
    """
    if find_spec("ray") is None:
        raise UserError(f"--engine ray needs Ray, which is not installed; install it: {NEEDS_PACKAGES}")
    settings = dict(QUIET)
    if address is None:
        # It listens to the network, and whoever may join it can run programs: here none but this process' workers may.
        settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    elif "RAY_AUTH_MODE" not in os.environ and Path.home().joinpath(".ray", "auth_token").exists():
        settings["RAY_AUTH_MODE"] = "token"  # as Ray itself has it for `auto` alone
    os.environ |= settings  # before the import, which reads them
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        options |= {"address": "local", "num_cpus": cpu_count(), "include_dashboard": False}
        options["object_store_memory"] = OBJECT_STORE_BYTES
    else:
        _check(address)
        options["address"] = address
    try:
        ray.init(**options)
    except (RuntimeError, OSError, ValueError) as error:
        where = "Ray can't be started here" if address is None else f"the cluster at {address} can't be joined"
        raise UserError(f"{where}: {str(error).splitlines()[0]}") from None
    try:
        yield partial(_hear, predictor, _content_of(models))
    finally:
        ray.shutdown()


def _check(address: str) -> None:
    """Raise UserError unless a cluster can be joined: where it can't, Ray may try for ever, deaf to Ctrl-C."""
    command = [sys.executable, "-c", "import ray, sys; ray.init(sys.argv[1], log_to_driver=False)", address]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=CONNECT_TIMEOUT_S)
        joins, said = done.returncode == 0, done.stderr
    except subprocess.TimeoutExpired as timeout:
        joins, said = False, timeout.stderr or b""
    if b"InvalidAuthToken" in said:
        raise UserError(
            f"the Ray cluster at {address} wants its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
            "~/.ray/auth_token to what they are where it was started"
        )
    if not joins:
        raise UserError(
            f"there is no Ray cluster of these versions at {address}, or it did not answer within "
            f"{CONNECT_TIMEOUT_S} s; start one (ray start --head, or ray up "
            "cluster.yaml) and name its address as host:port, or leave out --address to use this machine alone"
        )


def _content_of(models: Path) -> dict[str, bytes]:
    """The files that a Predictor is loaded from, by their names below the folder."""
    patterns = ("*.json", "*.safetensors", "index/*.csv", "index/*.safetensors")
    paths = [path for pattern in patterns for path in sorted(models.glob(pattern))]
    return {str(path.relative_to(models)): path.read_bytes() for path in paths}


def _hear(predictor: Predictor, content: dict[str, bytes], batches: Iterator[Batch]) -> Heard:
    """Hear batches, a few in flight for each core that the cluster has at the moment."""
    import ray

    listener = ModelListener(predictor)
    # Ray itself would try again without end, or not at all, and never alone.
    task = ray.remote(num_cpus=1, max_retries=0)(hear_files)
    common = ([ray.put(content)], predictor.models_version, __version__)
    new = (Job(Gathering(batch), batch.files) for batch in batches)
    again: deque[Job] = deque()
    flying: dict[ray.ObjectRef, Job] = {}
    while True:
        depth = IN_FLIGHT_PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 0)))
        while len(flying) < depth and (job := again.popleft() if again else next(new, None)):
            flying[task.remote(*common, job.files)] = job
        if not flying:
            return
        done, _ = ray.wait(list(flying), timeout=1)
        for ref in done:
            job = flying.pop(ref)
            rows = _rows_of(ref, job)
            if rows is None:
                rows = _after_death(job, listener, again)
            job.gathering.rows += rows
            if rows and len(job.gathering.rows) == len(job.gathering.batch.files):
                yield job.gathering.batch, job.gathering.rows


def _rows_of(ref: Any, job: Job) -> list[dict] | None:
    """The rows of a job that has ended; None where its process ended, or its node, which the job is told."""
    import ray
    from ray import exceptions

    try:
        return ray.get(ref)
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        if isinstance(error.cause, ModuleNotFoundError) or "No module named" in str(error):
            raise UserError("a node of the cluster lacks a package; install music-learning on all of them") from None
        raise
    except (exceptions.NodeDiedError, exceptions.ObjectLostError):
        job.losses += 1
        job.deaths += job.losses >= MAX_LOSSES
    except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError):
        job.deaths += 1
    return None


def _after_death(job: Job, listener: ModelListener, again: deque[Job]) -> list[dict]:
    """Have a job done again, in the end file by file. Returns the row of a file that is to blame."""
    if job.deaths < MAX_DEATHS:
        again.append(job)
    elif len(job.files) > 1:
        again.extend(Job(job.gathering, (file,)) for file in job.files)
    else:
        return [library_row(listener.before(job.files[0]) | {"error": ENDED}, None)]
    return []


def hear_files(content: list, version: str, program: str, files: tuple[AudioFile, ...]) -> list[dict]:
    """What a worker does: the rows of files, as the same models and the same program make them anywhere.

    Args:
        content: where Ray keeps the models, in a list so that they are only fetched where they are needed.
        version: of the models.
        program: the version of this package where the run was started.

    Raises:
        UserError: this node has another version of this package.
        ServerError: it has no way to the server of the files.
    """
    if program != __version__:
        raise UserError(
            f"a node of the cluster has music-learning {__version__}, this machine {program}; install one on all"
        )
    if version not in _LISTENERS:
        import ray
        import torch

        torch.set_num_threads(1)
        with TemporaryDirectory(prefix="music-learning-") as folder:
            for name, data in ray.get(content[0]).items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
            _LISTENERS[version] = ModelListener(Predictor.load(folder))
    return [_LISTENERS[version].row(file) for file in files]
