"""What opens repositories."""

from __future__ import annotations

from pydantic import Field, SecretStr, model_validator

from orchestrator.blocks.block import Block


class GitCredentials(Block):
    """A token or a private key that opens repositories: of GitHub, GitLab, Bitbucket, or any other host of git.

    >>> GitCredentials(token="ghp_example").username is None
    True
    """

    _block_type_name = "Git Credentials"
    _icon = "key"

    username: str | None = Field(None, description="Few hosts ask for one: Bitbucket x-token-auth, GitLab oauth2.")
    token: SecretStr | None = Field(None, description="A token, or a password, for https.")
    private_key: SecretStr | None = Field(None, title="Private key", description="For ssh, in OpenSSH's format.")

    @model_validator(mode="after")
    def _opens_something(self) -> GitCredentials:
        if not (self.token or self.private_key):
            raise ValueError("Give a token or a private key.")
        return self
