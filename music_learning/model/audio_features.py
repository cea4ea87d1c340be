"""The model of Spotify's other audio features: how what is measured is read as Spotify reads it, and what is predicted.

Two files, made by `tools/fit_audio_features.py`: `audio_features.json` with a few numbers for each of loudness, tempo,
key and bars, and `audio_features.safetensors` with the models of acousticness, speechiness and instrumentalness.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from music_learning.columns import PREDICTED
from music_learning.errors import UserError
from music_learning.features import key, tempo
from music_learning.features.config import FeatureConfig
from music_learning.features.key import key_and_mode
from music_learning.features.loudness import integrated_loudness
from music_learning.features.measurement import Measurement
from music_learning.features.tempo import tempo_bpm, time_signature
from music_learning.files import atomic, damaged, read_json, read_pipeline_config, sha256_of, write_json
from music_learning.model.predicted_features import PredictedFeatures
from music_learning.model.tensors import read_tensors
from music_learning.paths import ModelPaths
from music_learning.pipeline_config import is_number, is_whole

NAME = "audio_features"
MADE_BY = "tools/fit_audio_features.py"
MAX_WEIGHT = 1e6  # what is more comes from a damaged file
MAX_SONGS = 100_000
DECIMALS = 5
SHAPES = {"loudness": (2,), "tempo": (tempo.N_CUES,), "key": (key.N_CUES + 1, 2), "bar": (tempo.N_BAR_CUES + 1,)}


@dataclass(frozen=True)
class AudioFeatureModel:
    """The weights of what is measured; None of what there were no labels to learn from."""

    loudness: Tensor | None = None  # (2,): dB per LU, and dB at 0 LUFS
    tempo: Tensor | None = None  # (cues,) as `tempo_bpm` takes them
    key: Tensor | None = None  # (cues + 1, 2) as `key_and_mode` takes them
    bar: Tensor | None = None  # (cues + 1,) as `time_signature` takes them
    predicted: PredictedFeatures | None = None
    intervals: dict[str, dict] = field(default_factory=dict)  # of PREDICTED, around ranks, as `Interval` has them
    sha256: str = ""  # of the weights of what is predicted

    def features(self, measured: Measurement, config: FeatureConfig) -> dict[str, float | int | None]:
        """What Spotify's endpoint calls key, loudness, mode, tempo and time_signature; None of what can't be told.

        Args:
            measured: of a window, or the sum of a recording's.
        """
        lufs = integrated_loudness(measured.loudness)
        tonic, mode = (None, None) if self.key is None else key_and_mode(measured.pitches, self.key)
        bpm = None if self.tempo is None else tempo_bpm(measured.onsets, self.tempo, config)
        has_no_bar = bpm is None or self.bar is None
        return {
            "key": tonic,
            "loudness": None
            if lufs is None or self.loudness is None
            else float(self.loudness @ torch.tensor([lufs, 1.0])),
            "mode": mode,
            "tempo": bpm,
            "time_signature": None if has_no_bar else time_signature(measured.onsets, bpm, self.bar, config),
        }

    def to_dict(self) -> dict:
        """As JSON has it, without what is predicted."""
        weights = {name: getattr(self, name) for name in SHAPES}
        return {name: None if values is None else _rounded(values.tolist()) for name, values in weights.items()}

    def save(self, paths: ModelPaths, config: FeatureConfig, description: dict) -> None:
        """Write the weights, with the settings that they belong to and what is known of them besides."""
        described = {**description, "pipeline": config.pipeline.to_dict(), **self.to_dict(), "predicted": None}
        if self.predicted is not None:
            weights = to_safetensors(self.predicted.tensors())
            with atomic(paths.weights(NAME)) as temporary:
                temporary.write_bytes(weights)
            described["predicted"] = {
                "n_songs": len(self.predicted.processes[PREDICTED[0]].songs),
                "features": config.to_dict(),
                "weights_sha256": hashlib.sha256(weights).hexdigest(),
                "intervals": self.intervals,
            }
        write_json(paths.audio_features, described)

    @classmethod
    def load(cls, paths: ModelPaths, config: FeatureConfig) -> Self:
        """Read the weights; a folder without them has a model that knows nothing.

        Raises:
            UserError: a file is damaged, or made with other settings of the pipeline or the features than these.
        """
        path = paths.audio_features
        if not path.exists():
            return cls()
        description = read_json(path, MADE_BY)
        made_with = read_pipeline_config(description.get("pipeline"), path, MADE_BY)
        _refuse(path, made_with.differences(config.pipeline))
        try:
            weights = {name: _weights(description.get(name), name, shape) for name, shape in SHAPES.items()}
            if description.get("predicted") is None:
                return cls(**weights)
            predicted, n_songs = description["predicted"], description["predicted"]["n_songs"]
            if not is_whole(n_songs, 1, MAX_SONGS) or not isinstance(predicted["intervals"], dict):
                raise ValueError("it doesn't say how many songs or which intervals the predictions have")
            _refuse(path, FeatureConfig.from_dict(predicted["features"], made_with).differences(config))
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(path, error, MADE_BY) from None
        tensors = read_tensors(paths.weights(NAME), PredictedFeatures.expected(config, n_songs), MADE_BY)
        if sha256_of(paths.weights(NAME)) != predicted.get("weights_sha256"):
            raise damaged(paths.weights(NAME), f"or not the file that {path} describes", MADE_BY)
        processes = PredictedFeatures.of(tensors, config, n_songs)
        return cls(**weights, predicted=processes, intervals=predicted["intervals"], sha256=predicted["weights_sha256"])


def _refuse(path: Path, difference: str) -> None:
    """Raise UserError where settings differ."""
    if difference:
        raise UserError(
            f"{path} was made with other settings than the models: {difference}; make it again with {MADE_BY}"
        )


def _rounded(values: list | float) -> list | float:
    return [_rounded(value) for value in values] if isinstance(values, list) else round(values, DECIMALS)


def _weights(values: object, name: str, shape: tuple[int, ...]) -> Tensor | None:
    """The weights from JSON. Raises ValueError unless they are numbers in this shape."""
    if values is None:
        return None
    if not _has_shape(values, shape):
        raise ValueError(f"{name} holds other numbers than expected")
    return torch.tensor(values, dtype=torch.float32)


def _has_shape(values: object, shape: tuple[int, ...]) -> bool:
    if not shape:
        return is_number(values) and abs(values) <= MAX_WEIGHT
    is_list = isinstance(values, list) and len(values) == shape[0]
    return is_list and all(_has_shape(value, shape[1:]) for value in values)
