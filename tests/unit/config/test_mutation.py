"""Every field of the config either changes what `keyed` sees, or is on the list of excluded fields below."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from podium import plugins
from podium.config.entrants import ENTRANTS
from podium.config.fields import FieldPath, OneOf, child_of, node_at
from podium.config.schema import PodiumConfig
from podium.config.section import Section
from podium.keys import Key, NotKeyed, canonical_json, keyed
from podium.tasks.base import Option
from podium.tasks.text_classification import TextClassification

EXCLUDED = {
    "hpo.timeout_seconds",
    "plan",
    "entrants.*.licence",
    "entrants.*.path",
    "entrants.*.revision",
    "cluster",
    "dataset.licence",
    "dataset.name",
    "dataset.path",
    "dataset.predict_path",
    "dataset.test_path",
    "dataset.validation_path",
    "hpo.engine",
    "hpo.goal",
    "hpo.max_failed_trials",
    "hpo.max_trials",
    "hpo.parallel_folds",
    "hpo.parallel_trials",
    "hpo.warm_start",
    "llm.price_per_million_tokens",
    "output",
    "profile.image",
    "profile.max_trace_mb",
    "profile.mode",
    "profile.namespace",
    "profile.ncu",
    "profile.nsys",
    "profile.service_account",
    "profile.timeout_seconds",
    "run_mode",
    "store",
    "tracking",
    "training.checkpoints_per_epoch",
    "training.eval_batch_size",
    "training.threads",
    "training.timeout_seconds",
}
"""Golden: a field leaves the keys only by an edit here as well."""

SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1e-3, "log": True},
    "epochs": {"type": "float", "low": 1.0, "high": 4.0, "step": 0.5},
    "weight_decay": {"type": "float", "low": 0.0, "high": 1.0},
    "batch_size": {"type": "categorical", "choices": [8, 16]},
    "max_length": {"type": "int", "low": 16, "high": 64},
}
LINEAR_SPACE = {
    "C": {"type": "float", "low": 1.0, "high": 64.0},
    "analyzer": {"type": "categorical", "choices": ["word", "char_wb"]},
    "word_ngrams": {"type": "int", "low": 1, "high": 2, "when": {"analyzer": ["word"]}},
    "max_features": {"type": "categorical", "choices": [1000, 20000]},
}
LLM_SPACE = {
    "examples": {"type": "int", "low": 1, "high": 8, "step": 1},
    "calibration_rows": {"type": "int", "low": 8, "high": 64},
    "max_length": {"type": "categorical", "choices": [64, 128]},
    "max_new_tokens": {"type": "int", "low": 8, "high": 64, "when": {"max_length": [64]}},
}
TEXTS: dict[str, Any] = {
    "seed": 3,
    "benchmark": {"settings": {"generation": {}, "grid": {}, "server": {}}},
    "store": "/store",
    "dataset": {"name": "x", "path": "/x", "task": "text-classification"},
    "entrants": {"tiny": {"path": "/tiny"}, "quick": {"kind": "linear"}},
    "hpo": {
        "space": SPACE,
        "linear_space": LINEAR_SPACE,
        "llm_space": LLM_SPACE,
        "metric": "",
        "algorithm": {"name": "tpe", "settings": {"n_startup_trials": 3}},
    },
    "selection": {"promotion": {"force": False, "reason": "why"}},
    "cluster": {
        "image": "podium:1",
        "pools": {"cpu": {}, "accuracy": {}},
        "trial_pool": "cpu",
        "runtime": "torch-distributed",
        "volume_claim": "shared",
        "volume_path": "/shared",
    },
}
TAGS = {
    **TEXTS,
    "dataset": {"name": "x", "path": "/x", "task": "ner", "format": "sql", "query": "select 1"},
    "hpo": {
        "space": {"dropout": {"type": "float", "low": 0.1, "high": 0.4}},
        "linear_space": {"window": {"type": "int", "low": 1, "high": 3}},
        "epochs": 1.0,
    },
}


SEARCHES = (
    {"algorithm": {"name": "bayesianoptimization"}, "early_stopping": {"name": "median"}},
    {"algorithm": {"name": "cmaes"}, "early_stopping": {"name": "medianstop"}},
    {"algorithm": {"name": "hyperband", "settings": {"resource_name": "epochs", "r_l": 9}}},
    {"algorithm": {"name": "random"}},
)
BASES = (TEXTS, TAGS, *({**TEXTS, "hpo": {"space": SPACE, **search}} for search in SEARCHES))


def declared(node: Any = PodiumConfig, path: FieldPath = ()) -> Iterator[tuple[FieldPath, FieldInfo]]:
    """Every field of every section with its declaration, those that hold sections included."""
    if isinstance(node, dict):
        yield from declared(node["*"], (*path, "*"))
    for section in sections_of(node):
        for name, field in section.model_fields.items():
            yield (*path, name), field
            yield from declared(child_of(section, name), (*path, name))


def sections_of(node: Any) -> tuple[type[Section], ...]:
    return node.sections if isinstance(node, OneOf) else (node,) if isinstance(node, type) else ()


FIELDS = dict(declared())
LEAVES = [path for path in FIELDS if isinstance(node_at(path), FieldInfo)]
CONSTANTS = (
    None,
    True,
    False,
    1,
    2,
    9,
    64,
    5000,
    0.25,
    1.5,
    1e-4,
    "accuracy",
    "cp1252",
    ";",
    "select 2",
    "/other",
    {},
    (),
)
CONSTANTS += (
    ("abc",),
    ("onnx",),
    ("grid",),
    ("nsys",),
    (16,),
    {"n": 2},
    {"max_length": (16,)},
    {"analyzer": ("char_wb",)},
    ("word",),
    (0.5,),
    {"disk": "ssd"},
    "500m",
    "ner",
    "text-classification",
    "sobol",
    "forest",
)


@pytest.fixture(autouse=True, scope="module")
def _more() -> Iterator[None]:
    """Give a task an option, so that options can differ, and another package's kind of entrant, so that kinds can."""
    forest = EntryPoint("forest", "podium.entrants.linear:LINEAR", ENTRANTS.group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextClassification, "options", {"n": Option(1, "A number.")})
        patch.setattr(plugins, "_entry_points", lambda group: {"forest": forest} if group == forest.group else {})
        patch.setattr(ENTRANTS, "_loaded", {})
        yield
    unchanged.cache_clear()


