"""An S3 server on loopback."""

import logging
import os

import pytest

from music_learning.library import remote
from music_learning.library.remote import filesystem

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAOFNOBODY", "AWS_SECRET_ACCESS_KEY": "the-secret-of-nobody"}


class Server:
    """A bucket on a server of this machine, and the environment by which it is found."""

    def __init__(self, address, monkeypatch):
        import boto3

        self.address, self.monkeypatch = address, monkeypatch
        self.use(AWS_ENDPOINT_URL=address, AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true", **KEYS)
        self.use(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)  # and not this machine's
        self.client = boto3.client("s3", endpoint_url=address)
        self.client.create_bucket(Bucket="bucket")

    def use(self, **environment):
        """Go on with other variables, of which None are unset."""
        for name, value in environment.items():
            self.monkeypatch.delenv(name, raising=False)
            if value is not None:
                self.monkeypatch.setenv(name, value)
        filesystem.cache_clear()

    def put(self, key, content):
        self.client.put_object(Bucket="bucket", Key=key, Body=content)

    def get(self, key):
        return self.client.get_object(Bucket="bucket", Key=key)["Body"].read()

    def keys(self, prefix=""):
        return [found["Key"] for found in self.client.list_objects_v2(Bucket="bucket", Prefix=prefix)["Contents"]]


@pytest.fixture(scope="module")
def s3_of_module():
    pytest.importorskip("s3fs", reason="the packages of the cluster are missing")
    moto_server = pytest.importorskip("moto.server", reason="the S3 server of the tests is missing")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Server("http://{}:{}".format(*server.get_host_and_port()), monkeypatch)
    filesystem.cache_clear()
    server.stop()


@pytest.fixture
def s3(s3_of_module):
    """An empty bucket."""
    server = s3_of_module
    for key in server.client.list_objects_v2(Bucket="bucket").get("Contents", ()):
        server.client.delete_object(Bucket="bucket", Key=key["Key"])
    with pytest.MonkeyPatch.context() as monkeypatch:
        server.monkeypatch = monkeypatch
        yield server
    filesystem.cache_clear()


@pytest.fixture
def mortal(s3, monkeypatch):
    """Another server of the same bucket, to stop and to start; nobody waits long for it."""
    from moto.server import ThreadedMotoServer

    monkeypatch.setattr(remote, "TRIES", 1)
    monkeypatch.setattr(remote, "PATIENCE_S", 0.4)
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 0.05)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, server._port = server.get_host_and_port()
    s3.use(AWS_ENDPOINT_URL=f"http://{host}:{server._port}")
    yield server
    server.stop()
