"""One trial of a Katib Experiment: its name, its labels, and the resource that its template becomes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from podium.hpo.space import Params
from podium.katib.experiment import KatibExperiment
from podium.katib.space import to_text
from podium.katib.template import METADATA, PLACEHOLDER

EXPERIMENT_LABEL = "katib.kubeflow.org/experiment"
DEFAULT_NAMESPACE = "default"

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of Kubernetes' random names; no word can be made of them."""
_SUFFIX = 8


def namespace_of(katib: KatibExperiment) -> str:
    """The namespace of the experiment, `default` where it names none, as for kubectl."""
    return katib.namespace or DEFAULT_NAMESPACE


def trial_name(katib: KatibExperiment, number: int) -> str:
    """Name of a trial: that of the experiment and eight letters, which follow from the experiment and the number."""
    text = f"{namespace_of(katib)}/{katib.experiment.name}/{number}"
    value = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    letters = []
    for _ in range(_SUFFIX):
        value, letter = divmod(value, len(_LETTERS))
        letters.append(_LETTERS[letter])
    return f"{katib.experiment.name}-{''.join(letters)}"


def trial_labels(katib: KatibExperiment) -> dict[str, str]:
    """Labels of a trial: those of the experiment, and its name."""
    return {**katib.labels, EXPERIMENT_LABEL: katib.experiment.name}


def render(katib: KatibExperiment, number: int, params: Params, name: str | None = None) -> dict[str, Any]:
    """The Job or TrainJob of a trial, under the `trial_name` of its number unless it has another.

    Every placeholder in a text of the template is replaced by its value.
    """
    name, namespace = name or trial_name(katib, number), namespace_of(katib)
    template = katib.template
    values = {
        parameter.name: (
            to_text(params[parameter.reference])
            if parameter.reference in params
            else _metadata(template.trial_spec, parameter.reference, name, namespace)
        )
        for parameter in template.parameters
    }
    text = PLACEHOLDER.sub(
        lambda match: json.dumps(values.get(match[1], match[0]))[1:-1],
        json.dumps(template.trial_spec, ensure_ascii=False),
    )
    spec: dict[str, Any] = json.loads(text)
    spec["metadata"] = {**(spec.get("metadata") or {}), "name": name, "namespace": namespace}
    return spec


def _metadata(spec: Any, reference: str, name: str, namespace: str) -> str:
    """The value of a reference to metadata; the template has checked that it exists."""
    match = METADATA.fullmatch(reference)
    assert match is not None
    if match[2]:
        return str(spec["metadata"][match[2].lower()][match[3]])
    plain = {"Name": name, "Namespace": namespace, "Kind": spec["kind"], "APIVersion": spec["apiVersion"]}
    return str(plain[match[1]])
