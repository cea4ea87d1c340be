import socket
import sqlite3
import sys
from contextlib import closing
from types import SimpleNamespace

import pandas as pd
import pytest
import requests
from conftest import run_python

from music_learning.commands.scan import main
from music_learning.errors import AudioError, ServerError, UserError
from music_learning.library import remote
from music_learning.library.remote import RemoteFile, RemoteFiles, RemoteFolder, bucket_and_key, filesystem, find_all

SECRETS = ("AKIAOFNOBODY", "the-secret-of-nobody")


def refused(call, *arguments):
    """The sentence by which something is refused; no key stands in it, nor in what it came from."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert not any(secret in repr(caught.value) for secret in SECRETS)
    assert caught.value.__cause__ is None
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_folder_is_listed_without_what_is_no_audio_or_hidden(s3):
    listed = ("music/b.MP3", "music/a/c #1?.flac", "music/a/../up.ogg", "music/a/é\u2028.wav", "music/ä.opus/in.mp3")
    others = ("music/notes.txt", "music/.hidden.mp3", "music/.trash/x.mp3", "musical/x.mp3", "x.mp3", "music/dir.mp3/")
    for key in (*listed, *others):
        s3.put(key, b"12345")
    for name in ("s3://bucket/music", "s3://bucket/music/"):
        files = RemoteFiles([name])
        assert sorted(file.name for file in files) == sorted(f"s3://bucket/{key}" for key in listed)
        assert len(files) == len(listed)
        assert files.folders == ["s3://bucket/music/"]
    n_bytes, modified = next(iter(files)).state()
    assert n_bytes == 5
    assert modified.startswith("20") and modified.endswith("Z")


def test_listing_goes_on_behind_a_page(s3, monkeypatch):
    keys = [f"music/{n}.mp3" for n in range(5)]
    for key in keys:
        s3.put(key, b"")
    pages = list(remote._pages("bucket", "music/", n_keys=2))
    assert [found["Key"] for page in pages for found in page["Contents"]] == keys
    assert len(pages) == 3


def test_single_file_and_whole_bucket_can_be_named(s3, tmp_path):
    s3.put("music/a.mp3", b"1")
    s3.put("music/a.mp3.mp3", b"2")
    (tmp_path / "b.mp3").write_bytes(b"3")
    assert [file.name for file in RemoteFiles(["s3://bucket/music/a.mp3"])] == ["s3://bucket/music/a.mp3"]
    assert len(RemoteFiles(["s3://bucket"])) == 2
    files = find_all(["s3://bucket/music/", str(tmp_path)])
    assert [file.name for file in files] == [
        str(tmp_path / "b.mp3"),
        "s3://bucket/music/a.mp3",
        "s3://bucket/music/a.mp3.mp3",
    ]


def test_file_is_here_for_as_long_as_it_is_heard(s3):
    s3.put("music/a/../é?.Mp3", b"sound")
    (file,) = RemoteFiles(["s3://bucket/music"])
    with file.opened() as path:
        assert path.read_bytes() == b"sound"
        assert path.name == "song.mp3"
    assert not path.parent.exists()


def fetch(file):
    with file.opened():
        pass


def test_file_that_cannot_be_fetched_says_why(s3, monkeypatch):
    assert "it is not there any more" in refused(fetch, RemoteFile.listed("s3://bucket/gone.mp3", 1, ""))
    assert "larger than 2 GB" in refused(fetch, RemoteFile.listed("s3://bucket/big.mp3", 3 * 10**9, ""))
    s3.put("grown.mp3", b"x" * 1000)
    monkeypatch.setattr(remote, "MAX_BYTES", 999)
    with pytest.raises(AudioError, match="larger than"):
        fetch(RemoteFile.listed("s3://bucket/grown.mp3", 10, ""))
    monkeypatch.undo()
    monkeypatch.setattr(remote, "MAX_DOWNLOAD_S", -1)
    with pytest.raises(AudioError, match="minutes to fetch"):
        fetch(RemoteFile.listed("s3://bucket/grown.mp3", 1000, ""))


@pytest.mark.parametrize("name", ["gs://bucket/music", "https://key:word@host/x", "s3://key:word@bucket/x", "s3:///x"])
def test_other_addresses_are_refused_without_what_may_be_a_password(name):
    assert "word" not in refused(bucket_and_key, name).replace("passwords", "")


def test_server_s_refusals_are_sentences(s3):
    assert "there is no such bucket" in refused(RemoteFiles, ["s3://nobody/music"])
    assert "there is no such bucket" in refused(RemoteFolder("s3://nobody/moods").names)
    s3.use(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert "there are no keys; check AWS_ACCESS_KEY_ID" in refused(RemoteFiles, ["s3://bucket/music"])


def test_wrong_keys_and_missing_permission_are_sentences(s3):
    import boto3

    iam = boto3.client("iam", endpoint_url=s3.address)
    iam.create_user(UserName="reader")
    keys = iam.create_access_key(UserName="reader")["AccessKey"]
    requests.post(f"{s3.address}/moto-api/reset-auth", data=b"0", timeout=10)  # from here on keys are checked
    try:
        assert "the keys are wrong; check AWS_ACCESS_KEY_ID" in refused(RemoteFiles, ["s3://bucket/music"])
        s3.use(AWS_ACCESS_KEY_ID=keys["AccessKeyId"], AWS_SECRET_ACCESS_KEY=keys["SecretAccessKey"])
        sentence = refused(RemoteFiles, ["s3://bucket/music"])
        assert "these keys have no permission for it" in sentence
        assert keys["AccessKeyId"] not in sentence
        assert "no permission" in refused(RemoteFolder("s3://bucket/moods").write, "x", b"")
    finally:
        requests.post(f"{s3.address}/moto-api/reset-auth", data=b"inf", timeout=10)


def test_endpoint_that_does_not_answer_is_waited_for_in_bounds(s3, monkeypatch):
    monkeypatch.setattr(remote, "READ_TIMEOUT_S", 0.2)
    monkeypatch.setattr(remote, "CONNECT_TIMEOUT_S", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        s3.use(AWS_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "the server doesn't answer" in refused(RemoteFiles, ["s3://bucket/music"])
    s3.use(AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert "the server doesn't answer" in refused(RemoteFiles, ["s3://bucket/music"])
    s3.use(AWS_ENDPOINT_URL="nonsense")
    assert "check AWS_ENDPOINT_URL" in refused(RemoteFiles, ["s3://bucket/music"])


def test_folder_on_a_server_is_read_and_written(s3):
    folder = RemoteFolder("s3://bucket/moods")
    assert folder.names() == []
    folder.write("a.parquet", b"1")
    folder.write("a.parquet", b"2")
    s3.put("moods/deep/b", b"")
    assert sorted(folder.names()) == ["a.parquet", "deep/"]
    assert folder.read("a.parquet") == b"2"
    assert "s3://bucket/moods/no can't be used: it is not there" in refused(folder.read, "no")


def test_database_is_filled_from_a_server(s3, library, trained, tmp_path, capsys):
    clip = (library / "clips" / "song00.wav").read_bytes()
    s3.put("music/a.wav", clip)
    s3.put("music/bad.mp3", b"no audio")
    arguments = ["s3://bucket/music", "--library", str(tmp_path / "moods.sqlite"), "--models", str(trained)]
    assert main(arguments) == 1
    assert capsys.readouterr().out.startswith("1 heard, 1 can't be used\n")
    s3.put("music/b.wav", clip)
    assert main(arguments) == 0
    assert capsys.readouterr().out == "0 heard, 2 unchanged, 1 of known content\n"
    s3.client.delete_object(Bucket="bucket", Key="music/b.wav")
    assert main(arguments) == 0
    assert capsys.readouterr().out == "0 heard, 2 unchanged, 1 missing now\n"
    with closing(sqlite3.connect(tmp_path / "moods.sqlite")) as database:
        rows = database.execute("SELECT path, error, energy, missing IS NULL FROM songs ORDER BY path").fetchall()
    assert [row[0] for row in rows] == [
        b"s3://bucket/music/a.wav",
        b"s3://bucket/music/b.wav",
        b"s3://bucket/music/bad.mp3",
    ]
    assert rows[0][2] == rows[1][2] is not None
    assert [row[3] for row in rows] == [1, 0, 1]


def test_scan_of_folders_here_loads_nothing_of_a_cluster(tmp_path):
    program = f"""
