// Of a union one branch is shown; what was typed into the others stays in them. A branch that is not in the page yet
// comes from the server.
import { on, whenAdded } from "../found.js";
import { rearrange } from "./swap.js";

const branches = (radio) =>
  [...radio.closest("fieldset").children].filter((each) => each.dataset.of === radio.name);

function show(radio) {
  for (const branch of branches(radio)) {
    branch.hidden = branch.dataset.branch !== radio.value;
    delete branch.dataset.notChosen;
  }
}

whenAdded("[data-union]", (union) => {
  const chosen = union.querySelector(":checked");
  if (chosen) show(chosen);
});

on("change", "[data-union] input[type=radio]", (_event, radio) => {
  show(radio);
  const there = branches(radio).some((branch) => branch.dataset.branch === radio.value);
  if (!there && radio.dataset.nothing === undefined) rearrange(radio.form, "refresh");
});
