// [data-open-when-new="id"]: a link of that id that a swap brings, and that was not there from the start, is followed.
for (const element of document.querySelectorAll("[data-open-when-new]")) {
  const { openWhenNew } = element.dataset;
  if (document.getElementById(openWhenNew)) continue;
  element.addEventListener("fragment:swapped", () => {
    const link = document.getElementById(openWhenNew);
    if (link) location.assign(link.href);
  });
}
