"""The gate's result in GitHub Flavored Markdown: the job summary and the pull-request comment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape as escape_html
from typing import Any
from urllib.parse import quote, urlsplit

from prebake.measure.gate_report import rows
from prebake.measure.gate_report.names import MAX_NAME, Name, Words, clean
from prebake.measure.gate_report.rows import Row, Table
from prebake.measure.gate_report.sentences import choose_title, describe_conditions, describe_starts, describe_verdict

MAX_CHARACTERS = 60_000
"""The most characters of the whole text. GitHub takes at most 65,536 characters in a comment; whoever posts it may add some."""

MAX_URL = 2_000

_UNSAFE = re.compile(r"[^\w .,:;()%+/=-]|_|:(?! |$)|(?<=www)\.", re.ASCII | re.IGNORECASE)
"""Signs that may mean something in Markdown, HTML, a link or the code of an emoji. Characters beyond ASCII mean nothing there."""


def format_markdown(document: Mapping[str, Any], *, picture_url: str | None = None) -> str:
    """The verdict, the figures, what moved, and folded details. At most ``MAX_CHARACTERS``: longer lists are cut, and say so.

    ``picture_url`` is the address of a picture of the starts. Raises ValueError if it is not one of http or https.
    """
    first, *others = describe_verdict(document)
    blocks = [
        f"### {choose_title(document)}: {format_words(first)}",
        *(format_words(words) for words in others),
        write_table(rows.tabulate_measures(document), 4_000),
        format_text(describe_conditions(document)),
        *([_write_picture(document, picture_url)] if picture_url else []),
        *_write_moved(document),
        *_write_details(document),
    ]
    return "\n\n".join(blocks) + "\n"


def _write_moved(document: Mapping[str, Any]) -> Iterator[str]:
    """What moved; of the counters and changes only if there is something."""
    if document["baseline"]:
        yield _write_section(rows.tabulate_phases(document, moved=True), 5_000)
    counters = rows.tabulate_counters(document, moved=True)
    if counters.rows and not document["counters"]["counted"]:  # the sizes are known all the same
        yield format_text(counters.empty)
    if counters.rows or not document["counters"]["counted"]:
        yield _write_section(counters, 4_000)
    if (changes := rows.tabulate_changes(document)).rows:
        yield _write_section(changes, 5_000)


def _write_details(document: Mapping[str, Any]) -> Iterator[str]:
    tables = (
        (rows.tabulate_phases(document), 9_000),
        (rows.tabulate_counters(document), 4_000),
        (rows.tabulate_starts(document), 6_000),
        (rows.tabulate_layers(document), 2_000),
        (rows.tabulate_images(document), 4_000),
        (rows.tabulate_machine(document), 4_000),
    )
    for table, budget in tables:
        if table.rows:
            yield _fold(table.title, write_table(table, budget))
    yield _fold("The words of the command", _write_message(document["message"], 4_000))


def _fold(title: str, block: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{block}\n\n</details>"


def _write_section(table: Table, budget: int) -> str:
    return f"#### {format_text(table.title)}\n\n{write_table(table, budget)}"


def write_table(table: Table, budget: int) -> str:
    """The table in at most ``budget`` characters, and the number of the rows that were left out."""
    if not table.rows:
        return format_text(table.empty)[:budget]
    lines = [_write_row(table.head), _write_rule(table)]
    left = budget - sum(len(line) + 1 for line in lines) - 100  # 100: for the sentence below
    for row in table.rows:
        line = _write_row(row)
        left -= len(line) + 1
        if left < 0:
            break
        lines.append(line)
    if missing := len(table.rows) - (len(lines) - 2):
        lines += ["", f"… and {missing} more, which the JSON document has."]
    return "\n".join(lines)


def _write_row(row: Row) -> str:
    return f"| {' | '.join(map(format_cell, row))} |"


def _write_rule(table: Table) -> str:
    return f"|{'|'.join('--:' if number in table.numbers else '---' for number in range(len(table.head)))}|"


def format_cell(text: str) -> str:
    return format_name(text) if isinstance(text, Name) else format_text(text)


def format_words(words: Words) -> str:
    return "".join(map(format_cell, words))


def format_text(text: str) -> str:
    """Text that shows as it is: nothing in it is Markdown, HTML, a link or a mention. One line."""
    before, after = text[:1].isspace() * " ", text[-1:].isspace() * " "
    return f"{before}{_UNSAFE.sub(_encode, clean(text))}{after}"


def format_name(name: str) -> str:
    """A name as code. GitHub looks for no mention, issue or commit in code."""
    cleaned = clean(name, MAX_NAME)
    return f"<code>{_UNSAFE.sub(_encode, cleaned)}</code>" if cleaned else ""


def _encode(found: re.Match[str]) -> str:
    """A numeric character reference, which is never markup (CommonMark 0.31, section 2.5). A comment behind ``@`` keeps the
    autolinks of e-mail addresses away."""
    sign = found[0]
    if not sign.isascii():
        return sign
    return f"&#{ord(sign)};<!-- -->" if sign == "@" else f"&#{ord(sign)};"


def _write_picture(document: Mapping[str, Any], url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https") or len(address := quote(url, safe=":/?#[]@!$&'*+,;=%~")) > MAX_URL:
        raise ValueError(f"not the address of a picture: {url[:200]!r}")
    return f"![{format_text(describe_starts(document))}](<{address}>)"


def _write_message(message: str, budget: int) -> str:
    """Preformatted lines: HTML, in which Markdown means nothing up to the end tag."""
    lines, left = list[str](), budget
    for line in message.splitlines():
        written = escape_html(clean(line, 500))
        left -= len(written) + 1
        if left < 0:
            lines.append("…")
            break
        lines.append(written)
    return "\n".join(["<pre>", *(line or " " for line in lines), "</pre>"])
