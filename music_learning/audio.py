"""The audio front end: audio file -> mono waveform -> log-mel spectrogram, with pitches and peaks below it.

Every stage uses this one class, so that a spectrogram means the same in training and in prediction. Its settings, a
`PipelineConfig`, travel with every set of spectrograms and every model.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import soundfile
import torch
import torchaudio
from av.audio.stream import AudioStream
from av.container import InputContainer
from torch import Tensor, nn
from torch.nn import functional as F

from music_learning.errors import AudioError, UserError
from music_learning.pipeline_config import FFMPEG_FORMATS, PipelineConfig

BLOCK_SAMPLES = 131_072  # decoded at a time: small enough to stay in the processor's cache while it is mixed to mono
MAX_RATE_HZ = 1_000_000
MAX_CHANNELS = 64  # of a waveform; more are samples, in the wrong order
MAX_RATIO_TERM = 128

MAX_LOST = 0.2  # share of a recording that may be undecodable
MAX_JITTER_S = 0.1  # of the times that a file gives its frames; a longer gap is a loss
MAX_MISSING_S = 1.0  # where libsndfile ends before its own count; for more FFmpeg is asked
MAX_FRAMES = 2**40  # libsndfile's word for a length that it can't know is more
TRUSTED_FORMATS = ("WAV", "WAVEX", "W64", "RF64", "AIFF", "FLAC", "OGG", "MP3")
TRUSTED_MARKS = (b"RIFF", b"RF64", b"riff", b"FORM", b"fLaC", b"OggS", b"ID3", b"\xff")  # how their files begin
MP3_SLACK_BYTES = 3_000  # two frames: some encoders count the header itself, some don't
MP3_BITS_PER_S = (8_000, 340_000)
MAX_FAILURES = 1000  # to read on, one after the other
CANCELLED = 0.25  # of the channels' mean power: with less in their mean, they are opposite to each other
MAX_SILENT_S = 3600  # at the start; what is silent for so long is not decoded to its end
NEAR = 0.5**0.5  # 3 dB down: a loudspeaker that two others stand for, or are near to
# By how much each channel counts in mono, by their number: left, right, centre, effects, rear and side ones.
SURROUND = {
    4: (0.5, 0.5, NEAR / 2, NEAR / 2),
    5: (0.5, 0.5, NEAR, NEAR / 2, NEAR / 2),
    6: (0.5, 0.5, NEAR, 0.0, NEAR / 2, NEAR / 2),
    8: (0.5, 0.5, NEAR, 0.0, NEAR / 2, NEAR / 2, NEAR / 2, NEAR / 2),
}


@dataclass
class Losses:
    """What decoding left out of a recording: known when its end is reached."""

    lost_s: float = 0.0
    packets: int = 0  # that could not be decoded, the length of some of which is not known


class AudioPipeline(nn.Module):
    """Audio file -> waveform -> log-mel spectrogram, with pitches and peaks below it.

    The level is in dB relative to a fixed reference (a full-scale sine), not to the clip's maximum: how loud a song
    was mastered says much about its energy.
    """

    def __init__(self, config: PipelineConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PipelineConfig()
        self.spectrum = torchaudio.transforms.Spectrogram(
            config.n_fft, hop_length=config.hop_samples, power=None, center=False
        )
        self.mel_scale = torchaudio.transforms.MelScale(
            config.n_mels, config.sample_rate_hz, config.f_min_hz, config.f_max_hz, config.n_fft // 2 + 1
        )
        # A sine of amplitude 1 peaks at (sum of the Hann window / 2) ** 2 in the power spectrum.
        self.full_scale = (config.n_fft / 4) ** 2
        self.power_floor = 10 ** (config.pitch_floor_db / 10)
        self.register_buffer("pitch_window", torch.hann_window(config.pitch_n_fft), persistent=False)
        self.register_buffer("pitch_filters", _pitch_filters(config), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Log-mel spectrogram of a mono waveform, with the level of each pitch and the waveform's peaks.

        Args:
            waveform: (samples,) or (B, samples) at `sample_rate_hz`, in [-1, 1], at least `n_fft` samples.

        Returns:
            (n_rows, frames) or (B, n_rows, frames), float32, in dB relative to a full-scale sine: `n_mels` rows,
            `floor_db` at least; the pitches of `pitch_levels`, each held until the next; and `peak_levels`.
        """
        power = self.mel_scale(_power(self.spectrum(waveform))).div_(self.full_scale)
        levels = power.clamp_(min=10 ** (self.config.floor_db / 10)).log10_().mul_(10)
        pitches = self.pitch_levels(waveform)
        centre = torch.arange(levels.shape[-1], device=levels.device) * self.config.hop_samples + self.config.n_fft // 2
        nearest = (centre - self.config.pitch_n_fft // 2 + self.config.pitch_hop_samples // 2).clamp(min=0)
        nearest = (nearest // self.config.pitch_hop_samples).clamp(max=pitches.shape[-1] - 1)
        return torch.cat([levels, pitches[..., nearest], self.peak_levels(waveform)[..., None, :]], dim=-2)

    def pitch_levels(self, waveform: Tensor) -> Tensor:
        """The level of the mean power around each semitone, by default from 55 Hz to 1.7 kHz.

        Args:
            waveform: (samples,) or (B, samples), as for `forward`.

        Returns:
            (n_pitches, pitch frames) or (B, n_pitches, pitch frames) in dB, `pitch_floor_db` at least.
        """
        n_fft = self.config.pitch_n_fft
        waveform = F.pad(waveform, (0, max(0, n_fft - waveform.shape[-1])))
        spectrum = torch.fft.rfft(waveform.unfold(-1, n_fft, self.config.pitch_hop_samples) * self.pitch_window)
        power = _power(spectrum[..., : len(self.pitch_filters)]) @ self.pitch_filters  # nothing above is used
        return power.div_((n_fft / 4) ** 2).add_(self.power_floor).log10_().mul_(10).transpose(-1, -2)

    def peak_levels(self, waveform: Tensor) -> Tensor:
        """The largest sample of each frame: (samples,) or (B, samples) -> (frames,) or (B, frames) in dB.

        What a song's loudest samples leave below full scale is how it was mastered, whatever its level is now.
        """
        frames = waveform.unfold(-1, self.config.n_fft, self.config.hop_samples)
        peak = torch.maximum(frames.amax(dim=-1), -frames.amin(dim=-1))
        return peak.square_().add_(self.power_floor).log10_().mul_(10)

    def log_mels(self, path: str | Path) -> tuple[list[Tensor], float]:
        """Decode a file and transform it window by window.

        Args:
            path: an audio file of any length, rate and number of channels.

        Returns:
            The spectrograms, each (n_rows, frames), of the consecutive windows of `clip_s`, without the silence at
            their ends (those with less than `min_s` are left out), and the length in seconds of everything decoded.

        Raises:
            AudioError: not audio, damaged from the start, silent, or with less than `min_s` of sound.
        """
        windows = list(self.windows(self.waveforms(path)))
        return [spectrogram for spectrogram, _ in windows if spectrogram is not None], sum(s for _, s in windows)

    @torch.inference_mode()
    def windows(self, waveforms: Iterable[tuple[Tensor, float]]) -> Iterator[tuple[Tensor | None, float]]:
        """Transform one window after the other, in memory that does not grow with their number.

        Args:
            waveforms: as `waveforms` gives them: (samples,) of up to `clip_s`, and their length in seconds.

        Yields:
            The spectrogram (n_rows, frames) and the length in seconds of what sounds in each window; None in place of
            the spectrogram for the silence at its ends, and for a window with less than `min_s` between them.

        Raises:
            AudioError: as soon as a window is beyond repair, and at the end if all was silent or too short.
        """
        sound_s, decoded_s, n_used = 0.0, 0.0, 0
        silence = f"{self.config.silence_db:g} dB"
        for waveform, duration_s in waveforms:
            decoded_s += duration_s
            start, end, window_sound_s = self.sound_bounds(waveform)
            sound_s += window_sound_s
            if sound_s == 0 and decoded_s >= MAX_SILENT_S:
                raise AudioError(f"silent: nothing in its first {decoded_s / 60:.0f} minutes is above {silence}")
            if end - start < round(self.config.min_s * self.config.sample_rate_hz):
                yield None, duration_s
                continue
            spectrogram = self(waveform[start:end])
            if not spectrogram.sum().isfinite():
                raise AudioError("its samples are far beyond full scale; export it again")
            n_used += 1
            before_s = start / self.config.sample_rate_hz
            after_s = (waveform.numel() - end) / self.config.sample_rate_hz
            if before_s:
                yield None, before_s
            yield spectrogram, duration_s - before_s - after_s
            if after_s:
                yield None, after_s
        if decoded_s < self.config.min_s:
            raise AudioError(f"only {decoded_s:.1f} s of audio; at least {self.config.min_s:g} s are needed")
        if sound_s == 0:
            raise AudioError(f"silent: nothing in it is above {silence}")
        if sound_s < self.config.min_s:
            raise AudioError(f"only {sound_s:.1f} s of sound in {decoded_s:.1f} s; {self.config.min_s:g} s are needed")
        if not n_used:
            raise AudioError(f"nowhere {self.config.min_s:g} s of sound in a row")

    def sound_bounds(self, waveform: Tensor) -> tuple[int, int, float]:
        """Where the sound begins and ends: the silence around it says nothing of the music's mood.

        Returns:
            Where, in samples, the first tenth of a second begins and the last one ends that are louder than
            `silence_db` RMS (a rest below a tenth at the end of the waveform belongs to it); the seconds of all such.
        """
        chunk = round(self.config.silence_chunk_s * self.config.sample_rate_hz)
        n_chunks = waveform.numel() // chunk
        chunks = waveform[: n_chunks * chunk].view(n_chunks, chunk)
        energy = torch.linalg.vector_norm(chunks - chunks.mean(dim=1, keepdim=True), dim=1)  # an offset is no sound
        loud = (energy > 10 ** (self.config.silence_db / 20) * chunk**0.5).nonzero()[:, 0].tolist()
        if not loud:
            return 0, 0, 0.0
        end = waveform.numel() if loud[-1] == n_chunks - 1 else (loud[-1] + 1) * chunk
        return loud[0] * chunk, end, len(loud) * self.config.silence_chunk_s

    def waveforms(self, path: str | Path, losses: Losses | None = None) -> Iterator[tuple[Tensor, float]]:
        """Decode a file as a stream of windows of `clip_s`, in memory that does not grow with its length.

        Args:
            path: an audio file.
            losses: is told what could not be decoded.

        Yields:
            The waveform (samples,), mono at `sample_rate_hz`, and its length in seconds.

        Raises:
            AudioError: where the file is missing, no audio, damaged in more than a fifth of its length, or holds NaN or
                infinite samples.
        """
        yield from self._resampled(_decode(Path(path), Losses() if losses is None else losses))

    def waveforms_of(self, waveform: np.ndarray | Tensor, sample_rate_hz: int) -> Iterator[tuple[Tensor, float]]:
        """As `waveforms`, from samples in memory: floats in [-1, 1], (samples,) or (channels, samples).

        Raises UserError where they are of another shape or type.
        """
        samples = np.asarray(waveform)
        if (
            samples.dtype.kind != "f"
            or samples.ndim not in (1, 2)
            or (samples.ndim == 2 and len(samples) > MAX_CHANNELS)
        ):
            raise UserError(
                "a waveform must be floats from -1 to 1, of shape (samples,) or (channels, samples); "
                f"this one is {samples.dtype} of shape {samples.shape}"
            )
        mono = samples if samples.ndim == 1 else samples.mean(axis=0)
        yield from self._resampled(iter([(mono.astype(np.float32), _checked_rate(sample_rate_hz))]))

    def _resampled(self, blocks: Iterator[tuple[np.ndarray, int]]) -> Iterator[tuple[Tensor, float]]:
        for window, rate_hz in _windows(blocks, self.config.clip_s):
            waveform = torch.from_numpy(window)
            if rate_hz != self.config.sample_rate_hz:
                waveform = _resampler(rate_hz, self.config.sample_rate_hz)(waveform)[: self.config.clip_samples]
            # NaN and infinity survive resampling and a sum, and one sum is far cheaper than a test of each sample.
            if not waveform.sum().isfinite():
                raise AudioError("it holds NaN or infinite samples; export it again")
            yield waveform, window.size / rate_hz


def _power(spectrum: Tensor) -> Tensor:
    """The squares of a complex tensor's absolute values, without their square roots, which take twice as long."""
    return spectrum.real.square() + spectrum.imag.square()


def _pitch_filters(config: PipelineConfig) -> Tensor:
    """What each pitch gathers of the power spectrum: (bins up to the highest pitch, pitches), each of sum 1 or 0."""
    frequency_hz = torch.fft.rfftfreq(config.pitch_n_fft, 1 / config.sample_rate_hz)
    midi = 69 + 12 * (frequency_hz / 440).clamp(min=1e-3).log2()  # 69 is A4
    pitches = config.lowest_midi + torch.arange(config.n_pitches)
    filters = torch.exp(-0.5 * ((midi[:, None] - pitches) / config.semitone_width) ** 2)
    filters = filters / filters.sum(dim=0).clamp(min=1e-6)  # of a pitch between two bins, nothing is heard
    return filters[midi <= pitches[-1] + 2].contiguous()


@lru_cache(maxsize=16)
def _resampler(rate_hz: int, new_rate_hz: int) -> torchaudio.transforms.Resample:
    """A resampler between any two rates.

    The filter bank and its cost grow with the terms of the ratio: 44,101 Hz would need gigabytes, and 41:113 costs
    half of what 160:441 does for 44,100 Hz. So the ratio is the nearest one of small terms: 44.1 and 48 kHz come out
    less than a ten-thousandth off, other rates less than a hundredth, which is a small part of a mel band.
    """
    ratio = Fraction(new_rate_hz, rate_hz).limit_denominator(MAX_RATIO_TERM)
    return torchaudio.transforms.Resample(ratio.denominator, ratio.numerator)


def _windows(blocks: Iterator[tuple[np.ndarray, int]], clip_s: float) -> Iterator[tuple[np.ndarray, int]]:
    """Regroup blocks (samples,) at their own rate into windows of `clip_s`; the last one is shorter."""
    window, filled, window_rate_hz = None, 0, 0
    for block, rate_hz in blocks:
        while block.size:
            if window is not None and rate_hz != window_rate_hz:  # another recording begins
                yield window[:filled], window_rate_hz
                window = None
            if window is None:
                window, filled, window_rate_hz = np.empty(round(clip_s * rate_hz), np.float32), 0, rate_hz
            taken = min(block.size, window.size - filled)
            window[filled : filled + taken] = block[:taken]
            block, filled = block[taken:], filled + taken
            if filled == window.size:
                yield window, rate_hz
                window = None
    if window is not None:
        yield window[:filled], window_rate_hz


def _decode(path: Path, losses: Losses) -> Iterator[tuple[np.ndarray, int]]:
    """Mono blocks (samples,) float32 and their rate in Hz, of all that a player plays of a file.

    What the file says of its own length is believed only where its size bears it out, and its suffix never: streams
    that follow one another are decoded one after the other, at whatever rate each has. What can't be decoded is left
    out, and counted.

    Raises:
        AudioError: it can't be read, is no audio, or more than a fifth of it can't be decoded.
    """
    decoded_s = 0.0
    _check_is_file(path)
    for frames, rate_hz in _blocks_of(path, losses):
        decoded_s += frames.shape[1] / rate_hz
        yield _mono(frames), rate_hz
    if decoded_s == 0 and losses.packets:
        raise AudioError("not an audio file, or too damaged to decode")
    if losses.lost_s > MAX_LOST * (decoded_s + losses.lost_s):
        raise AudioError(f"{losses.lost_s:.0f} of its {decoded_s + losses.lost_s:.0f} s can't be decoded")


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


def _opened(path: Path) -> InputContainer:
    try:
        return av.open(f"file:{path}", options={"format_whitelist": FFMPEG_FORMATS})
    except (av.FFmpegError, OSError, ValueError):
        raise AudioError("not an audio file, or too damaged to open") from None


def _audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise AudioError("it has no audio stream")
    usable = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if not usable:
        raise AudioError("its sound is coded in a way that is unknown here, or protected against copying")
    return usable[0]


def _blocks_of(path: Path, losses: Losses) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks (channels, samples) float32 of a file, and their rate in Hz.

    libsndfile decodes long blocks without Python's lock, so that many files at once take less than half of the time;
    FFmpeg decodes everything. So libsndfile gets the files whose own word of their length can be trusted, and where it
    gives up all the same, FFmpeg goes on.
    """
    done, rate_hz = 0, 0
    if (file := _sound_file(path)) is not None:
        with file:
            rate_hz = _checked_rate(file.samplerate)
            for block in _libsndfile_blocks(file):
                done += block.shape[1]
                yield block, rate_hz
            missing_s = (file.frames - done) / rate_hz
        if missing_s <= MAX_MISSING_S:
            losses.lost_s += missing_s
            return
    with _opened(path) as container:
        for block, block_rate_hz in _blocks(container, _audio_stream(container), losses):
            skipped = min(done, block.shape[1]) if block_rate_hz == rate_hz else 0
            done -= skipped
            if skipped < block.shape[1]:
                yield block[:, skipped:], block_rate_hz


def _sound_file(path: Path) -> soundfile.SoundFile | None:
    """A file opened by libsndfile, where what it says of the file's length can be trusted.

    libsndfile plays the first seconds of Opus 6.5 ms late. The released models were trained on clips that it decoded,
    and those 6.5 ms move their values by .006 on average: until they are trained anew, they get what they know.
    """
    with open(path, "rb") as start:
        if not start.read(4).startswith(TRUSTED_MARKS):  # its mp3 decoder would complain on the terminal
            return None
    try:
        file = soundfile.SoundFile(str(path))
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError):  # the latter two: a name that ends in .raw
        return None
    # Formats without a mark of their own are taken for whatever the file's name says.
    trusted = file.format in TRUSTED_FORMATS and 0 < file.frames < MAX_FRAMES
    if trusted and (file.format != "MP3" or _mp3_is_in_order(path, file.frames / file.samplerate)):
        return file
    file.close()
    return None


def _mp3_is_in_order(path: Path, length_s: float) -> bool:
    """Whether an mp3 has a header of its length that fits the file's size: no other mp3 or junk stands behind it.

    The header, by its makers' names Xing or Info, lies in the first frame and counts frames and bytes. Without it, or
    with one that is wrong, the length is a guess from the first frame's bit rate.
    """
    with open(path, "rb") as file:
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
    if place < 0 or frame[place + 7] & 3 != 3:
        return False
    n_bytes = int.from_bytes(frame[place + 12 : place + 16], "big")
    bits_per_s = 8 * n_bytes / length_s
    return abs(end - start - n_bytes) <= MP3_SLACK_BYTES and MP3_BITS_PER_S[0] <= bits_per_s <= MP3_BITS_PER_S[1]


def _libsndfile_blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Blocks (channels, samples) up to the end or the first error."""
    buffer = np.empty((BLOCK_SAMPLES // file.channels, file.channels), np.float32)
    try:
        while len(block := file.read(out=buffer)):
            yield block.T
    except soundfile.LibsndfileError:
        return


def _blocks(container: InputContainer, stream: AudioStream, losses: Losses) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks (channels, samples) float32 and their rate; a packet that can't be decoded costs itself alone."""
    fifo, kind, expected_s, missing_s = av.AudioFifo(), None, None, 0.0  # missing: not decodable since the last frame
    for packet in _packets(container, stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            losses.packets += 1
            missing_s += float((packet.duration or 0) * packet.time_base) if packet.time_base else 0.0
            continue
        for frame in frames:
            time_s = frame.time
            if time_s is not None and expected_s is not None:
                gap_s = time_s - expected_s
                if gap_s > (0 if missing_s else MAX_JITTER_S):
                    losses.lost_s += gap_s
            else:
                losses.lost_s += missing_s
            missing_s = 0.0
            expected_s = None if time_s is None else time_s + frame.samples / frame.sample_rate
            frame.pts = None  # else the FIFO refuses what comes behind a gap
            if kind != (kind := (frame.format.name, frame.layout.nb_channels, frame.sample_rate)):
                yield from _drained(fifo)
                fifo = av.AudioFifo()
            fifo.write(frame)
            if fifo.samples >= BLOCK_SAMPLES:
                yield from _drained(fifo)
    losses.lost_s += missing_s
    yield from _drained(fifo)


def _drained(fifo: av.AudioFifo) -> Iterator[tuple[np.ndarray, int]]:
    """What is in a FIFO as one block (channels, samples) float32, and its rate in Hz."""
    if fifo.samples:
        yield _to_float(fifo.read()), _checked_rate(fifo.sample_rate)


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[av.Packet]:
    """All packets of a stream, behind damaged places too. Raises AudioError where the file can't be read."""
    failures = 0
    while failures < MAX_FAILURES:
        try:
            for packet in container.demux(stream):
                failures = 0
                yield packet
            return
        except av.FFmpegError as error:
            if error.errno in (errno.EIO, errno.EACCES, errno.ESTALE, errno.ENODEV):
                raise AudioError(f"it can't be read to its end: {error.strerror}") from None
            failures += 1


def _to_float(frame: av.AudioFrame) -> np.ndarray:
    """The samples of a frame: (channels, samples) float32 in [-1, 1]"""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    if samples.dtype.kind == "u":
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float32, copy=False)


def _mono(channels: np.ndarray) -> np.ndarray:
    """(channels, samples) -> (samples,), as a listener hears them.

    The mean of two channels; where they cancel each other in it, the louder one. Of surround sound, what a player makes
    of it for two loudspeakers (ITU-R BS.775): the centre and the rear ones 3 dB down, without low frequency effects.
    """
    if len(channels) == 1:
        return channels[0]
    weights = SURROUND.get(len(channels), (1 / len(channels),) * len(channels))
    mono = np.array(weights, np.float32) @ channels
    if len(channels) == 2:
        # As they lie in memory: a product of rows that do not lie one behind the other would take ten times as long.
        both = channels.ravel(order="K")
        if np.dot(mono, mono) < CANCELLED * np.dot(both, both) / 2:
            return max(channels, key=lambda channel: np.dot(channel, channel))
    return mono


def _checked_rate(rate_hz: int | None) -> int:
    if not rate_hz or not 1_000 <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(f"its sample rate is {rate_hz or 0} Hz; 1,000 to {MAX_RATE_HZ:,} Hz can be used")
    return rate_hz
