"""On a real Ray of two nodes with a core each."""

import os
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pandas as pd
import pytest
from conftest import run_python

from music_learning import __version__
from music_learning.commands.scan import main
from music_learning.errors import ServerError, UserError
from music_learning.library import cluster, parts
from music_learning.library.cluster import ENDED, hear_files, on_cluster
from music_learning.library.parts import Batch
from music_learning.library.remote import RemoteFile
from music_learning.library.rows import AudioFile
from music_learning.library.scan import ModelListener
from music_learning.predict.predictor import Predictor

# Ray leaves the ends of its processes, pipes and sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
# Of Ray with its own processes on a slow machine, and on one whose memory others fill.
PATIENT = {
    "RAY_raylet_start_wait_time_s": "600",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_health_check_timeout_ms": "120000",
    "RAY_memory_monitor_refresh_ms": "0",
}
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def nodes(s3_of_module):
    """A cluster whose second node can be killed; its processes know the way to the S3 server."""
    # Pytest's own folders have names that are too long for Ray's sockets.
    with pytest.MonkeyPatch.context() as patched, TemporaryDirectory(prefix="ml-", dir="/tmp") as folder:
        patched.setenv("RAY_TMPDIR", folder)
        for name, value in (cluster.QUIET | PATIENT).items():
            patched.setenv(name, value)
        patched.setattr(cluster, "CONNECT_TIMEOUT_S", 600)
        pytest.importorskip("ray", reason="the packages of the cluster are missing")
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        made.second = made.add_node(**NODE)
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.load(trained)


@pytest.fixture
def music(s3, library):
    """Six songs and a file that is none, on a server."""
    for clip in sorted((library / "clips").iterdir())[:6]:
        s3.put(f"music/{clip.name}", clip.read_bytes())
    s3.put("music/bad.mp3", b"no audio")
    return "s3://bucket/music"


def table_of(name):
    table = pd.read_parquet(name).drop(columns="heard")
    assert not table["file"].duplicated().any()
    return table.sort_values("file", ignore_index=True)


