"""Everything that decides a training run besides the data."""

from dataclasses import asdict, dataclass, field

from music_learning.features.config import FeatureConfig
from music_learning.model.cnn import NetworkConfig
from music_learning.training.augmentation import AugmentationConfig
from music_learning.training.distributed import n_processes


@dataclass(frozen=True)
class KernelConfig:
    """How the kernel models are fitted; what was tried is in docs/experiments.md."""

    relevance_prior_std: float = 1.0  # of the logarithm of how much a group of features counts against the others
    max_steps: int = 60  # of learning that
    tolerance: float = 1e-5  # learning stops when a step adds less than this share to the likelihood
    max_learning_songs: int = 1_500  # of which it is learned
    max_songs: int = 5_000  # that a model keeps; time and memory grow with their square and more


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a training run besides the data."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    n_members: int = 2  # networks per target, from different seeds
    epochs: int = 44  # at most, each over all training songs; the learning rate's schedule spans them
    batch_size: int = 24  # of each process
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
    kernel: KernelConfig = field(default_factory=KernelConfig)
    networks_share: float = 0.4  # of a value, until a cross-validation has learned it for each target
    seed: int = 0
    n_processes: int = field(default_factory=n_processes)  # that train each network together: what torchrun says

    def to_dict(self) -> dict:
        """All settings, the number of processes only where there are several."""
        settings = asdict(self)
        if self.n_processes == 1:
            del settings["n_processes"]
        return settings
