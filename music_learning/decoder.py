"""Audio file -> blocks of mono samples: all that a player plays of it, and how much could not be decoded.

libsndfile decodes long blocks without Python's lock, so that many files at once take less than half of the time; FFmpeg
decodes everything. So libsndfile gets the files whose own word of their length can be trusted.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import av
import numpy as np
import soundfile
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.container import InputContainer

from music_learning.errors import AudioError
from music_learning.pipeline_config import FFMPEG_FORMATS

BLOCK_SAMPLES = 131_072  # decoded at a time: small enough to stay in the processor's cache while it is mixed to mono
MAX_RATE_HZ = 1_000_000
MAX_LOST = 0.2  # share of a recording that may be undecodable
MAX_JITTER_S = 0.1  # of the times that a file gives its frames; a longer gap is a loss
MAX_MISSING_S = 1.0  # where libsndfile ends before its own count; for more FFmpeg is asked
MAX_FRAMES = 2**40  # libsndfile's word for a length that it can't know is more
READ_ERRORS = (errno.EIO, errno.EACCES, errno.ESTALE, errno.ENODEV)  # of the disk, not of what is on it
MAX_FAILURES = 1000  # to read on, one after the other
MIN_RUN_S = 0.5  # less at another rate or with other channels than the rest is no recording but damage
MAX_PEAK = 4.0  # behind a damaged place: 12 dB beyond full scale
MAX_PLANES = 7  # PyAV takes what lies behind eight planes for more of them, and ends Python
TRUSTED_FORMATS = ("WAV", "WAVEX", "W64", "RF64", "AIFF", "FLAC", "OGG", "MP3")
TRUSTED_MARKS = (b"RIFF", b"RF64", b"riff", b"FORM", b"fLaC", b"OggS", b"ID3", b"\xff")  # how their files begin
FLAC_MARK = b"fLaC"  # of each recording in a file
READ_BYTES = 2**20
CANCELLED = 0.25  # of the channels' mean power: with less in their mean, they are opposite to each other
NEAR = 0.5**0.5  # 3 dB down: a loudspeaker that two others stand for, or are near to
FRONT = {"FL": 0.5, "FR": 0.5, "FC": NEAR, "BC": 0.5, "LFE": 0.0, "LFE2": 0.0}  # by how much a channel counts in mono
REAR = NEAR / 2  # every other one: rear, side and upper ones
UNNAMED = "NONE"  # a channel, by FFmpeg's word, of which the file does not say where it belongs
USUAL_LAYOUTS = {4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}  # of so many channels without names
PROTECTED = ("drms", "enca", "aavd")  # Apple's, the common encryption of MP4, Audible's
NUMPY_FORMATS = ("u8", "s16", "s32", "flt", "dbl")
MP3_KBIT_S = {  # by the header's four bits, of MPEG 1 and of MPEG 2 and 2.5
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass
class Losses:
    """What decoding left out of a recording: known when its end is reached.

    `before_packet` is called on the way there, also where nothing can be decoded; what it raises ends the way.
    """

    lost_s: float = 0.0
    packets: int = 0  # that could not be decoded, the length of some of which is not known
    before_packet: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)


def decode(path: Path, losses: Losses) -> Iterator[tuple[np.ndarray, int]]:
    """Mono blocks (samples,) float32 and their rate in Hz, of all that a player plays of a file.

    What the file says of its own length is believed only where its size bears it out, and its suffix never: streams
    that follow one another are decoded one after the other, at whatever rate each has. What can't be decoded is left
    out, and counted.

    Raises:
        AudioError: it can't be read, is no audio, or more than a fifth of it can't be decoded.
    """
    decoded_s = 0.0
    _check_is_file(path)
    try:
        for block, rate_hz in _blocks(path, losses):
            decoded_s += block.size / rate_hz
            yield block, rate_hz
    except OSError as error:
        raise AudioError(f"it can't be read to its end: {error.strerror}") from None
    if decoded_s + losses.lost_s < 1 and (losses.packets or not _has_mark(path)):
        raise AudioError("not an audio file, or too damaged to decode")
    if losses.lost_s > MAX_LOST * (decoded_s + losses.lost_s):
        raise AudioError(f"{losses.lost_s:.0f} of its {decoded_s + losses.lost_s:.0f} s can't be decoded")


def length_s(path: Path) -> float | None:
    """How long a recording is by its file's own word, in seconds, which may be wrong; None where it says nothing."""
    try:
        with _opened(path) as container:
            return container.duration / av.time_base if container.duration else None
    except (AudioError, OSError):
        return None


