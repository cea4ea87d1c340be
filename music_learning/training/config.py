"""Everything that decides a training run besides the data."""

from dataclasses import dataclass, field

from music_learning.model.cnn import NetworkConfig
from music_learning.training.augmentation import AugmentationConfig


@dataclass(frozen=True)
class KernelConfig:
    """Settings of one target's `KernelRegression`."""

    gamma: float  # how near songs must be to be alike
    exponent: float  # of the distance
    cost: float  # of errors, against smoothness
    group_weights: dict[str, float]  # of the groups of statistics that count more or less than the others


def less(*groups: str) -> dict[str, float]:
    """Weights of groups that count half as much as others."""
    return dict.fromkeys(groups, 0.5)


# Of the TARGETS in order; what was tried is in docs/experiments.md.
KERNELS = (
    KernelConfig(
        gamma=0.25,
        exponent=2.0,
        cost=0.3,
        group_weights={"tonality": 4} | less("deviation", "change", "rise", "timbre deviation", "chords"),
    ),
    KernelConfig(
        gamma=0.1,
        exponent=1.0,
        cost=0.5,
        group_weights={"dynamics": 4, "tempo": 4, "modulation": 2, "pulse": 2, "onsets": 2, "lopsidedness": 2}
        | less("intervals", "chords", "bass", "persistence", "tone strength", "timbre", "spacing"),
    ),
    KernelConfig(
        gamma=0.1,
        exponent=1.0,
        cost=1.2,
        group_weights={"persistence": 6, "chords": 5, "peaks": 3, "lopsidedness": 3}
        | {"tone strength": 2, "tonality": 2, "spacing": 2, "rise": 2}
        | less("dynamics", "modulation", "tempo", "pulse", "repetition", "bass", "timbre deviation", "timbre change"),
    ),
)


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a training run besides the data."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    n_members: int = 2  # networks per target, from different seeds
    epochs: int = 44  # at most, each over all training songs; the learning rate's schedule spans them
    batch_size: int = 24
    crop_frames: int = 256  # 8 s out of each song, another stretch in each epoch
    learning_rate: float = 2e-3  # at its highest
    warm_up: float = 0.15  # share of the steps in which the learning rate rises; a half cosine brings it down
    weight_decay: float = 0.02
    averaging: float = 0.99  # decay of the running average of the weights, which is what is kept
    settled: float = 0.75  # share of the epochs before validation: until then chance decides which seems best
    validate_every: int = 2  # epochs
    smoothing: int = 3  # up to so many validations, whose mean loss decides: one is noisy with so few songs
    patience: int = 8  # stop when no target has improved for so many epochs
    kernels: tuple[KernelConfig, ...] = KERNELS
    kernel_tolerance: float = 0.02  # errors up to this cost nothing
    seed: int = 0
