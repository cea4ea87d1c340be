"""Requests that mean harm, to a server of our own on loopback: how many get through. 0 is right for each.

python benchmarks/hostile_requests.py

A request gets through if it is answered as if it were a good one, if it has the server read a file or fetch an address
for it, if it leaves something on the disk, or if it keeps a good request from being answered within PATIENCE_S.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
from serving import Server, serving
from synthetic import make_clip

PATIENCE_S = 30
LIMIT_MB = 300
ALL_MB = 3000
MB = bytes(1_000_000)
N_LARGE, LARGE_MB = 13, 290
N_ABORTED = 60
N_SLOW = 300
FORM = "Content-Type: multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'


def connect(server: Server) -> socket.socket:
    return socket.create_connection(server.host_and_port, timeout=120)


def head(*headers: str, line: str = "POST /api/analyses HTTP/1.1", host: str = "127.0.0.1") -> bytes:
    return "\r\n".join([line, f"Host: {host}", *headers, "", ""]).encode()


def status_of(connection: socket.socket) -> int:
    """The status of what is answered; 0 where the connection is closed instead."""
    try:
        return int([*connection.recv(65_536).split(), b"", b"0"][1])
    except (OSError, ValueError):
        return 0


def pour(server: Server, beginning: bytes, megabytes: Iterator[bytes]) -> int:
    """Send a request that goes on and on. Returns the status."""
    with connect(server) as connection:
        try:
            connection.sendall(beginning)
            for megabyte in megabytes:
                connection.sendall(megabyte)
        except OSError:  # closed while it was sent
            pass
        return status_of(connection)


def chunks(first: bytes, n: int) -> Iterator[bytes]:
    """A body in chunks: an odd beginning, so many megabytes, and its end."""
    for block in (first, *[MB] * n):
        if block:
            yield b"%x\r\n%b\r\n" % (len(block), block)
    yield b"0\r\n\r\n"


def still_good(server: Server, clip: bytes) -> bool:
    """Whether a good request is answered in time."""
    try:
        answer = requests.post(f"{server.address}/api/analyses", files={"file": ("a.mp3", clip)}, timeout=PATIENCE_S)
    except requests.RequestException:
        return False
    return answer.status_code == 200


def lies(server: Server, clip: bytes) -> Iterator[bool]:
    """Bodies whose headers say that they are short, or nothing of their length, or say it twice."""
    n = LIMIT_MB + 5
    for headers, first in ((["Transfer-Encoding: chunked"], b""), (["Transfer-Encoding: chunked", FORM], PART)):
        yield pour(server, head(*headers), chunks(first, n)) in range(200, 300)
        yield pour(server, head(*headers, "Content-Length: 10"), chunks(first, n)) in range(200, 300)
    yield pour(server, head("Content-Length: 10"), iter([MB] * 20)) in range(200, 300)
    yield pour(server, head(f"Content-Length: {LIMIT_MB * 10**6 + 10**7}"), iter([MB] * n)) in range(200, 300)
    yield pour(server, head("Content-Length: 5", "Content-Length: 6"), iter([b"xxxxxx"])) in range(200, 300)
    yield pour(server, head("Content-Length: -1"), iter([b"x"])) in range(200, 300)
    yield pour(server, head("Transfer-Encoding: chunked"), iter([b"-1\r\nx\r\n0\r\n\r\n"])) in range(200, 300)
    yield pour(server, head("Content-Encoding: gzip", f"Content-Length: {len(clip)}"), iter([clip[::-1]])) == 200
    yield not still_good(server, clip)


def large(server: Server, clip: bytes) -> Iterator[bool]:
    """More at once than all uploads may take together."""
    highest, done, barrier = 0.0, threading.Event(), threading.Barrier(N_LARGE)

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.05):
            highest = max(highest, server.uploads_mb)

    def body(number: int) -> Iterator[bytes]:
        """All of it but the end, for which all wait for one another, and the end."""
        whole = chunks(b"", LARGE_MB) if number % 2 else iter([MB] * LARGE_MB)
        try:
            yield from islice(whole, LARGE_MB - 1)
        finally:  # also where it was refused
            with suppress(threading.BrokenBarrierError):
                barrier.wait(PATIENCE_S)
        yield from whole

    def one(number: int) -> int:
        length = "Transfer-Encoding: chunked" if number % 2 else f"Content-Length: {LARGE_MB * 10**6}"
        with closing(body(number)) as megabytes:
            return pour(server, head(length), megabytes)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(N_LARGE) as pool:
        statuses = list(pool.map(one, range(N_LARGE)))
    done.set()
    watcher.join()
    print(f"  {N_LARGE} x {LARGE_MB} MB: at most {highest:.0f} MB on the disk, answers {sorted(statuses)}")
    yield from (status in range(200, 300) for status in statuses)
    yield highest > ALL_MB * 1.02
    yield server.uploads_mb > 0
    yield not still_good(server, clip)


def foreign(server: Server, clip: bytes) -> Iterator[bool]:
    """Other names for this machine, and other sites' pages."""
    hosts = (
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.",
        "0x7f000001",
        "10.0.0.1",
        "",
        "[::1",
        "127.0.0.1@x",
    )
    for host in hosts:
        for line in ("GET / HTTP/1.1", "GET /api/examples HTTP/1.1", "POST /api/analyses HTTP/1.1"):
            yield pour(server, head("Content-Length: 0", line=line, host=host), iter(())) != 403
    body = head(f"Content-Length: {len(clip)}").removesuffix(b"\r\n")
    for header in (
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://127.0.0.1:1",
        "Sec-Fetch-Site: cross-site",
    ):
        yield pour(server, body + header.encode() + b"\r\n\r\n", iter([clip])) != 403
        example = head(header, "Content-Length: 0", line="POST /api/examples/x HTTP/1.1")
        yield pour(server, example, iter(())) != 403
    preflight = head("Origin: http://evil.example", line="OPTIONS /api/analyses HTTP/1.1")
    with connect(server) as connection:
        connection.sendall(preflight)
        yield b"access-control-allow" in connection.recv(65_536).lower()


