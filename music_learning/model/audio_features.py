"""The model of what is measured from the sound: how loudness, tempo, key and bars are read as Spotify reads them.

It is one JSON, `audio_features.json`: a few numbers for each, made by `tools/fit_audio_features.py`.
"""

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from music_learning.errors import UserError
from music_learning.features import key, tempo
from music_learning.features.config import FeatureConfig
from music_learning.features.key import key_and_mode
from music_learning.features.loudness import integrated_loudness
from music_learning.features.measurement import Measurement
from music_learning.features.tempo import tempo_bpm, time_signature
from music_learning.files import damaged, read_json, read_pipeline_config, write_json
from music_learning.paths import ModelPaths
from music_learning.pipeline_config import PipelineConfig, is_number

MADE_BY = "tools/fit_audio_features.py"
MAX_WEIGHT = 1e6  # what is more comes from a damaged file
DECIMALS = 5
SHAPES = {"loudness": (2,), "tempo": (tempo.N_CUES,), "key": (key.N_CUES + 1, 2), "bar": (tempo.N_BAR_CUES + 1,)}


@dataclass(frozen=True)
class AudioFeatureModel:
    """The weights of what is measured; None of what there were no labels to learn from."""

    loudness: Tensor | None = None  # (2,): dB per LU, and dB at 0 LUFS
    tempo: Tensor | None = None  # (cues,) as `tempo_bpm` takes them
    key: Tensor | None = None  # (cues + 1, 2) as `key_and_mode` takes them
    bar: Tensor | None = None  # (cues + 1,) as `time_signature` takes them

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
        """As JSON has it."""
        weights = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: None if values is None else _rounded(values.tolist()) for name, values in weights.items()}

    def save(self, paths: ModelPaths, pipeline: PipelineConfig, description: dict) -> None:
        """Write the weights, with the pipeline's settings and what is known of them besides."""
        write_json(paths.audio_features, {**description, "pipeline": pipeline.to_dict(), **self.to_dict()})

    @classmethod
    def load(cls, paths: ModelPaths, pipeline: PipelineConfig) -> Self:
        """Read the weights; a folder without them has a model that knows nothing.

        Raises:
            UserError: the file is damaged, or made with other settings of the pipeline than these.
        """
        path = paths.audio_features
        if not path.exists():
            return cls()
        description = read_json(path, MADE_BY)
        made_with = read_pipeline_config(description.get("pipeline"), path, MADE_BY)
        if difference := made_with.differences(pipeline):
            raise UserError(
                f"{path} was made with other settings than the models: {difference}; make it again with {MADE_BY}"
            )
        try:
            return cls(**{name: _weights(description.get(name), name, shape) for name, shape in SHAPES.items()})
        except (TypeError, ValueError) as error:
            raise damaged(path, error, MADE_BY) from None


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
