"""The audio front end that all stages share: hands on `AudioPipeline` and `PipelineConfig` from the package.

    python pipeline.py song.mp3                            draws how the file becomes a spectrogram: pipeline.png
    python pipeline.py song.mp3 --picture pictures/a.png

Of a longer file, the first window of 30 s with sound is drawn.
"""

import music_learning.needs  # noqa: F401  (first, since it says what is missing)

import argparse
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from music_learning.audio import AudioPipeline
from music_learning.errors import AudioError, UserError, printable, run
from music_learning.files import check_picture
from music_learning.pipeline_config import PipelineConfig

__all__ = ["AudioPipeline", "PipelineConfig"]


def first_window(pipeline: AudioPipeline, path: Path) -> tuple[Tensor, Tensor]:
    """The first window with sound, without the silence at its ends: waveform (samples,), spectrogram (n_rows, frames)

    Raises AudioError where there is none.
    """
    latest = []

    def noted() -> Iterator[tuple[Tensor, float]]:
        for waveform, duration_s in pipeline.waveforms(path):
            latest[:] = [waveform]
            yield waveform, duration_s

    spectrogram = next(spectrogram for spectrogram, _ in pipeline.windows(noted()) if spectrogram is not None)
    start, end, _ = pipeline.sound_bounds(latest[0])
    return latest[0][start:end], spectrogram


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="an audio file")
    parser.add_argument("--picture", type=Path, default=Path("pipeline.png"), help="where to draw it")
    arguments = parser.parse_args()
    check_picture(arguments.picture)
    pipeline = AudioPipeline()
    try:
        waveform, spectrogram = first_window(pipeline, arguments.file)
    except AudioError as error:
        raise UserError(f"{arguments.file}: {error}") from None
    from music_learning.plots.pipeline import draw_pipeline  # takes a quarter of a second to import

    draw_pipeline(waveform, spectrogram, pipeline.config, title=arguments.file.name, path=arguments.picture)
    print(printable(f"picture: {arguments.picture}"))
    return 0


if __name__ == "__main__":
    run(main)
