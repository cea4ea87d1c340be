"""How the kernel models are fitted: on features of whole clips, in seconds, on the CPU."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from music_learning.columns import TARGETS
from music_learning.features.clip import clip_features
from music_learning.features.config import FeatureConfig
from music_learning.model.kernel import GaussianProcess, cholesky, kernel_matrix
from music_learning.songs.corpus import Corpus
from music_learning.songs.spectrograms import SpectrogramSet, SpectrogramSets
from music_learning.training.config import KernelConfig, TrainingConfig

MIN_STD = 1e-3  # of a feature
# What is learned is the logarithm of each; outside these limits nothing can be computed with it. The labels are in
# [0, 1], and say no more than two or three digits.
DEVIATION_LIMITS = (1e-3, 1e3)  # of one group's relevance from that of all
SCALE_LIMITS, SIGNAL_LIMITS, NOISE_LIMITS = (1e-6, 1e2), (1e-4, 1e1), (1e-4, 1.0)
FIRST_SCALE, FIRST_NOISE = 0.6, 0.36  # before anything is learned: of all relevances, and of the labels' variance


def fit_kernel_models(corpus: Corpus, config: TrainingConfig) -> dict[str, GaussianProcess]:
    """Fit each target's kernel model.

    It has no epoch to choose, so the validation songs teach it, too.
    """
    songs = corpus.fitted
    songs = songs.iloc[drawn(len(songs), config.kernel.max_songs, config.seed)]
    features = features_of(corpus.spectrograms, songs.index, config.features)
    labels = {target: torch.tensor(songs[target].to_numpy(np.float32)) for target in TARGETS}
    return {
        target: fit_gaussian_process(features, labels[target], config.features, config.kernel, seed=config.seed)
        for target in TARGETS
    }


@torch.no_grad()
def features_of(
    spectrograms: SpectrogramSet | SpectrogramSets, song_ids: Iterable[str], config: FeatureConfig
) -> Tensor:
    """The features of each song's clip, (songs, features)."""
    return torch.cat([clip_features(spectrograms.tensor(song_id)[None], config) for song_id in song_ids])


@torch.no_grad()
def fit_gaussian_process(
    features: Tensor, labels: Tensor, config: FeatureConfig, kernel: KernelConfig | None = None, *, seed: int = 0
) -> GaussianProcess:
    """Fit a model that keeps the songs: all, or as many as the kernel's settings allow, drawn by the seed.

    Models that are fitted to the same features with the same seed are equal in what is in `GaussianProcess.SHARED`.

    Args:
        features: (songs, features) of `clip_features`; NaN is unknown.
        labels: (songs,) in [0, 1].
        config: what the features were made with.
        kernel: how it is fitted; as `KernelConfig` says unless told otherwise.
        seed: of the draws.
    """
    kernel = kernel or KernelConfig()
    kept = drawn(len(features), kernel.max_songs, seed)
    features, labels = features[kept], labels[kept].float()
    model = GaussianProcess(config, len(features))
    mean = features.nanmean(dim=0).nan_to_num()
    model.input_mean.copy_(mean)
    model.input_std.copy_((features - mean).square().nanmean(dim=0).nan_to_num().sqrt() + MIN_STD)
    model.songs.copy_(model.standardised(features))
    model.prior_mean.copy_(labels.mean())
    residuals = labels - model.prior_mean
    learning = drawn(len(features), kernel.max_learning_songs, seed)
    learn(model, model.songs[learning].float(), residuals[learning], kernel)
    factor = cholesky(model.scaled(model.songs).double(), model.signal_var, model.noise_var)
    model.alpha.copy_(torch.cholesky_solve(residuals.double()[:, None], factor)[:, 0])
    return model


def drawn(count: int, most: int, seed: int) -> Tensor:
    """Which of `count` songs are taken, in their order: all, or `most` of them."""
    if count <= most:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:most].sort().values


def learn(model: GaussianProcess, songs: Tensor, residuals: Tensor, kernel: KernelConfig) -> None:
    """Set a model's relevances and variances to those that make the labels of songs most probable.

    That is the marginal likelihood (Rasmussen & Williams, 2006, section 5.4.1), times a prior of the relevances: their
    logarithms lie around their mean as `relevance_prior_std` says, so that few songs can't silence a group.

    Args:
        model: the model.
        songs: (songs, features) as `standardised`.
        residuals: (songs,), their labels less the prior mean.
        kernel: the settings.
    """
    n_groups = len(model.relevance)
    label_var = float(residuals.square().mean().clamp(*SIGNAL_LIMITS))
    start = [*[0.0] * n_groups, *np.log([FIRST_SCALE / n_groups, label_var, max(FIRST_NOISE * label_var, 1e-4)])]
    limits = np.log([*[DEVIATION_LIMITS] * n_groups, SCALE_LIMITS, SIGNAL_LIMITS, NOISE_LIMITS])

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = torch.tensor(values, dtype=torch.float32, requires_grad=True)
        with torch.enable_grad():
            covariance = label_covariance(parameters, songs, model.group, model.group_size)
            prior = (parameters[:n_groups] / kernel.relevance_prior_std).square().sum() / 2
        surprise, slope = negative_log_likelihood(covariance.detach(), residuals)
        (gradient,) = torch.autograd.grad([covariance, prior], parameters, [slope, torch.ones(())])
        return surprise + prior.item(), gradient.double().numpy()

    options = {"maxiter": kernel.max_steps, "ftol": kernel.tolerance}
    learned = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=limits, options=options).x
    relevance, signal_var, noise_var = parts(torch.tensor(learned, dtype=torch.float32))
    model.relevance.copy_(relevance)
    model.signal_var.copy_(signal_var)
    model.noise_var.copy_(noise_var)


def parts(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is learned: relevances (groups,) and the variances of signal and noise, from logarithms.

    Args:
        parameters: (groups + 3,), of each group's relevance against all, of all relevances, of the variances.
    """
    deviations, (scale, signal, noise) = parameters[:-3], parameters[-3:]
    return (deviations + scale).exp(), signal.exp(), noise.exp()


def label_covariance(parameters: Tensor, songs: Tensor, group: Tensor, group_size: Tensor) -> Tensor:
    """The covariances of songs' labels, (songs, songs), with a gradient.

    Args:
        parameters: as `parts` takes them.
        songs: (songs, features) as `standardised`.
        group: (features,), the group of each.
        group_size: (features,), how many features the group of each has.
    """
    relevance, signal_var, noise_var = parts(parameters)
    scaled = songs * (relevance[group] / group_size).sqrt()
    diagonal = torch.eye(len(songs), dtype=torch.bool)
    covariance = signal_var * kernel_matrix(scaled, scaled).masked_fill(diagonal, 1)
    covariance.diagonal().add_(noise_var)
    return covariance


def negative_log_likelihood(covariance: Tensor, residuals: Tensor) -> tuple[float, Tensor]:
    """-log p(residuals) of a normal distribution around 0, and its gradient by the covariances (songs, songs).

    The gradient is (K^-1 - a a^T) / 2 with a = K^-1 residuals (Rasmussen & Williams, 2006, equation 5.9).
    """
    residuals = residuals.double()
    factor = torch.linalg.cholesky(covariance.double())
    inverse = torch.cholesky_inverse(factor)
    a = inverse @ residuals
    surprise = residuals @ a / 2 + factor.diagonal().log().sum() + len(residuals) * math.log(2 * math.pi) / 2
    return surprise.item(), ((inverse - torch.outer(a, a)) / 2).float()
