"""The local servers that the clients' tests ask, and the session they ask by."""

import pytest

from music_learning.collect.cache import ResponseCache
from music_learning.collect.http import HttpSession
from tools.fake_services import CLIENT_ID, CLIENT_SECRET, Faults, Services, World, environment, serve

SPEED = 1000


@pytest.fixture
def server(monkeypatch):
    server = serve(Services(World(artists=200, kind="small"), Faults(), speed=SPEED))
    for name, value in environment(server, speed=SPEED).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SPOTIPY_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("SPOTIPY_CLIENT_SECRET", CLIENT_SECRET)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def services(server):
    return server.services


@pytest.fixture
def world(services):
    return services.world


@pytest.fixture
def http(tmp_path):
    http = HttpSession(ResponseCache(tmp_path / "answers.sqlite"), max_wait_s=5, connections=4, note=lambda _: None)
    yield http
    http.close()
