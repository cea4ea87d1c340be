"""Clips made by arithmetic, so that the benchmarks run without anybody's music."""

import io
from pathlib import Path

import av
import numpy as np
import soundfile

RATE_HZ = 44_100


def make_clip(path: Path, *, seed: int, duration_s: float = 30.0) -> None:
    """Write chords, a beat and noise as stereo audio at 44.1 kHz; the suffix decides the format."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    chord = sum(np.sin(2 * np.pi * f * time) / f for f in generator.uniform(80, 4000, size=12)) * 30
    beat = np.exp(-((time * generator.uniform(1, 3)) % 1) * 8)
    noise = generator.normal(scale=0.1, size=(time.size, 2))
    stereo = (chord * (0.3 + beat))[:, None] * generator.uniform(0.5, 1, size=2) + beat[:, None] * noise
    soundfile.write(path, 0.7 * stereo / np.abs(stereo).max(), RATE_HZ)


def encoded(
    samples: np.ndarray,
    container: str,
    codec: str,
    *,
    rate_hz: int = RATE_HZ,
    bit_rate: int = 128_000,
    options: dict[str, str] | None = None,
) -> bytes:
    """A file by FFmpeg's encoders.

    Args:
        samples: (samples, 1, 2 or 6) at 44.1 kHz.
        container, codec: by FFmpeg's names.
        options: of the container, by FFmpeg's names.
    """
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=options or {}) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout=layout, bit_rate=bit_rate)
        if stream.format.bits < 16:  # the first choice of some encoders
            stream.format = "s16p" if stream.format.is_planar else "s16"
        resampler = av.AudioResampler(stream.format, layout, rate_hz)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T, np.float32), format="fltp", layout=layout)
        frame.sample_rate = RATE_HZ
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux([packet for packet in stream.encode(None) if packet.size])  # FLAC's last one is no sound
    return out.getvalue()


def by_libsndfile(samples: np.ndarray, form: str, subtype: str | None = None, *, rate_hz: int = RATE_HZ) -> bytes:
    """A file by libsndfile's encoders: (samples, channels) at the rate given, not resampled."""
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", rate_hz, samples.shape[1], subtype, format=form) as file:
        for start in range(0, len(samples), 10_000):  # one large write of Ogg can overflow libsndfile's stack
            file.write(samples[start : start + 10_000])
    return out.getvalue()


def make_clips(folder: Path, n: int) -> list[Path]:
    """Write n mp3 clips of 30 s."""
    paths = [folder / f"clip{seed:04}.mp3" for seed in range(n)]
    for seed, path in enumerate(paths):
        make_clip(path, seed=seed)
    return paths
