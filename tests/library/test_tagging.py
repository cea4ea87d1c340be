"""Writing tags into one file: what changes, what must not, and what is refused."""

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import av
import mutagen
import numpy as np
import pytest
from conftest import chord, write_audio, write_with_ffmpeg
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, COMM, ID3, PRIV, TBPM, TMOO, TXXX, ID3v1SaveOptions
from mutagen.mp4 import MP4, MP4Cover

from music_learning.errors import UserError
from music_learning.files import sha256_of
from music_learning.library import tagging
from music_learning.library.id3 import tag_bytes
from music_learning.library.tag_file import Value
from music_learning.library.tagging import Change, changes_to, check_changeable, opened, packets_of, rewrite, state_of

RATE_HZ = 48_000
ENGLISH = {"title": "Tïtle 日本", "artist": "Ärtist", "album": "Album"}
WANTED = {"energy": "0.731", "mood": "calm and content", "bpm": "120", "initialkey": "F#m"}
CODECS = {
    **{".mp3": "libmp3lame", ".flac": "flac", ".opus": "libopus", ".m4a": "aac", ".wav": "pcm_s16le"},
    **{".aiff": "pcm_s16be", ".wma": "wmav2", ".wv": "wavpack", ".tta": "tta", ".oga": "flac"},
}
KINDS = (*CODECS, ".ogg")
AS_FFMPEG_CALLS_THEM = {
    **{suffix: {"mood": "tmoo", "bpm": "tbpm", "initialkey": "tkey"} for suffix in (".mp3", ".wav", ".aiff")},
    ".wma": {"mood": "wm/mood", "bpm": "wm/beatsperminute", "initialkey": "wm/initialkey"},
}
NOT_TOLD_BY_FFMPEG = {".m4a": {"bpm"}, ".tta": set(WANTED)}
NOT_THE_SAME_BYTES = (".m4a", ".wma", ".wv", ".ogg")  # mutagen makes their atoms, objects, items and pages anew


def song(folder: Path, suffix: str = ".mp3") -> Path:
    """A song with some tags."""
    samples, path = chord(seconds=1.0, rate_hz=RATE_HZ), folder / f"song{suffix}"
    if suffix == ".ogg":
        write_audio(path, samples, RATE_HZ, format="OGG", subtype="VORBIS")
        file = mutagen.File(path)
        file.update(ENGLISH)
        file.save()
        return path
    container = "ogg" if suffix == ".oga" else None
    return write_with_ffmpeg(path, samples, RATE_HZ, codec=CODECS[suffix], container=container, tags=ENGLISH)


def write(path: Path, texts: dict[str, str | None], **options: object) -> list[Change]:
    tags = opened(path)
    changes = changes_to(tags, {field: None if text is None else Value([text]) for field, text in texts.items()})
    rewrite(path, tags, changes, on_copy=lambda _: None, on_made=lambda _: None, **options)
    return changes


def take_back(path: Path, changes: list[Change], n_bytes: int) -> None:
    tags = opened(path)
    back = [Change(change.field, tags.get(change.field), change.old) for change in changes]
    rewrite(path, tags, back, n_bytes=n_bytes, on_copy=lambda _: None, on_made=lambda _: None)


def told(path: Path) -> dict[str, str]:
    """The tags of a file by another library."""
    with av.open(str(path)) as container:
        known = {**container.streams.audio[0].metadata, **container.metadata}
    return {name.lower(): text for name, text in known.items()}


def samples_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])


@pytest.mark.parametrize("suffix", KINDS)
def test_tags_are_written_and_nothing_else_changes(suffix, tmp_path):
    path = song(tmp_path, suffix)
    before, packets, samples = told(path), packets_of(path), samples_of(path)
    write(path, WANTED)
    names = {field: AS_FFMPEG_CALLS_THEM.get(suffix, {}).get(field, field) for field in WANTED}
    new = {names[field]: text for field, text in WANTED.items() if field not in NOT_TOLD_BY_FFMPEG.get(suffix, ())}
    assert told(path) == before | new
    assert {field: opened(path).get(field).texts for field in WANTED} == {
        field: [text] for field, text in WANTED.items()
    }
    assert packets_of(path) == packets and np.array_equal(samples_of(path), samples)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", KINDS)
