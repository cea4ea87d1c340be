"""Rewrite models and spectrograms of version 0.1 for this version: the same numbers under other names.

    python tools/convert_models.py models data/demo/spectrograms

Takes folders of models (`model_train.py` wrote them) and of spectrograms (`data_loading.py`). Settings that stood in
the code then are written into their JSON, tensors and files are renamed, the hashes that tie files to the weights
renewed. The models as they were stay in `<folder>.old`. What is of this version already stays as it is.
"""

import argparse
import hashlib
import shutil
from pathlib import Path

from safetensors.torch import load, save

from music_learning.columns import TARGETS
from music_learning.errors import UserError, printable, run
from music_learning.features.config import FeatureConfig
from music_learning.files import atomic, read_json, write_json
from music_learning.model.tensors import read_metadata, read_tensors
from music_learning.paths import RELEASED_MODELS, ModelPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.predict.similarity import expected_tensors

ADDED_TO_PIPELINE = ("semitone_width", "pitch_floor_db", "silence_chunk_s")
TENSORS = {
    "kernel_regression.input_deviation": "svr.input_std",
    "kernel_regression.support": "svr.support_vectors",
    "kernel_regression.weights": "svr.dual_coef",
    "kernel_regression.offset": "svr.intercept",
}
OLD_NOVELTY = "familiarity.safetensors"
EXPONENT = "kernel_regression.exponent"
KERNELS = {2.0: "gaussian", 1.0: "exponential"}
NETWORKS_SHARE = 0.3
GROUPS = {
    "balance": "spectral envelope",
    "deviation": "band std",
    "change": "band delta",
    "rise": "spectral flux",
    "timbre": "mfcc mean",
    "timbre deviation": "mfcc std",
    "timbre change": "delta-mfcc std",
    "timbre together": "delta-mfcc correlation",
    "peaks": "spectral contrast",
    "modulation": "modulation spectrum",
    "repetition": "onset autocorrelation",
    "tempo": "tempogram",
    "pulse": "pulse clarity",
    "onsets": "onset strength",
    "lopsidedness": "skewness",
    "spacing": "inter-onset intervals",
    "intervals": "key and intervals",
    "chords": "scale and chords",
    "persistence": "pitch self-similarity",
    "polyphony": "pitch density",
    "tone strength": "pitch salience",
    "tonality": "tonal-to-noise ratio",
}


def convert_pipeline(values: dict) -> dict:
    """The settings of a pipeline with those that stood in the code, in this version's order."""
    values = {name: getattr(PipelineConfig(), name) for name in ADDED_TO_PIPELINE} | values
    return PipelineConfig.from_dict(values).to_dict()


def convert_spectrograms(folder: Path) -> None:
    path = folder / "pipeline.json"
    write_json(path, convert_pipeline(read_json(path, "data_loading.py")))


def renamed(tensor: str) -> str:
    tensor = TENSORS.get(tensor, tensor.replace("kernel_regression.", "svr."))
    return tensor.replace("band_deviation_db", "band_std_db")


def convert_training(training: dict) -> dict:
    """The settings of a training run under their names of today."""
    training = dict(training)
    epsilon = training.pop("kernel_tolerance")
    for name, new in {"warm_up": "warmup_fraction", "averaging": "ema_decay", "settled": "validate_from"}.items():
        training[new] = training.pop(name)
    training.pop("n_members")  # stands beside the network
    training["kernels"] = {
        target: {
            "kernel": KERNELS[kernel["exponent"]],
            "gamma": kernel["gamma"],
            "C": kernel["cost"],
            "group_weights": {GROUPS.get(group, group): weight for group, weight in kernel["group_weights"].items()},
            "epsilon": epsilon,
        }
        for target, kernel in zip(TARGETS, training["kernels"], strict=True)
    }
    return training


