"""How far the predictions move when the same music comes in another form.

    python benchmarks/robustness.py                       the test songs of data/
    python benchmarks/robustness.py --audio FOLDER        the audio files of a folder, under the harmless changes alone

The first needs data/ as data_collection.py and data_loading.py leave it. Each change is made to songs which the models
never heard (of a folder, a file whose name is the id of a song they learned from is left out), and predicted beside the
unchanged clip. Prints the mean absolute change of each target, and its 90th percentile; then what
`music_learning.predict.versions` says of the noise of versions: the 90th percentile over the songs of the largest of
their harmless changes, the ones that nobody would call another version of the music.
"""

import argparse
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import soundfile
import torch
import torchaudio

from music_learning.columns import TARGETS
from music_learning.errors import AudioError, run
from music_learning.parallel import cpu_count, ordered_map
from music_learning.paths import DataPaths
from music_learning.pipeline_config import SUFFIXES
from music_learning.predict.predictor import Predictor
from music_learning.songs.corpus import read_corpus
from music_learning.songs.table import text_rows

RATE_HZ = 44_100


def read_stereo(path: Path) -> np.ndarray:
    """Decode any clip to (samples, 2) float32 at 44.1 kHz."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="stereo", rate=RATE_HZ)
        frames = [*container.decode(audio=0), None]
        blocks = [part.to_ndarray().reshape(-1, 2) for frame in frames for part in resampler.resample(frame)]
    return np.concatenate(blocks)


def write_wav(audio: np.ndarray, folder: Path, *, rate_hz: int = RATE_HZ) -> Path:
    path = folder / "clip.wav"
    soundfile.write(path, audio, rate_hz, subtype="FLOAT")
    return path


def as_vorbis(audio: np.ndarray, folder: Path) -> Path:
    """With the encoder's usual quality, some 128 kbit/s."""
    path = folder / "clip.ogg"
    with soundfile.SoundFile(path, "w", RATE_HZ, audio.shape[1], format="OGG", subtype="VORBIS") as file:
        for start in range(0, len(audio), RATE_HZ):  # at once they would overflow libsndfile's stack
            file.write(audio[start : start + RATE_HZ])
    return path


def as_mp3(audio: np.ndarray, folder: Path, *, kbit_s: int) -> Path:
    path = folder / "clip.mp3"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=RATE_HZ, layout="stereo")
        stream.bit_rate = kbit_s * 1000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio.T), format="fltp", layout="stereo")
        frame.sample_rate = RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def louder(audio: np.ndarray, folder: Path, *, gain_db: float) -> Path:
    return write_wav(audio * 10 ** (gain_db / 20), folder)


def mono(audio: np.ndarray, folder: Path) -> Path:
    return write_wav(audio.mean(axis=1), folder)


def middle(audio: np.ndarray, folder: Path, *, duration_s: float) -> Path:
    start = max(len(audio) - round(duration_s * RATE_HZ), 0) // 2
    return write_wav(audio[start : start + round(duration_s * RATE_HZ)], folder)


def from_later(audio: np.ndarray, folder: Path, *, start_s: float) -> Path:
    return write_wav(audio[round(start_s * RATE_HZ) :], folder)


def resampled(audio: np.ndarray, folder: Path, *, rate_hz: int) -> Path:
    other = torchaudio.functional.resample(torch.from_numpy(audio.T.copy()), RATE_HZ, rate_hz)
    return write_wav(other.T.numpy(), folder, rate_hz=rate_hz)


def after_silence(audio: np.ndarray, folder: Path, *, silence_s: float) -> Path:
    return write_wav(np.concatenate([np.zeros((round(silence_s * RATE_HZ), 2), np.float32), audio]), folder)


HARMLESS = {
    "mp3, 128 kbit/s": partial(as_mp3, kbit_s=128),
    "ogg vorbis": as_vorbis,
    **{f"{gain_db:+} dB": partial(louder, gain_db=gain_db) for gain_db in (3, -3)},
    "mono": mono,
    "resampled to 48 kHz": partial(resampled, rate_hz=48_000),
    "from 0.5 s on": partial(from_later, start_s=0.5),
}
CHANGES = {
    **HARMLESS,
    **{f"mp3, {kbit_s} kbit/s": partial(as_mp3, kbit_s=kbit_s) for kbit_s in (320, 64, 32)},
    **{f"{gain_db:+} dB": partial(louder, gain_db=gain_db) for gain_db in (6, -6, -20)},
    **{f"the middle {duration_s} s": partial(middle, duration_s=duration_s) for duration_s in (20, 10)},
    **{f"resampled to {rate_hz / 1000:g} kHz": partial(resampled, rate_hz=rate_hz) for rate_hz in (22_050, 16_000)},
    "3 s of silence in front": partial(after_silence, silence_s=3),
}


def clips_of(arguments: argparse.Namespace, predictor: Predictor) -> list[Path]:
    if arguments.audio is None:
        paths = DataPaths(arguments.data)
        return [paths.preview(song) for song in text_rows(read_corpus(paths).test)]
    known = {song["song_id"] for song in predictor.training_songs.songs}
    clips = [path for path in sorted(arguments.audio.iterdir()) if path.suffix in SUFFIXES]
    return [path for path in clips if path.stem not in known]


def line(name: str, *columns: np.ndarray) -> None:
    """Print a line of the table: for each target a number of each column (targets,)."""
    print(
        f"{name:24}" + "".join(f"{'  '.join(f'{value:+.3f}' for value in of):>26}" for of in zip(*columns, strict=True))
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    parser.add_argument("--audio", type=Path, help="a folder of clips or songs, in place of the test songs")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the models (default: models)")
    arguments = parser.parse_args()
    predictor = Predictor.load(arguments.models)
    clips = clips_of(arguments, predictor)
    changes = CHANGES if arguments.audio is None else HARMLESS

    def values(path: Path) -> np.ndarray:
        predicted = predictor.predict(path).values
        return np.array([predicted[target] for target in TARGETS])

    def movements(clip: Path) -> np.ndarray | None:
        """(changes, targets); None of what can't be used"""
        audio = read_stereo(clip)
        with TemporaryDirectory() as folder:
            try:
                unchanged = values(write_wav(audio, Path(folder)))
            except AudioError:
                return None
            return np.stack([values(change(audio, Path(folder))) - unchanged for change in changes.values()])

    found = list(ordered_map(movements, clips, workers=cpu_count(), description="changing", unit="song"))
    moved = np.stack([of_song for of_song in found if of_song is not None])
    print(f"change of the predictions: absolute mean, mean, and absolute 90th percentile; {len(moved)} songs,", end=" ")
    print(f"{len(found) - len(moved)} more can't be used")
    print(f"{'':24}" + "".join(f"{target:>26}" for target in TARGETS))
    for name, of_change in zip(changes, moved.transpose(1, 0, 2), strict=True):
        absolute = np.abs(of_change)
        line(name, absolute.mean(axis=0), of_change.mean(axis=0), np.percentile(absolute, 90, axis=0))
    harmless = np.abs(moved[:, [name in HARMLESS for name in changes]])
    print("all harmless changes: 90th percentile of each alone, and of the largest of a song's")
    line("noise of versions", *(np.percentile(x, 90, axis=0) for x in (harmless.reshape(-1, 3), harmless.max(axis=1))))
    return 0


if __name__ == "__main__":
    run(main)
