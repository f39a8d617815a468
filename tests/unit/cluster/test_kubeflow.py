"""kfp's real client as Podium uses it, against a server that refuses, is slow, old, or gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.cluster import kubeflow
from podium.cluster.kubeflow import PIPELINE, Kubeflow
from podium.errors import ClusterError, InputError
from podium.pipelines.register import register
from tests.kfp_server import Fault, Kfp


def with_runs(server: Kfp, count: int) -> list[str]:
    """Ids of runs of the registered pipeline, the newest first."""
    version = register(Kubeflow(server.url).client, PIPELINE)
    reference = {"pipeline_id": version.pipeline_id, "pipeline_version_id": version.version_id}
    made = [server.add_run({"display_name": "a", "pipeline_version_reference": reference}) for _ in range(count)]
    return [one["run_id"] for one in reversed(made)]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (400, "needs your profile: --namespace NAME"),
        (401, "log in again and renew the token in PODIUM_KFP_TOKEN"),
        (403, "ask its owner for the role kubeflow-edit"),
        (404, "it must be the API of Kubeflow Pipelines"),
        (500, "see whether its pods run"),
        (503, "see whether its pods run"),
    ],
)
def test_a_refusal_is_told_with_the_servers_words_and_what_to_do(kfp_server: Kfp, code: int, advice: str) -> None:
    server = Kubeflow(kfp_server.url)
    kfp_server.faults = [Fault("/runs", code), Fault("/pipelines", code)]
    with pytest.raises(ClusterError) as caught:
        list(server.runs())
    assert f"{kfp_server.url} answers {code}: injected {code}; " in str(caught.value)
    assert advice in str(caught.value)
    assert caught.value.status == code


def test_an_answer_that_may_pass_is_asked_for_again(kfp_server: Kfp) -> None:
    kfp_server.faults = [Fault("/healthz", 503, times=2)]
    assert Kubeflow(kfp_server.url).version == "2.17.0"


def test_a_refusal_of_the_health_is_told_at_once(kfp_server: Kfp, capsys: pytest.CaptureFixture[str]) -> None:
    kfp_server.faults = [Fault("/healthz", 401)]
    with pytest.raises(ClusterError, match="answers 401"):
        Kubeflow(kfp_server.url)
    assert len(kfp_server.requests) == 1
    assert capsys.readouterr() == ("", "")


def test_a_login_page_is_not_taken_for_an_answer(kfp_server: Kfp) -> None:
    kfp_server.faults = [Fault("/healthz", 200, html=True)]
    with pytest.raises(
        ClusterError, match="a page for browsers came, as of a login; give the token in PODIUM_KFP_TOKEN"
    ):
        Kubeflow(kfp_server.url)


def test_a_slow_answer_and_a_server_that_is_gone_are_told_apart(
    kfp_server: Kfp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeflow, "SILENT_SECONDS", 0.2)
    kfp_server.faults = [Fault("/healthz", 0)]
    with pytest.raises(ClusterError, match=r"did not answer within 0.2 s; see whether its pods run"):
        Kubeflow(kfp_server.url)
    with pytest.raises(ClusterError, match=r"cannot be reached \(.*\); check the URL and the port-forward"):
        Kubeflow("http://127.0.0.1:9")


@pytest.mark.parametrize("behind_ui", [False, True])
@pytest.mark.parametrize(("version", "old"), [("2.5.0", True), ("2.17.1", False), ("2.18.0-rc.1", False), ("", False)])
def test_an_old_server_is_refused(kfp_server: Kfp, version: str, old: bool, behind_ui: bool) -> None:
    kfp_server.version, kfp_server.behind_ui = version, behind_ui
    if old:
        with pytest.raises(ClusterError, match=r"must be of version 2.17 or later, but .* is 2.5.0"):
            Kubeflow(kfp_server.url)
    else:
        assert Kubeflow(kfp_server.url).version == version


def test_no_endpoint_at_all_is_bad_input(kfp_server: Kfp) -> None:
    with pytest.raises(InputError, match="neither --endpoint URL nor a usable kubeconfig"):
        Kubeflow()


def test_the_endpoint_and_credentials_come_from_the_environment_and_are_never_shown(
    kfp_server: Kfp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cookie").write_text("session=dough\n")
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", kfp_server.url)
    monkeypatch.setenv("PODIUM_KFP_TOKEN", "s3cret")
    monkeypatch.setenv("PODIUM_KFP_COOKIE_FILE", str(tmp_path / "cookie"))
    server = Kubeflow()
    kfp_server.faults = [Fault("/runs", 403), Fault("/pipelines", 403)]
    with pytest.raises(ClusterError) as caught:
        list(server.runs())
    *_, headers = kfp_server.requests[-1]
    assert (headers["Cookie"], headers["authorization"]) == ("session=dough", "Bearer s3cret")
    assert "s3cret" not in f"{caught.value}{caplog.text}" and "dough" not in f"{caught.value}{caplog.text}"
    monkeypatch.setenv("PODIUM_KFP_COOKIE_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="PODIUM_KFP_COOKIE_FILE must name a file with a cookie"):
        Kubeflow()


def test_a_pod_shows_the_token_of_its_service_account(
    kfp_server: Kfp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("projected")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    list(Kubeflow(kfp_server.url).runs())
    *_, headers = kfp_server.requests[-1]
    assert headers["authorization"] == "Bearer projected"


def test_runs_come_page_by_page_the_newest_first_without_those_of_others(kfp_server: Kfp) -> None:
    ids = with_runs(kfp_server, 5)
    kfp_server.add_run({"display_name": "b", "pipeline_version_reference": {"pipeline_id": "foreign"}})
    kfp_server.add_run({"display_name": "c", "pipeline_spec": {"pipelineInfo": {"name": "champion"}}})
    kfp_server.runs[1]["storage_state"] = "ARCHIVED"
    kfp_server.page_size = 2
    found = [run.run_id for run in Kubeflow(kfp_server.url).runs()]
    assert found == [kfp_server.runs[-1]["run_id"], *ids[:3], ids[4]]


def test_a_run_is_named_by_its_id_the_beginning_of_it_or_latest(kfp_server: Kfp) -> None:
    server = Kubeflow(kfp_server.url)
    with pytest.raises(InputError, match="has no run of Podium; start one with podium submit"):
        server.run("latest")
    first, second = with_runs(kfp_server, 2)
    server = Kubeflow(kfp_server.url)
    assert server.run("latest").run_id == first
    assert server.run(second).run_id == server.run(second[:9]).run_id == second
    for name, message in (
        ("0" * 12, "it begins none of Podium's"),
        ("", "RUN is an id"),
        ("newest", "RUN is an id, its first digits, or latest, but got 'newest'"),
    ):
        with pytest.raises(InputError, match=message):
            server.run(name)
    kfp_server.runs[0]["run_id"], kfp_server.runs[1]["run_id"] = "abc1", "abc2"
    with pytest.raises(InputError, match="'abc' must begin the id of one run, but it begins abc2, abc1"):
        server.run("abc")
