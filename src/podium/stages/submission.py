"""What `podium submit` sends to Kubeflow Pipelines: parameters from both forms, their key, and the plan of the run."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

from podium.config.cluster import NodePoolConfig
from podium.config.form import RunForm
from podium.config.form import parameters as parameters_of
from podium.config.paths import PACKAGE, is_remote
from podium.config.pods import POOLS, WAITING, PodForm
from podium.config.schema import PodiumConfig
from podium.errors import ConfigError, InputError, PodiumError
from podium.keys import canonical_json, digest_bytes
from podium.records import RunRecord
from podium.stages.prepare import check_shared, foreseen, lines_of, resolve_form
from podium.stages.step import StepInputs
from podium.stages.steps import STEPS, step_named
from podium.text import hint, redact

MAX_BYTES = 10_000
"""What the parameters of a run may take by default, all together (`MAX_PARAMETER_BYTES` of the API server)."""

_QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]i?)?")
_CHECKS = {
    "cpu": (_QUANTITY, "an amount such as 500m, 2 or 8Gi"),
    "memory": (_QUANTITY, "an amount such as 500m, 2 or 8Gi"),
    "devices": (re.compile(r"[1-9]\d*"), "a whole number from 1"),
    "image": (re.compile(r"\S+"), "the name of an image"),
}
_NODES = ("selector", "tolerations", "cpu", "memory")
_KINDS: dict[Any, tuple[type, str]] = {dict: (dict, "a JSON object"), list: (list, "a JSON list")}


def pod_values(image: str, credentials: str, pools: Sequence[str]) -> dict[str, Any]:
    """Values of the pod form, by parameter.

    Args:
        image: of all pools; empty for the default.
        credentials: name of the Secret; empty for the default.
        pools: single values as `POOL.FIELD=VALUE`; they win over the image of all.

    Raises:
        ConfigError: a pool or a field does not exist, or a value does not fit.
    """
    found: dict[str, Any] = {f"pool_{pool}_image": image for pool in POOLS} if image else {}
    found |= {"pods_credentials": credentials} if credentials else {}
    kinds = get_type_hints(PodForm)
    known = {
        f"{pool}.{name.removeprefix(start)}": name
        for pool in POOLS
        for name in kinds
        if name.startswith(start := f"pool_{pool}_")
    }
    for given in pools:
        name, equals, value = given.partition("=")
        if not equals or name not in known:
            raise ConfigError(f"--pool takes POOL.FIELD=VALUE, but got {given!r}{hint(name, known)}")
        found[known[name]] = _pod_value(name, value, kinds[known[name]])
    return found


def _pod_value(name: str, text: str, kind: Any) -> Any:
    if kind in _KINDS:
        expected, what = _KINDS[kind]
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, expected):
            raise ConfigError(f"--pool {name} must be {what}, but got {text!r}")
        return value
    pattern, what = _CHECKS.get(name.partition(".")[2], (None, ""))
    if pattern and not pattern.fullmatch(text):
        raise ConfigError(f"--pool {name} must be {what}, but got {text!r}")
    return text


@dataclass(frozen=True)
class Submission:
    """A run to be submitted.

    Attributes:
        config: the resolved config, as far as it is known here.
        inferred: what was inferred from the data, in lines for people.
        read: whether the data was read here.
    """

    form: RunForm
    pods: Mapping[str, Any]
    config: PodiumConfig
    inferred: tuple[str, ...] = ()
    read: bool = True

    @classmethod
    def of(cls, form: RunForm, pods: Mapping[str, Any], directory: Path, *, read: bool = True) -> Submission:
        """Check what pods will get as far as that is possible here.

        Args:
            directory: where the user is.
            read: whether to read the data here; without, pods are the first to check data and columns.

        Raises:
            ConfigError: a value is unknown, contradicts another, or names what pods do not reach.
            InputError: the data cannot be read, or their columns cannot be inferred.
        """
        named = {"--config": form.run_config, "--data": form.data_path} if read else {"--config": form.run_config}
        named |= {f"--entrant {one}": one for one in form.model_entrants if Path(directory, one).exists()}
        for option, value in named.items():
            if value and not (is_remote(value) or value.startswith(PACKAGE)):
                raise ConfigError(
                    f"{option} must name what pods reach, but {value} is a path of this machine; give a URI such as "
                    "s3://bucket/file"
                    + ("" if option != "--data" else ", or add --no-read for a path inside the image or volume of pods")
                )
        for text in (value for one in asdict(form).values() for value in (one if isinstance(one, tuple) else (one,))):
            if isinstance(text, str) and redact(text) != text:
                raise ConfigError(
                    "everybody sees the parameters of a run, so they must hold no credentials, but got "
                    f"{redact(text)}; put credentials into the Secret that --credentials names"
                )
        seen = form if read else replace(form, data_path="", run_preset=form.run_preset or "quickstart")
        try:
            composed = resolve_form(seen, directory)
        except InputError as error:
            if type(error) is InputError and is_remote(seen.data_path):
                raise InputError(f"{error}; where only pods may read the data, add --no-read") from error
            raise
        check_shared(composed.config)
        made = cls(form, _sized(pods, composed.config), composed.config, composed.inferred, read)
        size = len(json.dumps(made.parameters).encode())
        if size > MAX_BYTES:
            raise InputError(
                f"the parameters of a run may take {MAX_BYTES:,} bytes, but these take {size:,}; put config values "
                "into a file at a URI, and name it with --config"
            )
        return made

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the pipeline that differ from their defaults."""
        form = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self.form).items()}
        given, defaults = form | dict(self.pods), _defaults()
        return {name: value for name, value in sorted(given.items()) if value != defaults[name]}

    def key(self, version: str) -> str:
        """The key of the run: equal for equal parameters of the same version of the pipeline."""
        return digest_bytes(canonical_json({"version": version, "parameters": self.parameters}))

    def name(self, version: str) -> str:
        """The name of the run in Kubeflow: what is run, and its key."""
        data = self.form.data_path.rstrip("/").rpartition("/")[2] or "data"
        what = re.sub(r"[^\w.-]+", "-", data if self.form.data_path else self.config.dataset.name)
        return f"{what[:40].strip('-')}-{self.key(version)[:12]}"

    def pools(self) -> list[list[str]]:
        """A table of the pods: pool, steps, image and what each requests."""
        steps: dict[str, list[str]] = defaultdict(list)
        for step in STEPS:
            if step.name != "plan":
                steps[step.pool].append(step.name)
        rows = [["pool", "steps", "image", "processors", "memory", "device", "nodes"]]
        for pool in POOLS:
            given = self._of_pool(pool)
            device = f"{given['devices']} {given['device']}" if given.get("device") else "-"
            nodes_of = ",".join(f"{name}={value}" for name, value in given["selector"].items()) or "any"
            rows.append([pool, " ".join(steps[pool]), given["image"], given["cpu"], given["memory"], device, nodes_of])
        return rows

    def placed(self) -> dict[str, NodePoolConfig]:
        """What the pods request of nodes, by pool; without pools that tolerate every taint, which is not said there."""
        found: dict[str, NodePoolConfig] = {}
        for pool in POOLS:
            given = self._of_pool(pool)
            taints = [_taint(one) for one in given["tolerations"]]
            if all(taints):
                kept = {name: value for name, value in given.items() if name in NodePoolConfig.model_fields and value}
                found[pool] = NodePoolConfig(**kept | {"tolerations": tuple(taints)})
        return found

    def _of_pool(self, pool: str) -> dict[str, Any]:
        start = f"pool_{pool}_"
        values = _defaults() | dict(self.pods)
        return {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}

    def data_key(self) -> str:
        """The key of the data as it is now; empty where it is not read here."""
        if self.form.data_path and not self.read:
            return ""
        return step_named("prepare").key(StepInputs(RunRecord(run_id="plan", config=self.config))).digest

    def reused(self) -> list[str]:
        """What the run would find in the store, one step per line, up to what depends on the node that measures."""
        if self.form.data_path and not self.read:
            return ["the data is not read here, so what would be reused is not known before `prepare`"]
        run = RunRecord(run_id="plan", config=self.config)
        try:
            lines = lines_of(list(foreseen(run, {}, until="benchmark")))
        except (PodiumError, OSError) as error:
            return [f"what is stored is not known here: {redact(str(error)).splitlines()[0]}"]
        return [*lines, "what follows depends on the node that measures"]


