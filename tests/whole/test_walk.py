"""A person in the browser makes ``tiny``, watches it, and walks through all pages, wide and narrow.

Each link is clicked on the page that has it. axe-core looks at each page of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.recipe.loading import load_recipe
from pipelines.stages import stages
from tests.whole.serving import ROOT, Pages, chromium, within

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SECONDS = 90_000  # milliseconds: a busy machine is no fault of a page
KEYS = [declared.key for declared in stages(load_recipe(ROOT / "recipes" / "tiny.yaml"))]
RUNS = "{runsOrError{... on Runs{results{runId status}}}}"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    started = Pages(tmp_path_factory.mktemp("walk"))
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def open_page(browser: Any, width: int) -> Any:
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.set_default_timeout(SECONDS)
    return page


def follow(page: Any, link: Any, to: str) -> Any:
    """Click a link, also one that a narrow page covers; return the page that opens."""
    link.first.wait_for(state="attached")
    before = len(page.context.pages)
    link.first.evaluate("link => link.click()")
    pattern = re.compile(to)

    def opened() -> Any:
        newest = page.context.pages[-1] if len(page.context.pages) > before else page
        newest.wait_for_timeout(200)
        return newest if pattern.search(newest.url) else None

    found = within(SECONDS / 1000, opened)
    found.set_default_timeout(SECONDS)
    return found


def inspect(page: Any) -> None:
    """axe-core finds nothing serious, and the page does not scroll sideways."""
    from axe_playwright_python.sync_playwright import Axe

    faults = Axe().run(page).response["violations"]
    serious = [f"{f['id']}: {f['nodes'][0]['html']}" for f in faults
               if f["impact"] in ("serious", "critical")]  # fmt: skip
    assert serious == [], page.url
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"], page.url


def test_from_the_home_to_a_model_that_was_watched(pages: Pages, browser: Any) -> None:
    page = open_page(browser, 1400)
    page.goto(f"http://127.0.0.1:{pages.dagster}/")
    inspect(page)
    page = follow(page, page.get_by_role("link", name="Make tiny in Dagster"), "jobs/make_tiny")
    page.locator("button:has-text('Materialize all')").first.click()
    runs = within(60, lambda: pages.ask(RUNS)["runsOrError"]["results"])

    live = open_page(browser, 390)
    live.goto(f"http://127.0.0.1:{pages.dagster}/live/tiny/foundation")
    # The page renews itself; nobody loads it again.
    live.locator("polyline").first.wait_for(timeout=600_000)
    live.get_by_text(re.compile("step .* of 120")).first.wait_for()
    inspect(live)

    assert pages.await_run(runs[0]["runId"], 1200) == "SUCCESS"
    page.goto(f"http://127.0.0.1:{pages.dagster}/dagster/assets/tiny/report")
    page = follow(page, page.locator("a[href='/reports/tiny']"), "/reports/tiny")
    page.get_by_role("heading", name=re.compile("^tiny")).first.wait_for()
    inspect(page)


@pytest.mark.parametrize("width", [1400, 390])
def test_every_page_leads_to_the_next(pages: Pages, browser: Any, width: int) -> None:
    if not (pages.store / "tiny/report/current").exists():  # the test before was not chosen
        assert pages.materialize(*KEYS, seconds=1200) == "SUCCESS"
    page = open_page(browser, width)
    page.goto(f"http://127.0.0.1:{pages.dagster}/")
    inspect(page)
    page = follow(page, page.get_by_role("link", name="Assets of tiny"), "/recipes/tiny$")
    inspect(page)
    page = follow(page, page.get_by_role("link", name="Report", exact=True), "/reports/tiny$")
    inspect(page)
    page = follow(page, page.get_by_role("link", name="tiny", exact=True), "/recipes/tiny$")
    page = follow(page, page.get_by_role("link", name="tiny/foundation", exact=True),
                  "/assets/tiny/foundation$")  # fmt: skip
    inspect(page)
    page = follow(page, page.get_by_role("link", name="What it was made from"), "/trace/")
    inspect(page)
    page.go_back()

    page = follow(page, page.get_by_role("link", name="In Dagster"), "/dagster/assets/")
    page.locator("img[src^='/pictures/']").first.wait_for(state="attached")
    within(60, lambda: page.evaluate("document.querySelector(\"img[src^='/pictures/']\").complete"))
    shown = page.evaluate("document.querySelector(\"img[src^='/pictures/']\").naturalWidth")
    assert shown > 0, "the picture of the loss"
    page = follow(page, page.locator("a[href^='/mlflow/tiny/foundation/']"), "/runs/[0-9a-f]{32}")
    model = page.get_by_role("link", name=re.compile("^tiny-foundation-"))
    page = follow(page, model, "/models/m-")
    page.get_by_text("Model training").first.wait_for(state="attached")
    page.get_by_text("Datasets used").first.wait_for(state="attached")
    page.get_by_text(re.compile("token_shards")).first.evaluate("link => link.click()")
    page.get_by_text("Digest:").first.wait_for(state="attached")
    page.keyboard.press("Escape")  # closes the panel with the dataset
    for name, to in (
        ("versions", "/assets/tiny/foundation$"),
        ("lineage", "/trace/tiny/foundation$"),
        ("report", "/reports/tiny$"),
        ("Dagster asset", "/dagster/assets/tiny/foundation"),
        ("Dagster run", "/dagster/runs/"),
    ):
        back = follow(page, page.get_by_role("link", name=name, exact=True), to)
        assert f":{pages.dagster}/" in back.url
        if back is page:
            page.go_back()
            page.get_by_text("Datasets used").first.wait_for(state="attached")
        else:
            back.close()


def test_what_is_broken_is_a_page_too(pages: Pages, browser: Any) -> None:
    for path in ("/nothing", "/assets/tiny/nothing", "/reports/bert", "/recipes/nothing"):
        page = open_page(browser, 390)
        answer = page.goto(f"http://127.0.0.1:{pages.dagster}{path}")
        assert answer.status == 404
        inspect(page)
        page.context.close()
