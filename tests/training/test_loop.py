import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import some_weights_differ, song_frame, song_row

from music_learning.audio import AudioPipeline
from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.features.config import FeatureConfig
from music_learning.model.cnn import NetworkConfig
from music_learning.pipeline_config import PipelineConfig
from music_learning.songs.corpus import Corpus
from music_learning.songs.dataset import SpectrogramDataset
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.training.augmentation import AugmentationConfig
from music_learning.training.config import TrainingConfig
from music_learning.training.fingerprint import fingerprint
from music_learning.training.loop import learning_rate_factor, predict, train_network

CPU = torch.device("cpu")
PIPELINE = PipelineConfig(clip_s=4.0)
QUICK = dataclasses.replace(
    TrainingConfig(),
    network=NetworkConfig(n_mels=PIPELINE.n_mels),
    n_members=1,
    epochs=3,
    validate_from=0.0,
    features=FeatureConfig(PIPELINE),
    validate_every=1,
    smoothing=1,
    patience=10,
    batch_size=4,
    crop_frames=48,
)
FAST_FLAGS = ("--target", "energy", "--epochs", 1, "--members", 1, "--device", "cpu", "--baselines")


@pytest.fixture(scope="module")
def loud_and_quiet(tmp_path_factory):
    """Noise whose level is the label: 24 training, 8 validation and 4 test songs."""
    generator = np.random.default_rng(0)
    spectrograms = SpectrogramSet.create(tmp_path_factory.mktemp("loud_and_quiet") / "set", PIPELINE)
    pipeline, songs = AudioPipeline(PIPELINE), []
    for number in range(36):
        energy = generator.random()
        noise = generator.standard_normal(48_000) * 10 ** (2 * energy - 2.5)
        song = song_row(f"s{number}", preview_sha256="x") | dict.fromkeys(TARGETS, f"{energy:.4f}")
        spectrograms.append([(song, pipeline(torch.tensor(noise, dtype=torch.float32)).numpy())])
        songs.append(song)
    splits = ["train"] * 24 + ["validation"] * 8 + ["test"] * 4
    return Corpus(song_frame(*songs).assign(split=splits), spectrograms)


def train(songs, config, checkpoint, *, progress=lambda training: None):
    return train_network(songs, config, device=CPU, checkpoint=checkpoint, progress=progress)


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def assert_same_best(one, other):
    for target in TARGETS:
        assert_same_weights(one.best[target], other.best[target])


@pytest.fixture(scope="module")
def uninterrupted(loud_and_quiet, tmp_path_factory):
    return train(loud_and_quiet, QUICK, tmp_path_factory.mktemp("uninterrupted") / "a.safetensors")


def test_training_beats_the_mean_on_validation_songs(loud_and_quiet, tmp_path):
    level_stays = AugmentationConfig(soften_db=0.0)  # it is the label here
    config = dataclasses.replace(QUICK, epochs=12, patience=12, augmentation=level_stays)
    training = train(loud_and_quiet, config, tmp_path / "a.safetensors")
    truth = loud_and_quiet.validation["energy"].to_numpy()
    mean = loud_and_quiet.train["energy"].mean()
    dataset = SpectrogramDataset(loud_and_quiet.spectrograms, loud_and_quiet.validation, ("energy",))
    network = training.average.only("energy")
    network.load_state_dict(training.best["energy"])
    predicted = predict(network, dataset, CPU)[:, 0]
    assert np.mean((predicted - truth) ** 2) < 0.5 * np.mean((mean - truth) ** 2)


def test_history_has_two_losses_for_each_epoch_and_target(uninterrupted):
    assert np.shape(uninterrupted.history) == (3, 2, len(TARGETS))
    assert np.isfinite(uninterrupted.history).all()
    validation = np.array([losses for _, losses in uninterrupted.history])
    assert set(uninterrupted.best_epoch.values()) == {np.argmin(validation.mean(axis=1)) + 1}


def test_same_seed_same_weights(loud_and_quiet, uninterrupted, tmp_path):
    torch.manual_seed(12345)  # whatever chance was used before
    again = train(loud_and_quiet, QUICK, tmp_path / "a.safetensors")
    assert again.history == uninterrupted.history
    assert_same_best(again, uninterrupted)


def test_other_seed_other_weights(loud_and_quiet, uninterrupted, tmp_path):
    other = train(loud_and_quiet, dataclasses.replace(QUICK, seed=1), tmp_path / "a.safetensors")
    assert all(some_weights_differ(other.best[target], uninterrupted.best[target]) for target in TARGETS)


@pytest.mark.parametrize("done", [1, 2])
def test_interrupted_training_ends_with_the_same_weights(loud_and_quiet, uninterrupted, tmp_path, done):
    def stop(training):
        if len(training.history) == done:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "a.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(loud_and_quiet, QUICK, checkpoint, progress=stop)
    epochs = []
    again = train(loud_and_quiet, QUICK, checkpoint, progress=lambda training: epochs.append(len(training.history)))
    assert epochs == list(range(done + 1, 4))
    assert again.history == uninterrupted.history
    assert_same_best(again, uninterrupted)
    assert_same_weights(again.network.state_dict(), uninterrupted.network.state_dict())


def test_finished_training_is_not_done_again(loud_and_quiet, uninterrupted, tmp_path):
    train(loud_and_quiet, QUICK, tmp_path / "a.safetensors")

    def fail(training):
        raise AssertionError("trained again")

    again = train(loud_and_quiet, QUICK, tmp_path / "a.safetensors", progress=fail)
    assert_same_best(again, uninterrupted)


