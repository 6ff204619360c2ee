"""What is seen: at every width, in both themes, by keyboard alone, whatever stands in the store."""

import re
from typing import Literal

import pytest
from playwright.async_api import Page, expect
from sites import Site

from hostile import HOSTILE, fill_with

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARKUP = f"\"'><img src=x onerror=alert(1)></textarea></script><script>alert(1)</script>{HOSTILE}"

PATHS = (
    "/",
    "/graph",
    "/timeline",
    "/agent/humble-jackal",
    "/agent/humble-jackal/raw",
    "/search?q=session",
    "/search?q=nothing-like-it",
)


async def test_markup_in_every_field_is_text(empty_site: Site) -> None:
    ids = await fill_with(empty_site.store, MARKUP)
    page = await empty_site.look()
    of = f"/initiative/{ids['initiative']}"
    agent = f"/agent/{ids['agent']}"
    for path in ("/", of, f"{of}/graph", f"{of}/timeline", agent, f"{agent}/raw", "/search?q=img"):
        await page.goto(f"{empty_site.origin}{path}")
        await expect(page.locator("img, script:not([src])")).to_have_count(0)
        await expect(page.locator("main")).to_contain_text("<img src=x onerror=alert(1)>")
    await page.goto(f"{empty_site.origin}/")
    await expect(page.locator("#state")).to_have_class(re.compile("is-live"))
    more = await empty_site.store.tasks.create(
        phase_id=ids["phase"], name=f"new {MARKUP}", status="blocked"
    )
    await expect(page.locator(f"#inbox-task-{more.id} h3")).to_contain_text("new \"'><img")
    await expect(page.locator("img, script:not([src])")).to_have_count(0)


@pytest.mark.parametrize("width", [360, 768, 1100, 2560])
async def test_nothing_scrolls_sideways(site: Site, width: int) -> None:
    page = await site.look(width=width)
    for path in PATHS:
        await page.goto(f"{site.origin}{path}")
        wider = await page.evaluate(
            """() => [...document.querySelectorAll("body *")]
                .filter(each => each.getBoundingClientRect().right > innerWidth + 1)
                .filter(each => !each.closest(".scroll, .command, .unseen, .sprite, [hidden]"))
                .map(each => each.outerHTML.slice(0, 80))"""
        )
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, (path, wider)
        assert wider == [], path


async def test_a_long_word_scrolls_nothing_sideways(empty_site: Site) -> None:
    await fill_with(empty_site.store, "x" * 300)
    for width in (360, 1100):
        page = await empty_site.look(width=width)
        for path in ("/", "/graph", "/timeline", "/search?q=xxxx"):
            await page.goto(f"{empty_site.origin}{path}")
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path


async def test_a_name_of_any_length_takes_a_few_lines(empty_site: Site) -> None:
    await fill_with(empty_site.store, "x" * 1_900)
    page = await empty_site.look()
    for path, names in (("/", ".item > h3, .phase > h4, .card > .name"), ("/graph", ".drawn > h2")):
        await page.goto(f"{empty_site.origin}{path}")
        found = page.locator(names)
        await expect(found.first).to_be_visible()
        for name in await found.all():
            box = await name.bounding_box()
            assert box is not None and box["height"] < 90, await name.get_attribute("class")


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_theme_is_the_systems_until_another_is_chosen(
    site: Site, theme: Literal["light", "dark"]
) -> None:
    page = await site.look(theme=theme)

    async def is_dark() -> bool:
        colour = await page.evaluate("getComputedStyle(document.body.parentNode).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", colour)) < 200

    assert await is_dark() == (theme == "dark")
    await page.get_by_role("button", name="Theme").click()
    assert not await is_dark()
    await page.get_by_role("button", name="Theme: light").click()
    assert await is_dark()
    await page.reload()
    assert await is_dark(), "it is kept"
    await page.get_by_role("button", name="Theme: dark").click()
    assert await is_dark() == (theme == "dark")


async def focused(page: Page) -> str:
    return await page.evaluate(
        """() => {
            const style = getComputedStyle(document.activeElement);
            const shown = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
            const named = document.activeElement.textContent.trim().slice(0, 40)
                || document.activeElement.id;
            return shown ? named : `nothing shows that ${named} has the focus`;
        }"""
    )