def converted_model(paths: ModelPaths, target: str, description: dict) -> tuple[bytes, dict]:
    """A target's weights and their description as this version has them. Raises UserError where they don't fit."""
    old = paths.weights(target).read_bytes()
    if hashlib.sha256(old).hexdigest() != description["weights_sha256"]:
        raise UserError(f"{paths.weights(target)} is not the file that {paths.description(target)} describes")
    tensors = load(old)
    kernel = KERNELS[float(tensors.pop(EXPONENT))]
    new = save({renamed(name): tensor for name, tensor in tensors.items()})
    network = description["network"]
    network["segment_frames"] = network.pop("piece_frames")
    labels = description["training_labels"]
    pipeline = convert_pipeline(description["pipeline"])
    try:
        features = FeatureConfig(PipelineConfig.from_dict(pipeline)).to_dict()
    except ValueError as error:
        raise UserError(f"{paths.description(target)} is of no model that this version can use: {error}") from None
    first = {
        "target": target,
        "pipeline": pipeline,
        "features": features,
        "network": network,
        "n_members": description["n_members"],
        "n_support": description["n_support"],
        "kernel": kernel,
        "networks_share": NETWORKS_SHARE,
        "weights_sha256": hashlib.sha256(new).hexdigest(),
    }
    changed = {
        "training": convert_training(description["training"]),
        "training_labels": {"mean": labels["mean"], "std": labels["deviation"]},
    }
    rest = {name: changed.get(name, value) for name, value in description.items() if name not in first}
    return new, first | rest


def convert_index(folder: Path, hashes: dict[str, tuple[str, str]]) -> None:
    """Tie an index of songs to the converted weights."""
    path = folder / "embeddings.safetensors"
    tensors = read_tensors(path, expected_tensors("songs", "embedding"), "model_train.py")
    metadata = read_metadata(path, "model_train.py")
    for target, (before, after) in hashes.items():
        if metadata.get(target) != before:
            raise UserError(f"{folder} was made with another model of {target}")
        metadata[target] = after
    with atomic(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def replace_novelty(paths: ModelPaths) -> None:
    """In place of what told how near a song is to those of the training, the released detector of what is no music."""
    (paths.root / OLD_NOVELTY).unlink()
    if (released := ModelPaths(RELEASED_MODELS).no_music).exists():
        shutil.copy(released, paths.no_music)


def convert_models(folder: Path) -> None:
    """Convert a folder of models in a copy, which then takes its place: the old ones stay in `<folder>.old`."""
    paths = ModelPaths(folder)
    descriptions = {target: read_json(paths.description(target), "model_train.py") for target in TARGETS}
    old = {target: description for target, description in descriptions.items() if "features" not in description}
    if not old:
        return
    kept, work = (folder.with_name(f"{folder.name}.{word}") for word in ("old", "converting"))
    if kept.exists():
        raise UserError(f"{kept} is there already, from an earlier conversion; delete it or give it another name")
    models = {target: converted_model(paths, target, description) for target, description in old.items()}
    shutil.rmtree(work, ignore_errors=True)  # of a killed run
    shutil.copytree(folder, work)
    write_converted(ModelPaths(work), old, models)
    folder.rename(kept)
    work.rename(folder)


def write_converted(paths: ModelPaths, old: dict[str, dict], models: dict[str, tuple[bytes, dict]]) -> None:
    """Write converted models, and what belongs to them.

    Args:
        old: the targets' descriptions as they were.
        models: their weights and descriptions as they become.
    """
    for target, (weights, description) in models.items():
        with atomic(paths.weights(target)) as temporary:
            temporary.write_bytes(weights)
        write_json(paths.description(target), description)
    new = {target: description["weights_sha256"] for target, (_, description) in models.items()}
    if (paths.root / OLD_NOVELTY).exists():
        replace_novelty(paths)
    if paths.intervals.exists():
        intervals = read_json(paths.intervals, "model_train.py --folds 5")
        for target in intervals.keys() & new.keys():
            intervals[target]["weights_sha256"] = new[target]
        write_json(paths.intervals, intervals)
    if paths.index.is_dir():
        convert_index(paths.index, {target: (old[target]["weights_sha256"], new[target]) for target in old})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of models or of spectrograms")
    for folder in parser.parse_args().folders:
        if (folder / "pipeline.json").exists():
            convert_spectrograms(folder)
        elif any(ModelPaths(folder).description(target).exists() for target in TARGETS):
            convert_models(folder)
        else:
            raise UserError(f"{folder} holds neither models nor spectrograms")
        print(printable(f"{folder}: converted"))


if __name__ == "__main__":
    run(main)
