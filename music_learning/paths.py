"""Where every file lies that passes between the stages."""

import re
from dataclasses import dataclass
from pathlib import Path

from music_learning.columns import SAFE_ID
from music_learning.errors import UserError

# An installed package has the released models inside; in a checkout they lie beside it.
_INSTALLED = Path(__file__).parent / "released"
RELEASED_MODELS = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "models"
# What to do where one of them is missing or damaged.
RESTORE_MODELS = "reinstall the package music-learning" if _INSTALLED.is_dir() else "restore it: git checkout models"

DEFAULT_LIBRARY = Path("moods.sqlite")


@dataclass(frozen=True)
class DataPaths:
    """Where the collected data lie below one folder."""

    root: Path

    @property
    def songs(self) -> Path:
        return self.root / "songs.csv"

    @property
    def rejected(self) -> Path:
        return self.root / "rejected.csv"

    @property
    def previews(self) -> Path:
        return self.root / "previews"

    @property
    def answers(self) -> Path:
        return self.root / "answers.sqlite"

    @property
    def splits(self) -> Path:
        return self.root / "splits.csv"

    @property
    def spectrograms(self) -> Path:
        return self.root / "spectrograms"

    @property
    def demo(self) -> Path:
        return self.root / "demo"

    def picture(self, name: str) -> Path:
        return self.root / "pictures" / f"{name}.png"

    def preview(self, song: dict[str, str]) -> Path:
        """The clip of one row of songs.csv. Raises UserError for a file name that isn't `<song_id>.<suffix>`."""
        name = song["preview_file"]
        if not SAFE_ID.fullmatch(song["song_id"]) or not re.fullmatch(
            re.escape(song["song_id"]) + r"\.[A-Za-z0-9]{1,5}", name
        ):
            raise UserError(f"{self.songs} has an unsafe preview_file {name!r}; make it with data_collection.py")
        return self.previews / name


@dataclass(frozen=True)
class ModelPaths:
    """Where the trained models lie below one folder."""

    root: Path

    def weights(self, target: str) -> Path:
        return self.root / f"{target}.safetensors"

    def description(self, target: str) -> Path:
        return self.root / f"{target}.json"

    @property
    def results(self) -> Path:
        return self.root / "results.csv"

    def predictions(self, target: str, split: str, *, cached: bool = False) -> Path:
        """Predictions for a split; `cached` ones only serve a run that goes on after it was stopped."""
        return self.root / ("checkpoints" if cached else "predictions") / f"{target}_{split}.csv"

    def checkpoint(self, name: str) -> Path:
        return self.root / "checkpoints" / f"{name}.safetensors"

    def picture(self, name: str) -> Path:
        return self.root / "pictures" / f"{name}.png"

    @property
    def intervals(self) -> Path:
        return self.root / "intervals.json"

    @property
    def audio_features(self) -> Path:
        return self.description("audio_features")

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def no_music(self) -> Path:
        return self.root / "no_music.safetensors"

    @property
    def previous(self) -> Path:
        return self.root / "previous"


@dataclass(frozen=True)
class ChartPaths:
    """Where the numbers of the chart songs lie."""

    root: Path

    @property
    def songs(self) -> Path:
        return self.root / "charts.csv"

    @property
    def countries(self) -> Path:
        return self.root / "countries.csv"

    @property
    def markets(self) -> Path:
        return self.root / "markets.json"


CHARTS = ChartPaths(Path(__file__).parent / "predict")  # of the package
RESTORE_CHARTS = RESTORE_MODELS.replace("checkout models", "checkout music_learning")
