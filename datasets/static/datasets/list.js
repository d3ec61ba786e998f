// The keys of a list of records. Everything they do can be done without them.
(() => {
  "use strict";
  const KEYS = [["/", "Search"], ["j ↓", "Next record"], ["k ↑", "Previous record"], ["Enter", "Open the record"],
    ["n", "Next page"], ["p", "Previous page"], ["?", "These keys"], ["Esc", "Leave the records, or this help"]];
  let at = -1;

  const rows = () => Array.from(document.querySelectorAll("#result_list tr.data-row"));
  const linkOf = (row) => row && row.querySelector("th a[href], td a[href]");

  function mark(next) {
    const all = rows();
    if (!all.length) return;
    const to = Math.max(0, Math.min(all.length - 1, next));
    all.forEach((row) => row.classList.remove("ls-row"));
    at = to;
    all[at].classList.add("ls-row");
    const link = linkOf(all[at]);
    if (link) link.focus({ preventScroll: true });
    all[at].scrollIntoView({ block: "nearest" });
  }

  function leave() {
    rows().forEach((row) => row.classList.remove("ls-row"));
    at = -1;
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
  }

  function help() {
    let box = document.getElementById("ls-help");
    if (!box) {
      box = document.createElement("dialog");
      box.id = "ls-help";
      box.className = "ls-help";
      box.setAttribute("aria-label", "Keys of this list");
      const list = document.createElement("dl");
      for (const [keys, words] of KEYS) {
        const term = document.createElement("dt");
        for (const key of keys.split(" ")) {
          const shown = document.createElement("kbd");
          shown.textContent = key;
          term.append(shown, " ");
        }
        const meaning = document.createElement("dd");
        meaning.textContent = words;
        list.append(term, meaning);
      }
      const close = document.createElement("button");
      close.type = "button";
      close.className = "rh-button";
      close.textContent = "Close";
      close.addEventListener("click", () => box.close());
      box.append(list, close);
      document.body.append(box);
    }
    if (!box.open) box.showModal();
  }

  function follow(way) {
    const link = document.querySelector(`.ls-pages a[rel=${way}]`);
    if (link) link.click();
  }

  function isTyping(target) {
    if (!(target instanceof HTMLElement)) return false;
    if (target instanceof HTMLInputElement) return !/^(checkbox|radio|button|submit)$/.test(target.type);
    return target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName);
  }

  function closePanels(except) {
    const open = Array.from(document.querySelectorAll(".ls-panel[open]")).filter((panel) => panel !== except);
    open.forEach((panel) => panel.removeAttribute("open"));
    return open[0];
  }

  document.addEventListener("click", (event) => {
    if (event.target instanceof Element) closePanels(event.target.closest(".ls-panel"));
  });

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!document.querySelector(".ls-bar") || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      const closed = closePanels(null);
      if (closed) {
        closed.querySelector("summary").focus();
        return;
      }
    }
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const isInList = at >= 0 && document.activeElement === linkOf(rows()[at]);
    switch (event.key) {
      case "/": {
        const search = document.getElementById("searchbar");
        if (!search) return;
        search.focus();
        search.select();
        break;
      }
      case "j": mark(at + 1); break;
      case "k": mark(at < 0 ? 0 : at - 1); break;
      // Arrows scroll the page, as everywhere, until a record is marked.
      case "ArrowDown": if (!isInList) return; mark(at + 1); break;
      case "ArrowUp": if (!isInList) return; mark(at - 1); break;
      case "n": follow("next"); break;
      case "p": follow("prev"); break;
      case "Escape": if (at < 0) return; leave(); break;
      case "?": help(); break;
      default: return;
    }
    event.preventDefault();
  });
})();