def test_cluster_makes_the_rows_of_this_machine(nodes, music, s3, trained, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(parts, "BATCH_FILES", 2)
    here, there = f"{tmp_path}/moods/", "s3://bucket/moods/"
    options = ["--models", str(trained)]
    on_ray = [*options, "--engine", "ray", "--address", nodes.address]
    assert main([music, "--library", here, *options]) == 1
    expected = capfd.readouterr()
    assert main([music, "--library", there, *on_ray]) == 1
    assert capfd.readouterr() == expected  # without a word of Ray's
    assert expected.out.startswith("6 heard, 1 can't be used\n")
    pd.testing.assert_frame_equal(table_of(here), table_of(there))

    before = {key: s3.get(key) for key in s3.keys("moods/part-")}
    assert len(before) == 4
    s3.put("music/song00.wav", s3.get("music/song01.wav"))
    s3.put("music/song99.wav", s3.get("music/song02.wav"))
    assert main([music, "--library", there, *on_ray]) == 0
    assert capfd.readouterr().out == "2 heard, 6 unchanged\n"
    rows = table_of(there).set_index("file")["energy"]
    assert rows[f"{music}/song00.wav"] == rows[f"{music}/song01.wav"]
    assert rows[f"{music}/song99.wav"] == rows[f"{music}/song02.wav"]
    after = {key: s3.get(key) for key in s3.keys("moods/part-")}
    assert sum(before[key] != after[key] for key in before) == 1
    assert len(after) == 5


@dataclass(frozen=True)
class Poison(AudioFile):
    """Ends whatever process opens it, and notes that it did."""

    log: Path

    @contextmanager
    def opened(self):
        with open(self.log, "a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGSEGV)
        yield self.path


@pytest.fixture(scope="module")
def engine(nodes, trained, predictor):
    """The cluster, after tests that join it themselves."""
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the nodes can't import tests
    with on_cluster(nodes.address, trained, predictor) as made:
        yield made


def test_file_that_ends_its_process_costs_its_own_row(engine, library, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "MAX_DEATHS", 1)  # each takes the start of a process
    clips = [AudioFile.at(clip) for clip in sorted((library / "clips").iterdir())[:2]]
    poison = Poison(clips[0].path, "poison", tmp_path / "log")
    batches = [Batch("part-1", (clips[0], poison)), Batch("part-2", (clips[1],))]
    heard = dict(engine(iter(batches)))
    rows = {row["file"]: row for rows in heard.values() for row in rows}
    assert [rows[clip.name]["error"] for clip in clips] == [None, None]
    assert (rows["poison"]["error"], rows["poison"]["model"]) == (ENDED, None)
    assert (tmp_path / "log").read_text() == "xx"  # in the batch, and alone


@dataclass(frozen=True)
class Slow(AudioFile):
    """Is heard without end on one node, and on the others once that has begun to."""

    slow_node: str
    folder: Path

    @contextmanager
    def opened(self):
        import ray

        begun = self.folder / "begun"
        if ray.get_runtime_context().get_node_id() == self.slow_node:
            begun.touch()
            time.sleep(3600)
        wait_until(begun.exists)
        yield self.path


def wait_until(condition):
    """Wait for what is sure to come; it takes long only where something is broken."""
    ends = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_killed_node_costs_nothing(engine, nodes, library, predictor, tmp_path):
    clips = sorted((library / "clips").iterdir())[:4]
    files = [Slow(clip, clip.name, nodes.second.node_id, tmp_path) for clip in clips]

    def kill():
        wait_until((tmp_path / "begun").exists)
        nodes.remove_node(nodes.second, allow_graceful=False)

    killer = Thread(target=kill, daemon=True)
    killer.start()
    heard = {batch.part: rows for batch, rows in engine(Batch(file.name, (file,)) for file in files)}
    killer.join(600)  # Ray tells of a node's end before it has ended all of it
    assert not killer.is_alive()
    alone = ModelListener(predictor)
    for clip in clips:
        expected = [alone.row(AudioFile(clip, clip.name))]
        assert [row | {"heard": None} for row in heard[clip.name]] == [row | {"heard": None} for row in expected]


def test_ray_of_this_machine_alone_is_started_and_ended_without_a_word(library, trained, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the packages of the cluster are missing")
    clip = sorted((library / "clips").iterdir())[0]
    with TemporaryDirectory(prefix="ml-", dir="/tmp") as folder:
        for name, value in (PATIENT | {"RAY_TMPDIR": folder}).items():
            monkeypatch.setenv(name, value)
        arguments = (clip, "--library", f"{tmp_path}/moods/", "--models", trained, "--engine", "ray")
        done = run_python("-m", "music_learning", "scan", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 heard\n", "")
    assert list(pd.read_parquet(tmp_path / "moods")["file"]) == [str(clip)]


def test_node_with_another_version_is_refused(monkeypatch):
    with pytest.raises(UserError, match=r"a node of the cluster has music-learning .*, this machine 0\.0; install one"):
        hear_files([], "m1", "0.0", ())


def test_node_without_keys_ends_the_run(s3, predictor, monkeypatch):
    monkeypatch.setitem(cluster._LISTENERS, "m1", ModelListener(predictor))
    s3.use(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    with pytest.raises(ServerError, match="there are no keys"):
        hear_files([], "m1", __version__, (RemoteFile.listed("s3://bucket/music/a.mp3", 1, ""),))


def test_cluster_that_is_not_there_is_said(trained, predictor, monkeypatch):
    pytest.importorskip("ray", reason="the packages of the cluster are missing")
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(
        UserError, match=r"no Ray cluster of these versions at 127\.0\.0\.1:1, or it did not answer within 0\.5 s"
    ):
        on_cluster("127.0.0.1:1", trained, predictor).__enter__()


@pytest.mark.parametrize(("mode", "expected"), [(None, "token"), ("disabled", "disabled")])
def test_token_of_this_user_is_used_unless_told_otherwise(trained, predictor, tmp_path, monkeypatch, mode, expected):
    pytest.importorskip("ray", reason="the packages of the cluster are missing")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch()
    environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    environment |= {"HOME": str(tmp_path)} | ({"RAY_AUTH_MODE": mode} if mode else {})
    monkeypatch.setattr(os, "environ", environment)

    def ends(address):
        raise UserError(os.environ["RAY_AUTH_MODE"])

    monkeypatch.setattr(cluster, "_check", ends)
    with pytest.raises(UserError, match=expected):
        on_cluster("127.0.0.1:1", trained, predictor).__enter__()


def test_missing_ray_is_named(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"install it: pip install 'music-learning\[cluster\]'"):
        on_cluster(None, trained, None).__enter__()
