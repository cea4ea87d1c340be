"""Hears a song and says how energetic, how danceable and how positive it is, on Spotify's scale of 0 to 1.

    from music_learning import Predictor

    analysis = Predictor.load().predict("song.mp3")
    print(analysis.values["energy"], analysis.mood)

Importing this costs nothing; torch is loaded when a name below is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from music_learning.audio import AudioPipeline
    from music_learning.pipeline_config import PipelineConfig
    from music_learning.predict.predictor import Predictor

__version__ = "0.2.0"
__all__ = ["AudioPipeline", "PipelineConfig", "Predictor", "__version__"]

_HOMES = {
    "AudioPipeline": "music_learning.audio",
    "PipelineConfig": "music_learning.pipeline_config",
    "Predictor": "music_learning.predict.predictor",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