def test_undoing_makes_the_file_what_it_was(suffix, tmp_path):
    path = song(tmp_path, suffix)
    data, before, packets = path.read_bytes(), told(path), packets_of(path)
    changes = write(path, WANTED)
    assert path.read_bytes() != data
    take_back(path, changes, len(data))
    assert told(path) == before and packets_of(path) == packets
    assert (path.read_bytes() == data) == (suffix not in NOT_THE_SAME_BYTES)


@pytest.mark.parametrize("suffix", KINDS)
def test_what_a_field_held_comes_back(suffix, tmp_path):
    """Under whatever name and in whatever number of values it was."""
    path = song(tmp_path, suffix)
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    if suffix in (".mp3", ".wav", ".aiff", ".tta"):
        file.tags.add(TMOO(encoding=1, text=["Ünruhig", "日本"]))
        file.tags.add(TXXX(encoding=3, desc="Energy", text=["high"]))
        file.tags.add(TBPM(encoding=0, text=["99"]))
    elif suffix == ".m4a":
        file["----:com.apple.iTunes:Mood"] = ["Ünruhig".encode(), "日本".encode()]
        file["tmpo"] = [99]
    else:
        name = "WM/Mood" if suffix == ".wma" else "Mood"
        file[name] = ["Ünruhig", "日本"]
    file.save()
    data, held = path.read_bytes(), {field: opened(path).get(field) for field in WANTED}
    assert held["mood"].texts == ["Ünruhig", "日本"]
    changes = write(path, WANTED)
    assert opened(path).get("mood").texts == ["calm and content"]
    take_back(path, changes, len(data))
    assert {field: opened(path).get(field) for field in WANTED} == held


def test_all_other_frames_stay_byte_for_byte(tmp_path):
    """Also those that nobody can read, of one version and in their order, and an ID3v1 tag at the end."""
    path = song(tmp_path)
    tag = ID3(path)
    tag.add(APIC(encoding=0, mime="image/png", type=3, desc="", data=bytes(range(256)) * 40))
    tag.add(PRIV(owner="TRAKTOR4", data=b"\xff\x00\xff" * 50))
    tag.add(COMM(encoding=3, lang="eng", desc="", text=["comment"]))
    tag.save(path, v1=ID3v1SaveOptions.CREATE, v2_version=3)
    data = path.read_bytes()
    junk = b"XYZZ\0\0\0\x03\0\0abcTXXX\0\0\0\x02\0\x80zz"
    n_bytes = tag_bytes(data[:10])
    frames, sound = junk + data[10:n_bytes].rstrip(b"\0"), data[n_bytes:]
    path.write_bytes(data[:10] + frames.ljust(n_bytes - 10, b"\0") + sound)
    data = path.read_bytes()
    assert data[-128:].startswith(b"TAG")
    changes = write(path, WANTED)
    tagged = path.read_bytes()
    assert tagged[3] == 3 and frames in tagged and tagged.endswith(sound)
    take_back(path, changes, len(data))
    assert path.read_bytes() == data


def test_pictures_and_blocks_stay(tmp_path):
    path = song(tmp_path, ".flac")
    file, picture = FLAC(path), Picture()
    picture.data, picture.mime = bytes(range(256)) * 400, "image/png"
    file.add_picture(picture)
    file.save()
    write(path, WANTED)
    assert FLAC(path).pictures == [picture]
    path = song(tmp_path, ".m4a")
    file = MP4(path)
    file["covr"] = [MP4Cover(picture.data, MP4Cover.FORMAT_PNG)]
    file["----:com.example:binary"] = [b"\xff\xfe\0"]
    file.save()
    write(path, WANTED)
    assert MP4(path)["covr"] == file["covr"] and MP4(path)["----:com.example:binary"] == [b"\xff\xfe\0"]


def test_film_and_sound_of_an_mp4_stay(tmp_path):
    """With the index before the sound, whose places all change."""
    path = tmp_path / "song.m4a"
    options = {"movflags": "faststart"}
    write_with_ffmpeg(path, chord(seconds=2, rate_hz=RATE_HZ), RATE_HZ, codec="aac", options=options, tags=ENGLISH)
    samples = samples_of(path)
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")
    write(path, WANTED | {"energy": "0.731" * 1000})
    assert np.array_equal(samples_of(path), samples)


