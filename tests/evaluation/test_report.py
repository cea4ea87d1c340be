import pandas as pd
import pytest
from conftest import read_rows, song_frame, song_row

from music_learning.evaluation.metrics import Metrics, evaluate
from music_learning.evaluation.report import FEW_SONGS, RESULT_COLUMNS, Report, update_results, warn_of_few_songs


def row(model, r2, *, split="test", target="energy"):
    return dict.fromkeys(RESULT_COLUMNS, 0) | {"target": target, "model": model, "split": split, "r2": r2}


def test_results_of_other_measurements_stay(tmp_path):
    update_results(tmp_path / "results.csv", [row("ours", 0.1), row("mean", 0.0)])
    update_results(tmp_path / "results.csv", [row("ours", 0.2)])
    assert [(row["model"], row["r2"]) for row in read_rows(tmp_path / "results.csv")] == [
        ("mean", "0.0000"),
        ("ours", "0.2000"),
    ]


def test_results_are_in_order_of_target_split_and_model(tmp_path):
    rows = [row("ours", 0.1, target="valence"), row("ours", 0.1), row("mean", 0.1), row("ours", 0.3, split="5-fold")]
    update_results(tmp_path / "results.csv", rows)
    assert [(row["target"], row["split"], row["model"]) for row in read_rows(tmp_path / "results.csv")] == [
        ("energy", "5-fold", "ours"),
        ("energy", "test", "mean"),
        ("energy", "test", "ours"),
        ("valence", "test", "ours"),
    ]


@pytest.fixture
def songs():
    rows = [song_row(f"s{k}", energy=str(k / 19)) for k in range(20)]
    return song_frame(*rows).assign(group=[f"group {k // 2}" for k in range(20)])


def test_rows_for_the_table_are_rounded(songs, tmp_path):
    report = Report("test", songs)
    metrics = report.add("energy", "ours", songs["energy"].to_numpy() ** 2)
    report.save(tmp_path / "results.csv")
    (written,) = read_rows(tmp_path / "results.csv")
    assert list(written) == list(RESULT_COLUMNS)
    assert written["n"] == "20"
    assert all(written[name] == f"{value:.4f}" for name, value in metrics.to_dict().items() if name != "n")


def test_measurements_are_those_of_the_groups_of_artists(songs, capsys):
    predicted = songs["energy"] ** 2
    metrics = Report("3-fold", songs).add("energy", "ridge", predicted)
    assert metrics == evaluate(songs["energy"], predicted, list(songs["group"]))
    assert capsys.readouterr().out == f"energy: ridge, 3-fold {metrics}\n"


def test_undefined_metric_survives(tmp_path):
    update_results(tmp_path / "results.csv", [row("ours", float("nan"))])
    update_results(tmp_path / "results.csv", [row("mean", 0.5)])
    assert [written["r2"] for written in read_rows(tmp_path / "results.csv")] == ["0.5000", "nan"]


def test_few_songs_are_warned_of(songs, capsys):
    warn_of_few_songs("test", songs)
    assert capsys.readouterr().out.startswith("test: only 20 songs; figures from fewer than 50 mean little")
    warn_of_few_songs("test", pd.concat([songs] * 3)[:FEW_SONGS])
    assert capsys.readouterr().out == ""


def test_columns_are_the_metrics():
    assert set(Metrics.__dataclass_fields__) == set(RESULT_COLUMNS) - {"target", "model", "split"}
