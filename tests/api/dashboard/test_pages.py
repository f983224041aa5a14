"""The pages without a browser: their headers, their errors, and what they say where there is nothing to show."""

import gzip
from pathlib import Path

import httpx
import pytest

from crowdrun.api.dashboard import assets
from crowdrun.api.serving.tokens import TokenFile
from crowdrun.data.roles import Role
from crowdrun.data.settings import Settings
from crowdrun.data.store import JobStore
from crowdrun.predictor.crowd import FIGURES_FILE, Crowd
from crowdrun.predictor.persistence import registry

PAGES = ("/dashboard/", "/dashboard/try", "/dashboard/model", "/dashboard/jobs")


@pytest.mark.parametrize("path", [*PAGES, "/dashboard/job?id=1000", "/dashboard/job?id=none", "/dashboard/jobs?page=x"])
def test_no_page_may_load_or_send_anything_elsewhere(service: httpx.Client, path: str) -> None:
    answer = service.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["cache-control"] == "no-store"


def test_the_address_of_the_service_leads_to_the_overview(service: httpx.Client) -> None:
    assert service.get("/").headers["location"] == "/dashboard/"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_without_a_job_or_a_model_says_what_to_do(empty_service: httpx.Client, path: str) -> None:
    answer = empty_service.get(path)
    assert answer.status_code == 200
    assert "crowdrun ingest" in answer.text
    assert "crowdrun retrain" in answer.text


def test_jobs_without_a_model_are_shown_and_what_would_have_been_saved_is_not(
    empty_service: httpx.Client, job_log: object
) -> None:
    job = {"job_id": "1", "state": "COMPLETED", "start_time": 0.0, "end_time": 3600.0, "req_mem_mb": 2048.0}
    empty_service.post("/v1/jobs", json=job | {"submit_time": 0.0, "peak_mem_mb": 1024.0}).raise_for_status()
    overview = empty_service.get("/dashboard/").text
    assert "not in the log" in overview
    assert "once there is a model" in overview
    refused = empty_service.post("/dashboard/try", data={"job_name": "train"})
    assert refused.status_code == 503
    assert "crowdrun retrain" in refused.text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/dashboard/jobs?since=yesterday", 422, "a day like 2026-11-24"),
        ("/dashboard/jobs?page=0", 422, "page"),
        ("/dashboard/?by=colour", 422, "by"),
        ("/dashboard/job?id=nothing", 404, "no job nothing"),
        ("/dashboard/static/0/dashboard.css", 404, "nothing at this address"),
    ],
)
def test_what_cannot_be_shown_is_said(service: httpx.Client, path: str, status: int, said: str) -> None:
    answer = service.get(path)
    assert answer.status_code == status
    assert said in answer.text


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"script": "#SBATCH --mem=lots\n", "user": "ada"}, "--mem is &#39;lots&#39;"),
        ({"script": "#SBATCH --mem\n"}, "cannot read the #SBATCH lines"),
        ({"user": "ada", "batch_size": "many"}, "batch_size is &#39;many&#39;"),
        ({"user": "ada", "risk": "2"}, "risk is &#39;2&#39;"),
        ({"script": "  \n"}, "Paste a script"),
    ],
)
def test_a_form_that_cannot_be_used_comes_back_with_the_reason(
    service: httpx.Client, form: dict[str, str], said: str
) -> None:
    answer = service.post("/dashboard/try", data=form)
    assert answer.status_code in (200, 422)
    assert said in answer.text


def test_a_job_of_nobody_known_gets_no_figure_and_the_reason(service: httpx.Client) -> None:
    answer = service.post("/dashboard/try", data={"user": "stranger", "job_name": "new", "mem": "4G"})
    assert "Nothing can be said of this job" in answer.text
    assert "no ended job of user stranger" in answer.text


def test_an_asset_is_compressed_and_stays_for_ever_under_its_name(service: httpx.Client) -> None:
    for name, address in assets.urls().items():
        with service.stream("GET", address) as answer:
            assert answer.headers["content-encoding"] == "gzip"
            assert "immutable" in answer.headers["cache-control"]
            assert len(gzip.decompress(b"".join(answer.iter_raw()))) > 500, name


