import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, ended, start
from together import in_float32, still_config
from torch.utils.data import DistributedSampler

from music_learning.errors import UserError
from music_learning.paths import DataPaths
from music_learning.songs.corpus import read_corpus
from music_learning.training import distributed, loop
from music_learning.training.config import TrainingConfig
from music_learning.training.device import select_device
from music_learning.training.distributed import only_first_prints, own_seed, own_share
from music_learning.training.fingerprint import fingerprint
from music_learning.training.loop import train_network

CPU = torch.device("cpu")
KILLED = "error: another process was killed; the same command goes on with what was done"


def run_together(folder: Path, data: Path, event: str = "nothing"):
    """Two processes train together; their exit status and what they print."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)
    with start(*torchrun, ROOT / "tests" / "together.py", data, folder, event) as process:
        stdout, stderr = ended(process)
    return process.returncode, stdout, stderr


def told(folder: Path) -> list[dict]:
    return [json.loads((folder / f"{number}.json").read_text()) for number in (0, 1)]


@pytest.fixture(scope="module")
def uninterrupted(loaded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    status, _, stderr = run_together(folder, loaded)
    assert status == 0, stderr
    return told(folder)


def test_processes_have_the_same_weights_and_history(uninterrupted):
    first, second = uninterrupted
    assert first["weights"] == second["weights"]
    assert first["history"] == second["history"]
    assert np.shape(first["history"]) == (3, 2, 3)


def test_the_first_alone_writes(uninterrupted):
    assert [one["written"] for one in uninterrupted] == [[1, 2, 3], []]


def test_two_processes_learn_as_one_with_twice_the_batch(uninterrupted, loaded, tmp_path, monkeypatch):
    """With the songs in the same order; what is left is rounding."""

    def all_songs(songs, seed):
        return DistributedSampler(songs, 1, 0, shuffle=True, seed=seed, drop_last=True)

    monkeypatch.setattr(loop, "own_share", all_songs)
    monkeypatch.setattr(loop, "has_bfloat16", in_float32)
    corpus = read_corpus(DataPaths(loaded))
    config = still_config(corpus, batch_size=10)
    one = train_network(corpus, config, device=CPU, checkpoint=tmp_path / "a", progress=lambda training: None)
    np.testing.assert_allclose(uninterrupted[0]["history"], one.history, rtol=1e-3)


def test_error_in_one_ends_all_with_one_sentence(loaded, tmp_path):
    status, _, stderr = run_together(tmp_path, loaded, "error")
    assert status != 0
    assert [line for line in stderr.splitlines() if line.startswith("error: ")] == ["error: the disk is full"]
    assert stderr.count("Traceback") == 1  # torchrun's own
    assert not list(tmp_path.glob("*.json"))


def test_killed_run_goes_on_and_ends_with_the_same_weights(uninterrupted, loaded, tmp_path):
    status, _, stderr = run_together(tmp_path, loaded, "kill")
    assert status != 0
    errors = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert errors in ([], [KILLED])  # torchrun may end the second before it has noticed
    assert stderr.count("Traceback") == 1
    status, _, stderr = run_together(tmp_path, loaded)
    assert status == 0, stderr
    assert told(tmp_path)[0]["written"] == [2, 3]
    for one, other in zip(told(tmp_path), uninterrupted, strict=True):
        assert (one["weights"], one["history"]) == (other["weights"], other["history"])


@pytest.fixture
def second_of_two(monkeypatch):
    """This process takes itself for the second of two on its machine."""
    said = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}
    for name, value in said.items():
        monkeypatch.setenv(name, value)


def test_each_song_is_in_one_share(second_of_two, monkeypatch):
    shares = []
    for number in "01":
        monkeypatch.setenv("RANK", number)
        shares.append([*own_share(range(11), seed=3)])
    assert [len(share) for share in shares] == [5, 5]
    assert len({*shares[0], *shares[1]}) == 10
    assert [*own_share(range(11), seed=4)] != shares[1]


def test_alone_nothing_is_shared():
    assert own_share(range(11), seed=3) is None
    assert own_seed(3) == 3
    assert distributed.from_first(5) == 5
    network = torch.nn.Linear(1, 1)
    assert distributed.in_step(network, CPU) is network


def test_each_process_draws_for_itself(second_of_two, monkeypatch):
    seeds = []
    for seed in range(5):
        for number in "01":
            monkeypatch.setenv("RANK", number)
            seeds.append(own_seed(seed))
    assert len(set(seeds)) == 10


def test_number_of_processes_decides_a_model_where_there_are_several(loaded, monkeypatch, request):
    corpus = read_corpus(DataPaths(loaded))
    alone, print_alone = TrainingConfig(), fingerprint(corpus, TrainingConfig())
    assert "n_processes" not in alone.to_dict()
    request.getfixturevalue("second_of_two")
    assert TrainingConfig().to_dict() == alone.to_dict() | {"n_processes": 2}
    assert fingerprint(corpus, TrainingConfig()) != print_alone
    assert fingerprint(corpus, alone) == print_alone


def test_each_process_has_a_gpu_of_its_own(second_of_two, monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert select_device("auto") == torch.device("cuda", 1)
    assert chosen == [1]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"--nproc-per-node may be at most 1 here"):
        select_device("auto")


def test_mps_trains_alone(second_of_two, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert select_device("auto") == CPU
    with pytest.raises(UserError, match="there is no mps device here"):
        select_device("mps")


def test_more_processes_than_songs_are_too_many(second_of_two, loaded, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "11")
    corpus = read_corpus(DataPaths(loaded))
    with pytest.raises(UserError, match="10 training songs are too few for 11 processes"):
        train_network(corpus, TrainingConfig(), device=CPU, checkpoint=tmp_path / "a", progress=lambda training: None)


def test_another_checkpoint_than_the_first_has_is_a_sentence(second_of_two, loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "from_first", lambda history: [([0.5] * 3, None)])
    corpus = read_corpus(DataPaths(loaded))
    with pytest.raises(UserError, match="a folder that all machines share"):
        train_network(corpus, TrainingConfig(), device=CPU, checkpoint=tmp_path / "a", progress=lambda training: None)


def test_beside_the_first_nothing_is_printed(second_of_two, capfd, monkeypatch):
    with only_first_prints():
        print("usage")
        print("error", file=sys.stderr)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("RANK", "0")
    with only_first_prints():
        print("usage")
    assert capfd.readouterr().out == "usage\n"
