"""What decides a model, in one hash: by it a run knows what was done before."""

import hashlib
import json

from music_learning.songs.corpus import Corpus
from music_learning.training.config import TrainingConfig

RULES = 2  # raise it when training makes something else of the same settings


def fingerprint(corpus: Corpus, config: TrainingConfig) -> str:
    """A hash of everything that decides a model."""
    return hashlib.sha256(json.dumps([RULES, config.to_dict(), corpus.fingerprint]).encode()).hexdigest()
