// Hides what does not apply, moves columns, and asks what the settings would give while somebody types.
(function () {
  "use strict";
  var form = document.getElementById("export-settings");
  if (!form) { return; }
  var asked = 0, timer;

  function value(name) { var field = form.elements[name]; return field ? field.value : ""; }

  function showWhatApplies() {
    form.querySelectorAll("[data-of]").forEach(function (field) {
      var applies = field.dataset.for.split(" ").indexOf(value(field.dataset.of)) >= 0;
      field.closest(".ex-field").hidden = !applies;
    });
    var chosen = document.getElementById("ex-chosen");
    if (chosen) { chosen.hidden = value("columns_are") !== "own"; }
  }

  function show(id, text) { document.getElementById(id).textContent = text; }

  function ask() {
    var mine = ++asked, query = new URLSearchParams({ dataset: form.dataset.slug });
    ["every", "cron", "time_zone", "pattern", "format", "content"].forEach(function (name) { query.set(name, value(name)); });
    fetch(form.dataset.example + "?" + query, { credentials: "same-origin" })
      .then(function (answer) { return answer.json(); })
      .then(function (made) {
        if (mine !== asked) { return; } // somebody typed on
        show("ex-name", made.name); show("ex-name-fault", made.name_fault);
        show("ex-words", made.words); show("ex-words-fault", made.words_fault); show("ex-next", made.next);
        document.getElementById("ex-next-of").hidden = !made.next;
      })
      .catch(function () { /* the page's button shows it too */ });
  }

  function place() {
    form.querySelectorAll("#ex-chosen tbody tr").forEach(function (row, at) {
      row.querySelector("[type=number]").value = at + 1;
    });
  }

  form.addEventListener("input", function () {
    showWhatApplies();
    window.clearTimeout(timer);
    timer = window.setTimeout(ask, 200);
  });
  form.addEventListener("click", function (event) {
    var button = event.target.closest("[data-move]");
    if (!button) { return; }
    var row = button.closest("tr");
    if (button.dataset.move === "-1" && row.previousElementSibling) { row.previousElementSibling.before(row); }
    if (button.dataset.move === "1" && row.nextElementSibling) { row.nextElementSibling.after(row); }
    place();
    button.focus();
  });
  form.querySelectorAll("[data-move]").forEach(function (button) { button.hidden = false; });
  form.querySelectorAll(".ex-place .rh-input").forEach(function (field) { field.readOnly = true; });
  document.getElementById("ex-look").hidden = true;
  showWhatApplies();
  ask();
})();