def checked_rate(rate_hz: int | None) -> int:
    if not _is_usable(rate_hz):
        raise AudioError(f"its sample rate is {rate_hz or 0} Hz; 1,000 to {MAX_RATE_HZ:,} Hz can be used")
    return rate_hz


def _is_usable(rate_hz: int | None) -> bool:
    return bool(rate_hz) and 1_000 <= rate_hz <= MAX_RATE_HZ


def _check_is_file(path: Path) -> None:
    """Raise AudioError with the reason where there is nothing to decode."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            os.scandir(path).close()  # one that can't be read has another reason
            raise AudioError("it is a folder, and holds no audio file")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError("a pipe or a device, no file; save what comes out of it first")
        if status.st_size == 0:
            raise AudioError("the file is empty")
        with open(path, "rb"):  # the decoders' own words for what goes wrong here are less clear
            pass
    except FileNotFoundError:
        raise AudioError("there is no such file") from None
    except OSError as error:
        raise AudioError(f"it can't be opened: {error.strerror}") from None
    except ValueError:
        raise AudioError("no file can have this name") from None


def _blocks(path: Path, losses: Losses) -> Iterator[tuple[np.ndarray, int]]:
    """Mono blocks (samples,) of a file and their rate in Hz; where libsndfile gives up, FFmpeg goes on."""
    done, rate_hz = 0, 0
    if (file := _sound_file(path)) is not None:
        failed = False
        with file:
            rate_hz = checked_rate(file.samplerate)
            try:
                for block in _libsndfile_blocks(file):
                    done += block.size
                    yield block, rate_hz
            except soundfile.LibsndfileError:  # it drops a whole block, where a tag behind a FLAC is enough
                failed = True
            missing_s = (file.frames - done) / rate_hz
        if missing_s <= MAX_MISSING_S and not failed:
            losses.lost_s += missing_s
            return
    with _opened(path) as container:
        clock = _Clock(losses)
        for block, block_rate_hz in _ffmpeg_blocks(container, _audio_stream(container), clock):
            skipped = min(done, block.size) if block_rate_hz == rate_hz else 0
            done -= skipped
            if skipped < block.size:
                yield block[skipped:], block_rate_hz
        if container.format.name == "mp3":
            with open(path, "rb") as mp3:
                clock.compare_with(_mp3_header(mp3))


# ----------------------------------------------------------------------------------------------------- by libsndfile


def _sound_file(path: Path) -> soundfile.SoundFile | None:
    """A file opened by libsndfile, where what it says of the file's length can be trusted.

    libsndfile plays the first seconds of Opus 6.5 ms late. The released models were trained on clips that it decoded,
    and those 6.5 ms move their values by .006 on average: until they are trained anew, they get what they know.
    """
    if not _has_mark(path):
        return None
    try:
        with _c_libraries_silent():
            file = soundfile.SoundFile(str(path))
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError):  # the latter two: a name that ends in .raw
        return None
    # Formats without a mark of their own are taken for whatever the file's name says. Which loudspeaker each of many
    # channels belongs to, only FFmpeg tells.
    trusted = file.format in TRUSTED_FORMATS and 0 < file.frames < MAX_FRAMES and file.channels <= 2
    if trusted and _is_one_recording(path, file.format):
        return file
    file.close()
    return None


def _has_mark(path: Path) -> bool:
    with open(path, "rb") as start:
        return start.read(4).startswith(TRUSTED_MARKS)


def _is_one_recording(path: Path, form: str) -> bool:
    """Whether no other recording stands behind the first, of which libsndfile's word for the length says nothing."""
    with open(path, "rb") as file:
        if form == "MP3":
            return _mp3_is_in_order(file)
        if form == "OGG":
            return _ogg_is_in_order(file)
        if form != "FLAC":
            return True
        word, n, block = FLAC_MARK, 0, b""
        while more := file.read(READ_BYTES):
            block = block[1 - len(word) :] + more  # a word may lie across the border of two blocks
            n += block.count(word)
        return n == 1


