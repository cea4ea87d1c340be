"""The server as a process: how it starts and ends, what it sends out, and what it keeps in memory."""

import re
import signal
import socket
import sys
from pathlib import Path

import pytest
import requests
from conftest import start

from music_learning.commands import serve
from music_learning.errors import UserError
from music_learning.web.server import FILE_PAGES, open_socket

PROXIES = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://user:secret@no.such.host.invalid:99999",
    "ALL_PROXY": "socks5h://127.0.0.1:9",
    "all_proxy": "nonsense://[",
    "NO_PROXY": "::1,[,*bad*,http://",
    "no_proxy": "",
}
TOKENS = {
    "HF_TOKEN": "hf_secret",
    "HF_HUB_ENABLE_HF_TRANSFER": "1",
    "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "OTEL_TRACES_EXPORTER": "otlp",
}
# Ends the server at the first connection that it makes, or name that it asks for.
NO_CALLS = """
import os, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        sys.stderr.write(f"{event} {arguments}\\n")
        os._exit(99)
sys.addaudithook(refuse)
from music_learning.__main__ import main
sys.exit(main())
"""


def started(*command, **options):
    process = start(*command, **options)
    line = process.stdout.readline()
    found = re.search(r"http://\S+\d", line)
    assert found, process.communicate(timeout=120)[1]
    return process, found[0]


@pytest.fixture
def folders(trained, loaded):
    return ("--models", trained, "--data", loaded, "--port", 0)


def test_taken_port_is_a_sentence():
    with open_socket("127.0.0.1", 0) as taken, pytest.raises(UserError, match="try another --port"):
        open_socket("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("198.51.100.1", 0)])
def test_so_is_a_place_where_nothing_can_be_served(host, port):
    with pytest.raises(UserError, match=f"can't be served at {host}, port {port}: "):
        open_socket(host, port)


@pytest.mark.parametrize("name", ["songs.example.org:8443", "https://songs.example.org", "", "a b"])
def test_public_host_is_a_name(name, capsys):
    with pytest.raises(SystemExit):
        serve.main(["--public-host", name])
    assert "give it without https://, port and path" in capsys.readouterr().err


def test_default_address_is_this_machine_only(address):
    assert address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)])
def test_it_ends_cleanly_in_the_middle_of_a_song(folders, tmp_path, monkeypatch, number, status):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process, address = started("-m", "music_learning", "serve", *folders)
    with process, socket.create_connection(address.removeprefix("http://").split(":")) as half:
        half.sendall(b"POST /api/analyses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx")
        assert requests.get(f"{address}/api/health", timeout=120).ok
        assert [path.name[:15] for path in tmp_path.iterdir()] == ["music-learning-"]
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    assert process.returncode == status
    assert said in ("", "stopped\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_nothing_is_sent_out_and_no_proxy_is_asked(folders, songs, tmp_path, monkeypatch):
    (tmp_path / "token").write_text("hf_secret")
    for name, value in {**PROXIES, **TOKENS, "HF_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    process, address = started("-c", NO_CALLS, "serve", *folders, "--public-host", "Songs.example.org")
    with process, requests.Session() as session:
        session.trust_env = False
        try:
            with open(songs / "My Song.mp3", "rb") as file:
                answer = session.post(f"{address}/api/analyses?explain=1", files={"file": file}, timeout=120)
            assert answer.status_code == 200
            proxied = {"Host": "songs.example.org", "Origin": "https://songs.example.org"}
            assert session.post(f"{address}/api/analyses", headers=proxied, timeout=120).status_code == 422  # is empty
            for path in ("/", "/docs", "/openapi.json", "/api/examples", "/api/models", "/api/health"):
                assert session.get(address + path, timeout=120).ok
            playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
            for body in (
                playlist,
                b"ffconcat version 1.0\nfile http://127.0.0.1:9/a.mp3\n",
                b"http://127.0.0.1:9/a.mp3",
            ):
                assert session.post(f"{address}/api/analyses?name=a.m3u8", data=body, timeout=120).status_code == 422
        finally:
            process.terminate()
            _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, "")


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux")
def test_pages_that_can_be_read_again_are_found():
    mappings = Path("/proc/self/smaps").read_text()
    found = {f"{start}-{end}" for start, end in FILE_PAGES.findall(mappings)}
    lines = mappings.splitlines()
    heads = {line.split()[0]: line for line in lines if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line)}
    assert any("libtorch" in heads[place] for place in found)
    assert all(re.search(r" r-[x-]p ", heads[place]) and "/" in heads[place] for place in found)
    changed = set()
    for line in lines:
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            place = line.split()[0]
        elif line.startswith("Anonymous:") and line.split()[1] != "0":
            changed.add(place)
    assert not found & changed


def test_manual_names_what_there_is(capsys):
    with pytest.raises(SystemExit, match="0"):
        serve.main(["--help"])
    said = capsys.readouterr().out
    assert "--public-host" in said
    assert "curl -F file=@song.mp3" in said