def _sized(pods: Mapping[str, Any], config: PodiumConfig) -> dict[str, Any]:
    """Values of the pod form in which pods that compute nothing do not hold what their pool has for computing.

    A profile that nobody asked for is skipped, in a pod like those that report. Of a search by Katib, what is not given
    is what it takes to wait for trials; its nodes are also those of trials without a pool.
    """
    values = _defaults() | dict(pods)
    skipped = {f"pool_profile_{name}": values[f"pool_cpu_{name}"] for name in _NODES} | {"pool_profile_device": ""}
    waits = {f"pool_search_{name}": value for name, value in WAITING.items()}
    found = (waits if config.hpo.engine == "katib" else {}) | dict(pods)
    return found | ({} if config.profile.tools else skipped)


def _taint(toleration: Mapping[str, Any]) -> str:
    """A toleration of Kubernetes in the words of a node pool; empty for one of every taint."""
    value = "" if toleration.get("operator") == "Exists" else f"={toleration.get('value', '')}"
    effect = f":{toleration['effect']}" if toleration.get("effect") else ""
    return f"{toleration['key']}{value}{effect}" if toleration.get("key") else ""


def config_of(parameters: Mapping[str, Any], directory: Path) -> PodiumConfig | None:
    """The config of a run with these parameters, without its data and entrants; None where it cannot be known here."""
    form = replace(RunForm.of(parameters), data_path="", model_entrants=())
    try:
        return resolve_form(form, directory).config
    except InputError:
        return None


def _defaults() -> dict[str, Any]:
    return {one.name: one.default for form in (RunForm, PodForm) for one in parameters_of(form)}