@cache
def unchanged(base: int) -> tuple[PodiumConfig, dict[str, Any], str, str]:
    """The config of a base, its values, and what its key is made of and is."""
    config = PodiumConfig.model_validate(BASES[base])
    return config, config.model_dump(), canonical_json(keyed(config)), Key.of("any", config=config).digest


def marks(field: FieldInfo) -> list[NotKeyed]:
    return [mark for mark in field.metadata if isinstance(mark, NotKeyed)]


def is_excluded(path: FieldPath) -> bool:
    return any(marks(FIELDS[path[:end]]) for end in range(1, len(path) + 1) if path[:end] in FIELDS)


def literals(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        yield from (value for part in get_args(annotation) for value in literals(part))


def candidates(field: FieldInfo, value: Any) -> Iterator[Any]:
    """Other values that may be valid for a field; validation decides."""
    yield from literals(field.annotation)
    if isinstance(value, (int, float)):
        yield from (value + 1, value * 2, value / 2)
    if isinstance(value, tuple):
        yield value + value
    yield from CONSTANTS


def places(tree: Any, path: FieldPath) -> Iterator[FieldPath]:
    """Concrete paths in a tree of values that a path of the schema stands for."""
    if not path:
        yield ()
        return
    for name in tree if path[0] == "*" else [name for name in path[:1] if name in tree]:
        yield from ((name, *rest) for rest in places(tree[name], path[1:]))


def at(tree: Any, path: FieldPath) -> Any:
    for name in path:
        tree = tree[name]
    return tree


def with_value(tree: Any, path: FieldPath, value: Any) -> Any:
    """The tree with another value at a path; what lies elsewhere is shared, not copied."""
    return {**tree, path[0]: with_value(tree[path[0]], path[1:], value)} if path else value


def mutations(path: FieldPath) -> Iterator[tuple[int, PodiumConfig]]:
    """Valid configs that differ from a base, which is given by its place, in one place that `path` stands for."""
    for base in range(len(BASES)):
        _, before, *_ = unchanged(base)
        tree = with_value(before, ("hpo", "metric"), "")
        for place in places(tree, path):
            for value in candidates(FIELDS[path], at(before, place)):
                try:
                    after = PodiumConfig.model_validate(with_value(tree, place, value))
                except ValidationError:
                    continue
                if at(after.model_dump(), place) != at(before, place):
                    yield base, after


def changes_key(base: int, after: PodiumConfig) -> bool:
    _, _, parts, digest = unchanged(base)
    same = parts == canonical_json(keyed(after))
    assert same == (digest == Key.of("any", config=after).digest)
    return not same


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_a_field_changes_the_key_unless_it_is_excluded(path: FieldPath) -> None:
    pairs = [*mutations(path)]
    assert pairs, f"no other valid value was found for {'.'.join(path)}; add one to CONSTANTS"
    assert [changes_key(*pair) for pair in pairs] == [not is_excluded(path)] * len(pairs)


@pytest.mark.parametrize("path", FIELDS, ids=".".join)
def test_a_section_leaves_out_exactly_its_marked_fields(path: FieldPath) -> None:
    holding = [section for section in sections_of(node_at(path[:-1])) if path[-1] in section.model_fields]
    assert holding
    for section in holding:
        value = section.model_construct(**dict.fromkeys(section.model_fields, 1))
        assert (path[-1] in keyed(value)) == (not marks(FIELDS[path]))


def test_the_excluded_fields_are_frozen() -> None:
    assert {".".join(path) for path, field in FIELDS.items() if marks(field)} == EXCLUDED


def test_every_exclusion_has_one_reason() -> None:
    found = {".".join(path): marks(field) for path, field in FIELDS.items() if marks(field)}
    assert all(len(given) == 1 and len(given[0].reason.split()) > 2 for given in found.values()), found


def test_entries_of_a_dict_change_the_key() -> None:
    for other in ({"path": "/tiny"}, {"kind": "linear"}):
        more = {**TEXTS, "entrants": {**TEXTS["entrants"], "other": other}}
        assert changes_key(0, PodiumConfig.model_validate(more))
    for name, space in (("space", SPACE), ("linear_space", LINEAR_SPACE), ("llm_space", LLM_SPACE)):
        fewer = {**TEXTS, "hpo": {**TEXTS["hpo"], name: {one: space[one] for one in [*space][1:]}}}
        assert changes_key(0, PodiumConfig.model_validate(fewer))


def test_a_value_written_in_another_type_is_the_same_key() -> None:
    tree = PodiumConfig.model_validate(TEXTS).model_dump()
    tree["hpo"]["max_trials"] = 8.0
    tree["training"]["batch_size"] = 16.0
    tree["training"]["epochs"] = 2
    tree["hpo"]["space"]["batch_size"]["choices"] = [8.0, 16.0]
    tree["hpo"]["space"]["max_length"]["low"] = 16
    tree["hpo"]["linear_space"]["max_features"]["choices"] = [1000.0, 20000.0]
    tree["linear"]["C"] = 10
    tree["linear"]["min_df"] = 1.0
    tree["hpo"]["algorithm"]["settings"]["n_startup_trials"] = 3.0
    assert not changes_key(0, PodiumConfig.model_validate(tree))
