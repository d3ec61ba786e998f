// Shows only what the chosen column and the chosen way need; without it the whole form stands there.
"use strict";
(() => {
  const form = document.querySelector("form[data-bulk]");
  if (!form) return;
  const ways = JSON.parse(form.dataset.ways);
  const options = JSON.parse(form.dataset.options);
  const field = (name) => form.querySelector(`[data-field="${name}"]`);
  const column = form.elements.column;
  const how = form.elements.how;
  const value = form.elements.value;
  const list = document.getElementById("values");
  value.setAttribute("list", "values");
  const labels = { set: "Value", replace: "Put this in its place", add: "Number to add" };
  const show = () => {
    const offered = ways[column.value] || [];
    for (const option of how.options) option.hidden = option.disabled = !offered.includes(option.value);
    if (!offered.includes(how.value)) how.value = offered[0];
    field("find").hidden = field("match_case").hidden = how.value !== "replace";
    field("value").hidden = how.value === "clear";
    const label = field("value").querySelector("label");
    if (label && labels[how.value]) label.textContent = labels[how.value];
    list.replaceChildren(
      ...(how.value === "set" ? options[column.value] || [] : []).map((text) => new Option(text, text)),
    );
  };
  form.addEventListener("change", show);
  show();
})();
