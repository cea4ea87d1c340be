"""Songs that the user already has: a catalog with labels and a folder of clips."""

from functools import partial
from pathlib import Path

from music_learning.audio import AudioPipeline
from music_learning.collect.catalog import read_catalog
from music_learning.collect.matching import check_labels, check_song, clear_unknown_features
from music_learning.columns import TARGETS
from music_learning.errors import AudioError, UserError
from music_learning.files import copy_atomically, sha256_of
from music_learning.parallel import cpu_count, ordered_map
from music_learning.paths import DataPaths
from music_learning.pipeline_config import SUFFIXES

NEEDED = ("song_id", "title", "artist", *TARGETS)


class LocalCatalog:
    """A CSV of songs with labels, and a folder with their clips.

    The clip of a song is named by the catalog's file column, or else is `<song_id>.<suffix>`; either way it lies in
    the folder itself.
    """

    def __init__(self, catalog: Path, audio: Path) -> None:
        """Raises UserError where the folder isn't one; the catalog is read by `songs()`."""
        if not audio.is_dir():
            raise UserError(f"--audio {audio} is not a folder; name the folder that holds the clips")
        self.catalog = catalog
        self.audio = audio
        self.files = {path.name: path for path in sorted(audio.iterdir()) if path.is_file()}
        self.by_id = {path.stem: path for path in self.files.values() if path.suffix.lower() in SUFFIXES}

    def songs(self) -> list[dict[str, str]]:
        """All rows, in order, under our own column names; what the catalog lacks is empty.

        Raises:
            UserError: the catalog can't be read or lacks a needed column.
        """
        origin = {"source": "local", "label_source": self.catalog.name}
        return [song | origin for song in read_catalog(self.catalog, NEEDED, option="--catalog")]

    def preview(self, song: dict[str, str]) -> Path:
        """The clip of a song. Raises UserError where the folder has none by that name."""
        name = song["preview_file"]
        path = self.files.get(name) if name else self.by_id.get(song["song_id"])
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
    return ""


def collect(source: LocalCatalog, paths: DataPaths, *, workers: int | None) -> tuple[list[dict], list[dict]]:
    """Check every song that a source has, with all cores unless `workers` says otherwise.

    Returns:
        The kept songs, and the rejected ones with their stage and reason.
    """
    kept, rejected, usable, seen = [], [], [], set()
    for song in source.songs():
        # Some file systems don't tell Ab from aB, and the id becomes a file's name.
        duplicate = song["song_id"].lower() in seen
        reason = check_song(song) or check_labels(song) or ("duplicate id" if duplicate else "")
        if reason:
            rejected.append(song | {"stage": "labels", "reason": reason})
            continue
        seen.add(song["song_id"].lower())
        clear_unknown_features(song)
        try:
            source.preview(song)
            usable.append(song)
        except UserError as error:
            rejected.append(song | {"stage": "clip", "reason": str(error)})

    check = partial(check_clip, source=source, paths=paths, pipeline=AudioPipeline())
    checked = ordered_map(check, usable, workers=workers or cpu_count(), description="checking clips", unit="clip")
    for song, reason in zip(usable, checked, strict=True):
        if reason:
            rejected.append(song | {"stage": "clip", "reason": reason})
        else:
            kept.append(song)
    return kept, rejected
