"""The base of all blocks."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_serializer, model_validator

from orchestrator import masking
from orchestrator.blocks import documents, registry, schema
from orchestrator.blocks.fields import secrets_in
from orchestrator.client import Client, in_context
from orchestrator.exceptions import BlockError


class Block(BaseModel):
    """Settings and secrets under a name, kept by the workspace. Make a class of your own from it for a type of yours.

    Secret fields are those of the types SecretStr, SecretBytes (of pydantic) and SecretDict; their values of six
    characters and more are masked in whatever runs tell from then on. A field may be another block.

    In sync code `load`, `save`, `rename`, `delete` and `register_type` do what they say; in a coroutine they are
    awaited: `await Block.load("secret/token")`. `aload` and `asave` are coroutines everywhere.

    Class attributes that a type may set: `_block_type_slug` (of its class name by default), `_block_type_name`,
    `_description` (the docstring's first paragraph by default), `_icon`.

    >>> from orchestrator import testing
    >>> from orchestrator.blocks import Block, Secret
    >>> class Shop(Block):
    ...     address: str
    ...     token: Secret
    >>> with testing.server():
    ...     token = Secret(value="s3cr3t-token")
    ...     version = token.save("shop-token")
    ...     version = Shop(address="https://shop.example", token=token).save("main")
    ...     Shop.load("main").token.get()
    's3cr3t-token'
    """

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    _block_type_slug: ClassVar[str] = ""
    _block_type_name: ClassVar[str] = ""
    _description: ClassVar[str] = ""
    _icon: ClassVar[str] = "block"

    _block_document_name: str | None = PrivateAttr(None)
    _block_version: int | None = PrivateAttr(None)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if not registry.SLUG.fullmatch(cls.get_block_type_slug()):
            raise TypeError(
                f"{cls.get_block_type_slug()!r} is no slug for a type of blocks: lower case letters, digits and "
                "dashes, 100 at most. Set _block_type_slug."
            )
        registry.note(cls)

    # What the API has.

    @classmethod
    def load(cls, name: str, *, version: int | None = None) -> Self:
        """The block of a name; `Block.load("secret/token")` says the type too.

        Args:
            version: As it was then; the last 50 are kept. Blocks in it are as they are now. None: the newest.

        Raises:
            NotFound: There is none, or no such version.
            BlockError: What is kept does not fit the class, or there is no class for it here.
            NotConfigured: No API is known.
            ApiError: The API refused, or could not be reached.
        """
        return in_context(cls._load, name, version)

    @classmethod
    async def aload(cls, name: str, *, version: int | None = None) -> Self:
        """`load` for coroutines."""
        return await asyncio.to_thread(cls._load, name, version)

    @classmethod
    def _load(cls, reference: str, version: int | None = None) -> Self:
        slug, name = documents.split(reference, cls.get_block_type_slug())
        return cls._made_from(documents.read(slug, name, version))

    def save(self, name: str, *, overwrite: bool = False, description: str | None = None) -> int:
        """Keep this block under a name, its type first if it is new; return the version.

        Args:
            name: Lower case letters, digits and dashes, 100 at most.
            overwrite: Make a new version of the one of this name, if there is one.
            description: For people; None leaves it as it is.

        Raises:
            ValueError: There is one of this name, and overwrite is False.
            BlockError: A block in it was not saved before.
            ApiError: The API refused, or could not be reached.
        """
        return in_context(self._save, name, overwrite, description)

    async def asave(self, name: str, *, overwrite: bool = False, description: str | None = None) -> int:
        """`save` for coroutines."""
        return await asyncio.to_thread(self._save, name, overwrite, description)

    def _save(self, name: str, overwrite: bool, description: str | None) -> int:
        masking.hide(secrets_in(self))
        version = documents.write(self, name, overwrite, description)
        self._block_document_name, self._block_version = name, version
        return version

    @classmethod
    def delete(cls, name: str) -> None:
        """Delete the block of a name, with all of its versions.

        Raises:
            NotFound: There is none.
            Conflict: Other blocks have it in them.
            ApiError: The API refused, or could not be reached.
        """
        return in_context(documents.remove, *documents.split(name, cls.get_block_type_slug()))

    @classmethod
    def rename(cls, name: str, to: str) -> None:
        """Give the block of a name another one. Blocks that have it in them follow; its versions stay.

        Raises:
            NotFound: There is none.
            Conflict: Another block has the name, or deployments or automations name this one; the message says which.
            ApiError: The API refused, or could not be reached.
        """
        return in_context(documents.rename, *documents.split(name, cls.get_block_type_slug()), to)

    @classmethod
    def register_type(cls) -> None:
        """Tell the workspace of this type and its fields, so that the portal has a form for it.

        Raises:
            ApiError: The API refused, or could not be reached.
        """
        return in_context(cls._register_type)

    @classmethod
    def _register_type(cls) -> None:
        with Client() as client:
            documents.register(client, cls, again=True)

    # The type.

    @classmethod
    def get_block_type_slug(cls) -> str:
        """The word for the type in addresses. Block itself has none."""
        own = cls.__dict__.get("_block_type_slug", "")
        return own or ("" if cls.__module__ == __name__ and cls.__name__ == "Block" else registry.slug_of(cls.__name__))

    @classmethod
    def get_block_type_name(cls) -> str:
        """The name of the type, for people."""
        return cls.__dict__.get("_block_type_name") or cls.__name__

    @classmethod
    def get_description(cls) -> str:
        """What the type is for: `_description`, or the docstring's first paragraph."""
        told = cls.__dict__.get("_description") or inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
        return " ".join(told.split())

    def get_reference(self) -> str | None:
        """`type/name` of a block that was saved or loaded."""
        name = self._block_document_name
        return None if name is None else f"{self.get_block_type_slug()}/{name}"

    # Made from what is told.

    @classmethod
    def _made_from(cls, told: dict[str, Any]) -> Self:
        """A block from the API's answer, whatever its type is."""
        kind = cls if told["type"] == cls.get_block_type_slug() else registry.class_of(told["type"])
        if not issubclass(kind, cls):
            raise BlockError(f"{told['type']}/{told['name']} is no {cls.get_block_type_name()}.")
        try:
            block = kind.model_validate(told["data"])
        except ValidationError as error:
            raise BlockError(_misfit(kind, told, error)) from None
        block._block_document_name, block._block_version = told["name"], told.get("version")
        return block

    @model_validator(mode="wrap")
    @classmethod
    def _validated(cls, value: Any, handler: Any) -> Any:
        if isinstance(value, dict) and "$block" in value:
            return cls._referred_to(value)
        block = handler(value)
        masking.hide(secrets_in(block))
        return block

    @classmethod
    def _referred_to(cls, value: dict[str, Any]) -> Self:
        """The block of `{"$block": "type/name"}`: told of already, or to be loaded."""
        if "data" in value:
            return cls._made_from(value)
        if not isinstance(value["$block"], str):
            raise BlockError("$block is the type and the name of a block, like secret/token.")
        return cls._load(value["$block"])

    @model_serializer(mode="wrap")
    def _serialized(self, handler: Any, info: Any) -> Any:
        """As JSON a block that has a name is a reference: in parameters of runs, defaults, logs."""
        reference = self.get_reference() if info.mode == "json" else None
        return handler(self) if reference is None else {"$block": reference}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
        return schema.field_schema(cls, core_schema, handler)


def _misfit(kind: type[Block], told: dict[str, Any], error: ValidationError) -> str:
    wrong = [
        f"  {'.'.join(str(part) for part in each['loc']) or 'the whole'}: {each['msg']}"
        for each in error.errors(include_url=False, include_context=False, include_input=False)[:20]
    ]
    name = f"{told['type']}/{told['name']}"
    return "\n".join([f"The block {name} does not fit {kind.__name__}. Mend it in the portal, or the class:", *wrong])
