"""How often the warning of unfamiliar audio comes: for sounds that are no music (hits) and for songs (false alarms).

python benchmarks/unfamiliar.py

Speech is synthesised by espeak-ng (apt-get install espeak-ng), in five voices at two speeds; noise, tones and near
silence are made here. The songs are those of the test split, whole and cut short. Reads data/ and models/.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from artifacts import DataPaths, SpectrogramSet, read_songs
from data_loading import read_splits
from familiarity import Familiarity
from pipeline import AudioPipeline
from statistics_layer import clip_statistics

ROOT = Path(__file__).parents[1]
LENGTHS_S = (3, 5, 10, 20, 30)
VOICES = ("en", "de", "fr", "en+f3", "es+f2")
SPEEDS = (120, 170)  # words per minute
RATE_HZ = 16_000
CLIP_S = 30


def speech(folder: Path) -> Iterator[torch.Tensor]:
    """Readings of this project's texts, in five voices."""
    for text in ("README.md", "MODEL_CARD.md"):
        words = "".join(c for c in (ROOT / text).read_text(encoding="utf-8") if c.isalnum() or c in " .,\n")
        for voice in VOICES:
            for speed in SPEEDS:
                wav = folder / f"{text}{voice}{speed}.wav"
                subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", wav, words[:1500]], check=True)
                yield next(AudioPipeline().waveforms(wav))[0]


def noise() -> Iterator[torch.Tensor]:
    """White, pink and brown, from quiet to loud."""
    generator = np.random.default_rng(0)
    for slope in (0, 0.5, 1):
        for level in (0.01, 0.05, 0.2, 0.5):
            spectrum = np.fft.rfft(generator.standard_normal(CLIP_S * RATE_HZ))
            sound = np.fft.irfft(spectrum / np.maximum(np.arange(spectrum.size), 20) ** slope)
            yield torch.from_numpy((level * sound / np.abs(sound).max()).astype(np.float32))


def tones() -> Iterator[torch.Tensor]:
    """Single tones, a chord and a sweep, from quiet to loud."""
    time = np.arange(CLIP_S * RATE_HZ) / RATE_HZ
    phases = [[f * time] for f in (110, 440, 1000, 3000)] + [
        [f * time for f in (220, 277, 330)],
        [(100 + 50 * time) * time],
    ]
    for parts in phases:
        for level in (0.01, 0.05, 0.2, 0.5):
            sound = sum(np.sin(2 * np.pi * phase) for phase in parts) / len(parts)
            yield torch.from_numpy((level * sound).astype(np.float32))


def hiss() -> Iterator[torch.Tensor]:
    """What a recording of nothing has: noise just above -60 dB."""
    generator = np.random.default_rng(1)
    for level in (0.0015, 0.003, 0.006):
        yield torch.from_numpy((level * generator.standard_normal(CLIP_S * RATE_HZ)).astype(np.float32))


def main() -> None:
    familiarity = Familiarity.open(ROOT / "models" / "familiarity.safetensors")
    pipeline, data = AudioPipeline(), DataPaths(ROOT / "data")
    spectrograms, splits = SpectrogramSet.open(data.spectrograms), read_splits(data)
    songs = [song["song_id"] for song in read_songs(data) if splits.get(song["song_id"]) == "test"]
    clips = {"songs (false alarms)": [torch.from_numpy(spectrograms.spectrogram(s).astype(np.float32)) for s in songs]}
    with TemporaryDirectory() as folder:
        for name, sounds in (
            ("speech", speech(Path(folder))),
            ("noise", noise()),
            ("tones", tones()),
            ("hiss", hiss()),
        ):
            clips[name] = [pipeline(sound) for sound in sounds]
    print(f"{'% that are warned of, by length':34}" + "".join(f"{length_s:6} s" for length_s in LENGTHS_S))
    for name, parts in clips.items():
        line = f"{name + f', {len(parts)}':34}"
        for length_s in LENGTHS_S:
            frames = round(length_s * pipeline.config.frames_per_s)
            warned = [not familiarity.is_familiar(clip_statistics(part[None, :, :frames]), length_s) for part in parts]
            line += f"{100 * np.mean(warned):8.1f}"
        print(line)


if __name__ == "__main__":
    main()
