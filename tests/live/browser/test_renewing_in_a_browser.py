"""The page renews itself under whoever is reading and typing, and says when it does not."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from sites import WAIT, Site

from cw_store import Message, Store

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def task_named(store: Store, name: str) -> str:
    [id] = [task.id for task in await store.tasks.find_all() if task.name == name]
    return id


async def question_to_you(store: Store) -> Message:
    pending = await store.messages.find_pending_for_user()
    [message] = [each for each in pending if each.requires_response]
    return message


async def is_live(page: Page) -> None:
    await expect(page.locator("#state")).to_have_class(re.compile("is-live"))


async def test_a_change_arrives_and_the_page_stays_as_it_was(site: Site) -> None:
    page = await site.look()
    await page.evaluate("window.isTheSame = true")
    await is_live(page)
    message = await question_to_you(site.store)
    item = page.locator(f"#inbox-message-{message.id}")
    await item.locator("summary").click()
    text = item.locator("textarea")
    await text.fill("Fifteen, as in")
    await text.evaluate("each => each.setSelectionRange(3, 7)")
    ready = await task_named(site.store, "Rate limiting")
    await expect(page.locator(f"[id$=-ready] #task-{ready}")).to_be_visible()
    await site.store.tasks.update(ready, status="in_progress")
    await expect(page.locator(f"[id$=-running] #task-{ready}")).to_be_visible()
    await site.store.messages.update(message.id, content="Which is it, then?")
    await expect(item).to_contain_text("Which is it, then?")
    await expect(text).to_be_focused()
    await expect(text).to_have_value("Fifteen, as in")
    assert await text.evaluate("each => [each.selectionStart, each.selectionEnd]") == [3, 7]
    assert await page.evaluate("window.isTheSame"), "it was not loaded anew"


async def test_of_a_graph_the_boxes_change_that_are_told_and_the_others_stay(site: Site) -> None:
    page = await site.look("/graph")
    await is_live(page)
    ready = await task_named(site.store, "Rate limiting")
    box = page.locator(f"[data-task='{ready}']")
    await expect(box).to_have_class(re.compile("lane-ready"))
    await page.evaluate("document.querySelectorAll('.task').forEach(each => each.isTheSame = true)")
    await site.store.tasks.update(ready, status="in_progress", name="<b>Rate</b> limiting")
    await expect(box).to_have_class(re.compile("lane-running"))
    await expect(box.locator(".name")).to_contain_text("<b>Rate</b>")
    assert await page.evaluate(
        "[...document.querySelectorAll('.task')].every(each => each.isTheSame)"
    )
    drawn = page.locator("svg.drawing").filter(has=box)
    told = await drawn.locator("desc").text_content()
    served = await page.evaluate("async () => (await fetch(location.href)).text()")
    assert told is not None and told in served


async def test_what_is_selected_stays_selected(site: Site) -> None:
    page = await site.look()
    await is_live(page)
    message = await question_to_you(site.store)
    item = page.locator(f"#inbox-message-{message.id}")
    await item.locator(".item-text").evaluate("each => getSelection().selectAllChildren(each)")
    agent = message.sender_id
    assert agent is not None
    await site.store.agents.update(agent, name="another-name")
    await expect(item).to_contain_text("another-name asks you")
    assert await page.evaluate("String(getSelection())") == message.content


async def test_what_was_typed_is_kept_when_somebody_else_was_faster(site: Site) -> None:
    page = await site.look()
    await is_live(page)
    message = await question_to_you(site.store)
    item = page.locator(f"#inbox-message-{message.id}")
    await item.locator("summary").click()
    await item.locator("textarea").fill("A long thought")
    await expect(page.locator("#inbox-total")).to_have_text(re.compile("^14"))
    await site.store.messages.respond(message.id, content="15")
    await expect(page.locator("#inbox-total")).to_have_text(re.compile("^13"))
    await expect(item).to_have_class(re.compile("is-gone"))
    await expect(item.locator("textarea")).to_have_value("A long thought")
    await item.locator("button").click()
    await expect(page.locator("#told")).to_contain_text("someone was faster")
    await expect(item.locator("textarea")).to_have_value("A long thought")
    await item.locator("textarea").fill("")
    await site.store.messages.create(
        sender_type="agent", sender_id=message.sender_id, recipient_type="user", content="Thanks."
    )
    await expect(page.locator("#inbox")).to_contain_text("Thanks.")
    await expect(item).to_have_count(0)


async def test_a_pause_shows_nothing_new_until_it_is_over(site: Site) -> None:
    page = await site.look()
    await is_live(page)
    pause = page.get_by_role("button", name="Pause")
    await pause.click()
    await expect(page.locator("#state")).to_have_text(re.compile("paused"))
    ready = await task_named(site.store, "Rate limiting")
    await site.store.tasks.update(ready, status="in_progress")
    # Somebody else sees it, so it was told.
    other = await site.look()
    await expect(other.locator(f"[id$=-running] #task-{ready}")).to_be_visible()
    await expect(page.locator(f"[id$=-ready] #task-{ready}")).to_be_visible()
    await page.get_by_role("button", name="Go on").click()
    await expect(page.locator(f"[id$=-running] #task-{ready}")).to_be_visible()
    await is_live(page)


async def test_a_lost_stream_is_told_and_comes_back_by_itself(site: Site) -> None:
    page = await site.look()
    await page.evaluate("window.isTheSame = true")
    await is_live(page)
    site.wire.cut()
    await expect(page.locator("#state")).to_have_text(re.compile("old for"))
    ready = await task_named(site.store, "Rate limiting")
    await site.store.tasks.update(ready, status="in_progress")
    site.wire.mend()
    await expect(page.locator(f"[id$=-running] #task-{ready}")).to_be_visible()
    await is_live(page)
    assert await page.evaluate("window.isTheSame"), "it was not loaded anew"


async def test_a_server_that_was_started_anew_is_told_of(site: Site) -> None:
    page = await site.look()
    await is_live(page)
    site.wire.cut()
    await page.context.clear_cookies()
    site.wire.mend()
    await expect(page.locator("#state")).to_have_text(re.compile("old for .*new address"))


async def test_a_store_that_cannot_be_read_is_told_of_until_it_can(
    site: Site, tmp_path: Path
) -> None:
    page = await site.look()
    await is_live(page)
    file = (tmp_path / "demo.db").rename(tmp_path / "elsewhere.db")
    told = re.compile(r"old for ([2-9]|\d\d) s: the store cannot be read")
    await expect(page.locator("#state")).to_have_text(told, timeout=3 * WAIT)
    file.rename(tmp_path / "demo.db")
    await is_live(page)


HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


STREAM_ENDED = """() => new Promise(ended => new PerformanceObserver(list => {
    if (list.getEntries().some(each => each.name.includes("?stream"))) ended();
}).observe({ type: "resource", buffered: true }))"""


async def test_a_hidden_page_has_no_stream(site: Site) -> None:
    page = await site.look()
    await is_live(page)
    # A request is among these once it has ended.
    streams = "performance.getEntriesByType('resource').filter(e => e.name.includes('?stream'))"
    await page.evaluate(HIDE, True)
    await page.evaluate(STREAM_ENDED)
    ready = await task_named(site.store, "Rate limiting")
    await site.store.tasks.update(ready, status="in_progress")
    other = await site.look()
    await expect(other.locator(f"[id$=-running] #task-{ready}")).to_be_visible()
    await expect(page.locator(f"[id$=-ready] #task-{ready}")).to_be_visible()
    assert await page.evaluate(f"{streams}.length") == 1, "there was none since"
    await page.evaluate(HIDE, False)
    await expect(page.locator(f"[id$=-running] #task-{ready}")).to_be_visible()
    await is_live(page)


async def test_what_is_deleted_is_told_to_be_gone(site: Site) -> None:
    agent = await site.store.agents.create(name="passing-by", worktree_id="w")
    page = await site.look(f"/agent/{agent.id}")
    await is_live(page)
    await site.store.agents.delete(agent.id)
    await expect(page.locator("#told")).to_contain_text("not there any more")
    await expect(page.locator("#state")).to_have_text("gone")


async def test_a_log_follows_its_end_unless_somebody_reads_further_up(site: Site) -> None:
    [agent, *_] = await site.store.agents.find_by_status("running")

    async def write(text: str) -> None:
        await site.store.log_chunks.insert_chunk(
            agent.id, agent.name, 1, "".join(f"{text} {number}\n" for number in range(60))
        )
        await expect(page.locator("#log")).to_contain_text(f"{text} 59")

    page = await site.look(f"/agent/{agent.id}")
    await is_live(page)
    box = page.locator("#log-box")
    distance = "each => each.scrollHeight - each.scrollTop - each.clientHeight"
    await write("first")
    assert await box.evaluate(distance) < 5
    await box.evaluate("each => { each.scrollTop = 100 }")
    await expect(page.locator("#to-end")).to_be_visible()
    await write("second")
    assert await box.evaluate("each => each.scrollTop") == 100
    await page.locator("#to-end").click()
    await expect(page.locator("#to-end")).to_be_hidden()
    await write("third")
    assert await box.evaluate(distance) < 5


async def test_times_are_told_as_ages_and_go_on(site: Site) -> None:
    page = await site.look()
    message = await question_to_you(site.store)
    time = page.locator(f"#inbox-message-{message.id} time")
    await expect(time).to_have_text(re.compile(r"^\d+ min ago$"))
    title = await time.get_attribute("title")
    assert title is not None and "2" in title
    row = page.locator(".agent", has_text="jolly-badger")
    await expect(row.locator(".seen")).to_have_class(re.compile("is-quiet"))
    busy = page.locator(".agent", has_text="humble-jackal")
    await expect(busy.locator(".seen")).not_to_have_class(re.compile("is-quiet"))
    await expect(page.locator(".card.is-quiet", has_text="jolly-badger")).to_be_visible()
