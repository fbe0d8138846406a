"""The API of variables, block types and blocks."""

from django.urls import path

from blocks.api import blocks, types, variables

urlpatterns = [
    path("variables", variables.Variables.as_view(), name="api-variables"),
    path("variables/<str:name>", variables.OneVariable.as_view(), name="api-variable"),
    path("block-types", types.BlockTypes.as_view(), name="api-block-types"),
    path("block-types/<str:slug>", types.OneBlockType.as_view(), name="api-block-type"),
    path("blocks", blocks.Blocks.as_view(), name="api-blocks"),
    path("blocks/<str:type>/<str:name>", blocks.OneBlock.as_view(), name="api-block"),
    path("blocks/<str:type>/<str:name>/value", blocks.Value.as_view(), name="api-block-value"),
    path("blocks/<str:type>/<str:name>/versions", blocks.Versions.as_view(), name="api-block-versions"),
    path("blocks/<str:type>/<str:name>/rename", blocks.Rename.as_view(), name="api-block-rename"),
    path("blocks/<str:type>/<str:name>/users", blocks.Users.as_view(), name="api-block-users"),
    path("blocks/<str:type>/<str:name>/rollback", blocks.Rollback.as_view(), name="api-block-rollback"),
]
