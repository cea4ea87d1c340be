"""How the kernel models are fitted: on features of whole clips, in seconds, on the CPU."""

import torch
from sklearn.svm import SVR
from torch import Tensor

from music_learning.columns import TARGETS
from music_learning.features.clip import clip_features, feature_weights
from music_learning.features.config import FeatureConfig
from music_learning.model.kernel import SupportVectorRegression
from music_learning.songs.corpus import Corpus
from music_learning.songs.dataset import SpectrogramDataset
from music_learning.training.config import KernelConfig, TrainingConfig

MIN_STD = 1e-3  # of a feature


def fit_kernel_models(corpus: Corpus, config: TrainingConfig) -> dict[str, SupportVectorRegression]:
    """Fit each target's kernel model.

    It has no epoch to choose, so the validation songs teach it, too.
    """
    dataset = SpectrogramDataset(corpus.spectrograms, corpus.fitted, TARGETS)
    features = torch.cat([clip_features(spectrogram[None], config.features) for spectrogram, _ in dataset])
    return {
        target: fit_kernel_model(features, labels, config.kernels[target], config.features)
        for target, labels in zip(TARGETS, dataset.labels.T, strict=True)
    }


def fit_kernel_model(
    features: Tensor, labels: Tensor, kernel: KernelConfig, config: FeatureConfig
) -> SupportVectorRegression:
    """(songs, features) and (songs,) in [0, 1] -> a model with the songs that it keeps"""
    model = SupportVectorRegression(config, len(features), kernel.kernel)
    model.input_mean.copy_(features.mean(dim=0))
    model.input_std.copy_(features.std(dim=0) + MIN_STD)
    model.input_scale.copy_(feature_weights(config, kernel.group_weights).sqrt())
    model.gamma.fill_(kernel.gamma)
    inputs = model.scaled(features)
    svr = SVR(kernel="precomputed", C=kernel.C, epsilon=kernel.epsilon)
    svr.fit(model.kernel_matrix(inputs, inputs).numpy(), labels.numpy())
    model.support_vectors = inputs[torch.from_numpy(svr.support_).long()]
    model.dual_coef = torch.from_numpy(svr.dual_coef_[0]).float()
    model.intercept.fill_(svr.intercept_[0])
    return model