def aborted(server: Server, clip: bytes) -> Iterator[bool]:
    """Connections that are closed in the middle of an upload, while they wait, or while they are heard."""
    for number in range(N_ABORTED):
        with connect(server) as connection:
            form = [FORM] if number % 2 else []
            length = len(clip) if number % 3 else 10**8
            connection.sendall(head(f"Content-Length: {length}", *form) + (PART if form else b"") + clip[: length - 1])
            if number % 3 == 1:
                connection.sendall(clip[-1:])
    end = time.monotonic() + PATIENCE_S
    while server.uploads_mb > 0 and time.monotonic() < end:
        time.sleep(0.1)
    yield server.uploads_mb > 0
    health = requests.get(f"{server.address}/api/health", timeout=PATIENCE_S).json()
    yield health["waiting"] > 0
    yield not still_good(server, clip)


def slow(server: Server, clip: bytes) -> Iterator[bool]:
    """Many connections that never come to an end: silent, with slow headers, or with slow bodies."""
    beginnings = (
        b"",
        head()[:-2],
        head("Content-Length: 100000"),
        head("Content-Length: 100000", FORM) + PART,
        head("Transfer-Encoding: chunked"),
        head("Content-Length: 100000", line="POST /nothing HTTP/1.1"),
    )
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(N_SLOW)]
        for number, connection in enumerate(connections):
            connection.sendall(beginnings[number % len(beginnings)])
        start = time.monotonic()
        yield not still_good(server, clip)
        print(f"  {N_SLOW} slow ones: a good request beside them took {time.monotonic() - start:.1f} s")
        open_, end = set(connections), time.monotonic() + PATIENCE_S
        while open_ and time.monotonic() < end:
            time.sleep(1)
            open_ = {connection for connection in open_ if not has_ended(connection)}
            yield not still_good(server, clip)
        yield from [True] * len(open_)  # which would have held on for ever


def has_ended(connection: socket.socket) -> bool:
    """Send one byte more, as a slow one does; whether the other end has closed the connection."""
    try:
        connection.sendall(b"1")
        connection.setblocking(False)
        while connection.recv(65_536):
            continue
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(120)
    return True