def _ogg_is_in_order(file: BinaryIO) -> bool:
    """Whether an Ogg file is one stream, each page of which follows the one before it.

    Where one is damaged or missing, libsndfile plays what stands behind it twice.
    """
    end, at, n_pages = file.seek(0, os.SEEK_END), 0, 0
    while at < end:
        file.seek(at)
        header = file.read(27 + 255)
        is_first, number = len(header) > 26 and header[5] & 2, int.from_bytes(header[18:22], "little")
        if len(header) < 27 or header[:4] != b"OggS" or bool(is_first) != (at == 0) or number != n_pages:
            return False
        at += 27 + header[26] + sum(header[27 : 27 + header[26]])
        n_pages += 1
    return at == end


def _libsndfile_blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Mono blocks (samples,) up to the end. Raises LibsndfileError."""
    buffer = np.empty((BLOCK_SAMPLES // file.channels, file.channels), np.float32)
    while True:
        with _c_libraries_silent():
            block = file.read(out=buffer)
        if not len(block):
            return
        yield _mono(block.T)


@dataclass(frozen=True)
class _Mp3Header:
    """What an mp3 says of itself in its first frame, and where its frames lie, without the tags around them.

    The header, by its makers' names Xing or Info, counts the frames. Without it, or with one that is wrong, libsndfile
    guesses a length from the first frame's bit rate.
    """

    start: int
    end: int
    n_frames: int  # 0 if there is no header
    frame_samples: int


def _mp3_header(file: BinaryIO) -> _Mp3Header:
    tag = file.read(10)
    start = 0
    if tag[:3] == b"ID3":  # before the first frame; its size in four times seven bits
        start = 10 + sum((byte & 127) << shift for byte, shift in zip(tag[6:10], (21, 14, 7, 0), strict=True))
    file.seek(start)
    frame = file.read(200)
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 160))
    tail = file.read()
    if tail[-128:-125] == b"TAG":  # ID3v1
        tail, end = tail[:-128], end - 128
    if tail[-32:-24] == b"APETAGEX":
        end -= 32 + int.from_bytes(tail[-20:-16], "little")
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    has_count = place >= 0 and len(frame) >= place + 12 and frame[place + 7] & 1
    n_frames = int.from_bytes(frame[place + 8 : place + 12], "big") if has_count else 0
    return _Mp3Header(start, end, n_frames, 1152 if len(frame) > 1 and frame[1] & 8 else 576)


def _mp3_is_in_order(file: BinaryIO) -> bool:
    """Whether each frame of an mp3 begins where the one before it ends, and its header counts them all."""
    header = _mp3_header(file)
    if not header.n_frames:
        return False
    n_frames = _mp3_frames(file, header.start, header.end)
    return n_frames in (header.n_frames, header.n_frames + 1)  # some encoders count the header itself, some don't


def _mp3_frames(file: BinaryIO, start: int, end: int) -> int:
    """How many frames of an mp3 lie one behind the other from here to there; 0 where anything else is between them."""
    lengths = _mp3_frame_bytes()
    n, at, base, block = 0, start, 0, b""
    while at < end:
        if at + 3 > base + len(block):
            file.seek(at)
            base, block = at, file.read(READ_BYTES)
        length = lengths.get(block[at - base : at - base + 3])
        if length is None:
            return 0
        at += length
        n += 1
    return n if at == end else 0


@lru_cache(maxsize=1)
def _mp3_frame_bytes() -> dict[bytes, int]:
    """The length of an mp3 frame by its first three bytes: sync bits, version, layer 3; bit rate, rate, padding."""
    lengths = {}
    for version, slower, is_first in ((0, 4, False), (2, 2, False), (3, 1, True)):
        for unprotected in (0, 1):
            second = 0xE2 | version << 3 | unprotected
            for bits in range(14 * 3 * 4):
                kbit_s, rate, padding = bits // 12, bits // 4 % 3, bits // 2 % 2
                rate_hz = (44_100, 48_000, 32_000)[rate] // slower
                length = (144 if is_first else 72) * 1000 * MP3_KBIT_S[is_first][kbit_s] // rate_hz + padding
                lengths[bytes((0xFF, second, (kbit_s + 1) << 4 | rate << 2 | bits & 3))] = length
    return lengths


_silence_lock = Lock()
_n_silent = 0


@contextmanager
def _c_libraries_silent() -> Iterator[None]:
    """C libraries write nothing to the terminal meanwhile, whatever thread they run in; Python itself does.

    libsndfile's mp3 decoder comments on damage and can't be told not to. Where C's `stderr` is not glibc's variable, it
    does so still.
    """
    global _n_silent
    stderr, real, null = _c_stderr()
    with _silence_lock:
        _n_silent += 1
        stderr.value = null
    try:
        yield
    finally:
        with _silence_lock:
            _n_silent -= 1
            if not _n_silent:
                stderr.value = real


@lru_cache(maxsize=1)
def _c_stderr() -> tuple[ctypes.c_void_p, int | None, int | None]:
    """C's variable `stderr`, its value, and another one that writes to nowhere."""
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  elsewhere the variable is constant or has another name
        stderr = ctypes.c_void_p.in_dll(libc, "stderr")
        libc.fopen.restype = ctypes.c_void_p
        return stderr, stderr.value, libc.fopen(os.devnull.encode(), b"w") or stderr.value
    except (AttributeError, OSError, TypeError, ValueError):
        return ctypes.c_void_p(), None, None


