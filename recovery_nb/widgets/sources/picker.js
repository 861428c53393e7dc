// The picker: what is asked of the kernel, and the screen that comes back.

const SLOW_MILLISECONDS = 1_500;
const DEAD_MILLISECONDS = 8_000;
// One for each time that a page is loaded: only the page in which the cell ran can put more below the panel.
const PAGE = globalThis.crypto?.randomUUID?.() ?? String(Math.random());

function render({ model, el }) {
  const view = globalThis.crypto?.randomUUID?.() ?? String(Math.random());
  const waiting = new Map();
  let count = 0;
  let lost = false;

  const picker = {
    screen: null,
    order: {},
    send(what, values) {
      count += 1;
      waiting.set(count, Date.now());
      try {
        model.send({ do: what, n: count, c: view, ...values });
      } catch {
        lost = true; // the front end has closed the way to a kernel that ended
        check();
      }
    },
    // Changes build on what was asked for last, not on what was answered last: someone may be quicker than the kernel.
    look(changes, page = 0) {
      picker.order = { ...picker.order, text: find.value, ...changes };
      picker.send("look", { order: picker.order, page });
    },
    take: (ids, on) => picker.send("take", { ids, on }),
  };

  const live = h("div", { class: "rnb-hidden", "aria-live": "polite", role: "status" });
  const slow = h("div", { class: "rnb-slow", hidden: true }, "Waiting for the kernel …");
  const headline = h("h3", {});
  const standing = h("p", { class: "rnb-standing" });
  const find = h("input", { type: "search", class: "rnb-text", maxlength: 300, spellcheck: "false",
    placeholder: "a part of a path or of a collection's name", oninput: later(() => picker.look({}), 200) });
  const summary = h("span", { class: "rnb-summary" });
  const all = button("Take all", () => picker.send("take matching", { on: true }));
  const none = button("Leave all out", () => picker.send("take matching", { on: false }));
  const head = h("div", { class: "rnb-head" }, headline, standing,
    h("div", { class: "rnb-filters" }, labelled("Find", find, { class: "rnb-field rnb-wide" }), summary, all, none));
  const said = h("div", { class: "rnb-said" });
  const notes = h("div", { class: "rnb-notes" });
  const lines = makeLines(picker);
  const held = h("div", {});
  const aside = h("div", { class: "rnb-aside" });
  const root = h("div", { class: "rnb-desk rnb-picker lm-suppress-shortcuts", "data-lm-suppress-shortcuts": "true",
    role: "region", "aria-label": "Sources of this case" }, head, notes, said, lines.node, held, aside, slow, live);

  const announce = (text) => { live.textContent = live.textContent === text ? `${text}\u00a0` : text; };

  const drawAside = (one) => redraw(aside,
    one.unread_total > 0 && h("details", { open: true, class: "rnb-unread" },
      h("summary", {}, h("b", { class: "rnb-problem" }, `Cannot be read (${number(one.unread_total)})`)),
      h("ul", {}, one.unread.map((line) => h("li", {}, line))),
      one.unread_total > one.unread.length && h("p", { class: "rnb-dim" }, `and ${number(one.unread_total - one.unread.length)} more`)),
    one.copies_total > 0 && h("details", {},
      h("summary", {}, `Copies, which are not counted again (${number(one.copies_total)})`),
      table(["copy", "holds the same as"], one.copies, { label: "Copies" }),
      one.copies_total > one.copies.length && h("p", { class: "rnb-dim" }, `and ${number(one.copies_total - one.copies.length)} more`)),
    one.ignored > 0 && h("p", { class: "rnb-dim" }, `Ignored: ${pieces(one.ignored, "file")} that hold no records.`));

  let drawnAside = "";
  let drawnGrid = "";
  const draw = (screen, line, mine) => {
    headline.textContent = screen.headline;
    standing.textContent = screen.standing;
    standing.className = `rnb-standing rnb-line-said rnb-tone-${screen.tone}`;
    standing.hidden = !screen.standing;
    if (document.activeElement !== find) find.value = screen.order.text;
    const shown = screen.total ? `${number(screen.first)}–${number(screen.last)} of ${number(screen.total)}` : "nothing matches";
    redraw(summary, h("b", {}, shown));
    all.textContent = screen.order.text ? "Take all matching" : "Take all";
    none.textContent = screen.order.text ? "Leave all matching out" : "Leave all out";
    all.disabled = none.disabled = !screen.total;
    lines.draw(screen);
    redraw(notes, screen.notes.map((one) => h("p", { class: "rnb-note" }, one)));
    redraw(said, line && h("p", { class: `rnb-line-said rnb-tone-${line.tone}` },
      h("b", {}, line.tone === "failed" ? "✗ " : "⚠ "), line.text));
    // Tables in which someone may be reading are drawn anew only when they change.
    const grid = JSON.stringify(screen.grid);
    if (grid !== drawnGrid) redraw(held, drawGrid(screen.grid));
    drawnGrid = grid;
    const rest = JSON.stringify(screen.aside);
    if (rest !== drawnAside) drawAside(screen.aside);
    drawnAside = rest;
    if (mine) announce(line?.text ?? `${screen.standing} ${shown.replace("–", " to ")}`);
  };

  const take = (message) => {
    if (!message || typeof message !== "object" || !message.screen) return;
    const mine = message.c === view;
    if (mine) waiting.delete(message.n);
    // An answer that a later question of this view has overtaken is dropped: the later one comes.
    if (mine && message.n < count) return;
    picker.screen = message.screen;
    picker.order = message.screen.order;
    draw(message.screen, message.said, mine);
  };

  // A notebook's shortcuts are looked up from what has the focus outwards, and some name just that: it says so itself.
  root.addEventListener("focusin", (event) => { event.target.dataset.lmSuppressShortcuts = "true"; });
  root.addEventListener("keydown", (event) => {
    // What is typed here is meant for the picker, not for the notebook around it.
    event.stopPropagation();
    const typing = event.target.tagName === "INPUT" && event.target.type !== "checkbox";
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      find.focus();
      find.select();
    }
  });

  const check = () => {
    const waited = Date.now() - Math.min(...waiting.values());
    slow.hidden = !(lost || waited > SLOW_MILLISECONDS);
    slow.textContent = lost ? "The kernel was restarted or has ended, and nothing was done: run this cell again."
      : waited > DEAD_MILLISECONDS
        ? "The kernel does not answer. It may be busy with a cell; if it was restarted, run this cell again."
        : "Waiting for the kernel …";
  };
  const clock = setInterval(check, 500);

  model.on("msg:custom", take);
  el.append(root);
  picker.send("hello", { page: PAGE });
  return () => {
    clearInterval(clock);
    model.off("msg:custom", take);
  };
}

export default { render };
