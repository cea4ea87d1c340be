"""Songs that the user already has: a catalog with labels and a folder of clips."""

import unicodedata
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from music_learning.audio import AudioPipeline
from music_learning.collect.catalog import read_catalog
from music_learning.collect.matching import check_labels, check_song, clear_unknown_features
from music_learning.columns import TARGETS
from music_learning.errors import AudioError, UserError, unexpected
from music_learning.files import copy_atomically, sha256_of
from music_learning.parallel import cpu_count, ordered_map
from music_learning.paths import DataPaths
from music_learning.pipeline_config import SUFFIXES

NEEDED = ("song_id", "title", "artist", *TARGETS)


class _Names:
    """What is found by a name: as it is written or, if only one is like it, in other case or other Unicode form."""

    def __init__(self, items: Iterable[tuple[str, Path]]) -> None:
        self.exact = dict(items)
        self.alike: dict[str, list[str]] = {}
        for name in self.exact:
            self.alike.setdefault(_plain(name), []).append(name)

    def get(self, name: str) -> Path | None:
        alike = self.alike.get(_plain(name), [])
        return self.exact.get(alike[0] if len(alike) == 1 else name)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class LocalCatalog:
    """A CSV of songs with labels, and a folder with their clips.

    The clip of a song is named by the catalog's file column, or else is `<song_id>.<suffix>`; either way it lies in
    the folder itself.
    """

    def __init__(self, catalog: Path, audio: Path) -> None:
        """Raises UserError where the folder isn't one that can be read; the catalog is read by `songs()`."""
        self.catalog = catalog
        self.audio = audio
        try:
            files = [path for path in sorted(audio.iterdir()) if path.is_file()]
        except NotADirectoryError:
            raise UserError(f"--audio {audio} is not a folder; name the folder that holds the clips") from None
        except OSError as error:
            raise UserError(
                f"--audio {audio} can't be read: {error.strerror}; name the folder that holds the clips"
            ) from None
        self.by_name = _Names((path.name, path) for path in files)
        self.by_id = _Names((path.stem, path) for path in files if path.suffix.lower() in SUFFIXES)

    def songs(self) -> list[tuple[dict[str, str], str]]:
        """All rows, in order, as `read_catalog` has them.

        Raises:
            UserError: the catalog can't be read or lacks a needed column.
        """
        origin = {"source": "local", "label_source": self.catalog.name}
        return [(song | origin, fault) for song, fault in read_catalog(self.catalog, NEEDED, option="--catalog")]

    def preview(self, song: dict[str, str]) -> Path:
        """The clip of a song. Raises UserError where the folder has none by that name."""
        name = song["preview_file"]
        path = self.by_name.get(name) if name else self.by_id.get(song["song_id"])
        if path is None:
            raise UserError(f"no clip {name or song['song_id'] + '.*'} in {self.audio.name}/")
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"{name} is no audio file by its suffix; known are {', '.join(sorted(SUFFIXES))}")
        return path


def check_clip(song: dict[str, str], *, source: LocalCatalog, paths: DataPaths, pipeline: AudioPipeline) -> str:
    """Copy a song's clip to data/previews/ if it can be used.

    Sets the song's preview_file and preview_sha256. A clip that is there already passed this check before.

    Returns:
        Why the clip can't be used; empty when it can.
    """
    try:
        clip = source.preview(song)
        song["preview_sha256"] = sha256_of(clip)
        song["preview_file"] = song["song_id"] + clip.suffix.lower()
        kept = paths.preview(song)
        if not kept.exists() or sha256_of(kept) != song["preview_sha256"]:
            pipeline.log_mels(clip)
            copy_atomically(clip, kept)
    except AudioError as error:
        return str(error)
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    except UserError:  # about the folder that is written to: the next clip would fare no better
        raise
    except Exception as error:  # whatever one clip causes costs that clip
        return unexpected(error, song["song_id"])
    return ""


def collect(source: LocalCatalog, paths: DataPaths, *, workers: int | None) -> Iterator[tuple[dict, str, str]]:
    """Check every song that a source has, with all cores unless `workers` says otherwise.

    Yields:
        Each song, with the stage and reason for which it is rejected; both empty where it is kept.
    """
    usable, seen = [], set()
    for song, fault in source.songs():
        # Some file systems don't tell Ab from aB, and the id becomes a file's name.
        duplicate = song["song_id"].lower() in seen
        if reason := fault or check_song(song) or check_labels(song) or ("duplicate id" if duplicate else ""):
            yield song, "labels", reason
            continue
        seen.add(song["song_id"].lower())
        clear_unknown_features(song)
        try:
            source.preview(song)
            usable.append(song)
        except UserError as error:
            yield song, "clip", str(error)

    check = partial(check_clip, source=source, paths=paths, pipeline=AudioPipeline())
    checked = ordered_map(check, usable, workers=workers or cpu_count(), description="checking clips", unit="clip")
    for song, reason in zip(usable, checked, strict=True):
        yield song, "clip" if reason else "", reason
