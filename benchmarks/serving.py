"""A server of the page in a process of its own, to measure."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Server:
    """A running server, reached by loopback alone."""

    address: str
    pid: int
    folder: Path  # in which its temporary files lie

    @property
    def host_and_port(self) -> tuple[str, int]:
        host, port = self.address.removeprefix("http://").split(":")
        return host, int(port)

    @property
    def memory_mb(self) -> float:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024

    @property
    def uploads_mb(self) -> float:
        """What its temporary files take on the disk."""
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with suppress(FileNotFoundError):  # gone in between
                    total += (Path(folder) / name).lstat().st_size
        return total / 1e6


@contextmanager
def serving(*tracer: str, **variables: str) -> Iterator[Server]:
    """Start a server: what it is traced with, and variables of its environment."""
    with TemporaryDirectory() as folder:
        command = [*tracer, sys.executable, ROOT / "app.py", "--port", "0"]
        environment = os.environ | {"TMPDIR": folder} | variables
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                address = re.search(r"http://\S+\d", process.stdout.readline())[0]
                yield Server(address, process.pid, Path(folder))
            finally:
                process.terminate()
