"""Previews: downloaded within bounds, checked, and only then put in data/previews/."""

import hashlib
import math
from contextlib import suppress
from pathlib import Path

import av
import numpy as np

from music_learning.collect.answers import fits
from music_learning.collect.deezer import Deezer
from music_learning.collect.failures import BadDownload, Skip
from music_learning.collect.http import HttpSession, Service
from music_learning.collect.itunes import ITunes
from music_learning.collect.session import read
from music_learning.files import atomic, sha256_of
from music_learning.paths import DataPaths
from music_learning.pipeline_config import PREVIEW_FORMATS, PipelineConfig

MAX_BYTES = 5_000_000  # Deezer's are of 0.5 MB, Apple's of 1 MB
MIN_LENGTH_S, MAX_LENGTH_S = 25, 35  # previews are of 30 s
# Stage 2 needs `min_s` above this level; the margin is for the little in which it measures differently.
MIN_SOUND_S = PipelineConfig().min_s + 2
SOUND_RMS = 10 ** (PipelineConfig().silence_db / 20)
EXPIRED = (403, 404, 410)
RENEWALS = 5
SUFFIXES = DEEZERS, APPLES = ".mp3", ".m4a"

# What is kept of a song's preview.
REJECTED = {"reason": str}
FETCHED = {"preview_file": str, "preview_sha256": str}


class Expired(Exception):
    """A preview URL that is no longer good."""


class Previews:
    """Downloads the preview of a song to data/previews/, once."""

    def __init__(self, http: HttpSession, paths: DataPaths, *, deezer: Deezer, itunes: ITunes) -> None:
        # Downloads come from other hosts than the lists of songs; how many run at a time is what limits them.
        self.service = Service("previews", http, deezer.service.url, per_s=math.inf)
        self.paths = paths
        self.deezer = deezer
        self.itunes = itunes

    def fetch(self, song: dict[str, str], *, listed_url: str, allow_itunes: bool) -> str:
        """Download a song's preview, unless it is there. Sets its preview_file and preview_sha256.

        Returns:
            Why there is no usable preview; empty when there is one.
        """
        cache, song_id = self.service.http.cache, song["song_id"]
        known = cache.get(self.service.name, [song_id]).get(song_id)
        if not (fits(known, REJECTED) or (fits(known, FETCHED) and self._is_there(song, known))):
            try:
                known = self._download(song, listed_url, allow_itunes)
            except Skip as error:
                return str(error)
            except BadDownload as error:
                known = {"reason": f"preview unusable: {error}"}
                if not error.remember:
                    return known["reason"]
            if known is None:
                return "no preview"
            cache.put(self.service.name, {song_id: known})
        if "reason" in known:
            return known["reason"]
        song.update(known)
        return ""

    def _is_there(self, song: dict[str, str], known: dict[str, str]) -> bool:
        if known["preview_file"] not in [song["song_id"] + suffix for suffix in SUFFIXES]:
            return False
        path = self.paths.preview(song | known)
        return path.is_file() and sha256_of(path) == known["preview_sha256"]

    def _download(self, song: dict[str, str], url: str, allow_itunes: bool) -> dict[str, str] | None:
        """The preview's name and hash; None where there is no preview."""
        if not url and song["source"] != Deezer.name:  # a Deezer song that is listed without a preview has none there
            url = self.deezer.preview_url(song)
        for _ in range(RENEWALS):
            if not url:
                break
            with suppress(Expired):
                return self._save(song, url, DEEZERS)
            url = self.deezer.preview_url(song, refresh=True)
        else:
            raise Skip("its preview's address is refused, and so are new ones")
        if allow_itunes and (url := self.itunes.preview_url(song)):
            with suppress(Expired):
                return self._save(song, url, APPLES)
        return None

    def _save(self, song: dict[str, str], url: str, suffix: str) -> dict[str, str]:
        name = song["song_id"] + suffix
        path = self.paths.preview(song | {"preview_file": name})
        return {"preview_file": name, "preview_sha256": self.service.attempt(lambda: self._attempt(url, path))}

    def _attempt(self, url: str, path: Path) -> str:
        """Download to a temporary file, check it, rename it. Returns its SHA-256."""
        digest = hashlib.sha256()
        with self.service.open(url) as response:
            if response.status_code in EXPIRED:
                raise Expired
            if 400 <= response.status_code < 500 and response.status_code != 429:
                raise BadDownload(f"its address answers with HTTP {response.status_code}", tries=1, remember=False)
            self.service.check_status(response)
            if response.headers.get("Content-Type", "").startswith("text/"):
                raise BadDownload("a web page instead of audio", remember=False)
            with atomic(path) as temporary:
                with open(temporary, "wb") as file:
                    for part in read(response, max_bytes=MAX_BYTES):
                        file.write(part)
                        digest.update(part)
                check_preview(temporary)
        return digest.hexdigest()


def check_preview(path: Path) -> None:
    """Raises BadDownload unless a file decodes to about 30 s with sound in them.

    The whole file is decoded, a second at a time, with far less memory than the front end's library takes to import.
    """
    length_s, sound_s, options = 0.0, 0.0, {"format_whitelist": PREVIEW_FORMATS}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            if not container.streams.audio:
                raise BadDownload("no audio in it")
            if container.streams.audio[0].codec_context is None:
                raise BadDownload("its audio is of an unknown kind")
            rate_hz = container.streams.audio[0].rate
            to_mono = av.AudioResampler(format="flt", layout="mono", rate=rate_hz, frame_size=rate_hz)
            for frame in container.decode(audio=0):
                for second in to_mono.resample(frame):
                    samples = second.to_ndarray()[0]
                    length_s += samples.size / rate_hz
                    tenths = samples[: samples.size // 10 * 10].reshape(10, -1)
                    sound_s += (np.square(tenths).mean(axis=1) > SOUND_RMS**2).sum() / 10
                    if length_s > MAX_LENGTH_S:
                        raise BadDownload(f"longer than {MAX_LENGTH_S} s; about 30 s are expected")
    except (av.FFmpegError, TypeError, ValueError):
        raise BadDownload("not an audio file, or too damaged to decode") from None
    if length_s < MIN_LENGTH_S:
        raise BadDownload(f"only {length_s:.0f} s of audio; about 30 s are expected")
    if sound_s < MIN_SOUND_S:
        raise BadDownload("silent")
