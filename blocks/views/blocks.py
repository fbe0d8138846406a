"""Blocks in the portal: the list, the catalogue of types, and one block with its versions and what uses it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from blocks import blocks, reads, references, types, versions
from blocks.models import Block
from blocks.views.block_form import BlockForm
from orchestrator.storable import clean_text
from tenants.access import workspace_page
from tenants.errors import NotFound, Problem
from tenants.permissions import can
from tenants.restrictions import page
from tenants.restrictions.rules import check_allowed
from tenants.whole_numbers import whole_number

TABS = ("settings", "versions", "users")
RECENT = 3  # versions beside the settings


@workspace_page("blocks.view")
def index(request: HttpRequest) -> HttpResponse:
    """The list, by type and text."""
    asked = request.GET
    type, text, cursor = (clean_text(asked.get(name, "").strip(), 201) for name in ("type", "q", "cursor"))
    page = reads.page(request.actor, type=type, text=text, cursor=cursor)
    context = {"section": "blocks", "page": page, "type": type, "text": text, "cursor": cursor}
    return TemplateResponse(request, "blocks/blocks.html", context)


@workspace_page({"GET": "blocks.edit", "POST": "blocks.edit"})
def new(request: HttpRequest) -> HttpResponse:
    """The catalogue of types; with a type chosen, the form of a new block of it."""
    chosen, text = (clean_text(request.GET.get(name, "").strip(), 100) for name in ("type", "q"))
    if not chosen:
        context = {"section": "blocks", "types": reads.catalogue(request.actor, text), "text": text}
        return TemplateResponse(request, "blocks/catalogue.html", context)
    form = BlockForm(request, types.find_type(request.actor, chosen), None, None)
    if request.method == "POST" and (block := form.take(request.POST)):
        messages.success(request, f"{block.name} is saved.")
        return _to(request, block)
    context = {"section": "blocks", "form": form, "type": form.type}
    return TemplateResponse(request, "blocks/new.html", context, status=form.status)


@workspace_page({"GET": "blocks.view", "POST": "blocks.edit"})
def detail(request: HttpRequest, type: str, name: str) -> HttpResponse:
    """One block. What is posted is its form."""
    block = blocks.find_block(request.actor, type, name)
    version, kind = versions.current(block), _type_of(request, block)
    may_edit = can(request.actor, "blocks.edit", block)
    form = BlockForm(request, kind, block, version) if kind and may_edit else None
    if request.method == "POST" and not may_edit:
        check_allowed(block, request.actor, "blocks.edit")
    if request.method == "POST" and form and form.take(request.POST):
        saved = blocks.find_block(request.actor, type, name)
        messages.success(request, f"Saved as version {saved.version}." if saved.version > version.number else "Saved.")
        return _to(request, saved)
    tab = request.GET.get("tab", "")
    tab = tab if tab in TABS else TABS[0]
    context = {
        "section": "blocks",
        "this": block,  # In a template `block` is Django's own.
        "version": version,
        "type": kind,
        "form": form,
        "may_edit": may_edit,
        "shown": reads.shown_fields(version),
        "tab": tab,
        "history": reads.history(block, versions.KEPT if tab == "versions" else RECENT),
        "kept": versions.of(block).count(),
        "users": _users(request, block),
        "code": reads.snippet(block, kind),
    }
    return TemplateResponse(request, "blocks/block.html", context, status=form.status if form else 200)


@workspace_page({"POST": "blocks.edit"})
def roll_back(request: HttpRequest, type: str, name: str) -> HttpResponse:
    """Make what an older version held the newest one."""
    block, number = blocks.find_block(request.actor, type, name), request.POST.get("version", "")
    try:
        if whole_number(number) is None:
            raise NotFound("There is no such version.")
        version = blocks.roll_back(block=block, number=int(number), by=request.actor)
        messages.success(request, f"Version {number} is restored, as version {version.number}.")
    except Problem as problem:
        messages.error(request, problem.message)
    return _to(request, block, "?tab=versions")


@workspace_page({"POST": "blocks.edit"})
def rename(request: HttpRequest, type: str, name: str) -> HttpResponse:
    """Give it another name."""
    block = blocks.find_block(request.actor, type, name)
    try:
        block = blocks.rename(block=block, name=request.POST.get("name", "").strip(), by=request.actor)
        messages.success(request, f"The block is called {block.name} now.")
    except Problem as problem:
        messages.error(request, problem.message)
    return _to(request, block)


@workspace_page({"POST": "blocks.edit"})
def delete(request: HttpRequest, type: str, name: str) -> HttpResponse:
    """Delete it, with its versions."""
    block = blocks.find_block(request.actor, type, name)
    try:
        blocks.delete(block=block, by=request.actor)
    except Problem as problem:
        messages.error(request, problem.message)
        return _to(request, block, "?tab=users")
    messages.success(request, f"{name} is deleted.")
    return redirect("blocks", request.organization.slug, request.workspace.slug)


@workspace_page({"GET": "access.edit", "POST": "access.edit"})
def access(request: HttpRequest, type: str, name: str) -> HttpResponse:
    """Who may see, use and edit it."""
    block = blocks.find_block(request.actor, type, name)
    return page.answer(request, block, section="blocks", back=_to(request, block).url)


def _type_of(request: Any, block: Block) -> types.Type | None:
    """The block's type; none where a newer release no longer brings it along."""
    try:
        return types.find_type(request.actor, block.type)
    except NotFound:
        return None


def _users(request: Any, block: Block) -> list[tuple[references.User, str]]:
    """What uses the block, with the address of each."""
    place = [request.organization.slug, request.workspace.slug]
    users = references.users_of(block, request.actor)
    return [(user, reverse(user.page, args=[*place, *user.arguments])) for user in users]


def _to(request: Any, block: Block, query: str = "") -> HttpResponse:
    address = reverse("block", args=[request.organization.slug, request.workspace.slug, block.type, block.name])
    return redirect(address + query)
