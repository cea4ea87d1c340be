"""Scanning from an S3 server with a Ray of two nodes: whether it gives what this process gives, and what a song costs.

python benchmarks/cluster_scan.py                        300 synthetic mp3 clips of 30 s
python benchmarks/cluster_scan.py --audio data/previews  300 clips of a folder

The server is moto's, on this machine; a node is a Ray node with one core. One run in this process on one core, one on
both nodes, and one of which a node is killed when half the songs were heard. Exits with 1 where values differ.
"""

import argparse
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import boto3
import pandas as pd
from moto.server import ThreadedMotoServer
from synthetic import make_clips

from music_learning.library import parts
from music_learning.library.cluster import QUIET, on_cluster
from music_learning.library.files import find_files
from music_learning.library.parts import Engine, Heard, on_this_machine, open_parts, scan_into
from music_learning.library.remote import find_all
from music_learning.paths import RELEASED_MODELS
from music_learning.predict.predictor import Predictor

N_CLIPS = 300
N_DIFFERENT = 50  # synthetic clips
BATCH_FILES = 16  # of the nodes, so that both nodes are busy until the end
MILLION = 1_000_000
NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}
SERVER = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nobody", "AWS_DEFAULT_REGION": "us-east-1"}


class Requests(logging.Handler):
    """Counts what the server is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        request = str(record.args[0] if record.args else record.msg)
        for method in ("GET", "PUT", "HEAD"):
            self.counts[method] += method in request.split("/")[0]


@contextmanager
def served(clips: list[Path]) -> Iterator[tuple[boto3.client, Requests]]:
    """A server with the clips in a bucket, which the environment names."""
    log, requests = logging.getLogger("werkzeug"), Requests()
    log.addHandler(requests)
    log.propagate = False
    log.setLevel(logging.INFO)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    with patch.dict(os.environ, {**SERVER, "AWS_ENDPOINT_URL": address}):
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        for n in range(N_CLIPS):
            clip = clips[n % len(clips)]
            client.put_object(Bucket="bucket", Key=f"music/{n:04}{clip.suffix}", Body=clip.read_bytes())
        yield client, requests
    server.stop()


def killing(engine: Engine, kill: object) -> Engine:
    """An engine that loses something when half the songs were heard."""

    def hear(batches: Iterator[parts.Batch]) -> Heard:
        n_heard = 0
        for batch, rows in engine(batches):
            if n_heard < N_CLIPS / 2 <= n_heard + len(rows):
                kill()
            n_heard += len(rows)
            yield batch, rows

    return hear


class Timer:
    """Takes the time of a method's calls."""

    def __init__(self, method: object) -> None:
        self.method, self.took_s = method, []

    def __call__(self, *arguments: object) -> object:
        start = time.perf_counter()
        try:
            return self.method(*arguments)
        finally:
            self.took_s.append(time.perf_counter() - start)


def timed_scan(name: str, predictor: Predictor, engine: Engine) -> float:
    """Scan the bucket into a library of the name. Returns the seconds that it took."""
    start = time.perf_counter()
    with open_parts(f"s3://bucket/{name}/", predictor.models_version) as library:
        outcome, _ = scan_into(library, find_all(["s3://bucket/music"]), engine)
    took_s = time.perf_counter() - start
    print(f"{name}: {took_s:.0f} s, {outcome.heard} heard, {outcome.failed} failed", flush=True)
    return took_s


def differences(one: str, other: str) -> int:
    """How many rows of two libraries differ in anything but when they were heard."""
    tables = [pd.read_parquet(f"s3://bucket/{name}/").drop(columns="heard") for name in (one, other)]
    one, other = (table.sort_values("file", ignore_index=True) for table in tables)
    for table in (one, other):
        table["embedding"] = table["embedding"].map(
            lambda numbers: None if numbers is None else numbers.tobytes().hex()
        )
    return N_CLIPS if len(one) != len(other) else len(one.compare(other))


def scan_on_nodes(predictor: Predictor) -> tuple[float, float]:
    """Two scans on two nodes, of which the second run loses one. Returns the seconds that they took."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    second = nodes.add_node(**NODE)
    with on_cluster(nodes.address, RELEASED_MODELS, predictor) as engine:
        whole_s = timed_scan("two_nodes", predictor, engine)
        kill = lambda: nodes.remove_node(second, allow_graceful=False)  # noqa: E731
        killed_s = timed_scan("node_killed", predictor, killing(engine, kill))
    nodes.shutdown()
    return whole_s, killed_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder whose clips to use (default: synthetic clips)")
    arguments = parser.parse_args()
    os.environ.update(QUIET)
    predictor = Predictor.load(RELEASED_MODELS)
    with TemporaryDirectory() as folder:
        clips = find_files([arguments.audio])[:N_CLIPS] if arguments.audio else make_clips(Path(folder), N_DIFFERENT)
        adding = Timer(parts.Parts.add)
        timed = patch.object(parts.Parts, "add", lambda *arguments: adding(*arguments))
        with served(clips) as (client, requests), timed:
            before = requests.counts.copy()
            with patch.object(parts, "cpu_count", lambda: 1):
                begun_s = time.process_time()
                alone_s = timed_scan("this_process", predictor, on_this_machine(predictor))
                busy_s = time.process_time() - begun_s
            asked = requests.counts - before
            timed_scan("this_process", predictor, on_this_machine(predictor))
            with patch.object(parts, "BATCH_FILES", BATCH_FILES):
                nodes_s, _ = scan_on_nodes(predictor)
            n_different = {name: differences("this_process", name) for name in ("two_nodes", "node_killed")}
            sizes = [o["Size"] for o in client.list_objects_v2(Bucket="bucket", Prefix="this_process/p")["Contents"]]
    print(f"rows that differ from this process's: {n_different}")
    print(f"songs per second: {N_CLIPS / alone_s:.2f} on one core, {N_CLIPS / nodes_s:.2f} on two nodes of one")
    print(
        f"a song takes {busy_s / N_CLIPS:.2f} s of a core, the server's share included, whatever else the machine does"
    )
    print(f"a million songs: {MILLION * busy_s / N_CLIPS / 3600:.0f} core-hours")
    print(f"parts of {parts.BATCH_FILES} songs: {sum(sizes) / N_CLIPS:.0f} bytes a song, {len(sizes)} parts")
    print(f"keeping a part takes {1000 * sum(adding.took_s) / len(adding.took_s):.0f} ms of the machine that starts it")
    print(f"requests: {dict(asked)} for {N_CLIPS} songs")
    return 1 if any(n_different.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
