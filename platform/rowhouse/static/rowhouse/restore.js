// Whoever chooses a file or writes a time means it. Without this, the mark beside it has to be set too.
(() => {
  for (const choice of document.querySelectorAll(".rh-choice")) {
    const mark = choice.querySelector("[name=source]");
    choice.addEventListener("input", () => { mark.checked = true; });
  }
})();
