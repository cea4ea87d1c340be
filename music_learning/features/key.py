"""The key of a recording, major or minor, from which pitch classes, bass tones and chords it has.

Each of the 24 keys is scored by these from its tonic up, with the same weights whatever the tonic, as Krumhansl's
profiles do with the pitch classes alone. The weights are made by `training.audio_features`.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from music_learning.features.config import FeatureConfig
from music_learning.features.harmony import N_CLASSES, chord_fits, pitch_classes, smoothed, tones_in

KINDS = ("pitch classes", "bass", "strongest bass tone", "major chords", "minor chords")
N_CUES = len(KINDS) * N_CLASSES
LOWEST_CLASS = 9  # the front end's lowest pitch is an A, which is 9 where C is 0
UNKNOWN = -1


def pitch_class_sums(pitches: Tensor, config: FeatureConfig) -> Tensor:
    """What the key is found from, as a sum over windows.

    Args:
        pitches: (60, pitch frames) in dB.

    Returns:
        (KINDS, 12 pitch classes from A up), summed over the frames in which any pitch stands out.
    """
    tones = tones_in(pitches.T[None])
    bass = tones[:, :, : config.n_bass_pitches]
    chroma = pitch_classes(tones)
    chords = F.one_hot(chord_fits(smoothed(chroma, config)).argmax(dim=2), 2 * N_CLASSES)
    sounds, has_bass = (x.amax(dim=2, keepdim=True) > 0 for x in (tones, bass))
    strongest = F.one_hot(bass.argmax(dim=2) % N_CLASSES, N_CLASSES) * has_bass
    kinds = [chroma, pitch_classes(bass), strongest, *(chords * sounds).split(N_CLASSES, dim=2)]
    return torch.stack([kind.float().sum(dim=(0, 1)) for kind in kinds])


def key_cues(sums: Tensor) -> Tensor:
    """What speaks for each tonic: (KINDS, 12) of a recording -> (12 tonics from A up, N_CUES)

    How far each pitch class is above the mean of its kind per frame, from the tonic up.
    """
    frames = sums[KINDS.index("major chords") :].sum().clamp(min=1)  # each has one chord
    means = sums / frames
    deviations = means - means.mean(dim=1, keepdim=True)
    return torch.stack([deviations.roll(-tonic, dims=1).flatten() for tonic in range(N_CLASSES)])


def key_and_mode(sums: Tensor, weights: Tensor) -> tuple[int, int | None]:
    """The key, 0 (C) to 11 (B), and whether it is major (1) or minor (0); (-1, None) where no tone is heard.

    Args:
        sums: (KINDS, 12) as `pitch_class_sums` gives them, or their sum over windows.
        weights: (N_CUES + 1, 2) of a major and a minor key; the last row is added to each.
    """
    if not sums.any():
        return UNKNOWN, None
    scores = key_cues(sums) @ weights[:-1] + weights[-1]
    tonic, is_minor = divmod(int(scores.argmax()), 2)
    return (tonic + LOWEST_CLASS) % N_CLASSES, 1 - is_minor
