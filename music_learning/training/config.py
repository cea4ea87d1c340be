"""Everything that decides a training run besides the data."""

from dataclasses import dataclass, field

from music_learning.features.config import FeatureConfig
from music_learning.model.cnn import NetworkConfig
from music_learning.training.augmentation import AugmentationConfig


@dataclass(frozen=True)
class KernelConfig:
    """Settings of one target's kernel model."""

    kernel: str  # "gaussian" or "exponential"
    gamma: float  # how near songs must be to be alike
    C: float  # of errors, against smoothness
    group_weights: dict[str, float]  # of the groups of features that count more or less than the others
    epsilon: float = 0.02  # errors up to this cost nothing


HALF, DOUBLE = 0.5, 2.0
# What was tried is in docs/experiments.md.
KERNEL_SETTINGS = {
    "energy": KernelConfig(
        kernel="gaussian",
        gamma=0.25,
        C=0.3,
        group_weights={
            "tonal-to-noise ratio": 4,
            **dict.fromkeys(("band std", "band delta", "spectral flux", "mfcc std", "scale and chords"), HALF),
        },
    ),
    "danceability": KernelConfig(
        kernel="exponential",
        gamma=0.1,
        C=0.5,
        group_weights={
            **dict.fromkeys(("dynamics", "tempogram"), 4),
            **dict.fromkeys(("modulation spectrum", "pulse clarity", "onset strength", "skewness"), DOUBLE),
            **dict.fromkeys(("key and intervals", "scale and chords", "bass", "pitch self-similarity"), HALF),
            **dict.fromkeys(("pitch salience", "mfcc mean", "inter-onset intervals"), HALF),
        },
    ),
    "valence": KernelConfig(
        kernel="exponential",
        gamma=0.1,
        C=1.2,
        group_weights={
            "pitch self-similarity": 6,
            "scale and chords": 5,
            **dict.fromkeys(("spectral contrast", "skewness"), 3),
            **dict.fromkeys(("pitch salience", "tonal-to-noise ratio", "inter-onset intervals"), DOUBLE),
            "spectral flux": DOUBLE,
            **dict.fromkeys(("dynamics", "modulation spectrum", "tempogram", "pulse clarity"), HALF),
            **dict.fromkeys(("onset autocorrelation", "bass", "mfcc std", "delta-mfcc std"), HALF),
        },
    ),
}


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
    warmup_fraction: float = 0.15  # share of the steps in which the learning rate rises; a half cosine brings it down
    weight_decay: float = 0.02
    ema_decay: float = 0.99  # of the exponential moving average of the weights, which is what is kept
    validate_from: float = 0.75  # share of the epochs before validation: until then the best is a random one
    validate_every: int = 2  # epochs
    smoothing: int = 3  # up to so many validations, whose mean loss decides: one is noisy with so few songs
    patience: int = 8  # stop when no target has improved for so many epochs
    features: FeatureConfig = field(default_factory=FeatureConfig)
    kernels: dict[str, KernelConfig] = field(default_factory=KERNEL_SETTINGS.copy)  # of each target
    networks_share: float = 0.3  # of a value; the kernel model errs less, the more so for energy
    seed: int = 0