DAMAGE = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "no safetensors": lambda data: b"no checkpoint" * 100,
    "damaged header": lambda data: data[:40] + b"\xff" * 40 + data[80:],
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_checkpoint_is_ignored(loud_and_quiet, uninterrupted, tmp_path, case):
    def stop(training):
        raise KeyboardInterrupt

    checkpoint = tmp_path / "a.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(loud_and_quiet, QUICK, checkpoint, progress=stop)
    checkpoint.write_bytes(DAMAGE[case](checkpoint.read_bytes()))
    assert_same_best(train(loud_and_quiet, QUICK, checkpoint), uninterrupted)


@pytest.mark.parametrize("label", [0.5, 0.0, 1.0])
def test_equal_labels_are_learned_without_a_crash(loud_and_quiet, tmp_path, label):
    corpus = dataclasses.replace(loud_and_quiet, songs=loud_and_quiet.songs.assign(energy=label))
    config = dataclasses.replace(QUICK, epochs=1)
    training = train(corpus, config, tmp_path / "a.safetensors")
    assert np.isfinite(training.history).all()
    assert all(tensor.isfinite().all() for best in training.best.values() for tensor in best.values())


def test_training_stops_without_improvement(loud_and_quiet, tmp_path, monkeypatch):
    """Labels of chance can't be learned; the losses are set, so that the first epoch stays the best."""
    predictions = iter([0.5, 3, 4, 5, 6, 7, 8])
    monkeypatch.setattr(
        "music_learning.training.loop.predict", lambda *_: np.full((8, 3), next(predictions), np.float32)
    )
    config = dataclasses.replace(QUICK, epochs=7, patience=2)
    training = train(loud_and_quiet, config, tmp_path / "a.safetensors")
    assert len(training.history) == 3
    assert set(training.best_epoch.values()) == {1}


def test_best_weights_are_those_of_the_best_epoch(loud_and_quiet, uninterrupted, tmp_path, monkeypatch):
    predictions = iter([3, 0.5, 4])
    monkeypatch.setattr(
        "music_learning.training.loop.predict", lambda *_: np.full((8, 3), next(predictions), np.float32)
    )
    averages = []
    training = train(
        loud_and_quiet,
        QUICK,
        tmp_path / "a.safetensors",
        progress=lambda training: averages.append(training.average.only("valence").state_dict()),
    )
    assert training.best_epoch["valence"] == 2
    assert_same_weights(training.best["valence"], averages[1])
    assert some_weights_differ(training.best["valence"], averages[2])


def test_all_targets_keep_the_epoch_that_is_best_for_all(loud_and_quiet, tmp_path, monkeypatch):
    predictions = iter(np.array([[0.5, 3, 4], [1, 0.5, 1], [0.4, 4, 0.5]], np.float32))
    monkeypatch.setattr("music_learning.training.loop.predict", lambda *_: np.tile(next(predictions), (8, 1)))
    training = train(loud_and_quiet, QUICK, tmp_path / "a.safetensors")
    assert training.best_epoch == dict.fromkeys(TARGETS, 2)
    trunks = [
        {name: tensor for name, tensor in training.best[target].items() if not name.startswith("output")}
        for target in TARGETS
    ]
    assert all(torch.equal(trunk[name], trunks[0][name]) for trunk in trunks for name in trunk)


def test_validation_begins_when_training_has_settled(loud_and_quiet, tmp_path):
    config = dataclasses.replace(QUICK, epochs=6, validate_from=0.5, validate_every=2)
    training = train(loud_and_quiet, config, tmp_path / "a.safetensors")
    assert [validation is not None for _, validation in training.history] == [False, False, True, False, True, True]
    assert all(epoch in (3, 5, 6) for epoch in training.best_epoch.values())


def test_learning_rate_rises_and_falls():
    rates = [learning_rate_factor(done, 0.15) for done in np.linspace(0, 1, 101)]
    assert rates[0] == 0
    assert max(rates) == pytest.approx(1, abs=1e-3)
    assert np.argmax(rates) == 15
    assert rates[-1] == pytest.approx(0)
    assert (np.diff(rates[:16]) > 0).all()
    assert (np.diff(rates[15:]) < 0).all()


def test_band_statistics_are_those_of_the_training_frames(loud_and_quiet):
    mean, deviation = loud_and_quiet.band_statistics
    spectrograms = loud_and_quiet.spectrograms
    clips = [spectrograms.spectrogram(song_id)[: PIPELINE.n_mels] for song_id in loud_and_quiet.train.index]
    frames = np.concatenate(clips, axis=1).astype(np.float64)
    np.testing.assert_allclose(mean, frames.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(deviation, frames.std(axis=1), rtol=1e-3)


def test_fingerprint_changes_with_all_that_decides_a_model(loud_and_quiet):
    corpus = loud_and_quiet

    def changed(column, value):
        songs = corpus.songs.copy()
        songs.loc["s0", column] = value
        return dataclasses.replace(corpus, songs=songs)

    prints = [
        fingerprint(corpus, QUICK),
        fingerprint(corpus, dataclasses.replace(QUICK, learning_rate=1e-5)),
        fingerprint(corpus, dataclasses.replace(QUICK, seed=1)),
        fingerprint(changed("valence", 0.123), QUICK),
        fingerprint(changed("preview_sha256", "y"), QUICK),
        fingerprint(changed("split", "validation"), QUICK),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint(dataclasses.replace(corpus), QUICK) == prints[0]


def test_full_disk_is_a_sentence(loud_and_quiet, tmp_path, monkeypatch):
    def half(self, data):
        with open(self, "wb") as file:
            file.write(data[:1000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(UserError, match=r"a\.safetensors can't be written: No space left on device"):
        train(loud_and_quiet, QUICK, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []
