"""What a person does on the page: forms that are sent without the page being left, and without."""

import re

import pytest
from playwright.async_api import Page, Route, expect
from sites import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def told(page: Page, sentence: str) -> None:
    await expect(page.locator("#told")).to_contain_text(sentence)


async def test_each_thing_that_waits_can_be_dealt_with_in_its_place(site: Site) -> None:
    store = site.store
    page = await site.look()
    inbox = page.locator("#inbox")

    question = inbox.locator(".of-message", has_text="15 and 30 minutes")
    await question.locator("summary").click()
    await question.locator("textarea").fill("30")
    await question.locator("textarea").press("Control+Enter")
    await told(page, "replied to gentle-vole")
    await expect(question).to_have_count(0)

    asked = inbox.locator(".of-question").first
    await asked.locator("summary").click()
    await asked.locator("textarea").fill("It does.")
    await asked.get_by_role("button", name="Send").click()
    await told(page, "answered the question of quiet-yak")

    blocked = inbox.locator(".of-task").first
    await blocked.get_by_role("button", name="Retry").click()
    await told(page, "Unit tests begins anew")
    assert await store.tasks.find_by_status("blocked") == []

    first, second = await inbox.locator(".of-proposal h3").all_inner_texts()
    await inbox.locator(".of-proposal", has_text=first).get_by_role("button", name="Accept").click()
    await told(page, f"accepted: {first}")
    await expect(inbox.locator(".of-proposal")).to_have_count(1)
    await inbox.locator(".of-proposal").get_by_role("button", name="Dismiss").click()
    await told(page, f"dismissed: {second}")
    await expect(inbox.locator(".of-proposal")).to_have_count(0)

    comments = inbox.locator(".of-comment")
    await expect(comments).to_have_count(2)
    await comments.first.get_by_role("button", name="Resolve").click()
    await told(page, "resolved the comment")
    await expect(comments).to_have_count(1)

    await inbox.locator(".of-account").get_by_role("button", name="Mark available").click()
    await told(page, "olive@example.com is available")
    await expect(inbox.locator(".of-account")).to_have_count(0)


async def test_what_is_answered_goes_although_its_change_is_there_before_the_answer(
    site: Site,
) -> None:
    page = await site.look()
    question = page.locator("#inbox .of-message", has_text="15 and 30 minutes")

    async def answer_late(route: Route) -> None:
        answer = await route.fetch()
        await expect(question).to_have_class(re.compile("is-gone"))
        await route.fulfill(response=answer)

    await page.route(re.compile("/act/"), answer_late)
    await question.locator("summary").click()
    await question.locator("textarea").fill("30")
    await question.get_by_role("button", name="Send").click()
    await told(page, "replied to gentle-vole")
    await expect(question).to_have_count(0)


async def test_what_is_opened_is_typed_into(site: Site) -> None:
    page = await site.look()
    question = page.locator("#inbox .of-message", has_text="15 and 30 minutes")
    await question.locator("summary").click()
    await expect(question.locator("textarea")).to_be_focused()
    await page.keyboard.type("jump")  # and j and p are keys of the page
    await expect(question.locator("textarea")).to_have_value("jump")
    account = page.locator("#accounts .account", has_text="amber@example.com")
    await account.locator("summary").click()
    await expect(account.get_by_label("Used up for")).to_be_focused()


async def test_an_account_is_marked_used_up_for_as_long_as_is_said(site: Site) -> None:
    page = await site.look()
    account = page.locator("#accounts .account", has_text="amber@example.com")
    await account.locator("summary").click()
    await account.get_by_label("Used up for").fill("2h")
    await account.get_by_role("button", name="Mark used up").click()
    await told(page, "amber@example.com is exhausted")
    await expect(account.locator(".rest")).to_have_text(re.compile("in (2|1.9) h"))
    await account.locator("summary").click()
    await account.get_by_label("Used up for").fill("sometime")
    await account.get_by_role("button", name="Mark used up").click()
    await told(page, "a time is like")
    await expect(account.get_by_label("Used up for")).to_have_value("sometime")


async def test_somebody_who_was_faster_is_told_of(site: Site) -> None:
    page = await site.look()
    await page.get_by_role("button", name="Pause").click()
    [task] = await site.store.tasks.find_by_status("blocked")
    await site.store.tasks.update(task.id, status="pending")
    await page.locator(f"#inbox-task-{task.id}").get_by_role("button").click()
    await told(page, "someone was faster")


async def test_what_is_done_while_the_page_is_paused_is_seen(site: Site) -> None:
    page = await site.look()
    await page.get_by_role("button", name="Pause").click()
    item = page.locator("#inbox .of-task")
    await item.get_by_role("button", name="Retry").click()
    await expect(item).to_have_count(0)
    await expect(page.locator("#state")).to_have_text(re.compile("paused"))
    await expect(page.get_by_role("button", name="Go on")).to_be_visible()


async def test_what_cannot_be_sent_stays_where_it_was_typed(site: Site) -> None:
    page = await site.look()
    item = page.locator("#inbox .of-message", has_text="15 and 30 minutes")
    await item.locator("summary").click()
    await item.locator("textarea").fill("30")
    site.wire.cut()
    await item.get_by_role("button", name="Send").click()
    await told(page, "could not be sent")
    await expect(item.locator("textarea")).to_have_value("30")


async def test_a_crashed_agent_is_dismissed(site: Site) -> None:
    [agent, *_] = await site.store.agents.find_by_status("crashed")
    page = await site.look(f"/agent/{agent.id}")
    button = page.get_by_role("button", name="Dismiss")
    await button.click()
    await told(page, f"{agent.name} is dismissed")
    await expect(button).to_have_count(0)


async def test_without_javascript_it_is_read_and_acted_on(site: Site) -> None:
    page = await site.look(has_script=False)
    await expect(page.get_by_text("does not renew itself")).to_be_visible()
    await expect(page.locator("#pause")).to_be_hidden()
    await expect(page.locator("#inbox > li")).to_have_count(14)
    await expect(page.locator("#board .card").first).to_be_visible()
    item = page.locator("#inbox .of-message", has_text="15 and 30 minutes")
    await item.locator("summary").click()
    await item.locator("textarea").fill("30")
    await item.get_by_role("button", name="Send").click()
    await expect(item).to_have_count(0)
    assert page.url == f"{site.origin}/", "it led back"
    [task] = await site.store.tasks.find_by_status("blocked")
    await site.store.tasks.update(task.id, status="pending")
    await page.locator(f"#inbox-task-{task.id}").get_by_role("button").click()
    await expect(page.locator("h1")).to_contain_text("someone was faster")
    await page.get_by_role("link", name="Back").click()
    await expect(page.locator("#inbox")).to_be_visible()
    for path in ("/graph", "/timeline", "/agent/humble-jackal", "/search?q=session"):
        await page.goto(f"{site.origin}{path}")
        await expect(page.locator("main")).to_contain_text(re.compile("Session store|session"))


async def test_who_may_only_look_finds_the_command(site_to_look_at: Site) -> None:
    page = await site_to_look_at.look()
    await expect(page.locator("main form")).to_have_count(0)
    await expect(page.locator("#inbox .of-task .command")).to_contain_text("cw-store retry ")
