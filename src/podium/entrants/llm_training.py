"""Makes a prompt from training rows, asks for the held-out ones, and writes the package that is deployed.

This module is loaded only where models are run, so torch is imported below it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from podium.data.copies import Copies
from podium.entrants.llm import TEMPLATES, LlmSpec
from podium.errors import ConfigError, DataError, ModelError, OutOfMemory
from podium.evaluation.bootstrap import bootstrap_interval, paired_difference
from podium.evaluation.guessing import beyond_guessing
from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions
from podium.events import emit
from podium.inference.decide import flip_rate, prior_of
from podium.inference.examples import chosen, spread
from podium.inference.predictor import PROMPT_PACKAGE, predict
from podium.inference.prompts import Strategy, Template, template_named
from podium.keys import digest_tree
from podium.models.gguf import CAUSAL_FILES, causal_digest
from podium.models.prompted.causal_lm import CausalModel
from podium.models.prompted.package import PromptPackage
from podium.models.prompted.replies import entities_of
from podium.records.base import Scalar
from podium.records.plan import Pace
from podium.tasks import TASKS
from podium.tasks.base import Training
from podium.training.launch import TrainingResult
from podium.training.rows import model_card, open_data, rows_to_train, sample_rows, save_fold_predictions

CONFIDENCE, RESAMPLES = 0.95, 1000
"""Of the comparison with chance."""

_POOL = 1000
"""Training rows at most among which the most similar ones are looked for."""
_MEASURED = 8
_COUNTED = 100
"""Rows on which tokens are counted."""


class Asked(NamedTuple):
    """A prompt that is ready, and what is known of it.

    Attributes:
        package: answers texts.
        examined: texts of training rows that it does not show, on which it is examined.
        refused: training rows that were not shown, since they are copies of held-out rows.
        template: that it was made of.
    """

    package: PromptPackage
    examined: list[str]
    refused: int
    template: Template


def template_of(spec: LlmSpec) -> tuple[Template, Strategy]:
    """The template of a spec and its strategy.

    Raises:
        ConfigError: there is none, it is for another task, or the strategy or the task does not suit the mode.
    """
    config, decoding = spec.config, TASKS.get(spec.task).decoding
    if not config.template and decoding not in TEMPLATES:
        raise ConfigError(f"no template suits {spec.task}; name one in llm.template")
    template = template_named(config.template or TEMPLATES[decoding])
    if template.tasks and spec.task not in template.tasks:
        raise ConfigError(
            f"llm.template must suit {spec.task}, but {template.name} is for {', '.join(template.tasks)}; name another"
        )
    strategy = template.strategy(config.strategy)
    if config.mode == "decide" and decoding == "tokens":
        raise ConfigError("entities are written, so llm.mode must be generate or auto, but got decide; set it")
    if config.mode == "decide" and strategy.answer is not None:
        raise ConfigError(
            f"strategy {config.strategy!r} of template {template.name} writes JSON, so it needs llm.mode=generate, but "
            "got llm.mode=decide; set it, or choose another strategy"
        )
    return template, strategy


def generates(spec: LlmSpec, strategy: Strategy) -> bool:
    """Whether the answers are written, rather than decided by likelihoods."""
    written = TASKS.get(spec.task).words or strategy.answer is not None
    return written if spec.config.mode == "auto" else spec.config.mode == "generate"


def train(spec: LlmSpec) -> TrainingResult:
    """See `podium.entrants.base.EntrantKind.train`."""
    try:
        return _train(spec)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfMemory(
            "a prompt must fit into memory, but it ran out; lower llm.max_length or llm.examples, or prompt a smaller "
            "model"
        ) from error


def _train(spec: LlmSpec) -> TrainingResult:
    started = time.monotonic()
    artifact, task = open_data(spec), TASKS.get(spec.task)
    rows = artifact.test if spec.fold is None else artifact.development.select(artifact.fold(spec.fold)[1])
    limit, whole = spec.config.max_calls if spec.fold is not None else None, len(rows)
    if limit is not None and limit < whole:
        rows = rows.select(_sampled(task.classes(rows[task.target]), whole, limit, spec.seed))
        if spec.fold == 0 and spec.context.get("number") == 0:
            emit("note", text=f"trials ask for {limit} of about {whole} held-out rows per fold (llm.max_calls)")
    if not len(rows):
        raise DataError(f"there must be rows to score, but {spec.data} has none")
    asked = _asked(spec, artifact, list(rows[task.content]))
    begun = time.monotonic()
    predictions = _predicted(asked.package, spec, rows)
    seconds = time.monotonic() - begun
    metrics = all_metrics(predictions)
    facts: dict[str, Scalar] = {"scored_rows": len(rows), "held_out_rows": whole, "refused_examples": asked.refused}
    notes: list[str] = []
    if spec.fold is None:
        own, notes = _facts(spec, asked, artifact, predictions)
        facts |= own
    if spec.fold is None or spec.keep_model:
        counts = {"training": len(rows_to_train(spec, artifact)), "scored": len(rows)}
        _save(spec, asked, metrics, counts)
    if spec.fold is None:
        predictions.save(spec.output / "predictions")
    elif len(rows) == whole:
        spec.output.mkdir(parents=True, exist_ok=True)
        save_fold_predictions(predictions, spec.output)
    return TrainingResult(
        metrics=metrics,
        epoch=1.0,
        steps=len(rows),
        seconds=time.monotonic() - started,
        samples_per_second=len(rows) / max(seconds, 1e-9),
        facts=facts,
        notes=tuple(notes),
    )


def measure(spec: LlmSpec) -> Pace:
    """The pace of a few rows of the usual length."""
    artifact, task = open_data(spec), TASKS.get(spec.task)
    begun = time.monotonic()
    texts = list(artifact.development[task.content])
    middle = sorted(texts, key=len)[len(texts) // 2 :][:_MEASURED]
    uncalibrated = spec.model_copy(update={"config": spec.config.model_copy(update={"calibrate": False})})
    package = _asked(uncalibrated, artifact, middle).package
    loaded = time.monotonic()
    package(middle)
    each = (time.monotonic() - loaded) / len(middle)
    return Pace(start_seconds=loaded - begun, train_seconds=0.0, predict_seconds=each)


@lru_cache(maxsize=1)
def _loaded(folder: Path, precision: str, device: str, trust_remote_code: bool) -> CausalModel:
    """The model, kept for the next trial of this process."""
    transformers.utils.logging.disable_progress_bar()
    try:
        return CausalModel(folder, precision, device, trust_remote_code)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} must hold a causal language model, but: {error}") from error


def _asked(spec: LlmSpec, artifact: Any, held: Sequence[str]) -> Asked:
    """The prompt for some held-out texts, made of training rows that are no copies of them."""
    config, task, development = spec.config, TASKS.get(spec.task), artifact.development
    kinds = task.kinds_of(spec.labels)
    template, strategy = template_of(spec)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(spec.threads)
    model = _loaded(spec.backbone, config.precision, device, spec.trust_remote_code)
    places = rows_to_train(spec, artifact)
    contents, targets = list(development[task.content]), list(development[task.target])
    texts = [plain(one) for one in contents]
    classes = task.classes(targets)
    order = [int(places[one]) for one in spread(None if classes is None else classes[places], len(places), spec.seed)]
    wanted = config.examples if strategy.examples else 0
    similar = config.example_choice == "similar" and wanted > 0
    # Rows on which the prompt is examined are no examples: the most similar one of such a row would be itself.
    apart = min(config.calibration_rows, len(order) // 2)
    examined, others = order[:apart], order[apart:]
    shown, refused = chosen(texts, iter(others), _POOL if similar else wanted, Copies(list(map(plain, held))))
    names = task.named(task.truth([targets[place] for place in shown], spec.labels), spec.labels) if shown else []
    examples = []
    for place, name in zip(shown, names, strict=True):
        text, answer = model.chat.cut(texts[place], config.max_length), name
        if task.words:  # those entities that are left of the sentence
            answer = [one for one in entities_of(contents[place], name) if one["text"] in text]
        examples.append({"text": text, "answer": answer})
    about: dict[str, Any] = {
        "task": spec.task,
        "decoding": task.decoding,
        "labels": list(spec.labels),
        **({"types": list(kinds)} if task.words else {}),
        "descriptions": config.label_descriptions,
        "mode": "generate" if generates(spec, strategy) else "decide",
        "template": {"name": template.name, "version": template.version, "digest": template.digest},
        "strategy": config.strategy,
        "system": strategy.system,
        "user": strategy.user,
        "example": strategy.example,
        "answer": template.answer_schema(config.strategy, kinds),
        "examples": [] if similar else examples,
        "pool": examples if similar else [],
        "shown": min(wanted, len(examples)),
        "max_length": config.max_length,
        "max_new_tokens": config.max_new_tokens,
        "prior": None,
        "precision": model.precision,
        "model": causal_digest(spec.backbone),
    }
    try:
        package = PromptPackage(spec.backbone, device, about, model)
        if config.calibrate and not package.generates:
            about["prior"] = _prior(package, [texts[row] for row in examined], targets)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return Asked(package, [texts[row] for row in examined], refused, template)


def _prior(package: PromptPackage, texts: Sequence[str], targets: Sequence[Any]) -> list[float]:
    """What is subtracted from the logits.

    Where each label is asked for alone, it is the value that as large a share of the texts exceeds as of all training
    rows, whose labels are `targets`, have the label.
    """
    found = package.likelihoods(texts)
    if package.decoding == "single":
        return [float(one) for one in prior_of(found)]
    has = np.array([[label in row for label in range(len(package.labels))] for row in targets])
    return [float(np.quantile(found[:, label], 1 - has[:, label].mean())) for label in range(len(package.labels))]


def _predicted(package: Any, spec: LlmSpec, rows: Any) -> Predictions:
    try:
        return predict(package, spec.task, spec.labels, rows)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _facts(spec: LlmSpec, asked: Asked, artifact: Any, predictions: Predictions) -> tuple[dict[str, Scalar], list[str]]:
    """What a refit tells of its prompt: cost, order, examples, and whether it does better than chance."""
    package, config, task = asked.package, spec.config, TASKS.get(spec.task)
    texts = list(artifact.test[task.content])
    some = [texts[place] for place in islice(spread(None, len(texts), spec.seed), _COUNTED)]
    tokens = 1000 * float(np.mean(package.tokens(some)))
    facts: dict[str, Scalar] = {"tokens_per_1000_rows": round(tokens), "precision": package.about["precision"]}
    if config.price_per_million_tokens is not None:
        facts["price_per_1000_rows"] = tokens * config.price_per_million_tokens / 1e6
    notes = []
    if asked.refused:
        notes.append(f"{asked.refused} training rows were not shown as examples: they are copies of held-out rows")
    rows = asked.examined
    if not package.generates and task.decoding == "single" and rows and _lists_labels(package, rows[0]):
        there, back = (package.likelihoods(rows, order) for order in (spec.labels, spec.labels[::-1]))
        prior = [prior_of(one) if config.calibrate else 0.0 for one in (there, back)]
        facts["flip_rate"] = flip_rate(there - prior[0], back - prior[1])
        notes.append(
            f"the prompt lists the labels, and {facts['flip_rate']:.0%} of {len(rows)} training rows get another label "
            "when it lists them in reversed order"
        )
    if spec.config.max_calls is not None:
        held = max(int((artifact.folds == fold).sum()) for fold in range(artifact.fold_count))
        if held > spec.config.max_calls:
            notes.append(
                f"trials asked for {spec.config.max_calls} of up to {held} held-out rows per fold (llm.max_calls)"
            )
    at_chance = chance(spec, artifact, predictions)
    facts["at_chance"] = bool(at_chance)
    return facts, [*([at_chance] if at_chance else []), *notes]


def chance(spec: LlmSpec, artifact: Any, predictions: Predictions) -> str:
    """A sentence that says that the score is at chance; empty where it is shown to be better.

    Chance is guessing (`podium.evaluation.guessing`), and for tags the most frequent one of each word.
    """
    task = TASKS.get(spec.task)
    own = bootstrap_interval(predictions, spec.metric, CONFIDENCE, RESAMPLES, spec.seed)
    if task.words:
        development = artifact.development
        rows = Training(list(development[task.content]), list(development[task.target]))
        answers = task.baseline(rows, list(artifact.test[task.content]), spec.labels)
        frequent = Predictions.of(spec.task, spec.labels, artifact.test, answers)
        difference, _ = paired_difference(predictions, frequent, spec.metric, CONFIDENCE, RESAMPLES, spec.seed)
        what, of = "it does not beat what needs no model", "the most frequent tag of each word"
    else:
        difference, _ = beyond_guessing(predictions, spec.metric, CONFIDENCE, spec.seed)
        what, of = "it is at chance", "its own answers in random order"
    if difference.low > 0:
        return ""
    return (
        f"{what}: {spec.metric} {own.value:.3f} ({own.low:.3f} to {own.high:.3f}) is not shown to be better "
        f"than {own.value - difference.value:.3f} of {of}"
    )


def plain(content: str | Sequence[str]) -> str:
    """A row as prompts show it."""
    return content if isinstance(content, str) else " ".join(content)


def _lists_labels(package: PromptPackage, text: str) -> bool:
    """Whether the order of the labels changes the prompt."""
    ways = [package.messages(text, None, order) for order in (package.labels, package.labels[::-1])]
    return ways[0] != ways[1]


def _sampled(classes: NDArray[np.int64] | None, rows: int, limit: int, seed: int) -> NDArray[np.int64]:
    """So many of the rows, with each class in its share."""
    kept = sample_rows(np.arange(rows), classes, limit / rows, seed)
    surplus = np.random.default_rng(seed).permutation(len(kept))[: max(0, len(kept) - limit)]
    return np.delete(kept, surplus)


def _save(spec: LlmSpec, asked: Asked, metrics: dict[str, float], rows: dict[str, int]) -> None:
    """Write the package: the prompt, with all files of the model, so that it is served without anything else."""
    target, partial = spec.output / "model", spec.output / ".model"
    for folder in (target, partial):
        shutil.rmtree(folder, ignore_errors=True)
    partial.mkdir(parents=True)
    for file in sorted({file for pattern in CAUSAL_FILES for file in spec.backbone.glob(pattern) if file.is_file()}):
        shutil.copyfile(file, partial / file.name)
    (partial / PROMPT_PACKAGE).write_text(json.dumps(asked.package.about, ensure_ascii=False, indent=1), "utf-8")
    about = asked.package.about
    shown = f"the {about['shown']} most similar of {len(about['pool'])}" if about["pool"] else str(about["shown"])
    use = "from pathlib import Path\nfrom podium.models.prompted.package import PromptPackage\n\n"
    card = model_card(
        spec,
        library="transformers",
        summary=(
            f"Language model prompted by Podium: template {asked.template.name} {asked.template.version}, strategy "
            f"{spec.config.strategy}, {shown} examples, mode {spec.config.mode}, {about['precision']}."
        ),
        use=f'{use}model = PromptPackage(Path("DIRECTORY"))\nprint(model(["{TASKS.get(spec.task).example}"]))',
        data_digest=spec.data_digest or digest_tree(spec.data),
        rows=rows,
        metrics=metrics,
    )
    (partial / "README.md").write_text(card, "utf-8")
    partial.rename(target)
