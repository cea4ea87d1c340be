"""Songs that come with their spectrograms instead of audio, such as the demo's, and their analysis."""

import random
from dataclasses import dataclass

from torch import Tensor

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.files import missing_file
from music_learning.paths import DataPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.predict.analysis import Analysis
from music_learning.predict.predictor import Predictor
from music_learning.predict.similarity import named
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_song_rows


@dataclass(frozen=True)
class SavedSongs:
    """Rows of songs.csv and their spectrograms."""

    paths: DataPaths
    songs: list[dict[str, str]]
    spectrograms: SpectrogramSet

    @classmethod
    def open(cls, paths: DataPaths) -> "SavedSongs":
        """Read a folder with songs.csv and spectrograms/. Raises UserError where something is missing or damaged."""
        if not paths.songs.exists():
            reason = missing_file(paths.songs, "data_loading.py")
            raise UserError(f"name an audio file or a folder; or, for one of the saved songs: {reason}")
        spectrograms = SpectrogramSet.open(paths.spectrograms)
        return cls(paths, read_song_rows(paths, "data_loading.py"), spectrograms)

    def check_pipeline(self, config: PipelineConfig) -> None:
        """Raise UserError unless the spectrograms are made as models of this config need them."""
        if difference := self.spectrograms.config.differences(config):
            raise UserError(
                f"{self.paths.spectrograms} and the models have different pipeline settings: {difference}; "
                "run data_loading.py and model_train.py again"
            )

    def choose(self, wanted: str | None, seed: int | None) -> dict[str, str]:
        """The song with this id or with this text in its title; else a random one, the same for the same seed.

        Raises:
            UserError: none is like that; the message lists what there is.
        """
        if not self.songs:
            raise UserError(f"{self.paths.root} holds no song; run data_loading.py first")
        if wanted is None:
            return random.Random(seed).choice(self.songs)
        for song in self.songs:
            if song["song_id"] == wanted:
                return song
        for song in self.songs:
            if wanted.casefold() in song["title"].casefold():
                return song
        titles = "\n".join(f"  {song['song_id']}  {title_of(song)}" for song in self.songs)
        raise UserError(f"no saved song has the id or title {wanted!r}; there are:\n{titles}")

    def analyse(self, song: dict[str, str], predictor: Predictor, *, explain: bool = False) -> Analysis:
        """As `Predictor.predict`. Raises UserError where the song has no spectrogram."""
        return predictor.analyse([self.window(song)], explain=explain)

    def window(self, song: dict[str, str]) -> tuple[Tensor, float]:
        """A song's spectrogram (n_rows, frames) and its length in seconds. Raises UserError where it has none."""
        if song["song_id"] not in self.spectrograms.rows:
            raise UserError(f"{self.paths.spectrograms} lacks song {song['song_id']}; run data_loading.py again")
        spectrogram = self.spectrograms.tensor(song["song_id"])
        return spectrogram, spectrogram.shape[1] / self.spectrograms.config.frames_per_s


def title_of(song: dict[str, str]) -> str:
    return named(song["title"], song["artist"])


def labels_of(song: dict[str, str]) -> dict[str, float]:
    """Spotify's values of a song."""
    return {target: float(song[target]) for target in TARGETS}
