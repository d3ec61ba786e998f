// Sends only the cells that were changed: a page of rejected rows may hold thousands.
"use strict";
(() => {
  const form = document.querySelector("form[data-fix]");
  if (!form) return;
  const inputs = [...form.querySelectorAll(".im-input")];
  // What was sent and refused stands there again: it is not what the file has.
  const isChanged = (input) => "sent" in input.dataset || input.value !== input.defaultValue;
  form.addEventListener("input", ({ target }) => target.classList?.toggle("im-changed", isChanged(target)));
  form.addEventListener("submit", () => inputs.forEach((input) => (input.disabled = !isChanged(input))));
  // Back from the next page: everything can be typed into again.
  window.addEventListener("pageshow", () => inputs.forEach((input) => (input.disabled = false)));
  const wrong = form.querySelector("[aria-invalid]");
  const table = form.querySelector(".im-fix-scroll");
  if (wrong && wrong.offsetLeft + wrong.offsetWidth > table.clientWidth) {
    table.scrollLeft = wrong.closest("td").offsetLeft - table.clientWidth / 2;
  }
})();