def test_a_page_of_another_site_changes_nothing(service: httpx.Client, settings: Settings, crowd: Crowd) -> None:
    second = registry.publish(crowd, settings.models_dir)
    answer = service.post("/dashboard/model/rollback", headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 401
    assert registry.current_id(settings.models_dir) == second


@pytest.mark.usefixtures("tokens_only")
def test_a_stranger_sees_the_form_for_a_token_and_nothing_else(service: httpx.Client) -> None:
    for path in (*PAGES, "/dashboard/job?id=1000"):
        answer = service.get(path)
        assert answer.status_code == 401
        assert "crowdrun token create" in answer.text
        assert "user1" not in answer.text


@pytest.mark.usefixtures("tokens_only")
def test_after_the_form_a_person_goes_on_to_a_page_of_ours_and_to_no_other_site(
    service: httpx.Client, settings: Settings
) -> None:
    _, token = TokenFile.of(settings).create("ada", Role.OPERATOR)
    for wanted, went in (
        ("/dashboard/jobs?user=ada", "/dashboard/jobs?user=ada"), ("https://elsewhere.example/", "/dashboard/"),
    ):  # fmt: skip
        answer = service.post("/dashboard/login", data={"token": token, "next": wanted})
        assert (answer.status_code, answer.headers["location"]) == (303, went)
        assert {"HttpOnly", "SameSite=strict"} <= set(answer.headers["set-cookie"].split("; "))


@pytest.mark.usefixtures("tokens_only")
def test_who_may_submit_asks_as_themselves_and_sees_no_job_of_another(
    service: httpx.Client, settings: Settings
) -> None:
    _, token = TokenFile.of(settings).create("user2", Role.SUBMIT)
    service.headers["Authorization"] = f"Bearer {token}"
    answer = service.post("/dashboard/try", data={"user": "user1", "job_name": "trainb-1"})
    assert "user1" not in answer.text
    with JobStore.open(settings.store) as store:
        other = next(job for job in store.jobs().to_dict("records") if job["user"] == "user1")
    assert service.get("/dashboard/job", params={"id": other["job_id"]}).status_code == 404
    assert service.get("/dashboard/try", params={"job": other["job_id"]}).text.count(other["job_name"]) == 0


def test_a_model_that_was_made_without_figures_is_shown_all_the_same(
    service: httpx.Client, settings: Settings, crowd: Crowd, tmp_path: Path
) -> None:
    bare = Crowd(crowd.models, crowd.abstained, crowd.summary)
    model_id = registry.publish(bare, settings.models_dir)
    assert (settings.models_dir / model_id / FIGURES_FILE).read_text() == "{}"
    for _ in range(50):
        if service.get("/v1/model").json()["id"] == model_id:
            break
    text = service.get("/dashboard/model").text
    assert "made without figures" in text or model_id in text
    assert service.get("/dashboard/").status_code == 200


def test_who_is_trusted_to_submit_from_this_machine_is_nobody_by_name_and_sees_nobody_s_jobs(
    crowdrun_home: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("CROWDRUN_TRUST_LOCAL", "submit")
    service: httpx.Client = request.getfixturevalue("service")
    for path in ("/dashboard/jobs", "/dashboard/jobs?user=user1", "/dashboard/"):
        answer = service.get(path)
        assert answer.status_code == 401
        assert "user1" not in answer.text.replace("user=user1", "")


def test_under_pseudonyms_a_person_finds_their_own_jobs_and_an_operator_those_of_a_name(
    crowdrun_home: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("CROWDRUN_PSEUDONYMISE", "true")
    service: httpx.Client = request.getfixturevalue("empty_service")
    job = {"state": "COMPLETED", "start_time": 0.0, "end_time": 3600.0, "req_mem_mb": 2048.0, "peak_mem_mb": 5.0}
    jobs = [job | {"job_id": f"of-{user}", "user": user, "submit_time": 0.0} for user in ("ada", "bob")]
    service.post("/v1/jobs", json=jobs).raise_for_status()
    found = service.get("/dashboard/jobs?user=ada").text
    assert "of-ada" in found
    assert "of-bob" not in found
    _, token = TokenFile(crowdrun_home / "tokens.json").create("bob", Role.SUBMIT)
    service.headers["Authorization"] = f"Bearer {token}"
    own = service.get("/dashboard/jobs").text
    assert "of-bob" in own
    assert "of-ada" not in own
    assert service.get("/dashboard/job?id=of-bob").status_code == 200
    assert service.get("/dashboard/job?id=of-ada").status_code == 404
