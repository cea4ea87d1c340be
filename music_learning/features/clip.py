"""Features of a clip's spectrogram: dynamics, timbre, rhythm and harmony in a few hundred numbers with names.

A change of gain leaves them as they are, but where a soft clip reaches the floors of the front end (-100 dB in a band,
-90 dB at a pitch).
"""

from functools import cache

import torch
from torch import Tensor

from music_learning.features.config import FeatureConfig
from music_learning.features.dynamics import dynamics
from music_learning.features.harmony import harmony
from music_learning.features.levels import Features
from music_learning.features.rhythm import rhythm
from music_learning.features.timbre import timbre


@torch.no_grad()
def clip_features(spectrograms: Tensor, config: FeatureConfig) -> Tensor:
    """The features of clips, in the order of `feature_names`; what is shorter than 7.5 s is repeated to that length.

    Args:
        spectrograms: (B, n_rows, frames) as the config's pipeline makes them.

    Returns:
        (B, features), finite.
    """
    spectrograms = spectrograms[:, :, :: config.stride]
    frames = spectrograms.shape[2]
    if frames < config.rhythm_frames:
        repeats = -(-config.rhythm_frames // frames)
        spectrograms = spectrograms.repeat(1, 1, repeats)[:, :, : config.rhythm_frames]
    return torch.cat([values for _, values in feature_groups(spectrograms, config).values()], dim=1)


def feature_groups(spectrograms: Tensor, config: FeatureConfig) -> dict[str, Features]:
    """The features by what they describe: for each group its features' names, and their values (B, features).

    Args:
        spectrograms: (B, n_rows, frames) in frames of `frame_s`, at least `rhythm_frames` of them.
    """
    pipeline = config.pipeline
    levels, pitches, peaks = spectrograms.split([pipeline.n_mels, pipeline.n_pitches, 1], dim=1)
    return {
        "dynamics": dynamics(levels, peaks[:, 0], config),
        **timbre(levels, config),
        **rhythm(levels, config),
        **harmony(pitches[:, :, :: config.frames_per_pitch], config),
    }


@cache
def group_names(config: FeatureConfig) -> dict[str, tuple[str, ...]]:
    """The names of each group's features, from where they are made: every model that is made or loaded asks for them.

    Raises:
        ValueError: the features can't be computed with these settings.
    """
    try:
        nothing = torch.zeros(1, config.pipeline.n_rows, config.rhythm_frames)
        groups = feature_groups(nothing, config)
        finite = all(values.isfinite().all() for _, values in groups.values())
    except (ArithmeticError, LookupError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"the features can't be computed with their settings: {reason}") from None
    if not finite:
        raise ValueError("the features of silence are no finite numbers with their settings")
    return {group: tuple(names) for group, (names, _) in groups.items()}


def feature_names(config: FeatureConfig) -> list[str]:
    """What each feature is, in order, such as `mfcc mean: mfcc 1`: 650 with the default settings."""
    return [f"{group}: {name}" for group, names in group_names(config).items() for name in names]
