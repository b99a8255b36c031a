"""What the demo provider has to say: short, true answers about this product."""

from __future__ import annotations

import re

_ANSWERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("fault", "fail", "error", "wrong"),
        "Every failure reaches you as one frame with a stable code, a safe sentence, whether it is recoverable, and a "
        "reference. Try one: send `/fault unavailable`, `/fault timeout`, `/fault midstream`, `/fault crash`, "
        "`/fault ratelimit`, `/fault database`, `/fault auth` or `/fault registration`. `/fault slow` does not fail; "
        "it takes ten seconds. Then look the reference up in the admin: there is the whole story behind it.",
    ),
    (
        ("provider", "openai", "model", "llm", "plug"),
        "I am the built-in demo provider: no key, no network. To plug in your own, write a class with `models` and an "
        "async generator `stream(request)` that yields text, and set CHAT_PROVIDER to its dotted path. Raise ChatError "
        "with a code of the catalogue when something fails; anything else you raise is reported as SERVICE_ERROR.",
    ),
    (
        ("admin", "reference", "record", "support", "operator"),
        "Sign in at /admin/ and open Routing failures. Search for the reference in any spelling; the detail page shows "
        "whom it hit, the cause chain, the traceback and the exact frame the person was told. The list begins with a "
        "chart of the last 24 hours.",
    ),
    (
        ("resume", "reconnect", "offline", "lost", "reload", "tab"),
        "A message is acknowledged only after it is committed, and carries a `ref`: sending it again never stores it "
        "twice. After a reconnect the client sends `resume` with the last `seq` it has and gets what it missed. An "
        "answer goes on while you are away.",
    ),
    (
        ("deploy", "production", "redis", "postgres", "daphne", "install", "start"),
        "`make run` starts everything on this machine with SQLite and an in-memory channel layer. A deployment sets "
        "SECRET_KEY, ALLOWED_HOSTS, CHAT_ALLOWED_ORIGINS, DATABASE_URL (PostgreSQL) and REDIS_URL, and runs daphne "
        "with the flags in deploy/daphne.sh. It refuses to start, with one line, when a setting is wrong.",
    ),
    (
        ("limit", "fast", "quick", "rate"),
        "There is a limit on messages per minute and on answers at once, per person. Above it you get "
        "TOO_MANY_REQUESTS with `retry_after` in milliseconds. CHAT_MESSAGES_PER_MINUTE and CHAT_MAX_RUNNING_REPLIES "
        "set them.",
    ),
    (
        ("what", "can", "able", "help"),
        "I answer questions about Switchboard itself:\n\n"
        "- how **errors** are told, and found again by their reference\n"
        "- how to plug in a **provider**, so that a real model answers\n"
        "- what the **admin** shows\n"
        "- what happens when the connection breaks: **resume**\n"
        "- how to **deploy** it\n\n"
        "And I fail on request: send `/fault unavailable`.",
    ),
    (
        ("use", "switchboard", "begin", "work", "how"),
        "Write below and send it. While I answer you may go on writing, stop me, "
        "close the tab or change to another device: the conversation is stored, and the answer goes on. Each message "
        "says what became of it. When something fails, the card below it says what to do and has a reference; whoever "
        "runs this server finds the whole story under it in the admin.",
    ),
    (
        ("story", "tale", "joke", "poem"),
        "A message once set out for a database. On the way the server was killed, twice. *I shall be lost*, thought "
        "the message, *or stored two times over.* But it carried a `ref`, and each time somebody sent it again the "
        "database said: I know you. So it was stored once, and answered once, and nobody noticed that there had been "
        "an adventure. That is the story; the sad ones are in the admin, under their references.",
    ),
    (
        ("hello", "hi", "hey", "hallo", "good"),
        "Hello! Ask me about errors, providers, the admin, reconnecting or deployment, or send `/fault unavailable` to "
        "see what a failure looks like.",
    ),
)
_DEFAULT = (
    "I am Switchboard's demo assistant. I answer questions about this product: how errors are reported and looked up, "
    "how to plug in a provider, what the admin shows, what happens when the connection breaks, and how to deploy it. "
    "Send `/fault unavailable` to see a failure."
)


def answer(question: str, *, is_brief: bool) -> str:
    """Return the answer whose keywords the question holds most of; the first sentence of it if brief."""
    words = {word.strip(".,;:!?/`'\"()").lower() for word in question.split()}
    stems = words | {word.removesuffix("s") for word in words}
    best = max(_ANSWERS, key=lambda entry: len(stems & set(entry[0])))  # the first of those that hold as many
    text = best[1] if stems & set(best[0]) else _DEFAULT
    return re.split(r"\.\s|\n", text)[0].rstrip(".:") + "." if is_brief else text


def after_fault(kind: str) -> str:
    """What the answer says when the fault itself happens elsewhere, or is unknown."""
    if kind == "registration":
        return "Armed: your next message will fail to join its conversation, and the one after that will join."
    if kind in {"ratelimit", "database", "auth"}:
        return "The fault has passed: this time your message was accepted. A failed message is safe to send again."
    return (
        f"There is no fault named {kind[:40]!r}. Known are unavailable, timeout, midstream, crash, slow, ratelimit, "
        "database, auth and registration."
    )
