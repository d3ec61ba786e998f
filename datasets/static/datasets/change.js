// Shows only the options that mean something to the chosen type. Without it all are there, and the server judges.
(() => {
  const type = document.querySelector("select[name=type]");
  if (!type) return;
  const show = () => {
    for (const part of document.querySelectorAll("[data-applies]")) {
      part.hidden = part.dataset.applies !== "" && !part.dataset.applies.split(" ").includes(type.value);
    }
  };
  type.addEventListener("change", show);
  show();
})();
