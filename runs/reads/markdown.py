"""Markdown that runs write, as HTML that a page may hold. What they write is nobody's that the reader trusts.

Twice guarded: the reader makes no HTML of HTML, and what it makes is cleaned by a list of what is allowed. The pages'
own policy (CSP) forbids scripts and foreign images besides.
"""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from orchestrator.wire import MAX_MARKDOWN
from runs.reads.addresses import followed, shown_image

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "li", "ol", "p",
    "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "title"}, "ol": {"start"}}


def as_html(text: str) -> SafeString:
    """Markdown (CommonMark, with tables and strikethrough) as safe HTML."""
    import nh3

    made = nh3.clean(
        _reader().render(text[:MAX_MARKDOWN]),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "data"},
        attribute_filter=_filtered,
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(made)  # noqa: S308 - cleaned just now


def _filtered(tag: str, name: str, value: str) -> str | None:
    if name == "href":
        return followed(value) or None
    if name == "src":
        return shown_image(value) or None
    return value


def _reader() -> Any:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    reader.add_render_rule("image", _image)
    reader.validateLink = lambda address: True  # What may be followed is decided in one place, below.
    return reader


def _image(renderer: Any, tokens: Any, place: int, options: Any, env: Any) -> str:
    """An image that may be shown; else a link to it."""
    token = tokens[place]
    address, text = str(token.attrs.get("src", "")), renderer.renderInlineAsText(token.children or [], options, env)
    if shown_image(address):
        return format_html('<img src="{}" alt="{}">', address, text)
    return format_html('<a href="{}">{}</a>', address, text or "Image")
