import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import call_main, chord, tone, write_audio
from matplotlib.image import imread
from torch import nn

from music_learning.audio import AudioPipeline
from music_learning.columns import PREDICTION_COLUMNS, TARGETS
from music_learning.commands import predict as model_demo
from music_learning.features.config import FeatureConfig
from music_learning.files import read_table
from music_learning.model.cnn import NetworkConfig
from music_learning.model.ensemble import Ensemble, EnsembleConfig
from music_learning.pipeline_config import PipelineConfig
from music_learning.plots import analysis as picture
from music_learning.predict import occlusion
from music_learning.predict.analysis import even_edges
from music_learning.predict.occlusion import N_BANDS, occlusion_attributions
from music_learning.predict.pooling import level_db, window_weights
from music_learning.predict.predictor import Predictor

CONFIG = PipelineConfig()
N_MELS = CONFIG.n_mels
N_OTHERS = CONFIG.n_rows - N_MELS
FILL_DB = -50.0


def clip(frames, *, seed=0):
    """Noise whose level is another one every 12 bands and 60 frames, with random pitches and peaks: (n_rows, frames)"""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randn(N_MELS // 12, -(-frames // 60), generator=generator)
    levels = levels.repeat_interleave(12, dim=0).repeat_interleave(60, dim=1)[:, :frames]
    levels = FILL_DB + 12 * levels + 5 * torch.randn(N_MELS, frames, generator=generator)
    return torch.cat([levels, -30 + 10 * torch.randn(N_OTHERS, frames, generator=generator)])


def even_sound(frames):
    """A sound at the level of the fill, without tones: (n_rows, frames)"""
    return torch.cat([torch.full((N_MELS, frames), FILL_DB), torch.full((N_OTHERS, frames), FILL_DB)])


def ensemble(*, seed=0, n_members=2):
    """A model with random weights, which is sensitive enough to have attributions everywhere."""
    torch.manual_seed(seed)
    network = NetworkConfig(outputs=("energy",))
    model = Ensemble(EnsembleConfig(FeatureConfig(CONFIG), network, n_members, 5, 0.3))
    model.kernel.songs.normal_()
    model.kernel.input_mean.normal_(std=20)
    model.kernel.input_std.fill_(20)
    model.kernel.alpha.normal_(std=0.3)
    model.kernel.prior_mean.fill_(0.5)
    for member in model.members:
        member.set_input_statistics(torch.full((N_MELS,), FILL_DB), torch.full((N_MELS,), 15.0))
    return model.eval()


class OneRange(nn.Module):
    """A member that predicts from nothing but how far some bands are above the fill."""

    def __init__(self, member, bands, sign):
        super().__init__()
        self.config, self.band_mean_db, self.bands, self.sign = member.config, member.band_mean_db, bands, sign

    shared_id = property(id)

    def last_hidden(self, segments):
        return 0.5 + self.sign * (segments[:, self.bands] - FILL_DB).mean(dim=(1, 2))[:, None] / 100

    def output(self, hidden):
        return hidden.logit()


def with_one_range(bands, sign=1):
    model = ensemble(n_members=1)
    model.members = nn.ModuleList([OneRange(model.members[0], bands, sign)])
    model.kernel.alpha.zero_()
    return model


@torch.inference_mode()
def one_by_one(model, spectrogram, fill_db):
    """The definition itself: mask a cell, predict the whole clip."""
    bands = even_edges(N_MELS, N_BANDS)
    times = even_edges(spectrogram.shape[1], max(1, -(-spectrogram.shape[1] // 128)))
    result = torch.empty(N_BANDS, len(times) - 1)
    for band in range(N_BANDS):
        for time in range(len(times) - 1):
            masked, cell = spectrogram.clone(), (slice(*bands[band : band + 2]), slice(*times[time : time + 2]))
            masked[cell] = fill_db.expand(N_MELS, spectrogram.shape[1])[cell]
            power, masked_power = (10 ** (x[:N_MELS, cell[1]] / 10) for x in (spectrogram, masked))
            masked[-1, cell[1]] += 10 * (masked_power.sum(dim=0) / power.sum(dim=0)).log10()
            for pitch in CONFIG.pitches_between(*bands[band : band + 2]):
                around = range(max(pitch - 6, 0), min(pitch + 7, CONFIG.n_pitches))
                octave = spectrogram[[N_MELS + other for other in around], cell[1]]
                masked[N_MELS + pitch, cell[1]] = octave.mean(dim=0)
            result[band, time] = model(spectrogram[None]) - model(masked[None])
    return result


@pytest.mark.parametrize("frames", [92, 130, 400])
def test_same_as_masking_cell_by_cell(frames):
    models = {"energy": ensemble(seed=1), "valence": ensemble(seed=2, n_members=1)}
    spectrogram = clip(frames)
    before = spectrogram.clone()
    found = occlusion_attributions(models, spectrogram)
    fill_db = models["energy"].members[0].band_mean_db
    for row, model in zip(found, models.values(), strict=True):
        torch.testing.assert_close(row, one_by_one(model, spectrogram, fill_db), atol=5e-6, rtol=0)
        assert row.abs().max() > 5e-4
    assert torch.equal(spectrogram, before)


def test_same_with_another_fill():
    model, spectrogram, other = ensemble(), clip(300), clip(300, seed=1)[:N_MELS]
    for fill_db in (other, other.mean(dim=1, keepdim=True)):
        found = occlusion_attributions({"energy": model}, spectrogram, fill_db)[0]
        torch.testing.assert_close(found, one_by_one(model, spectrogram, fill_db), atol=5e-6, rtol=0)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("band", "moment"), [(0, 0), (2, 3), (5, 7)])
def test_attribution_is_where_the_sound_is_that_counts(band, moment, sign):
    """A sound in the bands that the model hears, at one time, and a louder one that it does not hear."""
    edges, times = even_edges(N_MELS, N_BANDS), even_edges(936, 8)
    heard = slice(edges[band] + 3, edges[band + 1] - 3)
    spectrogram = even_sound(936)
    spectrogram[heard, times[moment] + 20 : times[moment + 1] - 20] += 30
    other = (band + 3) % N_BANDS
    spectrogram[edges[other] : edges[other + 1], times[4] : times[6]] += 40
    found = occlusion_attributions({"energy": with_one_range(heard, sign)}, spectrogram)[0]
    expected = torch.zeros(N_BANDS, 8)
    expected[band, moment] = found[band, moment]
    assert sign * found[band, moment] > 0.005
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_cells_of_a_sound_that_is_as_the_fill_have_no_attribution():
    found = occlusion_attributions({"energy": ensemble()}, even_sound(936))
    assert found.shape == (1, N_BANDS, 8)
    assert found.abs().max() < 1e-6


def test_other_weights_give_another_explanation():
    maps = occlusion_attributions({f"model {seed}": ensemble(seed=seed) for seed in range(6)}, clip(936)).flatten(1)
    alike = np.corrcoef(maps.numpy())
    assert np.abs(alike[np.triu_indices(6, k=1)]).mean() < 0.5


def test_networks_and_kernel_model_both_count():
    model, spectrogram = ensemble(), clip(300)
    whole = occlusion_attributions({"energy": model}, spectrogram)
    model.kernel.alpha.zero_()
    by_networks = occlusion_attributions({"energy": model}, spectrogram)
    assert by_networks.abs().max() > 1e-4
    assert (whole - by_networks).abs().max() > 1e-4


def test_bands_in_hz_are_those_of_the_front_end():
    """Each band is loudest for a tone of its middle frequency."""
    config = PipelineConfig()
    for band in (12, 40, 79, 95):
        spectrogram = AudioPipeline()(torch.from_numpy(tone(frequency_hz=config.hz_at(band + 0.5)).astype(np.float32)))
        assert spectrogram[:N_MELS].mean(dim=1).argmax() == band
    assert config.hz_at(-0.5) == pytest.approx(config.f_min_hz)
    assert config.hz_at(N_MELS + 0.5) == pytest.approx(config.f_max_hz)


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.load(trained)


def test_nothing_is_explained_unless_asked(predictor, monkeypatch):
    monkeypatch.setattr("music_learning.predict.predictor.occlusion_attributions", None)
    analysis = predictor.predict(chord(seconds=4), sample_rate_hz=16_000)
    assert analysis.explanation is None
    assert "explanation" not in analysis.to_dict()


def test_each_window_is_explained_at_its_time(predictor):
    """35 s with 3 s of silence in front: two windows, whose moments are those of the timeline."""
    samples = np.concatenate([np.zeros(3 * 16_000), chord(seconds=27), 2 * chord(seconds=5)])
    analysis = predictor.predict(samples, sample_rate_hz=16_000, explain=True)
    found = analysis.explanation
    assert found.attributions.shape == (len(TARGETS), N_BANDS, len(analysis.timeline))
    assert [start for start, _ in found.stretches_s] == [moment.start_s for moment in analysis.timeline]
    assert found.stretches_s[0][0] == pytest.approx(3)
    assert found.stretches_s[-1][1] == pytest.approx(35)
    assert all(2 < end - start < 4.2 for start, end in found.stretches_s)
    plain = predictor.predict(samples, sample_rate_hz=16_000)
    assert analysis.values == plain.values
    (first, _), (second, _) = [
        window
        for window in predictor.pipeline.windows(predictor.pipeline.waveforms_of(samples, 16_000))
        if window[0] is not None
    ]
    weights = window_weights(
        [level_db(window[: predictor.pipeline.config.n_mels]) for window in (first, second)],
        [27, 5],
    )
    assert (weights[:, 0] > weights[:, 1]).all()  # so that the cells of the second, shorter window count for less
    assert len(set((weights[:, 1] / weights[:, 0]).tolist())) == 2  # but as it is louder, for less less in energy
    less = (weights[:, 1] / weights[:, 0]).float()[:, None, None]
    expected = torch.cat(
        [occlusion_attributions(predictor.models, first), less * occlusion_attributions(predictor.models, second)],
        dim=2,
    )
    torch.testing.assert_close(found.attributions, expected)


def test_colours_are_red_above_zero_blue_below_and_deeper_with_the_attribution():
    (colors,) = picture._attribution_colors(np.array([[-1.0, -0.2, 0.0, 0.2, 1.0]]))
    red, _, blue, alpha = colors.T
    assert (blue > red).tolist()[:2] == [True, True]
    assert (red > blue).tolist()[3:] == [True, True]
    assert alpha[2] == 0
    assert alpha[0] == alpha[4] > alpha[1] == alpha[3] > 0


@pytest.fixture
def song(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_audio(tmp_path / "a.wav", chord(seconds=5))


def test_single_file_is_explained_in_words_picture_and_json(trained, song, capsys):
    arguments = [song, "--models", trained, "--json", "a.json", "--csv", "a.csv"]
    assert call_main(model_demo, *arguments, "--picture", "plain.png") == 0
    assert "why, as far as" not in capsys.readouterr().out
    assert call_main(model_demo, *arguments, "--picture", "explained.png", "--explain") == 0
    lines = capsys.readouterr().out.splitlines()
    said = lines[lines.index("why, as far as it can be told:") + 1 : -1]
    assert lines[-1] == "picture: explained.png"
    plain, explained = imread("plain.png")[:, :, :3], imread("explained.png")[:, :, :3]
    assert explained.shape[0] > plain.shape[0]
    with open("a.json", encoding="utf-8") as file:
        (row,) = json.load(file)
    sentences = row["explanation"]["sentences"]
    assert said == [f"  {t}: {text}" for t in TARGETS for text in sentences[t] or ["nothing stands out"]]
    assert [len(moment["energy"]) for moment in row["explanation"]["moments"]] == [N_BANDS] * len(row["timeline"])
    assert len(row["explanation"]["edges_hz"]) == N_BANDS + 1
    assert "explanation" not in read_table(Path("a.csv"), PREDICTION_COLUMNS, "")[0]


def test_picture_is_coloured_where_the_attributions_are(predictor, tmp_path):
    """Turning all attributions round changes the panels, and nothing but them: red for blue."""
    analysis = predictor.predict(chord(seconds=8), sample_rate_hz=16_000, explain=True)
    charts = predictor.charts
    pictures = []
    for sign in (1, -1):
        attributions = torch.zeros(analysis.explanation.attributions.shape)
        attributions[1, 3, 0] = sign * 0.02
        changed = replace(analysis, explanation=replace(analysis.explanation, attributions=attributions))
        picture.draw_analysis(changed, charts, title="a", path=tmp_path / "a.png")
        pictures.append(imread(tmp_path / "a.png")[:, :, :3])
    rows, columns = np.nonzero(np.abs(pictures[0] - pictures[1]).max(axis=2) > 0.1)
    height, width = pictures[0].shape[:2]
    assert 0.27 < rows.min() / height < rows.max() / height < 0.5  # the second of the panels
    assert 0.07 < columns.min() / width < columns.max() / width < 0.4
    reddest, bluest = ((p[rows, columns, 0] - p[rows, columns, 2]).mean() for p in pictures)
    assert reddest > 0.2 > -0.2 > bluest


def test_saved_song_is_explained(loaded, trained, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call_main(model_demo, "--data", loaded, "--models", trained, "--explain", "--seed", 0) == 0
    assert "why, as far as it can be told:\n  energy: " in capsys.readouterr().out
    assert imread("demo.png").shape[0] > 1000


def test_several_files_are_not_explained(trained, song, capsys, monkeypatch):
    monkeypatch.setattr(model_demo.Predictor, "load", None)  # refused before any work
    write_audio(song.parent / "b.wav", chord(seconds=4))
    for files in ([song, song], [song.parent]):
        with pytest.raises(SystemExit) as caught:
            call_main(model_demo, *files, "--models", trained, "--explain")
        assert caught.value.code == 2
        assert "--explain goes with a single song; these are 2 files" in capsys.readouterr().err


def test_folder_of_one_file_and_a_bad_file(trained, song, capsys):
    assert call_main(model_demo, song.parent, "--models", trained, "--explain") == 0
    assert "why, as far as it can be told" in capsys.readouterr().out
    assert call_main(model_demo, "gone.wav", "--models", trained, "--explain") == 1


def test_only_the_segments_that_are_touched_are_predicted_again(monkeypatch):
    """A cell touches at most three of the eight segments, so that a map costs little."""
    model, predicted = ensemble(n_members=1), []
    real = occlusion._by_networks
    monkeypatch.setattr(occlusion, "_by_networks", lambda models, x: predicted.append(len(x)) or real(models, x))
    occlusion_attributions({"energy": model}, clip(936))
    assert predicted[0] == 8
    assert sum(predicted[1:]) <= N_BANDS * 8 * 3