async def test_everything_is_reached_by_keyboard_and_shows_that_it_is(site: Site) -> None:
    page = await site.look()
    await page.keyboard.press("Tab")
    assert await focused(page) == "Skip to the content"
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    reachable = await page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, summary, [tabindex='0']")]
            .filter(each => each.checkVisibility() && each.type !== "hidden").length"""
    )
    await page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    await page.reload()
    reached: list[str] = []
    for _ in range(reachable):
        await page.keyboard.press("Tab")
        reached.append(await focused(page))
    assert reached[0] == "Skip to the content"
    assert not [each for each in reached if each.startswith("nothing shows")]
    for name in ("All initiatives", "Graph", "find", "Pause", "Retry", "Answer", "humble-jackal"):
        assert any(name in each for each in reached), name
    await page.keyboard.press("Tab")
    body = "document.activeElement === document.body || document.activeElement.matches('.skip')"
    assert await page.evaluate(body), "there is nothing more"


async def test_keys_search_pause_and_go_through_what_waits(site: Site) -> None:
    page = await site.look()
    await page.keyboard.press("j")
    await expect(page.locator("#inbox > li").nth(0)).to_be_focused()
    await page.keyboard.press("j")
    await expect(page.locator("#inbox > li").nth(1)).to_be_focused()
    await page.keyboard.press("k")
    await expect(page.locator("#inbox > li").nth(0)).to_be_focused()
    await page.keyboard.press("p")
    await expect(page.locator("#state")).to_have_text(re.compile("paused"))
    await page.keyboard.press("p")
    await expect(page.locator("#state")).to_have_class(re.compile("is-live"))
    await page.keyboard.press("/")
    await expect(page.locator("#find")).to_be_focused()
    await page.keyboard.type("pjk/")
    await expect(page.locator("#find")).to_have_value("pjk/")
    await page.locator("#find").fill("session store")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"/search\?q=session"))
    await expect(page.locator("mark").first).to_have_text(re.compile("session store", re.I))
    await expect(page.locator("#find")).to_have_value("session store")


async def test_a_screen_reader_finds_its_way(site: Site) -> None:
    page = await site.look()
    for path in PATHS:
        await page.goto(f"{site.origin}{path}")
        for landmark in ("header", "main", "form[role=search]", "h1", "nav[aria-label=Screens]"):
            await expect(page.locator(landmark)).to_have_count(1)
        assert await page.locator("html").get_attribute("lang") == "en"
        unnamed = await page.evaluate(
            """() => [...document.querySelectorAll("input:not([type=hidden]), textarea, button, a")]
                .filter(each => each.checkVisibility())
                .filter(each => !(each.labels?.length || each.textContent.trim()))
                .map(each => each.outerHTML)"""
        )
        assert unnamed == [], path
        told = await page.locator("[aria-live=polite]").count()
        assert told == (2 if path == "/" else 1), "what was done is told, and how much waits"


async def test_initiatives_are_chosen_and_the_screen_stays(site: Site) -> None:
    page = await site.look("/graph")
    await page.locator("#picker > summary").click()
    await page.get_by_role("link", name="Billing", exact=True).first.click()
    await expect(page).to_have_url(re.compile(r"/initiative/[^/]+/graph$"))
    await expect(page.locator("#about")).to_have_text("Billing")
    await expect(page.locator(".drawn")).to_have_count(1)
    await page.get_by_role("link", name="Now").click()
    await expect(page).to_have_url(re.compile(r"/initiative/[^/]+$"))
    await expect(page.locator("#board")).not_to_contain_text("Session store")
    await page.locator("#picker > summary").click()
    await page.keyboard.press("Escape")
    await expect(page.locator("#initiatives")).to_be_hidden()


async def test_a_graph_is_followed_and_its_critical_path_stands_out(site: Site) -> None:
    page = await site.look("/graph", width=360)
    box = page.locator(".scroll").first
    running = box.locator(".task.lane-running").first
    await box.evaluate("each => { each.scrollLeft = 10_000 }")
    await expect(running).not_to_be_in_viewport()
    await page.get_by_label("Follow what runs").check()
    await expect(running).to_be_in_viewport(ratio=1)
    await page.get_by_label("Only the critical path").check()
    faint = page.locator(".task:not(.is-critical)").first
    assert float(await faint.evaluate("each => getComputedStyle(each).opacity")) < 0.5
    await page.reload()
    await expect(page.get_by_label("Only the critical path")).to_be_checked()
    link = page.locator("a.task.lane-running").first
    await expect(link).to_have_attribute("href", re.compile("^/agent/"))


async def test_the_names_of_a_timeline_stay_when_it_is_scrolled(site: Site) -> None:
    page = await site.look("/timeline", width=360)
    box = page.locator(".of-timeline").first
    name = box.locator(".names .label").first
    await expect(name).to_be_in_viewport()
    for left in (10_000, 200):
        await box.evaluate("(each, left) => { each.scrollLeft = left }", left)
        await expect(name).to_be_in_viewport(ratio=0.9)


PAINTED = """() => new Promise(painted => new PerformanceObserver(list => {
    const [first] = list.getEntriesByName("first-contentful-paint");
    if (first) painted(first.startTime);
}).observe({ type: "paint", buffered: true }))"""


async def test_the_first_state_is_painted_soon(site: Site) -> None:
    page = await site.look()
    await page.goto(f"{site.origin}/")
    assert await page.evaluate(PAINTED) < 2000, "a quarter of it where nothing else runs"