# --------------------------------------------------------------------------------------------------------- by FFmpeg


def _opened(path: Path) -> InputContainer:
    try:
        options = {"format_whitelist": FFMPEG_FORMATS}
        return av.open(f"file:{path}", options=options, metadata_errors="replace")  # titles in any encoding
    except (av.FFmpegError, OSError, ValueError):
        with open(path, "rb") as file:  # where a disk fails, FFmpeg says that the data are invalid
            file.read(READ_BYTES)
            file.seek(max(0, file.seek(0, os.SEEK_END) - READ_BYTES))
            file.read()
        raise AudioError("not an audio file, or too damaged to open") from None


def _audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise AudioError("it has no audio stream")
    coded = [stream for stream in container.streams.audio if stream.codec_context is not None]
    usable = [stream for stream in coded if stream.codec_context.codec_tag not in PROTECTED]  # what decodes is noise
    if not usable:
        raise AudioError("its sound is coded in a way that is unknown here, or protected against copying")
    return usable[0]


def _ffmpeg_blocks(container: InputContainer, stream: AudioStream, clock: "_Clock") -> Iterator[tuple[np.ndarray, int]]:
    """Mono blocks (samples,) and their rate in Hz; a packet that can't be decoded costs itself alone."""
    run, is_behind_damage = _Run(clock.losses, is_first=True), False
    for packet in _packets(container, stream):
        clock.losses.before_packet()
        try:
            frames = packet.decode()
            is_lost = is_behind_damage and any(_is_burst(frame) for frame in frames)
        except av.FFmpegError:
            is_lost = True
        is_behind_damage = is_lost
        if is_lost:
            clock.lose(packet)
            continue
        for frame in frames:
            clock.hear(frame)
            if not run.goes_on_with(frame):
                yield from run.end(is_last=False)
                run = _Run(clock.losses, is_first=False)
                run.goes_on_with(frame)
            yield from run.add(frame)
        clock.heard_bytes += packet.size if frames else 0
    clock.end()
    yield from run.end(is_last=True)


