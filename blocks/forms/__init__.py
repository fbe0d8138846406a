"""Forms from JSON Schema, for the parameters of runs and the fields of blocks.

    form = SchemaForm.of_values(schema, values, context=Context(blocks=…))      # GET
    form = SchemaForm.of_post(schema, request.POST, context=…)                  # POST
    if form.rearranged: show the page again                                     # a button within the form
    errors = {**what_the_schema_check_says(form.value), **form.problems}
    if errors: show the page again with form.with_errors(errors)

A template includes `components/schema_form/form.html` with `form`, within a `<form method="post">`.

Empty, absent and null: `blocks.forms.leaves` says what an emptied control means. Names of controls:
`blocks.forms.spreading`.
"""

from blocks.forms.fields import Choice, Context, Field, KeptSecret
from blocks.forms.form import SchemaForm
from blocks.forms.shapes import in_order

__all__ = ["Choice", "Context", "Field", "KeptSecret", "SchemaForm", "in_order"]
