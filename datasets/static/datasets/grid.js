// Cells of the list are edited as in a spreadsheet. The server judges every value; a save says what the person
// saw, and is refused when somebody changed it meanwhile. Without this file a record's own page is the way.
"use strict";
(() => {
  const source = document.getElementById("grid-data");
  const table = document.getElementById("result_list");
  if (!source || !table) return;
  const grid = JSON.parse(source.dataset.grid);
  const token = () => document.querySelector("input[name=csrfmiddlewaretoken]").value;
  const make = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // ---- the cells, row by row as they are shown

  const rows = [];
  table.setAttribute("role", "grid");
  for (const row of table.querySelectorAll("tr")) {
    const box = row.querySelector("input.action-select");
    const record = box && grid.records[box.value];
    if (!record) continue;
    const cells = [...row.children]
      .map((element) => {
        const name = [...element.classList].find((one) => one.startsWith("field-"))?.slice(6);
        return name in grid.columns ? { element, name, id: Number(box.value) } : null;
      })
      .filter(Boolean);
    for (const [x, cell] of cells.entries()) {
      Object.assign(cell, { x, y: rows.length });
      cell.element.classList.add("ds-cell");
      cell.element.tabIndex = -1;
      cell.element.dataset.cell = `${cell.id} ${cell.name}`;
    }
    rows.push(cells);
  }
  if (!rows.length || !rows[0].length) return;
  const all = rows.flat();
  const cellOf = (element) => all.find((cell) => cell.element === element?.closest?.("[data-cell]"));
  const find = (id, name) => all.find((cell) => cell.id === id && cell.name === name);
  const textOf = (cell) => grid.records[cell.id][cell.name];
  const isLong = (cell) => !(cell.name in grid.records[cell.id]);
  let home = all[0];
  home.element.tabIndex = 0;
  const focus = (cell) => {
    if (!cell) return;
    home.element.tabIndex = -1;
    home = cell;
    cell.element.tabIndex = 0;
    cell.element.focus();
  };
  const beside = (cell, dx, dy) => rows[cell.y + dy]?.[cell.x + dx];
  const next = (cell, step) => all[all.indexOf(cell) + step];

  // ---- what is said: at the cell, and in a corner

  const clear = (cell) => {
    cell.element.querySelector(".ds-bubble")?.remove();
    cell.element.classList.remove("ds-wrong");
  };
  // Fixed, because the list would cut off what hangs out of it.
  const place = (cell) => {
    const bubble = cell.element.querySelector(".ds-bubble");
    const at = cell.element.getBoundingClientRect();
    const { width, height } = bubble.getBoundingClientRect();
    bubble.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 16))}px`;
    bubble.style.top = `${at.bottom + height > innerHeight ? at.top - height : at.bottom}px`;
  };
  const placeAll = () => {
    for (const bubble of table.querySelectorAll(".ds-bubble")) place(cellOf(bubble));
  };
  window.addEventListener("scroll", placeAll, { capture: true, passive: true });
  window.addEventListener("resize", placeAll);
  const say = (cell, text, actions = []) => {
    clear(cell);
    cell.element.classList.add("ds-wrong");
    const bubble = make("div", "ds-bubble");
    bubble.setAttribute("role", "alert");
    bubble.id = `said-${cell.id}-${cell.name}`;
    bubble.append(make("p", "", text));
    for (const [title, act] of actions) {
      const button = make("button", "rh-button", title);
      button.type = "button";
      button.addEventListener("click", (event) => {
        event.stopPropagation();
        clear(cell);
        act();
      });
      bubble.append(button);
    }
    cell.element.append(bubble);
    place(cell);
    const input = cell.element.querySelector(".ds-editor");
    input?.setAttribute("aria-invalid", "true");
    input?.setAttribute("aria-describedby", bubble.id);
  };
  const corner = make("div", "ds-toast");
  corner.setAttribute("role", "status");
  corner.hidden = true;
  document.body.append(corner);
  const toast = (text, change) => {
    corner.replaceChildren(make("span", "", text));
    corner.hidden = false;
    if (change) {
      const undo = make("button", "ds-undo", "Undo");
      undo.type = "button";
      undo.addEventListener("click", () => takeBack(change, undo));
      const link = make("a", "", "Look at it");
      link.href = change.url;
      corner.append(undo, link);
    }
    const close = make("button", "ds-close", "×");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    close.addEventListener("click", () => (corner.hidden = true));
    corner.append(close);
  };

  // ---- the server

  const send = async (url, body, type) => {
    try {
      const answer = await fetch(url, {
        method: "POST",
        headers: { "X-CSRFToken": token(), Accept: "application/json", "Content-Type": type },
        body,
      });
      if (answer.redirected || !answer.headers.get("Content-Type")?.includes("json")) {
        return { error: "You are signed out, or may not do this any more. Reload the page." };
      }
      return await answer.json();
    } catch {
      return { error: "The server did not answer, so nothing is known to be saved. Try again." };
    }
  };
  const save = (cells, options = {}) =>
    send(grid.url, JSON.stringify({ cells, ...options }), "application/json");
  const takeBack = async (change, button) => {
    button.disabled = true;
    const answer = await send(change.undo, "now=1", "application/x-www-form-urlencoded");
    if (answer.error) return toast(answer.error);
    if (answer.is_done) return location.reload();
    location.assign(answer.url); // records were edited since: the person decides
  };
  const take = (told) => {
    const cell = find(told.id, told.column);
    if (!cell) return;
    grid.records[told.id][told.column] = told.now;
    if (editing?.cell === cell) close();
    const inside = cell.element.querySelector("a") || cell.element;
    if (told.html !== undefined) {
      inside.innerHTML = told.html; // unfold's own mark for yes or no
    } else {
      inside.textContent = told.shown;
    }
    clear(cell);
  };

  // ---- one cell

  let editing = null;
  const open = (cell, typed) => {
    if (editing) commit();
    clear(cell);
    if (isLong(cell)) return say(cell, "This text is too long to edit here: open the record.", [["Close", () => {}]]);
    const column = grid.columns[cell.name];
    const text = textOf(cell) ?? "";
    const hasLines = column.has_lines || text.includes("\n");
    const input = make(column.is_choice ? "select" : hasLines ? "textarea" : "input", "ds-editor");
    if (column.is_choice) {
      if (!column.is_required || !text) input.append(new Option("No value", ""));
      for (const choice of column.choices) input.append(new Option(choice, choice));
    }
    input.value = typed !== undefined && !column.is_choice ? typed : text;
    input.setAttribute("aria-label", `${column.label} of ${grid.names[cell.id]}`);
    const before = [...cell.element.childNodes];
    editing = { cell, input, before };
    cell.element.classList.add("ds-editing");
    cell.element.replaceChildren(input);
    input.focus();
    if (typed === undefined && input.select) input.select();
  };
  const close = () => {
    if (!editing) return;
    const { cell, before } = editing;
    editing = null;
    cell.element.classList.remove("ds-editing");
    cell.element.replaceChildren(...before);
  };
  const commit = async (step) => {
    const { cell, input } = editing;
    const value = input.value;
    const seen = textOf(cell);
    close();
    if (step) focus(step);
    if (value === (seen ?? "")) return;
    await put(cell, seen, value);
  };
  const put = async (cell, seen, value) => {
    cell.element.classList.add("ds-saving");
    const answer = await save([{ id: cell.id, column: cell.name, seen, value }]);
    cell.element.classList.remove("ds-saving");
    if (answer.error) {
      open(cell, value);
      return say(cell, answer.error);
    }
    const told = answer.cells[0];
    if (told.status === "saved" || told.status === "same") {
      take(told);
      if (answer.change) toast(`${answer.change.title}.`, answer.change);
    } else if (told.status === "conflict") {
      say(cell, told.rule, [
        ["Keep theirs", () => (take(told), focus(cell))],
        [`Save ${value ? `“${value.slice(0, 40)}”` : "no value"} instead`, () => put(cell, told.now, value)],
      ]);
    } else if (told.status === "gone") {
      say(cell, told.rule, [["Reload the list", () => location.reload()]]);
    } else {
      open(cell, value);
      say(cell, told.rule);
    }
  };

  // ---- keys and clicks

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  table.addEventListener("keydown", (event) => {
    if (event.target.closest(".ds-bubble")) return;
    if (editing) return keyInEditor(event);
    const cell = cellOf(event.target);
    if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    // On a link inside of a cell, arrows are those of the list: they lead from record to record.
    if (arrow && event.target !== cell.element) return;
    if (arrow) focus(beside(cell, ...arrow));
    else if (event.key === "Home") focus(rows[cell.y][0]);
    else if (event.key === "End") focus(rows[cell.y].at(-1));
    else if (event.key === "F2" || (event.key === "Enter" && event.target === cell.element)) open(cell);
    else if (event.key === "Delete" || event.key === "Backspace") open(cell, "");
    else if (event.key === "Escape") clear(cell);
    else if (event.key.length === 1 && event.key !== " " && event.target === cell.element) open(cell, event.key);
    else return;
    event.preventDefault();
  });
  const keyInEditor = (event) => {
    const { cell, input } = editing;
    if (event.key === "Escape") {
      close();
      clear(cell);
      focus(cell);
    } else if (event.key === "Enter" && event.altKey && input.tagName === "TEXTAREA") {
      input.setRangeText("\n", input.selectionStart, input.selectionEnd, "end");
    } else if (event.key === "Enter" && !event.isComposing) {
      commit(beside(cell, 0, event.shiftKey ? -1 : 1) || cell);
    } else if (event.key === "Tab") {
      commit(next(cell, event.shiftKey ? -1 : 1) || cell);
    } else return;
    event.preventDefault();
  };
  table.addEventListener("dblclick", (event) => {
    const cell = cellOf(event.target);
    if (!cell || editing?.cell === cell || event.target.closest(".ds-bubble")) return;
    event.preventDefault();
    focus(cell);
    open(cell);
  });
  table.addEventListener("click", (event) => {
    const cell = cellOf(event.target);
    if (cell && !editing && !event.target.closest("a, button, input")) focus(cell);
  });
  table.addEventListener("focusin", (event) => {
    const cell = cellOf(event.target);
    if (cell && event.target === cell.element && cell !== home) focus(cell);
  });
  table.addEventListener("focusout", (event) => {
    if (editing && event.target === editing.input && event.relatedTarget !== null) {
      if (!editing.cell.element.contains(event.relatedTarget)) commit();
    }
  });
  document.addEventListener("mousedown", (event) => {
    if (editing && !editing.cell.element.contains(event.target)) commit();
  });
  window.addEventListener("beforeunload", (event) => {
    if (editing && editing.input.value !== (textOf(editing.cell) ?? "")) event.preventDefault();
  });

  // ---- a block from a spreadsheet

  table.addEventListener("copy", (event) => {
    const cell = !editing && cellOf(event.target);
    if (!cell || isLong(cell) || String(getSelection())) return;
    event.clipboardData.setData("text/plain", textOf(cell) ?? "");
    event.preventDefault();
  });
  // Spreadsheets quote a cell that holds a tab, a line break or a quote, and double its quotes.
  const parse = (text) => {
    const block = [[]];
    let at = 0;
    text = text.replace(/\r\n?/g, "\n");
    while (at < text.length) {
      let cell = "";
      if (text[at] === '"') {
        const closed = /^"((?:[^"]|"")*)"(?=[\t\n]|$)/.exec(text.slice(at));
        if (closed) {
          cell = closed[1].replaceAll('""', '"');
          at += closed[0].length;
        }
      }
      while (at < text.length && text[at] !== "\t" && text[at] !== "\n") cell += text[at++];
      block.at(-1).push(cell);
      if (text[at] === "\n" && at + 1 < text.length) block.push([]);
      if (text[at] === "\t" && (at + 1 === text.length || text[at + 1] === "\n")) block.at(-1).push("");
      at += 1;
    }
    return block;
  };
  table.addEventListener("paste", async (event) => {
    const cell = !editing && cellOf(event.target);
    if (!cell) return;
    event.preventDefault();
    const block = parse(event.clipboardData.getData("text/plain"));
    if (block.length === 1 && block[0].length === 1) return isLong(cell) ? open(cell) : put(cell, textOf(cell), block[0][0]);
    const edits = [];
    let outside = 0;
    for (const [dy, values] of block.entries()) {
      for (const [dx, value] of values.entries()) {
        const aim = rows[cell.y + dy]?.[cell.x + dx];
        if (!aim || isLong(aim)) outside += 1;
        else edits.push({ id: aim.id, column: aim.name, seen: textOf(aim), value });
      }
    }
    const answer = await save(edits, { dry_run: true });
    if (answer.error) return say(cell, answer.error, [["Close", () => {}]]);
    preview(cell, edits, answer.cells, outside);
  });
  const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const preview = (start, edits, told, outside) => {
    const dialog = make("dialog", "ds-dialog");
    dialog.setAttribute("aria-labelledby", "paste-title");
    const ready = told.filter((one) => one.status === "ready");
    const bad = told.filter((one) => ["refused", "conflict", "gone"].includes(one.status));
    const same = told.length - ready.length - bad.length;
    const title = make("h2", "rh-title", `Paste: ${plural(ready.length, "cell")} would change`);
    title.id = "paste-title";
    const notes = [];
    if (same) notes.push(`${plural(same, "cell")} would stay as before.`);
    if (bad.length) notes.push(`${plural(bad.length, "cell")} cannot be saved; the reason stands beside each.`);
    if (outside) notes.push(`${plural(outside, "cell")} of the block left out: no place for them on this page of the list.`);
    const list = make("table", "rh-table");
    const head = make("tr");
    for (const word of ["Record", "Column", "Old", "New", ""]) head.append(make("th", "", word));
    list.append(head);
    for (const [at, one] of told.entries()) {
      if (one.status === "same") continue;
      const row = make("tr", one.status === "ready" ? "" : "ds-bad");
      row.append(
        make("td", "", grid.names[one.id]),
        make("td", "", grid.columns[one.column].label),
        make("td", "ds-value ds-old", one.seen ?? ""),
        make("td", "ds-value ds-new", one.status === "ready" ? (one.now ?? "") : edits[at].value),
        make("td", "", one.rule),
      );
      list.append(row);
    }
    const scroll = make("div", "rh-scroll");
    scroll.append(list);
    const bar = make("div", "ds-actions");
    const yes = make("button", "rh-button rh-primary", `Save ${plural(ready.length, "cell")}`);
    const no = make("button", "rh-button", "Leave all as it is");
    yes.type = no.type = "button";
    yes.disabled = !ready.length;
    bar.append(yes, no);
    dialog.append(title, make("p", "rh-note", notes.join(" ")), scroll, bar);
    document.body.append(dialog);
    const end = () => (dialog.close(), dialog.remove(), focus(start));
    no.addEventListener("click", end);
    dialog.addEventListener("cancel", (event) => (event.preventDefault(), end()));
    yes.addEventListener("click", async () => {
      yes.disabled = true;
      const wanted = edits.filter((_edit, at) => told[at].status === "ready");
      const answer = await save(wanted, { skips_refused: true });
      end();
      if (answer.error) return say(start, answer.error, [["Close", () => {}]]);
      if (!answer.change) {
        const first = answer.cells.find((one) => one.rule);
        const where = first && find(first.id, first.column);
        return say(where || start, `Nothing was saved. ${first?.rule ?? ""}`, [["Reload the list", () => location.reload()]]);
      }
      for (const one of answer.cells) {
        if (one.status === "saved" || one.status === "same") take(one);
        else say(find(one.id, one.column), one.rule, [["Close", () => {}]]);
      }
      toast(`${answer.change.title}.`, answer.change);
    });
    dialog.showModal();
  };
})();
