// Follows an open run: fetches this page again and takes its contents, until the run has ended.
(function () {
  "use strict";
  function follow() {
    fetch(window.location.href, { credentials: "same-origin" })
      .then(function (answer) { return answer.text(); })
      .then(function (text) {
        var fresh = new DOMParser().parseFromString(text, "text/html").getElementById("export-run");
        var shown = document.getElementById("export-run");
        if (fresh && shown && fresh.innerHTML !== shown.innerHTML) { shown.replaceWith(fresh); }
        if (fresh && fresh.hasAttribute("data-open")) { window.setTimeout(follow, 2000); }
      })
      .catch(function () { window.setTimeout(follow, 5000); });
  }
  window.setTimeout(follow, 2000);
})();