import sys
from music_learning.commands.scan import main
from music_learning.errors import UserError
try:
    main([{str(tmp_path)!r}])
except UserError as error:
    print(error, *[name in sys.modules for name in ("ray", "s3fs", "botocore", "music_learning.library.parts")])
"""
    assert run_python("-c", program).stdout == f"there is no audio file in {tmp_path} False False False False\n"


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    remote.filesystem.cache_clear()
    assert refused(RemoteFiles, ["s3://bucket"]).endswith("install them: pip install 'music-learning[cluster]'")


AWAY = "s3://bucket can't be used: the server doesn't answer; .*; what was heard is kept, the same command goes on"


def test_server_that_comes_back_in_time_costs_nothing(s3, mortal, monkeypatch):
    s3.put("music/a.mp3", b"sound")
    (file,) = RemoteFiles(["s3://bucket/music"])
    mortal.stop()
    monkeypatch.setattr(remote, "PATIENCE_S", 30)
    monkeypatch.setattr(remote.time, "sleep", lambda s: mortal.start())
    with file.opened() as path:
        assert path.read_bytes() == b"sound"
    assert filesystem().away_since_s is None


def test_server_that_stays_away_ends_the_run(s3, mortal, monkeypatch):
    s3.put("music/a.mp3", b"sound")
    (file,) = RemoteFiles(["s3://bucket/music"])
    mortal.stop()
    waits = []  # whose seconds alone go by
    clock = SimpleNamespace(sleep=waits.append, monotonic=lambda: 1 + sum(waits))
    monkeypatch.setattr(remote, "time", clock)
    with pytest.raises(ServerError, match=AWAY):
        fetch(file)
    assert waits[:3] == [0.05, 0.1, 0.2]
    with pytest.raises(ServerError, match=AWAY):
        fetch(file)
    assert len(waits) == 4  # the second did not wait anew
    assert "the server doesn't answer" in refused(RemoteFolder("s3://bucket/moods").write, "x", b"")


def test_keys_that_expire_end_the_run_and_one_refused_file_does_not(s3):
    s3.put("music/a.mp3", b"sound")
    file = RemoteFile.listed("s3://bucket/music/a.mp3", 5, "")
    real = filesystem().call_s3

    def refuse(error):
        def get_file(*_, **__):
            raise PermissionError("AKIAOFNOBODY") from error

        filesystem().get_file = get_file

    refuse(client_error("AccessDenied"))
    with pytest.raises(AudioError, match="these keys have no permission"):
        fetch(file)
    for code in ("ExpiredToken", "AccessDenied"):
        filesystem().call_s3 = lambda *_, code=code, **__: (_ for _ in ()).throw(client_error(code))
        with pytest.raises(
            ServerError, match=r"s3://bucket can't be used: the(se)? keys have .*what was heard is kept"
        ):
            fetch(file)
    filesystem().call_s3 = real
    s3.use(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    with pytest.raises(ServerError, match="there are no keys"):
        fetch(file)


def client_error(code):
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": code}}, "GetObject")


def test_what_a_server_calls_its_reason_is_not_repeated_at_length(s3):
    assert remote.reason(client_error("QuotaReached")) == "the server refuses it (QuotaReached)"
    for code in ("AKIA4OFNOBODY", "x" * 41, "a\x1b[2J"):
        assert remote.reason(client_error(code)) == "the server refuses it (no reason)"


@pytest.mark.parametrize("name", ["moods.sqlite", "moods/"])
def test_server_that_stops_in_the_middle_of_a_scan_makes_no_rows(s3, mortal, library, trained, tmp_path, name):
    clip = (library / "clips" / "song00.wav").read_bytes()
    for key in ("a", "b"):
        s3.put(f"music/{key}.wav", clip)
    arguments = ["s3://bucket/music", "--library", f"{tmp_path}/{name}", "--models", str(trained)]
    assert main(arguments) == 0
    for n in range(20):
        s3.put(f"music/c{n:02}.wav", clip + bytes(n))
    s3.put("music/a.wav", clip[:-2])
    real = remote.RemoteFile.opened

    def stops(self):
        if self.name.endswith("c03.wav"):
            mortal.stop()
        return real(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(remote.RemoteFile, "opened", stops)
        with pytest.raises(ServerError, match=AWAY):
            main(arguments)
    if name.endswith("/"):
        table = pd.read_parquet(tmp_path / name)
    else:
        with closing(sqlite3.connect(tmp_path / name)) as database:
            table = pd.read_sql("SELECT * FROM songs", database)
    assert {f"s3://bucket/music/{key}.wav" for key in "ab"} <= set(table["file"])
    assert table["error"].isna().all()
    mortal.start()
    assert main(arguments) == 0
