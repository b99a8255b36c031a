"""What an answer may hold: Markdown, emoji, a hundred kilobytes, and everything that would like to be executed."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import RESULTS
from tests.browser.provider import script
from tests.services.process import wait_until

LONGEST_TASK_MS = 50  # beyond it, typing and scrolling stutter
FORBIDDEN = "script, img, svg:not(.icon), iframe, form, input, style, object, embed, base, meta, template, details"


def markup(reply):
    """The elements of an answer; white space between blocks means nothing."""
    return re.sub(r">\s+<", "><", reply.locator(".markdown").inner_html())


def test_markdown_is_shown_as_what_it_means(alice, picture):
    reply = alice.ask("show markdown slowly")
    expect(reply.locator("h2")).to_have_text("How a message travels")
    expect(reply.locator("h3")).to_have_text("In three steps")
    expect(reply.locator("ol > li")).to_have_count(3)
    expect(reply.locator("table tbody tr")).to_have_count(2)
    expect(reply.locator("td.align-right").first).to_have_text("12 ms")
    expect(reply.locator(".code-language")).to_have_text(["python", "sh"])
    expect(reply.locator("img")).to_have_count(0)
    expect(reply.get_by_role("link", name="A drawing of the pipeline")).to_have_attribute(
        "href", "https://example.org/pipeline.png"
    )
    # Defined below the sentence that names them.
    expect(reply.get_by_role("link", name="the list of codes")).to_have_attribute("href", "https://example.org/errors")
    expect(reply.get_by_role("link", name="guide")).to_have_attribute("title", "For operators")
    for link in reply.get_by_role("link").all():
        assert "noopener" in str(link.get_attribute("rel"))
    picture(alice.page, "markdown")
    streamed = markup(reply)
    alice.reload()
    assert markup(alice.replies.last) == streamed


def test_formulas_are_shown_as_they_were_written(alice):
    for reply in (alice.ask("show math slowly"), alice.ask("show math")):
        expect(reply.locator(".math")).to_have_text(
            [r"\(e^{i\pi} + 1 = 0\)", "\\[\n\\int_0^1 x^2\\,dx = \\frac{1}{3} \\\\\n- y\n\\]", "$$\na_1 * b_2 * c\n$$"]
        )
        expect(reply.locator("em")).to_have_text("all")
        expect(reply.locator("li")).to_have_count(0)


def test_code_is_copied_as_it_was_written(alice):
    alice.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reply = alice.ask("show code")
    copy = reply.get_by_role("button", name="Copy this code")
    copy.scroll_into_view_if_needed()
    place = copy.bounding_box()
    copy.click()
    expect(reply.get_by_role("status")).to_have_text("Copied")
    assert copy.bounding_box() == place  # nothing moves away from the pointer
    tick = copy.locator("path").get_attribute("d")
    expect(reply.get_by_role("status")).to_have_count(0)
    assert copy.locator("path").get_attribute("d") != tick
    copied = alice.page.evaluate("navigator.clipboard.readText()")
    assert copied == script("code").removeprefix("```python\n").removesuffix("```\n")


def test_emoji_keep_their_places(alice):
    reply = alice.ask("show emoji slowly")
    expect(reply.locator("p").first).to_have_text(script("emoji").strip())
    assert alice.stored()[-1]["content"] == script("emoji")


def test_what_a_person_writes_stays_plain_text_with_links(alice):
    text = "# Not a title\n<b>not bold</b> [no name](https://example.org/a?b=1)\n  two spaces\njavascript:alert(1)"
    question = alice.say(text)
    alice.expect_state(question, "Answered")
    assert question.locator(".message-text").text_content() == text
    link = question.locator(".message-text *")
    expect(link).to_have_text(["https://example.org/a?b=1"])
    expect(link).to_have_attribute("href", "https://example.org/a?b=1")
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")


def test_code_that_a_person_writes_looks_like_code(alice):
    text = "Why?\n```js\nfetch('https://example.org')\n```\nAnd this?\n~~~\nopen"
    question = alice.say(text)
    assert question.locator(".message-text").text_content() == text
    expect(question.locator("code")).to_have_text(["```js\nfetch('https://example.org')\n```", "~~~\nopen"])
    expect(question.locator("a")).to_have_count(0)


def test_each_part_of_an_answer_is_written_in_its_own_direction(alice, picture):
    reply = alice.ask("show right-to-left")
    picture(alice.page, "right-to-left")
    markdown = reply.locator(".markdown")
    right = """(element) => {
        const range = document.createRange();
        range.selectNodeContents(element);
        const around = element.parentElement.getBoundingClientRect();
        return around.right - range.getBoundingClientRect().right < range.getBoundingClientRect().left - around.left;
    }"""
    assert [part.evaluate(right) for part in markdown.locator("> p").all()] == [False, True]
    assert markdown.locator("li").first.evaluate(right)
    directions = "(parts) => parts.map((part) => getComputedStyle(part).direction)"
    assert markdown.locator("ul, blockquote, table").evaluate_all(directions) == ["rtl"] * 3


def test_tasks_are_boxes_with_a_meaning(alice, picture):
    reply = alice.ask("show tasks")
    picture(alice.page, "tasks")
    expect(reply.get_by_role("img", name="Done:")).to_have_count(1)
    expect(reply.get_by_role("img", name="To do:")).to_have_count(1)
    expect(reply.locator("li")).to_have_text(
        [re.compile("^Store it"), re.compile("^Answer it"), re.compile("^and one")]
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_a_wide_table_can_be_read_and_scrolled(site, sign_in, picture, width):
    alice = sign_in(site, "alice", viewport={"width": width, "height": 800})
    frame = alice.ask("show wide").get_by_role("group", name="Table")
    widths = (
        frame.locator("tbody tr").first.locator("td").evaluate_all("(cells) => cells.map((cell) => cell.offsetWidth)")
    )
    assert min(widths[1:]) >= 170
    for theme in ("light", "dark"):
        alice.page.emulate_media(color_scheme=theme)
        picture(alice.page, f"{width}-{theme}-wide")
    frame.press("ArrowRight")
    wait_until(lambda: frame.evaluate("(element) => element.scrollLeft") > 0, "the keyboard scrolls the table")


def test_nothing_that_a_model_writes_is_executed_or_loaded(site, sign_in, picture):
    """The corpus streams in pieces of a few characters, so every half of it is rendered once."""
    alice = sign_in(site, "alice")
    asked: list[str] = []
    alice.page.context.on("request", lambda request: asked.append(request.url))
    alice.start_new()
    alice.ask("show xss slowly")
    reply = alice.replies.last
    expect(reply).to_contain_text("The end of the corpus.")
    for _ in range(2):
        assert alice.page.evaluate("window.hacked") is None
        assert [url for url in asked if not url.startswith(site.url)] == []
        reply = alice.replies.last
        assert reply.locator(FORBIDDEN).count() == 0
        attributes = reply.locator(".markdown").evaluate(
            "(element) => [...element.querySelectorAll('*')].flatMap((child) => child.getAttributeNames())"
        )
        known = {"class", "href", "rel", "target", "title", "tabindex", "role", "aria-label", "aria-hidden", "dir"}
        assert set(attributes) <= known | {"type", "viewBox", "d", "start"}
        for link in reply.locator("a").all():
            assert str(link.get_attribute("href")).startswith(("https://", "mailto:"))
        picture(alice.page, "xss")
        alice.reload()


def longest_task_ms(browser, page, work):
    """The processor time of the longest task on a page's main thread, and its duration, while `work` goes on.

    A task only takes longer than its processor time when another program has the processor.
    """
    browser.start_tracing(page=page, categories=["toplevel"])
    work()
    page.evaluate("new Promise((done) => setTimeout(done, 100))")  # a task that is not over is in no trace
    events = json.loads(browser.stop_tracing())["traceEvents"]
    names = [event for event in events if event.get("name") == "thread_name"]
    main = {(event["pid"], event["tid"]) for event in names if event["args"]["name"] == "CrRendererMain"}
    tasks = [event for event in events if event.get("ph") == "X" and (event["pid"], event["tid"]) in main]
    assert tasks
    return [max(event.get(key, 0) for event in tasks) / 1_000 for key in ("tdur", "dur")]


@pytest.mark.parametrize("name", ["long", "code", "line", "list", "table", "quote"])
def test_a_hundred_kilobytes_stream_without_a_long_task(alice, name):
    browser = alice.page.context.browser

    def read():
        question = alice.say(f"show {name}")
        alice.expect_state(question, "Answered")
        expect(alice.replies.last).not_to_have_attribute("aria-busy", "true")

    processor_ms, duration_ms = longest_task_ms(browser, alice.page, read)
    assert alice.stored()[-1]["content"] == script(name)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "long-tasks.jsonl").open("a") as file:
        file.write(json.dumps({"answer": name, "processor_ms": processor_ms, "duration_ms": duration_ms}) + "\n")
    assert processor_ms <= LONGEST_TASK_MS


def test_a_long_task_would_be_noticed(alice):
    busy = "new Promise((done) => setTimeout(() => { for (let sum = 0; sum < 1e9; sum += 1); done(); }))"
    processor_ms, _ = longest_task_ms(alice.page.context.browser, alice.page, lambda: alice.page.evaluate(busy))
    assert processor_ms > LONGEST_TASK_MS