def test_what_is_refused_stays_as_it_is(tmp_path, monkeypatch):
    path = song(tmp_path)

    def refused(text: str, **attributes: object) -> None:
        data, state = path.read_bytes(), state_of(path)
        with monkeypatch.context() as patched:
            for name, value in attributes.items():
                patched.setattr(tagging, name, value)
            with pytest.raises(UserError, match=text):
                write(path, WANTED)
        assert (path.read_bytes(), state_of(path)) == (data, state)
        assert list(tmp_path.iterdir()) == [path]

    full = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=1000))
    refused("too little space", shutil=full)
    hashes = iter("ab")
    refused("change its sound", packets_of=lambda _: tagging.Packets("mp3", next(hashes)))
    refused("another kind", packets_of=lambda _: tagging.Packets("matroska,webm", ""))
    states = iter((tagging.FileState(1, "a"), tagging.FileState(1, "b")))
    refused("another program", state_of=lambda _: next(states))
    data = path.read_bytes()
    path.write_bytes(data[:10] + b"junk" + data[14:])
    refused("ID3 tag is damaged")


def test_comments_that_would_be_lost_are_not_written(tmp_path):
    path = song(tmp_path, ".flac")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"album=Album", b"album=Alb\xfcm"))
    with pytest.raises(UserError, match="no UTF-8"):
        write(path, WANTED)


def test_cut_off_and_unknown_files(tmp_path):
    path = song(tmp_path, ".wav")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="cut off"):
        write(path, WANTED)
    path = write_with_ffmpeg(tmp_path / "song.mka", chord(rate_hz=RATE_HZ), RATE_HZ, codec="libopus")
    with pytest.raises(UserError, match="of its kind"):
        opened(path)
    path.rename(tmp_path / "song.mp3")  # whatever its name says
    with pytest.raises(UserError, match="another kind"):
        write(tmp_path / "song.mp3", WANTED)


def test_what_may_not_be_changed(tmp_path):
    path = song(tmp_path)
    check_changeable(path)
    path.chmod(0o444)
    with pytest.raises(UserError, match="read-only"):
        check_changeable(path)
    with pytest.raises(UserError, match="no file"):
        check_changeable(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        check_changeable(tmp_path / "missing.mp3")


def test_mode_links_and_other_names(tmp_path):
    """A link leads to the changed file, which keeps its mode; another name of it keeps the old one."""
    folder = tmp_path / "real"
    folder.mkdir()
    path, link, other = song(folder), tmp_path / "link.mp3", tmp_path / "other.mp3"
    path.chmod(0o640)
    link.symlink_to(path)
    other.hardlink_to(path)
    data = path.read_bytes()
    write(link, WANTED)
    assert link.is_symlink() and opened(path).get("energy").texts == ["0.731"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert other.read_bytes() == data


@pytest.mark.parametrize("name", [b"caf\xe9 \x1b%:?.mp3", b"x" * 251 + b".mp3", "日本.mp3".encode()])
def test_whatever_a_file_is_called(name, tmp_path):
    path = song(tmp_path).rename(tmp_path / os.fsdecode(name))
    write(path, WANTED)
    assert opened(path).get("energy").texts == ["0.731"]
    assert [os.fsencode(entry.name) for entry in tmp_path.iterdir()] == [name]


def test_what_is_noted_on_the_way(tmp_path):
    """The copy's name before it is there, and what the file will be before it is."""
    path, notes = song(tmp_path), []
    before, tags = sha256_of(path), opened(path)
    changes = changes_to(tags, {"energy": Value(["0.5"]), "title": Value(["Tïtle 日本"])})
    assert [change.field for change in changes] == ["energy"]
    made = rewrite(
        path,
        tags,
        changes,
        on_copy=lambda copy: notes.append((copy.parent, copy.exists(), sha256_of(path))),
        on_made=lambda state: notes.append((state, sha256_of(path))),
    )
    assert notes == [(tmp_path, False, before), (made, before)]
    assert (made.bytes, made.modified) == (state_of(path).bytes, state_of(path).modified)
    assert made.sha256 == sha256_of(path) != before


def test_whatever_goes_wrong_leaves_the_file(tmp_path):
    path = song(tmp_path)
    data = path.read_bytes()

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    for steps in ({"on_copy": stop, "on_made": print}, {"on_copy": print, "on_made": stop}):
        tags = opened(path)
        with pytest.raises(KeyboardInterrupt):
            rewrite(path, tags, changes_to(tags, {"energy": Value(["0.5"])}), **steps)
        assert path.read_bytes() == data and list(tmp_path.iterdir()) == [path]
