import numpy as np
import pandas as pd
import pytest
import torch
from conftest import song_frame, song_row

from music_learning.pipeline_config import PipelineConfig
from music_learning.songs.dataset import SpectrogramDataset, collate, make_loader
from music_learning.songs.spectrograms import SpectrogramSet


@pytest.fixture
def small_set(tmp_path):
    """Songs a, b and c of 100, 60 and 20 frames; the value of each cell is its frame's number."""
    config = PipelineConfig(clip_s=4.0, n_mels=8)
    spectrograms = SpectrogramSet.create(tmp_path / "set", config)
    songs = []
    for song_id, frames, energy in (("a", 100, "0.25"), ("b", 60, "0.5"), ("c", 20, "1")):
        songs.append(song_row(song_id, preview_sha256="x", energy=energy, valence="0.125"))
        spectrograms.append([(songs[-1], np.tile(np.arange(frames, dtype=np.float32), (config.n_rows, 1)))])
    return spectrograms, song_frame(*songs)


def test_items_are_whole_spectrograms_with_their_label(small_set):
    dataset = SpectrogramDataset(*small_set, ("energy",))
    assert len(dataset) == 3
    for item, frames, label in ((0, 100, 0.25), (1, 60, 0.5), (2, 20, 1.0)):
        spectrogram, value = dataset[item]
        assert spectrogram.dtype == torch.float32
        assert value.tolist() == [label]
        config = small_set[0].config
        assert spectrogram.shape == (config.n_rows, frames)
        assert torch.equal(
            spectrogram[: config.n_mels], torch.arange(frames, dtype=torch.float32).expand(config.n_mels, frames)
        )


def test_order_is_that_of_the_songs(small_set):
    spectrograms, songs = small_set
    dataset = SpectrogramDataset(spectrograms, songs[::-1], ("energy",))
    assert [dataset[item][0].shape[1] for item in range(3)] == [20, 60, 100]
    assert dataset.labels.tolist() == [[1.0], [0.5], [0.25]]


def test_labels_come_in_the_order_of_the_targets(small_set):
    _, labels = SpectrogramDataset(*small_set, ("valence", "energy"))[1]
    assert labels.dtype == torch.float32
    assert labels.tolist() == [0.125, 0.5]


def test_crops_lie_within_the_valid_frames(small_set):
    dataset = SpectrogramDataset(*small_set, ("energy",), crop_frames=30, generator=torch.Generator().manual_seed(0))
    for item, frames in ((0, 100), (1, 60)):
        starts = set()
        for _ in range(400):
            spectrogram, _ = dataset[item]
            start = int(spectrogram[0, 0])
            assert torch.equal(spectrogram[0], torch.arange(start, start + 30, dtype=torch.float32))
            starts.add(start)
        assert min(starts) == 0
        assert max(starts) == frames - 30
        assert len(starts) > 25


def test_clip_shorter_than_the_crop_is_whole(small_set):
    dataset = SpectrogramDataset(*small_set, ("energy",), crop_frames=30, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dataset[2][0][0], torch.arange(20, dtype=torch.float32))


def test_generator_decides_the_crops(small_set):
    def starts(seed):
        generator = torch.Generator().manual_seed(seed)
        dataset = SpectrogramDataset(*small_set, ("energy",), crop_frames=10, generator=generator)
        return [int(dataset[0][0][0, 0]) for _ in range(20)]

    assert starts(1) == starts(1)
    assert starts(1) != starts(2)


def test_collate_repeats_the_shorter():
    long, short = torch.arange(10.0).expand(4, 10), torch.arange(4.0).expand(4, 4)
    spectrograms, labels = collate([(long, torch.tensor([0.1, 0.3])), (short, torch.tensor([0.2, 0.4]))])
    assert spectrograms.shape == (2, 4, 10)
    assert torch.equal(spectrograms[0], long)
    assert spectrograms[1, 0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    torch.testing.assert_close(labels, torch.tensor([[0.1, 0.3], [0.2, 0.4]]))


def test_loader_gives_batches(small_set):
    spectrograms, songs = small_set
    dataset = SpectrogramDataset(spectrograms, pd.concat([songs] * 3), ("energy",))
    batches = list(make_loader(dataset, batch_size=4))
    n_rows = spectrograms.config.n_rows
    assert [tuple(x.shape) for x, _ in batches] == [(4, n_rows, 100), (4, n_rows, 100), (1, n_rows, 20)]
    assert torch.equal(torch.cat([labels for _, labels in batches]), dataset.labels)


def test_loader_shuffles_by_its_generator(small_set):
    spectrograms, songs = small_set
    songs = pd.concat([songs[:1].assign(energy=k / 40) for k in range(40)])

    def order(seed):
        dataset = SpectrogramDataset(spectrograms, songs, ("energy",), crop_frames=5, generator=torch.Generator())
        loader = make_loader(dataset, batch_size=7, shuffle=True, generator=torch.Generator().manual_seed(seed))
        return [round(label * 40) for _, labels in loader for label in labels[:, 0].tolist()]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == list(range(40))


@pytest.mark.parametrize(("n", "shuffle", "sizes"), [(9, True, [4, 4]), (9, False, [4, 4, 1]), (10, True, [4, 4, 2])])
def test_training_has_no_batch_of_one_song(small_set, n, shuffle, sizes):
    """Batch normalisation can't learn from one."""
    spectrograms, songs = small_set
    dataset = SpectrogramDataset(spectrograms, pd.concat([songs] * 4)[:n], ("energy",))
    assert [len(labels) for _, labels in make_loader(dataset, batch_size=4, shuffle=shuffle)] == sizes
