"""How often the warning of what is no music comes: for sounds that are none (hits) and for music (false positives).

python benchmarks/unfamiliar.py
python benchmarks/unfamiliar.py --audio FOLDER        and for the audio files of a folder, which are music

Speech is synthesised by espeak-ng (apt-get install espeak-ng), in ten voices at two speeds, alone and in noise; the
other sounds are made here, each from quiet to loud, by other means than those that the detector learned from. The songs
are those that the models were not trained on. All are whole and cut short.
Reads data/, data/more/ where it is there, and models/.
"""

import argparse
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from music_learning.audio import AudioPipeline
from music_learning.features.clip import clip_features
from music_learning.paths import DataPaths
from music_learning.pipeline_config import SUFFIXES
from music_learning.predict.predictor import Predictor
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_song_rows

ROOT = Path(__file__).parents[1]
LENGTHS_S = (3, 5, 10, 20, 30)
VOICES = ("en", "de", "fr", "en+f3", "es+f2", "en-us+m3", "it+f4", "pt+m7", "ru", "cmn+f1")
SPEEDS = (120, 170)  # words per minute
TEXTS = (  # of some 30 seconds each
    "The harbour was quiet when the last boat came in. Two men stood at the wall and counted the boxes as they were "
    "carried up the steps, eleven of herring, four of mackerel, and one that nobody wanted to open. It had rained "
    "since morning, and the lamps along the quay were burning although it was only four o'clock. Somebody laughed in "
    "the office behind them. Then the door closed, and they heard nothing but the water and the ropes. We should go, "
    "said the older one, but neither of them moved until the church bell had struck the quarter.",
    "Dear colleagues, thank you for coming at such short notice. There are three points on the agenda. First, the "
    "heating, which has been promised for October and will now be mended in the second week of November. Second, the "
    "library has lost about two hundred books in the last year, most of them on mathematics, and we would like to know "
    "who reads so much of it. And third, the canteen: the prices go up by eight percent, and there will be soup on "
    "every day but Thursday. Are there any questions before we begin? If not, I suggest that we start with the books.",
)
LEVELS = (0.01, 0.05, 0.2, 0.5)  # peaks
RATE_HZ = 16_000
SIGNAL_TO_NOISE_DB = (10, 20)
DTMF_HZ = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
CLIP_S = 30
TIME_S = np.arange(CLIP_S * RATE_HZ) / RATE_HZ


def speech(folder: Path) -> Iterator[torch.Tensor]:
    """Readings of two texts, in ten voices at two speeds."""
    for number, text in enumerate(TEXTS):
        for voice in VOICES:
            for speed in SPEEDS:
                wav = folder / f"{number}{voice}{speed}.wav"
                subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", wav, text], check=True)
                yield next(AudioPipeline().waveforms(wav))[0]


def in_noise(voices: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The same before pink noise, of every second reading."""
    generator = np.random.default_rng(6)
    for number, voice in enumerate(voices[::2]):
        pink = filtered(generator.standard_normal(len(voice)), lambda f: np.maximum(f, 20) ** -0.5)
        softer_db = SIGNAL_TO_NOISE_DB[number % len(SIGNAL_TO_NOISE_DB)]
        yield voice + torch.from_numpy(pink / pink.std()).float() * voice.std() * 10 ** (-softer_db / 20)


def at_levels(sounds: Iterable[np.ndarray]) -> Iterator[torch.Tensor]:
    """Each sound (samples,), from quiet to loud."""
    for sound in sounds:
        for level in LEVELS:
            yield torch.from_numpy((level * sound / np.abs(sound).max()).astype(np.float32))


def filtered(sound: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A sound (samples,) whose spectrum is multiplied by a gain for each frequency in Hz."""
    frequency_hz = np.fft.rfftfreq(sound.size, 1 / RATE_HZ)
    return np.fft.irfft(np.fft.rfft(sound) * gain(frequency_hz), sound.size)


def noise() -> Iterator[np.ndarray]:
    """White, pink and brown."""
    generator = np.random.default_rng(0)
    for slope in (0, 0.5, 1):
        white = generator.standard_normal(TIME_S.size)
        yield filtered(white, lambda f, slope=slope: np.maximum(f, 20) ** -slope)


def bands_of_noise() -> Iterator[np.ndarray]:
    """Noise between two frequencies: low, narrow, a telephone's, high."""
    generator = np.random.default_rng(2)
    for low_hz, high_hz in ((30, 300), (900, 1100), (300, 3400), (2000, 8000)):
        white = generator.standard_normal(TIME_S.size)
        yield filtered(white, lambda f, low=low_hz, high=high_hz: (f > low) & (f < high))


def weather() -> Iterator[np.ndarray]:
    """Surf, gusts of wind, and rain of few and of many drops."""
    generator = np.random.default_rng(3)
    white = generator.standard_normal(TIME_S.size)
    yield filtered(white, lambda f: np.maximum(f, 20) ** -0.5) * (1.2 + np.sin(2 * np.pi * TIME_S / 7))
    gusts = filtered(generator.standard_normal(TIME_S.size), lambda f: f < 0.5)
    yield filtered(white, lambda f: np.maximum(f, 20) ** -1.0) * np.exp(gusts / gusts.std())
    for drops_per_s in (30, 1000):
        drops = generator.standard_normal(TIME_S.size) * (generator.random(TIME_S.size) < drops_per_s / RATE_HZ)
        yield filtered(drops, lambda f: 1 / (1 + ((f - 3000) / 1500) ** 2))


def hum() -> Iterator[np.ndarray]:
    """The mains' 50 and 60 Hz with their harmonics, and an engine whose speed wavers; with a little noise."""
    generator = np.random.default_rng(4)
    for f in (50, 60, 87 + 3 * np.sin(2 * np.pi * TIME_S / 11)):
        turns = np.cumsum(np.broadcast_to(f, TIME_S.shape)) / RATE_HZ
        harmonics = sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 30))
        yield harmonics + 0.02 * generator.standard_normal(TIME_S.size)


def crackle() -> Iterator[np.ndarray]:
    """Clicks at random over faint noise, as of a worn record: few and many."""
    generator = np.random.default_rng(5)
    for clicks_per_s in (5, 50):
        clicks = generator.standard_normal(TIME_S.size) * (generator.random(TIME_S.size) < clicks_per_s / RATE_HZ)
        yield clicks + 0.01 * generator.standard_normal(TIME_S.size)


def tones() -> Iterator[np.ndarray]:
    """Single tones, a chord and a sweep."""
    for f in (110, 440, 1000, 3000):
        yield np.sin(2 * np.pi * f * TIME_S)
    yield sum(np.sin(2 * np.pi * f * TIME_S) for f in (220, 277, 330))
    yield np.sin(2 * np.pi * (100 + 50 * TIME_S) * TIME_S)


def signals() -> Iterator[np.ndarray]:
    """The keys of a telephone, an alarm, a siren, and clicks once and twice a second."""
    generator = np.random.default_rng(7)
    key = (TIME_S / 0.25).astype(int)
    low, high = (generator.choice(hz, key[-1] + 1)[key] for hz in DTMF_HZ)
    yield (TIME_S % 0.25 < 0.15) * (np.sin(2 * np.pi * low * TIME_S) + np.sin(2 * np.pi * high * TIME_S))
    yield (TIME_S % 1 < 0.5) * np.sin(2 * np.pi * 1000 * TIME_S)
    yield np.sin(2 * np.pi * np.cumsum(600 + 300 * np.sin(2 * np.pi * 0.4 * TIME_S)) / RATE_HZ)
    for clicks_per_s in (1, 2):
        clicks = 1e-4 * generator.standard_normal(TIME_S.size)
        clicks[:: RATE_HZ // clicks_per_s] = 1
        yield clicks


def applause() -> Iterator[np.ndarray]:
    """Bursts of noise of a twentieth of a second, at random: of few hands and of many."""
    generator = np.random.default_rng(8)
    for claps_per_s in (10, 60, 400):
        sound = np.zeros(TIME_S.size)
        for begin in generator.integers(0, TIME_S.size - 800, claps_per_s * CLIP_S):
            decay = np.exp(-np.arange(800) / generator.uniform(60, 200))
            sound[begin : begin + 800] += generator.uniform(0.2, 1) * decay * generator.standard_normal(800)
        yield filtered(sound, lambda f: 1 / (1 + ((f - 1500) / 1200) ** 2))


def hiss() -> Iterator[torch.Tensor]:
    """What a recording of nothing has: noise just above -60 dB."""
    generator = np.random.default_rng(1)
    for level in (0.0015, 0.003, 0.006):
        yield torch.from_numpy((level * generator.standard_normal(TIME_S.size)).astype(np.float32))


def songs_not_learned(known: set[str], data: DataPaths) -> Iterator[torch.Tensor]:
    """The spectrograms of a folder's songs that the models were not trained on."""
    spectrograms = SpectrogramSet.open(data.spectrograms)
    for song in read_song_rows(data):
        if song["song_id"] not in known and song["song_id"] in spectrograms.rows:
            yield spectrograms.tensor(song["song_id"])


def music_in(folder: Path, pipeline: AudioPipeline) -> Iterator[torch.Tensor]:
    """The spectrogram of the first half minute of each audio file in a folder."""
    for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
        yield pipeline.log_mels(path)[0][0]


def sounds(pipeline: AudioPipeline) -> dict[str, list[torch.Tensor]]:
    """The spectrograms of what is no music, by kind."""
    with TemporaryDirectory() as folder:
        voices = list(speech(Path(folder)))
    waveforms = {"speech": voices, "speech in noise": in_noise(voices)}
    makers = (noise, bands_of_noise, weather, hum, crackle, applause, tones, signals)
    waveforms |= {make.__name__.replace("_", " "): at_levels(make()) for make in makers}
    waveforms["hiss"] = hiss()
    return {name: [pipeline(waveform) for waveform in kind] for name, kind in waveforms.items()}


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="a folder of music")
    arguments = parser.parse_args()
    predictor = Predictor.load(ROOT / "models")
    known = {song["song_id"] for song in predictor.training_songs.songs}
    clips = {}
    for name, data in (("songs", DataPaths(ROOT / "data")), ("songs of data/more", DataPaths(ROOT / "data" / "more"))):
        if data.songs.exists():
            clips[f"{name} (false positives)"] = list(songs_not_learned(known, data))
    if arguments.audio:
        clips["music of the folder (false positives)"] = list(music_in(arguments.audio, predictor.pipeline))
    clips |= sounds(predictor.pipeline)
    print(f"{'% that are warned of, by length':44}" + "".join(f"{length_s:6} s" for length_s in LENGTHS_S))
    for name, parts in clips.items():
        line = f"{name + f', {len(parts)}':44}"
        for length_s in LENGTHS_S:
            frames = round(length_s * predictor.pipeline.config.frames_per_s)
            features = torch.cat([clip_features(part[None, :, :frames], predictor.features) for part in parts])
            warned = [predictor.no_music.kind(row[None]) is not None for row in features]
            line += f"{100 * np.mean(warned):8.1f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
