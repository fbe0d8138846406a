"""Pages of blocks and variables."""

from django.urls import path

from blocks.views import blocks, variables

urlpatterns = [
    path("blocks", blocks.index, name="blocks"),
    path("blocks/new", blocks.new, name="block-new"),
    path("blocks/<str:type>/<str:name>", blocks.detail, name="block"),
    path("blocks/<str:type>/<str:name>/rollback", blocks.roll_back, name="block-rollback"),
    path("blocks/<str:type>/<str:name>/access", blocks.access, name="block-access"),
    path("blocks/<str:type>/<str:name>/rename", blocks.rename, name="block-rename"),
    path("blocks/<str:type>/<str:name>/delete", blocks.delete, name="block-delete"),
    path("variables", variables.index, name="variables"),
    path("variables/new", variables.edit, name="variable-new"),
    path("variables/<str:name>", variables.edit, name="variable"),
    path("variables/<str:name>/remove", variables.remove, name="variable-remove"),
]
