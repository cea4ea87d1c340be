"""The audio front end: audio file -> mono waveform -> log-mel spectrogram, with pitches and peaks below it.

Every stage uses this one class, so that a spectrogram means the same in training and in prediction. Its settings, a
`PipelineConfig`, travel with every set of spectrograms and every model.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from music_learning.decoder import Losses, checked_rate, decode
from music_learning.errors import AudioError, UserError
from music_learning.pipeline_config import PipelineConfig

MAX_CHANNELS = 64  # of a waveform; more are samples, in the wrong order
MAX_RATIO_TERM = 128
MAX_SILENT_S = 3600  # at the start; what is silent for so long is not decoded to its end


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
        self.power_floor = 10 ** (config.floor_db / 10)
        self.register_buffer("pitch_window", torch.hann_window(config.pitch_n_fft), persistent=False)
        self.register_buffer("pitch_filters", _pitch_filters(config), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Log-mel spectrogram of a mono waveform, with the level of each pitch and the waveform's peaks.

        Args:
            waveform: (samples,) or (B, samples) at `sample_rate_hz`, in [-1, 1], at least `n_fft` samples.

        Returns:
            (n_rows, frames) or (B, n_rows, frames), float32, in dB relative to a full-scale sine: `n_mels` rows; the
            pitches of `pitch_levels`, each frame with those nearest in time; and `peak_levels`. Nothing is below
            `floor_db`, and no band and no pitch lies more than `range_db` below the loudest: so a softer recording is
            the same one with all levels lower.
        """
        power = self.mel_scale(_power(self.spectrum(waveform))).div_(self.full_scale)
        levels = self._in_range(power.clamp_(min=self.power_floor).log10_().mul_(10))
        nearest = torch.tensor(self.config.pitch_of_frames(levels.shape[-1]), device=levels.device)
        pitches = self._in_range(self.pitch_levels(waveform)).index_select(-1, nearest)
        return torch.cat([levels, pitches, self.peak_levels(waveform)[..., None, :]], dim=-2)

    def _in_range(self, levels: Tensor) -> Tensor:
        return torch.maximum(levels, levels.amax(dim=(-2, -1), keepdim=True) - self.config.range_db)

    def pitch_levels(self, waveform: Tensor) -> Tensor:
        """The level of the mean power around each semitone, by default from 55 Hz to 1.7 kHz.

        Args:
            waveform: (samples,) or (B, samples), as for `forward`.

        Returns:
            (n_pitches, pitch frames) or (B, n_pitches, pitch frames) in dB, `floor_db` at least.
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
        yield from self._resampled(decode(Path(path), Losses() if losses is None else losses))

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
        yield from self._resampled(iter([(mono.astype(np.float32), checked_rate(sample_rate_hz))]))

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
