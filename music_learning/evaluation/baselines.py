"""What the models are measured against: the training mean, a ridge regression, and the original recipe."""

from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
import torchaudio
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from music_learning.audio import AudioPipeline
from music_learning.columns import TARGETS
from music_learning.errors import AudioError, UserError
from music_learning.evaluation.predictions import read_predictions, write_predictions
from music_learning.parallel import cpu_count, ordered_map
from music_learning.paths import DataPaths, ModelPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.songs.corpus import Corpus
from music_learning.songs.spectrograms import SpectrogramSet, SpectrogramSets
from music_learning.songs.table import text_rows

BASELINES = ("mean", "ridge", "original")
RECIPE_SHAPE = (150, 200)  # mel bins and frames after resizing
RECIPE_EPOCHS = {"energy": 12, "danceability": 12, "valence": 15}
RECIPE_BATCH = 8


def predict_with_baseline(
    name: str, training: pd.DataFrame, others: pd.DataFrame, spectrograms: SpectrogramSet | SpectrogramSets
) -> pd.DataFrame:
    """Fit the baseline `mean` or `ridge` to the training songs and predict the others: (others, TARGETS)."""
    if name == "mean":
        predicted = {target: predict_mean(training[target], len(others)) for target in TARGETS}
    else:
        fitted, asked = (log_mel_statistics(spectrograms, songs.index) for songs in (training, others))
        predicted = {target: predict_ridge(fitted, training[target], asked) for target in TARGETS}
    return pd.DataFrame(predicted, index=others.index)


def predict_mean(train_labels: np.ndarray, n: int) -> np.ndarray:
    """The mean of the training labels, n times."""
    return np.full(n, np.mean(train_labels))


def log_mel_statistics(spectrograms: SpectrogramSet | SpectrogramSets, song_ids: Iterable[str]) -> np.ndarray:
    """Mean and standard deviation over time of each mel band: (songs, 2 * n_mels)."""
    n_mels = spectrograms.config.n_mels
    clips = (spectrograms.spectrogram(song_id)[:n_mels].astype(np.float32) for song_id in song_ids)
    return np.stack([np.concatenate([clip.mean(axis=1), clip.std(axis=1)]) for clip in clips])


def predict_ridge(train: np.ndarray, train_labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Ridge regression on `log_mel_statistics`, its penalty chosen by leave-one-out on the training songs.

    Args:
        train: (songs, features), with train_labels (songs,).
        others: (other songs, features).

    Returns:
        (other songs,) predictions, clipped to [0, 1].
    """
    model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(0, 5, 21)))
    return model.fit(train, train_labels).predict(others).clip(0, 1)


class OriginalRecipe(nn.Module):
    """The CNN that this kind of project began with, and its schedule: see `train_original_recipe`."""

    def __init__(self, channels: int = 20) -> None:
        super().__init__()

        def block(n_in: int, kernel: int) -> list[nn.Module]:
            convolutions = [
                *(nn.Conv2d(n_in, channels, kernel), nn.ReLU()),
                *(nn.Conv2d(channels, channels, kernel), nn.ReLU()),
            ]
            return [*convolutions, nn.BatchNorm2d(channels), nn.MaxPool2d(2)]

        self.layers = nn.Sequential(
            *block(1, 2), *block(channels, 2), *block(channels, 1), nn.Flatten(), nn.LazyLinear(1)
        )

    def forward(self, spectrograms: Tensor) -> Tensor:
        """(B, 150, 200) -> (B,)"""
        return self.layers(spectrograms[:, None])[:, 0]


@lru_cache(maxsize=1)
def _recipe_mel() -> torchaudio.transforms.MelSpectrogram:
    return torchaudio.transforms.MelSpectrogram(8_000, n_fft=1024, n_mels=256)


def recipe_spectrogram(waveform: Tensor) -> Tensor:
    """The recipe's input from a waveform (samples,) at 8 kHz: (150, 200).

    The power spectrum on 256 mel bins without a logarithm, resized, each column divided by its L2 norm.
    """
    power = _recipe_mel()(waveform)
    resized = F.interpolate(power[None, None], size=RECIPE_SHAPE, mode="bilinear", antialias=True)[0, 0]
    return F.normalize(resized, dim=0)


def recipe_spectrograms(songs: pd.DataFrame, paths: DataPaths, *, workers: int) -> Tensor:
    """The recipe's inputs of all songs, from data/previews/: (songs, 150, 200)."""
    pipeline = AudioPipeline(PipelineConfig(sample_rate_hz=8_000, f_max_hz=4_000))

    def first_window(row: dict[str, str]) -> Tensor:
        clip = paths.preview(row)
        try:
            waveform, _ = next(pipeline.waveforms(clip))
        except AudioError as error:
            raise UserError(f"{clip}: {error}; run data_collection.py again") from None
        return recipe_spectrogram(waveform)

    rows, described = text_rows(songs[["preview_file"]]), "the original recipe's spectrograms"
    return torch.stack(list(ordered_map(first_window, rows, workers=workers, description=described, unit="song")))


def train_original_recipe(
    spectrograms: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    seed: int,
    after_epoch: Callable[[], None] = lambda: None,
) -> OriginalRecipe:
    """Train the original recipe: Huber loss (delta 0.06), Adam at 0.01, a tenth of it after 6, 9 and 12 epochs.

    Args:
        spectrograms: (songs, 150, 200) as `recipe_spectrograms` gives them.
        labels: (songs,) in [0, 1].
        epochs: RECIPE_EPOCHS of the target.
        seed: of the weights and the order.
        after_epoch: called after each epoch, for a progress bar.
    """
    torch.manual_seed(seed)
    model = OriginalRecipe()
    model(spectrograms[:1])  # gives the last layer its shape
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[6, 9, 12], gamma=0.1)
    loss_function = nn.HuberLoss(delta=0.06)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(RECIPE_BATCH):
            loss = loss_function(model(spectrograms[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        after_epoch()
    return model.eval()


@torch.inference_mode()
def predict_original_recipe(model: OriginalRecipe, spectrograms: Tensor) -> np.ndarray:
    """(songs, 150, 200) -> (songs,), clipped to [0, 1]."""
    return torch.cat([model(batch) for batch in spectrograms.split(RECIPE_BATCH)]).clamp(0, 1).numpy()


def predict_with_original_recipe(
    targets: list[str], corpus: Corpus, data: DataPaths, *, paths: ModelPaths, seed: int
) -> pd.DataFrame:
    """The recipe's predictions for the test songs, (test songs, targets).

    It is trained for those targets that the same songs and seed have not been predicted for in an earlier run.
    """
    name = f"original-{corpus.fingerprint[:16]}-{seed}"
    kept = {target: paths.predictions(target, name, cached=True) for target in targets}
    missing = [target for target in targets if not kept[target].exists()]
    if missing:
        train, test = corpus.train, corpus.test
        spectrograms = recipe_spectrograms(pd.concat([train, test]), data, workers=cpu_count())
        for target in missing:
            labels, epochs = torch.tensor(train[target].to_numpy(np.float32)), RECIPE_EPOCHS[target]
            with tqdm(total=epochs, desc=f"original recipe, {target}", unit="epoch", disable=None) as bar:
                model = train_original_recipe(
                    spectrograms[: len(train)], labels, epochs=epochs, seed=seed, after_epoch=bar.update
                )
            write_predictions(kept[target], test[target], predict_original_recipe(model, spectrograms[len(train) :]))
    return pd.DataFrame({target: read_predictions(path, corpus.test) for target, path in kept.items()})