def paths(server: Server, clip: bytes) -> Iterator[bool]:
    """Names and addresses that are meant to lead to other files of the server."""
    targets = ["../README.md", "..%2f..%2fREADME.md", "%2e%2e/%2e%2e/README.md", "....//README.md", "/etc/passwd"]
    for target in targets:
        for place in ("/", "/static/", "/static/swagger/", "/docs/", "/api/examples/", "/file=", "/gradio_api/file="):
            with connect(server) as connection:
                connection.sendall(head("Connection: close", line=f"GET {place}{target} HTTP/1.1"))
                answer = connection.recv(65_536)
            yield b"root:" in answer or b"Music-Learning\n" in answer or b" 200 " in answer[:20]
    for name in ("../../evil.mp3", "/tmp/evil.mp3", "C:\\evil.mp3", "a\0b.mp3", "x" * 5000, "\u202egpj.mp3"):
        answer = requests.post(f"{server.address}/api/analyses", params={"name": name}, data=clip, timeout=PATIENCE_S)
        shown = answer.json().get("file", "")
        yield "/" in shown or "\\e" in shown or len(shown) > 200 or any(ord(letter) < 32 for letter in shown)
    yield any(Path(place).exists() for place in ("/tmp/evil.mp3", server.folder / "evil.mp3"))
    for field in ("path", "url", "file"):  # no upload, but the name of one
        answer = requests.post(f"{server.address}/api/analyses", data={field: "/etc/passwd"}, timeout=PATIENCE_S)
        yield answer.ok
    yield server.uploads_mb > 0


def addresses(server: Server, clip: bytes) -> Iterator[bool]:
    """Whatever would have the server fetch an address for somebody: it is one at which we listen."""
    asked = threading.Event()

    def listen(trap: socket.socket) -> None:
        while True:
            try:
                trap.accept()[0].close()
            except OSError:  # closed
                return
            asked.set()

    with socket.create_server(("127.0.0.1", 0)) as trap:
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/a.mp3"
        threading.Thread(target=listen, args=(trap,), daemon=True).start()
        bodies = (
            url,
            f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile '{url}'\n",
            f'<?xml version="1.0"?><MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>',
            f"[playlist]\nFile1={url}\n",
            f"v=0\nc=IN IP4 127.0.0.1\nm=audio {trap.getsockname()[1]} RTP/AVP 0\n",
        )
        for body in bodies:
            for parameters in ({"name": "a.m3u8"}, {"name": url}, {"url": url, "path": url}):
                asked.clear()
                answer = requests.post(
                    f"{server.address}/api/analyses", params=parameters, data=body.encode(), timeout=PATIENCE_S
                )
                yield answer.ok or asked.wait(0.05)
        for place in (f"/{url}", f"/file={url}", f"/api/examples/{url}", f"/docs?url={url}"):
            requests.get(server.address + place, timeout=PATIENCE_S)
            yield asked.wait(0.05)


def nonsense(server: Server, clip: bytes) -> Iterator[bool]:
    """What is no HTTP, or too much of it."""
    for words in (
        b"\x16\x03\x01\x02\0\x01\0" * 50,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 100_000,
        b"SSH-2.0-x\r\n",
    ):
        yield pour(server, words, iter(())) in range(200, 300)
    yield pour(server, head(*["X: " + "x" * 100] * 5000), iter(())) in range(200, 300)
    yield pour(server, head("X: " + "x" * 1_000_000), iter(())) in range(200, 300)
    yield pour(server, head(line="GET /" + "x" * 1_000_000 + " HTTP/1.1"), iter(())) in range(200, 300)
    upgrade = head("Upgrade: websocket", "Connection: Upgrade", line="GET /ws HTTP/1.1")
    yield pour(server, upgrade, iter(())) in (101, *range(200, 300))
    yield not still_good(server, clip)


ATTACKS: dict[str, Callable[[Server, bytes], Iterator[bool]]] = {
    "chunked with lies": lies,
    "too much at once": large,
    "foreign Host and Origin": foreign,
    "aborted uploads": aborted,
    "slow ones": slow,
    "paths": paths,
    "addresses": addresses,
    "nonsense": nonsense,
}


def main() -> None:
    with TemporaryDirectory() as folder, serving() as server:
        make_clip(Path(folder) / "clip.mp3", seed=0)
        clip = (Path(folder) / "clip.mp3").read_bytes()
        total = 0
        for name, attack in ATTACKS.items():
            start = time.monotonic()
            outcomes = list(attack(server, clip))
            total += sum(outcomes)
            print(
                f"{name}: {len(outcomes)} checks, {sum(outcomes)} got through; {time.monotonic() - start:.0f} s, then "
                f"{server.memory_mb:.0f} MB",
                flush=True,
            )
    print(f"{total} got through")


if __name__ == "__main__":
    main()
