// The table of differences: a grid of rows, moved over by arrows, picked by Space, opened by Enter.

const COLUMNS = [
  ["status", "Status", ""], ["collection", "Collection", ""], ["key", "Key", ""], ["made", "Made (UTC)", ""],
  ["source", "Best source", "rnb-less"], ["candidates", "Versions", "rnb-least"], ["confidence", "Confidence", "rnb-least"],
];

const makeTable = (desk) => {
  let cursor = 0;
  const summary = h("div", { class: "rnb-summary" });
  const all = button("Select all matching", () => desk.send("pick matching"));
  const none = button("Select none", () => desk.send("clear"));
  const whole = h("input", { type: "checkbox", "aria-label": "Select this page",
    onchange: () => pick(desk.screen.page.rows.filter((one) => one.restorable), whole.checked) });
  const heads = COLUMNS.map(([name, text, style]) => {
    const head = h("th", { scope: "col", class: style, "aria-sort": "none" });
    head.append(button([text, h("span", { class: "rnb-arrow", "aria-hidden": "true" })], () => {
      const { sort, descending } = desk.view;
      desk.look(sort !== name ? { sort: name, descending: false }
        : descending ? { sort: "", descending: false } : { sort: name, descending: true });
    }, { "data-sort": name }));
    return head;
  });
  const body = h("tbody", {});
  const grid = h("table", { class: "rnb-grid", role: "grid", "aria-label": "Differences", "aria-multiselectable": "true" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "rnb-tick" }, whole), heads)), body);
  const scroll = h("div", { class: "rnb-rows" }, grid);
  const pager = h("nav", { class: "rnb-pager", "aria-label": "Pages" });
  const node = h("div", { class: "rnb-pane" }, h("div", { class: "rnb-bar-line" }, summary, all, none), scroll, pager);

  const pick = (rows, on) => {
    if (!rows.length) return;
    for (const one of rows) one.picked = on && one.restorable;
    drawMarks();
    desk.send("pick", { numbers: rows.map((one) => one.number), on });
  };
  const turn = (page, place) => {
    cursor = place;
    desk.send("turn", { page });
  };
  const open = (place) => desk.open(desk.screen.page.rows[place].number);
  const follow = later((place) => desk.screen.page.rows[place] && open(place), 150);

  const point = (place, focus) => {
    const rows = [...body.rows];
    cursor = Math.max(0, Math.min(place, rows.length - 1));
    rows.forEach((row, at) => { row.tabIndex = at === cursor ? 0 : -1; });
    if (focus) rows[cursor]?.focus();
  };
  const move = (place) => {
    point(place, true);
    if (desk.screen.detail) follow(cursor);
  };
  const extend = (to) => {
    const rows = [desk.screen.page.rows[cursor], desk.screen.page.rows[to]].filter((one) => one?.restorable);
    pick(rows.filter((one) => !one.picked), true);
    move(to);
  };

  body.addEventListener("keydown", (event) => {
    const { page } = desk.screen;
    const row = page.rows[cursor];
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = {
      ArrowDown: () => (event.shiftKey ? extend(cursor + 1) : move(cursor + 1)),
      ArrowUp: () => (event.shiftKey ? extend(cursor - 1) : move(cursor - 1)),
      PageDown: () => page.number < page.pages - 1 && turn(page.number + 1, 0),
      PageUp: () => page.number > 0 && turn(page.number - 1, 0),
      Home: () => move(0),
      End: () => move(page.rows.length - 1),
      " ": () => (row.restorable ? pick([row], !row.picked) : desk.announce("This difference cannot be restored.")),
      Enter: () => desk.open(row.number, { focus: true }),
    };
    if (acts[event.key]) {
      event.preventDefault();
      acts[event.key]();
    }
  });

  const line = (row, place, first) => h("tr", {
    tabIndex: place === cursor ? 0 : -1, "aria-rowindex": first + place + 1, "data-number": row.number,
    onclick: (event) => {
      const ticked = event.target.type === "checkbox";
      point(place, !ticked);
      if (!ticked) open(place);
    },
  },
  h("td", { class: "rnb-tick" }, h("input", { type: "checkbox", tabIndex: -1, disabled: !row.restorable,
    "aria-label": `Select ${row.key}`, onchange: (event) => pick([row], event.target.checked) })),
  h("td", {}, badge(row.status)),
  h("td", { title: row.title || row.collection }, row.collection),
  h("td", { class: "rnb-key", title: row.key }, row.doubt && h("span", { class: "rnb-warn", title: row.doubt, role: "img",
    "aria-label": `In doubt: ${row.doubt}` }, "⚠ "), row.key),
  h("td", { class: "rnb-time" }, row.made),
  h("td", { class: "rnb-less", title: row.source }, row.source),
  h("td", { class: "rnb-number rnb-least" }, number(row.candidates)),
  h("td", { class: "rnb-least" }, row.confidence));

  const drawMarks = () => {
    const { page, detail } = desk.screen;
    [...body.rows].forEach((node, place) => {
      const row = page.rows[place];
      if (!row) return;
      node.setAttribute("aria-selected", row.picked ? "true" : "false");
      node.querySelector("input").checked = row.picked;
      node.classList.toggle("rnb-open", detail?.number === row.number);
    });
    const able = page.rows.filter((one) => one.restorable);
    const count = able.filter((one) => one.picked).length;
    whole.checked = count > 0 && count === able.length;
    whole.indeterminate = count > 0 && count < able.length;
    whole.disabled = !able.length;
  };

  const drawSummary = () => {
    const { page, state } = desk.screen;
    const shown = page.total ? `${number(page.first)}–${number(page.last)} of ${number(page.total)}` : "nothing matches";
    redraw(summary, h("b", {}, shown), `, ${number(state.picked)} selected`);
    all.disabled = !page.total;
    none.disabled = !state.picked;
    return `${shown.replace("–", " to ")}, ${number(state.picked)} selected`;
  };

  const draw = (screen) => {
    const { view, page } = screen;
    const focused = park(body);
    const first = page.first ? page.first - 1 : 0;
    cursor = Math.max(0, Math.min(cursor, page.rows.length - 1));
    grid.setAttribute("aria-rowcount", page.total + 1);
    body.replaceChildren(...page.rows.map((row, place) => line(row, place, first + 1)));
    heads.forEach((head, place) => {
      const sorted = view.sort === COLUMNS[place][0];
      head.setAttribute("aria-sort", sorted ? (view.descending ? "descending" : "ascending") : "none");
    });
    redraw(pager,
      button("« First", () => turn(0, 0), { disabled: page.number === 0, "data-focus": "first" }),
      button("‹ Previous", () => turn(page.number - 1, 0), { disabled: page.number === 0, "data-focus": "previous" }),
      h("span", {}, `page ${number(page.number + 1)} of ${number(page.pages)}`),
      button("Next ›", () => turn(page.number + 1, 0), { disabled: page.number >= page.pages - 1, "data-focus": "next" }),
      button("Last »", () => turn(page.pages - 1, 0), { disabled: page.number >= page.pages - 1, "data-focus": "last" }));
    drawMarks();
    if (focused) point(cursor, true);
  };
  const focus = (opened) => {
    const place = desk.screen.page.rows.findIndex((one) => one.number === opened);
    point(place >= 0 ? place : cursor, true);
  };
  return { node, draw, drawMarks, drawSummary, focus };
};
