// A choice that narrows another one ([data-narrows="id"]): of its options those stay that name the choice in data-for.
import { on, whenAdded } from "./found.js";

function narrow(select) {
  const other = document.getElementById(select.dataset.narrows);
  for (const option of other.options) {
    option.hidden = option.disabled = !option.dataset.for.split(" ").includes(select.value);
  }
  if (!other.selectedOptions[0] || other.selectedOptions[0].disabled) {
    other.value = [...other.options].find((option) => !option.disabled)?.value ?? "";
  }
}

on("change", "[data-narrows]", (_event, select) => narrow(select));
whenAdded("[data-narrows]", narrow);
addEventListener("pageshow", () => document.querySelectorAll("[data-narrows]").forEach(narrow));
