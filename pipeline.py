"""The audio front end that all stages share: hands on `AudioPipeline` and `PipelineConfig` from the package."""

from music_learning.audio import AudioPipeline
from music_learning.pipeline_config import PipelineConfig

__all__ = ["AudioPipeline", "PipelineConfig"]