def _is_burst(frame: av.AudioFrame) -> bool:
    """Whether a frame is so loud that no recording holds it: noise bytes that could be decoded all the same."""
    return frame.format.name == "fltp" and any(
        np.abs(np.frombuffer(plane, np.float32, frame.samples)).max(initial=0) > MAX_PEAK
        for plane in frame.planes[: min(frame.layout.nb_channels, MAX_PLANES)]
    )


class _Clock:
    """Finds what is missing between the frames by the times that the file gives them."""

    def __init__(self, losses: Losses) -> None:
        self.losses = losses
        self.expected_s: float | None = None
        self.undecoded_s = 0.0  # since the last frame
        self.jump_s = 0.0  # the last gap
        self.heard_s, self.heard_bytes, self.rate_hz = 0.0, 0, 0

    def lose(self, packet: av.Packet) -> None:
        self.losses.packets += 1
        self.undecoded_s += float((packet.duration or 0) * packet.time_base) if packet.time_base else 0.0

    def hear(self, frame: av.AudioFrame) -> None:
        if frame.time is None or self.expected_s is None:
            self.losses.lost_s += self.undecoded_s
        else:
            gap_s = frame.time - self.expected_s
            if gap_s > (0 if self.undecoded_s else MAX_JITTER_S):
                self.losses.lost_s += gap_s
                self.jump_s = gap_s
            elif gap_s < -MAX_JITTER_S and abs(gap_s + self.jump_s) < MAX_JITTER_S:  # back again: the time was wrong
                self.losses.lost_s -= self.jump_s
                self.jump_s = 0.0
        self.undecoded_s = 0.0
        self.expected_s, self.rate_hz = None, frame.sample_rate
        if frame.sample_rate:
            self.heard_s += frame.samples / frame.sample_rate
            if frame.time is not None:
                self.expected_s = frame.time + frame.samples / frame.sample_rate

    def end(self) -> None:
        self.losses.lost_s += self.undecoded_s

    def compare_with(self, header: _Mp3Header) -> None:
        """Find what is missing in an mp3, whose frames have no times: as much as its header counts and was not heard.

        But not more than what bytes without sound there are make room for: a header may be wrong.
        """
        if self.rate_hz and self.heard_bytes:
            missing_s = header.n_frames * header.frame_samples / self.rate_hz - self.heard_s
            room_s = (header.end - header.start - self.heard_bytes) * self.heard_s / self.heard_bytes
            self.losses.lost_s = max(self.losses.lost_s, min(missing_s, room_s))


