// Moves a column's row by its buttons or by dragging; the order is saved with the form. Without this file each
// button saves its own step.
"use strict";
(() => {
  const form = document.querySelector("form[data-columns]");
  if (!form) return;
  const body = form.querySelector("tbody");
  const said = form.querySelector("[data-said]");
  const rows = () => [...body.rows];
  const say = (row) => {
    said.textContent = `“${row.dataset.label}” is ${rows().indexOf(row) + 1} of ${body.rows.length}. Not saved yet.`;
  };

  body.addEventListener("click", (event) => {
    const button = event.target.closest(".ds-move");
    if (!button) return;
    event.preventDefault();
    const row = button.closest("tr");
    if (button.value.endsWith(":up")) row.previousElementSibling?.before(row);
    else row.nextElementSibling?.after(row);
    button.focus(); // it went along with its row
    say(row);
  });

  // Return in a label saves; the first button of the form would move a column.
  body.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches(".ds-input")) return;
    event.preventDefault();
    form.requestSubmit(form.querySelector("button[value=arrange]"));
  });

  let dragged = null;
  body.addEventListener("pointerdown", (event) => {
    // Draggable only by its handle: text in the label can still be selected.
    const row = event.target.closest(".ds-handle")?.closest("tr");
    if (row) row.draggable = true;
  });
  body.addEventListener("dragstart", (event) => {
    dragged = event.target.closest("tr");
    dragged.classList.add("ds-dragged");
    event.dataTransfer.effectAllowed = "move";
  });
  body.addEventListener("dragover", (event) => {
    const row = event.target.closest("tr");
    if (!dragged || !row) return;
    event.preventDefault();
    if (row === dragged) return;
    const { top, height } = row.getBoundingClientRect();
    if (event.clientY > top + height / 2) row.after(dragged);
    else row.before(dragged);
  });
  body.addEventListener("drop", (event) => event.preventDefault());
  body.addEventListener("dragend", () => {
    if (!dragged) return;
    dragged.classList.remove("ds-dragged");
    dragged.draggable = false;
    say(dragged);
    dragged = null;
  });
})();
