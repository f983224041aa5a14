"""The pages in a real Chromium, as a person uses them, at two window sizes."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from crowdrun.api.dashboard.answer import STOPS
from crowdrun.api.dashboard.words import TARGETS, amount, share, size
from crowdrun.api.serving.tokens import TokenFile
from crowdrun.data.roles import Role
from crowdrun.data.settings import Settings, load_settings
from crowdrun.data.store import JobStore
from crowdrun.data.usage import Usage
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.explanation.words import percent
from crowdrun.predictor.persistence import registry
from tests.api.conftest import serving
from tests.api.dashboard.conftest import LAPTOP, PHONE

pytestmark = pytest.mark.chromium

SCRIPT = "#!/bin/bash\n#SBATCH --job-name=trainb-999 --mem=16G\n#SBATCH -t 1:00:00 --gres=gpu:1\npython train.py\n"
JOB = {
    "user": "user1", "job_name": "trainb-999", "req_mem_mb": 16384, "timelimit_s": 3600, "req_nodes": 1, "req_cpus": 1,
    "req_gpus": 1,
}  # fmt: skip
#: A forecast of GPU memory in the page's own defaults, and how long it may take on a busy machine, ms.
LENET = {
    "model": {"architecture": "lenet"}, "batch_size": 100_000, "optimizer": "sgd", "fit": {"limit_mb": 1024},
}  # fmt: skip
FORECAST_MS = 250_000
Opened = Callable[..., AbstractContextManager[Page]]


@pytest.fixture
def slow(crowdrun_home: Path) -> Iterator[httpx.Client]:
    """A service without a model, and with patience: a forecast takes long where others compute."""
    with serving(replace(load_settings(), time_limit_s=120.0)) as client:
        client.timeout = httpx.Timeout(FORECAST_MS / 1000)
        yield client


def largest(told: Mapping[str, Any]) -> int:
    return int(told["fit"]["largest_micro_batch"])


def wait_for_plots(page: Page) -> None:
    """Until every plot of the page is there, with something in it."""
    page.wait_for_selector("html[data-drawn=yes]")
    for place in page.locator("[data-chart]").all():
        assert place.locator(".main-svg").count()
        assert place.locator(".trace path").count()


def ask(page: Page) -> None:
    """Have the page `Try it` answer for SCRIPT."""
    page.goto("/dashboard/try")
    page.get_by_label("Batch script").fill(SCRIPT)
    page.get_by_label("User").fill("user1")
    page.get_by_role("button", name="Ask").click()
    wait_for_plots(page)


def told_by_rest(service: httpx.Client, risk: float) -> Mapping[str, Any]:
    answer = service.post("/v1/predict", params={"risk": risk}, json=JOB)
    predictions: Mapping[str, Any] = answer.raise_for_status().json()["predictions"]
    return predictions


def test_what_may_be_asked_over_rest_is_told_without_a_word_to_another_host(page: Page) -> None:
    page.goto("/docs")
    page.get_by_role("link", name="POST /v1/predict").click()
    section = page.locator("#post-v1-predict")
    expect(section.get_by_text("Recommend for one job (an object)")).to_be_visible()
    section.get_by_text("Answers", exact=True).click()
    expect(section.get_by_text("a field cannot be used")).to_be_visible()
    page.locator("#schema-AskedBody summary").click()
    expect(page.locator("#schema-AskedBody").get_by_text("req_mem_mb")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("script").count() == 0


def test_every_page_opens_by_its_link_and_nothing_hangs_over_the_edge(page: Page) -> None:
    page.goto("/")
    for title, heading in (
        ("Overview", "What is asked for, and not used"), ("Try it", "What does this job need?"),
        ("Model", "The model that answers"), ("Jobs", "Jobs"),
    ):  # fmt: skip
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=title).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        expect(page.locator("nav a[aria-current=page]")).to_have_text(title)
        if page.locator("[data-chart]").count():
            wait_for_plots(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("table").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Job ")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_slider_moves_the_recommendation_and_says_what_rest_says_for_that_risk(
    page: Page, service: httpx.Client
) -> None:
    ask(page)
    slider = page.get_by_role("slider")
    for place in (0, 4, len(STOPS) - 1):
        slider.fill(str(place))
        expect(page.locator("#risk")).to_have_text(f"{STOPS[place] * 100:g}%")
        for name, said in told_by_rest(service, STOPS[place]).items():
            told = page.locator(f"[data-safe={name}][data-value]")
            assert float(told.get_attribute("data-value") or "nan") == said["safe"]
            expect(told).to_have_text(size(name, said["safe"]))
            expect(page.locator(f"[data-own={name}]")).to_have_text(percent(said["safe_risk"]))
            rungs = page.locator(f"[data-rung^='{name}:']").all_text_contents()
            assert rungs == [size(name, rung) for rung in said["ladder"]]
            line = page.evaluate(
                "name => document.querySelector(`[data-chart=need-${name}]`)?.layout.shapes[0].x0", name
            )
            assert line in (None, said["safe"])
            if name == "mem_mb":
                expect(page.locator("#sbatch")).to_contain_text(f"#SBATCH --mem={math.ceil(said['safe'])}M")


def test_the_slider_obeys_the_keyboard_and_tells_a_screen_reader_the_risk(page: Page) -> None:
    ask(page)
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == f"{STOPS[STOPS.index(0.05) + 1] * 100:g}%"
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == f"{STOPS[0] * 100:g}%"


def test_the_gpu_memory_of_a_model_is_forecast_with_what_would_make_it_fit(opened: Opened, slow: httpx.Client) -> None:
    for size_, dark in ((LAPTOP, False), (PHONE, True)):
        with opened(slow.base_url, size_, dark=dark) as page:
            page.set_default_timeout(FORECAST_MS)
            page.goto("/dashboard/try")
            page.get_by_role("link", name="GPU memory of a model").click()
            expect(page.locator("nav a[aria-current=page]")).to_have_text("Try it")
            page.get_by_label("Network").select_option("lenet")
            page.get_by_label("Batch size").fill("100000")
            page.get_by_label("Memory of the card").fill("1GB")
            page.get_by_role("button", name="Forecast").click()
            expect(page.get_by_role("heading", name="One GPU needs")).to_be_visible()
            expect(page.locator(".verdict")).to_contain_text("100000 samples at once do not fit into 1 GB")
            expect(page.get_by_role("heading", name="What would make it fit")).to_be_visible()
            assert page.locator(".held rect").count() > 3
            told = slow.post("/v1/estimate", json=LENET).json()
            expect(page.locator("dd.figure").first).to_have_text(size("gpu_mem_mb", told["device_mb"]))
            expect(
                page.get_by_text(f"The largest number of samples at once that fits is {largest(told)}.")
            ).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.locator("script").count() == 0


def test_a_description_goes_before_the_network_and_what_is_wrong_with_it_stands_in_the_form(
    opened: Opened, slow: httpx.Client
) -> None:
    with opened(slow.base_url, allowed=["422"]) as page:
        page.set_default_timeout(FORECAST_MS)
        page.goto("/dashboard/memory")
        page.get_by_text("More: several GPUs").click()
        own = page.get_by_label("Your own model")
        own.fill('{"input": {"shape": [8]}, "layers": [{"kind": "linear", "features": 0}]}')
        page.get_by_role("button", name="Forecast").click()
        expect(page.get_by_role("alert")).to_contain_text("Layers[0].features is 0; it must be 1 or more")
        own.fill('{"input": {"shape": [8]}, "layers": [{"kind": "linear", "features": 500}]}')
        page.get_by_label("Batch size").fill("16")
        page.get_by_label("Memory of the card").fill("")
        page.get_by_role("button", name="Forecast").click()
        expect(page.get_by_text("0.0045 M parameters; 16 samples at once")).to_be_visible()
        page.get_by_label("Your own model").fill("")
        page.get_by_label("Network").select_option("lenet")
        page.get_by_label("Strategy").select_option("pipeline")
        page.get_by_label("GPUs").fill("2")
        page.get_by_role("button", name="Forecast").click()
        expect(page.get_by_role("heading", name="The GPU that holds most needs")).to_be_visible()
        expect(page.locator("table.ranks tbody tr")).to_have_count(2)


def test_the_lines_for_the_script_can_be_copied(opened: Opened, service: httpx.Client) -> None:
    with opened(service.base_url) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        ask(page)
        page.get_by_role("button", name="Copy").click()
        expect(page.locator("#copy")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == f"{page.locator('#sbatch').text_content()}\n"


def test_the_overview_tells_the_sums_of_the_history_and_leads_to_the_jobs_behind_them(
    page: Page, settings: Settings
) -> None:
    with JobStore.open(settings.store) as store:
        usage = Usage.of(store)
    page.goto("/dashboard/")
    expect(page.locator("#wasted")).to_have_text(f"{amount(usage.total['wasted_gbh'])} GB·h")
    names = page.get_by_role("region", name="Who wastes most").get_by_role("rowheader")
    worst = usage.by("user")[0]["name"]
    assert names.all_text_contents() == [row["name"] for row in usage.by("user")]
    names.first.get_by_role("link").click()
    assert set(page.locator("table.jobs td:nth-child(2)").all_text_contents()) == {worst}
    expect(page.get_by_label("User")).to_have_value(worst)
    expect(page.get_by_label("Order")).to_have_value("most wasted")


def test_the_model_tells_what_its_folder_holds(page: Page, settings: Settings, crowd: Crowd) -> None:
    page.goto("/dashboard/model")
    memory = crowd.figures["mem_mb"]
    rows = page.get_by_role("region", name="Accuracy by segment").get_by_role("row").all()[1:]
    told = {row.get_by_role("rowheader").inner_text(): row.get_by_role("cell").all_text_contents() for row in rows}
    assert told == {
        name.replace("_", " "): [*(share(part["accuracy"][name]) for part in memory["segments"]), share(overall)]
        for name, overall in memory["accuracy"].items()
    }
    covered = page.get_by_role("region", name="Coverage", exact=True).get_by_role("rowheader").all_text_contents()
    assert covered == [TARGETS[name] for name in crowd.figures]
    expect(page.locator("#model-id")).to_have_text(registry.current_id(settings.models_dir))


def test_an_operator_rolls_back_and_forth(page: Page, settings: Settings, crowd: Crowd) -> None:
    first = registry.current_id(settings.models_dir)
    second = registry.publish(crowd, settings.models_dir)

    def answers(model_id: str) -> None:
        """Within a second the service has taken it up."""
        for _ in range(20):
            page.goto("/dashboard/model")
            if page.locator("#model-id").text_content() == model_id:
                return
            page.wait_for_timeout(250)
        pytest.fail(f"{model_id} was not taken up")

    answers(second)
    page.locator("summary", has_text="Roll back").click()
    with page.expect_navigation():
        page.get_by_role("button", name="Roll back").click()
    assert registry.current_id(settings.models_dir) == first
    answers(first)
    with page.expect_navigation():
        page.get_by_role("button", name=f"Activate {second}").click()
    assert registry.current_id(settings.models_dir) == second
    answers(second)


def test_a_search_leads_to_a_job_and_from_there_to_what_it_would_be_told(page: Page) -> None:
    page.goto("/dashboard/jobs")
    expect(page.get_by_role("status")).to_contain_text("400 jobs, page 1 of 8")
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("status")).to_contain_text("page 2 of 8")
    page.get_by_label("User").fill("user3")
    page.get_by_label("Name").fill("TRAINC")
    page.get_by_label("State").select_option("completed")
    page.get_by_label("Submitted from").fill("2023-11-14")
    page.get_by_role("button", name="Search").click()
    assert all("trainc" in name for name in page.locator("table.jobs td.name").all_text_contents())
    page.get_by_role("table").get_by_role("link").first.click()
    expect(page.get_by_text("Host memory")).to_be_visible()
    page.get_by_role("link", name="What would it be told now?").click()
    expect(page.get_by_label("User")).to_have_value("user3")
    expect(page.get_by_label("Memory a node")).to_have_value("16384M")
    page.get_by_role("button", name="Ask").click()
    wait_for_plots(page)


@pytest.mark.usefixtures("tokens_only")
def test_a_person_logs_in_with_a_token_sees_their_own_jobs_alone_and_changes_nothing(
    opened: Opened, service: httpx.Client, settings: Settings
) -> None:
    _, text = TokenFile.of(settings).create("user2", Role.SUBMIT)
    refusals = ("401", "403", "/dashboard/model/rollback")
    with opened(service.base_url, allowed=refusals) as page:
        page.goto("/dashboard/jobs?user=user1")
        assert page.locator("input:visible").count() == 1
        page.get_by_label("Token").fill("crowdrun_abc_def")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("no token")
        page.get_by_label("Token").fill(text)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
        assert set(page.locator("table.jobs td:nth-child(2)").all_text_contents()) == {"user2"}
        page.goto("/dashboard/")
        assert page.get_by_role("rowheader").all_text_contents() == ["user2"]
        page.goto("/dashboard/model")
        assert page.get_by_role("button", name="Roll back").count() == 0
        status = "fetch('/dashboard/model/rollback', {method: 'POST'}).then(answer => answer.status)"
        assert page.evaluate(status) == 403
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_pages_without_jobs_and_without_a_model_say_what_to_do(opened: Opened, empty_service: httpx.Client) -> None:
    with opened(empty_service.base_url) as page:
        for path in ("/dashboard/", "/dashboard/try", "/dashboard/model", "/dashboard/jobs"):
            page.goto(path)
            expect(page.locator("pre", has_text="crowdrun ingest")).to_be_visible()


def test_the_plots_change_with_the_colours_of_the_system(opened: Opened, service: httpx.Client) -> None:
    with opened(service.base_url) as page:
        page.goto("/dashboard/model")
        wait_for_plots(page)
        line = page.locator("[data-chart=accuracy] .scatterlayer path.js-line").last
        light = line.evaluate("line => getComputedStyle(line).stroke")
        page.emulate_media(color_scheme="dark")
        expect(line).not_to_have_css("stroke", light)


def test_nothing_that_a_user_names_becomes_part_of_a_page(opened: Opened, service: httpx.Client) -> None:
    evil = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    job = {"job_id": evil, "user": evil, "job_name": evil, "state": "COMPLETED", "submit_time": 1.8e9, "account": evil}
    ran = {"start_time": 1.8e9, "end_time": 1.8e9 + 3600, "req_mem_mb": 9e6, "peak_mem_mb": 5.0, "req_cpus": 1}
    service.post("/v1/jobs", json=job | ran).raise_for_status()
    with opened(service.base_url) as page:
        page.goto("/dashboard/")
        wait_for_plots(page)
        page.get_by_role("link", name=evil).click()
        page.get_by_role("table").get_by_role("link", name=evil).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Job {evil}")
        assert page.title() != "taken"
        assert json.loads(page.evaluate("JSON.stringify(document.images.length)")) == 0
