"""Lets schemathesis send journals: bytes, as far as it is concerned."""

import schemathesis

schemathesis.serializer.alias(["application/x-ndjson"], "application/octet-stream")