class _Run:
    """Frames of one kind, one after the other, gathered to blocks."""

    def __init__(self, losses: Losses, *, is_first: bool) -> None:
        self.losses = losses
        self.is_first = is_first
        self.kind: tuple | None = None
        self.rate_hz = 0
        self.fifo = av.AudioFifo()
        self.apart: list[np.ndarray] = []  # what can't go through the FIFO
        self.n_samples = self.n_given = 0

    def goes_on_with(self, frame: av.AudioFrame) -> bool:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self.kind is None:
            self.kind, self.rate_hz = kind, frame.sample_rate
        return self.kind == kind

    def add(self, frame: av.AudioFrame) -> Iterator[tuple[np.ndarray, int]]:
        """Take a frame of this kind; yields a block when there are enough."""
        self.n_samples += frame.samples
        if _is_custom(frame.layout):
            self.apart += self._mono_of(frame)
        else:
            frame.pts = None  # else the FIFO refuses what comes behind a gap
            self.fifo.write(frame)
        if self.n_samples - self.n_given >= BLOCK_SAMPLES:
            yield from self._drained()

    def end(self, *, is_last: bool) -> Iterator[tuple[np.ndarray, int]]:
        """The rest; of a short run between others, nothing."""
        is_alone = self.is_first and is_last
        usable = _is_usable(self.rate_hz)
        if is_alone or (usable and self.n_samples >= MIN_RUN_S * self.rate_hz):
            yield from self._drained()
        elif usable:
            self.losses.lost_s += self.n_samples / self.rate_hz

    def _drained(self) -> Iterator[tuple[np.ndarray, int]]:
        blocks = [*self.apart, *(self._mono_of(self.fifo.read()) if self.fifo.samples else ())]
        self.apart, self.n_given = [], self.n_samples
        if blocks:
            yield np.concatenate(blocks) if len(blocks) > 1 else blocks[0], checked_rate(self.rate_hz)

    def _mono_of(self, frame: av.AudioFrame) -> list[np.ndarray]:
        """The samples of a frame, if its format and its channels are ones that can be converted."""
        try:
            return [_mono(_to_float(frame), [channel.name for channel in frame.layout.channels])]
        except (av.FFmpegError, ValueError):
            self.losses.packets += 1
            self.losses.lost_s += frame.samples / (frame.sample_rate or MAX_RATE_HZ)
            return []


def _is_custom(layout: AudioLayout) -> bool:
    """Whether a frame's channels stand in an order of their own; if so, the frame's layout is made to stay for ever.

    PyAV 18 frees the memory of such a layout twice, with the frame and with the layout, and Python ends.
    """
    is_custom = " channels (" in layout.name
    if is_custom:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return is_custom


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[av.Packet]:
    """All packets of a stream, behind damaged places too. Raises OSError where the file can't be read."""
    failures = 0
    while failures < MAX_FAILURES:
        try:
            for packet in container.demux(stream):
                failures = 0
                yield packet
            return
        except av.FFmpegError as error:
            if error.errno in READ_ERRORS:
                raise
            failures += 1


def _to_float(frame: av.AudioFrame) -> np.ndarray:
    """The samples of a frame: (channels, samples) float32 in [-1, 1]"""
    n_channels = frame.layout.nb_channels
    if frame.format.name.rstrip("p") not in NUMPY_FORMATS or (frame.format.is_planar and n_channels > MAX_PLANES):
        (frame,) = av.AudioResampler("flt", frame.layout.name, frame.sample_rate).resample(frame)
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, n_channels).T
    if samples.dtype.kind == "u":
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float32, copy=False)


# ----------------------------------------------------------------------------------------------------- what is heard


def _mono(channels: np.ndarray, names: list[str] | None = None) -> np.ndarray:
    """(channels, samples) -> (samples,), as a listener hears them.

    The mean of two channels; where they cancel each other in it, the louder one. Of surround sound, what a player makes
    of it for two loudspeakers (ITU-R BS.775): the centre and the rear ones 3 dB down, without low frequency effects.
    """
    n = len(channels)
    if n == 1:
        return channels[0]
    weights = np.full(n, 1 / n, np.float32)
    if n > 2 and names is not None:
        if set(names) == {UNNAMED} and n in USUAL_LAYOUTS:
            names = [channel.name for channel in AudioLayout(USUAL_LAYOUTS[n]).channels]
        if UNNAMED not in names:
            weights = np.array([FRONT.get(name, REAR) for name in names], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # of samples beyond all measure, which are refused later
        mono = weights @ channels
        if n == 2:
            # As they lie in memory: a product of rows that don't lie one behind the other takes ten times as long.
            both = channels.ravel(order="K")
            if np.dot(mono, mono) < CANCELLED * np.dot(both, both) / 2:
                return max(channels, key=lambda channel: np.dot(channel, channel))
    return mono
