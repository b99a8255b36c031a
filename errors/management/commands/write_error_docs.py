"""`manage.py write_error_docs`: writes docs/errors.md from the catalogue. A test fails when the file is out of date."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations

from errors import catalogue
from errors.taxonomy import CATEGORY_RULES, Category, CategoryRule, ErrorSpec

_HEAD = """\
# Errors

<!-- Written by `manage.py write_error_docs` from the catalogue in errors/taxonomy.py: change it there. -->

Every code that Switchboard can utter. A failure reaches the person as one `error` frame (or one HTTP body) with such a
code, the sentence below and a `reference`; [protocol.md](protocol.md#errors) shows the frame and says what `outcome`,
`actions` and `retry_after` mean. Programs go by `code` and `category`; the sentence may change.
"""

_MEANINGS = {
    Category.AUTH: "The person has to sign in, or lacks the right.",
    Category.VALIDATION: "The input is at fault; `field` names the part where one is.",
    Category.SERVICE: "Something behind the connection failed.",
    Category.RATE_LIMIT: "Too much at once; `retry_after` says how long to wait.",
}


class Command(BaseCommand):
    help = "Writes the page of all error codes, those of ERRORS['extra_specs'] included."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "path", nargs="?", default="docs/errors.md", help="file to write; docs/errors.md if left out"
        )

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        specs = catalogue.specs()
        try:
            Path(options["path"]).write_text(render(specs), encoding="utf-8")
        except OSError as exc:
            raise CommandError(f"{options['path']} cannot be written: {exc.strerror}.") from exc
        self.stdout.write(f"{options['path']}: {len({spec.code for spec in specs})} codes.")


def render(specs: Iterable[ErrorSpec]) -> str:
    """Return the page, in Markdown: the categories, a table of all codes, and a section for each."""
    ordered = sorted(specs, key=lambda spec: list(Category).index(spec.category))
    by_code: dict[str, list[ErrorSpec]] = {}
    for spec in ordered:
        by_code.setdefault(spec.code, []).append(spec)
    return "\n".join(
        [
            _HEAD,
            "## Categories\n",
            *_categories(),
            "\n## All codes\n",
            *_overview(ordered),
            *(line for code, group in by_code.items() for line in _section(code, group)),
        ]
    )


def _categories() -> Iterable[str]:
    yield "| category | recoverable | the connection | `retry_after` | meaning |"
    yield "|---|---|---|---|---|"
    for category, rule in CATEGORY_RULES.items():
        yield (
            f"| `{category}` | {_yes(rule.recoverable)} | {'is closed after the frame' if rule.closes else 'goes on'} "
            f"| {_retry_after(category, rule)} | {_MEANINGS[category]} |"
        )


def _overview(specs: Iterable[ErrorSpec]) -> Iterable[str]:
    yield "| code | category | HTTP | what the person reads |"
    yield "|---|---|---|---|"
    for spec in specs:
        link, message = f"[`{spec.code}`](#{spec.code.lower()})", spec.message.replace("|", r"\|")
        yield f"| {link} | {spec.category} | {spec.http_status} | {message} |"


def _section(code: str, specs: list[ErrorSpec]) -> Iterable[str]:
    yield f"\n## {code}\n"
    if len(specs) > 1:
        yield f"This code has {len(specs)} sentences; for a program they are the same.\n"
    for spec in specs:
        if len(specs) > 1:
            yield f"### Spec {spec.name}\n"
        actions = ", ".join(f"`{action}`" for action in spec.actions)
        yield f"> {spec.message}\n"
        yield "| | |"
        yield "|---|---|"
        yield f"| category | `{spec.category}` |"
        yield f"| recoverable | {_yes(spec.rule.recoverable)} |"
        yield f"| closes the connection | {f'yes, with {spec.close_code}' if spec.rule.closes else 'no'} |"
        yield f"| `retry_after` | {_retry_after(spec.category, spec.rule)} |"
        yield f"| HTTP status | {spec.http_status} |"
        yield f"| actions | {actions or 'none'} |"
        yield f"\n**Why it happens.** {spec.why}\n"
        yield f"**What to do.** {spec.remedy}\n"


def _retry_after(category: Category, rule: CategoryRule) -> str:
    if rule.needs_retry_after:
        return "always"
    return "where a time is known" if category is Category.SERVICE else "never"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"
