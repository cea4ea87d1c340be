import dataclasses
import json

import pytest
from conftest import call_main, read_rows

from music_learning.errors import UserError
from music_learning.training.config import TrainingConfig
from tools import experiments
from tools.experiments import EXPERIMENTS, Experiment, differences

QUICK = TrainingConfig(n_members=1, epochs=1)


@pytest.fixture
def quick(monkeypatch):
    """Experiments that take seconds."""
    monkeypatch.setattr(experiments, "N_FOLDS", 3)
    monkeypatch.setitem(EXPERIMENTS, "released", Experiment(QUICK))
    monkeypatch.setitem(EXPERIMENTS, "songs-100", Experiment(QUICK, n_songs=6))


def test_experiments_are_noted_and_the_learning_curve_is_drawn(quick, loaded, tmp_path):
    flags = ("--device", "cpu", "--data", loaded, "--models", tmp_path / "models", "--docs", tmp_path)
    assert call_main(experiments, "released", "--seeds", 0, 1, *flags) == 0
    assert not (tmp_path / "learning_curve.png").exists()
    assert call_main(experiments, "songs-100", *flags) == 0
    assert (tmp_path / "learning_curve.png").exists()
    rows = read_rows(tmp_path / "experiments.csv")
    assert [(row["experiment"], row["target"], row["seeds"]) for row in rows] == [
        (name, target, seeds)
        for name, seeds in (("released", "0 1"), ("songs-100", "0"))
        for target in ("energy", "danceability", "valence")
    ]
    assert {row["songs"] for row in rows[3:]} == {"6"}
    assert int(rows[0]["songs"]) > 6
    assert {row["n"] for row in rows} == {"18"}
    assert json.loads(rows[0]["settings"]) == {"epochs": 1, "n_members": 1}


def test_unknown_experiment_is_named_with_those_there_are(loaded, tmp_path):
    with pytest.raises(UserError, match="there is no experiment nonsense; there are released"):
        call_main(experiments, "nonsense", "--data", loaded, "--docs", tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_a_name_all_are_listed(capsys):
    assert call_main(experiments) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(EXPERIMENTS)


def test_differences_are_those_that_were_set():
    default = TrainingConfig()
    changed = dataclasses.replace(default, epochs=7, network=dataclasses.replace(default.network, channels=8))
    as_dict = dataclasses.asdict
    assert differences(as_dict(changed), as_dict(default)) == {"epochs": 7, "network": {"channels": 8}}
