// The desk: what is asked of the kernel, what comes of it, and which parts are drawn anew.

const SLOW_MILLISECONDS = 1_500;
const DEAD_MILLISECONDS = 8_000;
// One for each time that a page is loaded: only the page in which the cell ran can put more below the panel.
const PAGE = globalThis.crypto?.randomUUID?.() ?? String(Math.random());

function render({ model, el }) {
  const view = globalThis.crypto?.randomUUID?.() ?? String(Math.random());
  const waiting = new Map();
  const latest = {};
  let count = 0;
  let lost = false;
  let focusRecord = false;

  // Answers that a later question has overtaken are dropped: by what part of the screen they are of.
  const CHANNELS = { hello: "table", look: "table", turn: "table", pick: "table", "pick matching": "table", clear: "table",
    choose: "table", open: "record", close: "record", reveal: "record", hide: "record" };
  const PARTS = { table: ["view", "page", "facets", "times"], record: ["detail"] };

  const desk = {
    screen: null,
    view: {},
    send(what, values) {
      count += 1;
      if (CHANNELS[what]) latest[CHANNELS[what]] = count;
      waiting.set(count, Date.now());
      try {
        model.send({ do: what, n: count, c: view, ...values });
      } catch {
        lost = true; // the front end has closed the way to a kernel that ended
        check();
      }
    },
    // Changes build on what was asked for last, not on what was answered last: someone may be quicker than the kernel.
    look(changes) {
      desk.view = { ...desk.view, text: filters.text.value, ...changes };
      desk.send("look", { view: desk.view });
    },
    open(row, { focus } = {}) {
      focusRecord = Boolean(focus);
      desk.send("open", { number: row });
    },
    focusTable: (opened) => table_.focus(opened),
    announce(text) {
      live.textContent = live.textContent === text ? `${text}\u00a0` : text;
    },
  };

  const live = h("div", { class: "rnb-hidden", "aria-live": "polite", role: "status" });
  const slow = h("div", { class: "rnb-slow", hidden: true }, "Waiting for the kernel …");
  const filters = makeFilters(desk);
  const table_ = makeTable(desk);
  const record = makeRecord(desk);
  const decision = makeDecision(desk);
  const notes = h("div", { class: "rnb-notes" });
  const body = h("div", { class: "rnb-body" }, table_.node, record.node);
  const root = h("div", { class: "rnb-desk lm-suppress-shortcuts", "data-lm-suppress-shortcuts": "true", role: "region",
    "aria-label": "Difference browser and restore" },
  filters.node, notes, body, decision.node, slow, live);

  let saidBefore = "";
  const draw = (patch, said, mine) => {
    const { screen } = desk;
    if (patch.view || patch.facets) filters.draw(screen);
    if (patch.page) table_.draw(screen);
    else if (patch.marked || "detail" in patch) table_.drawMarks();
    const summary = table_.drawSummary();
    if ("detail" in patch || patch.marked) record.draw(screen);
    body.classList.toggle("rnb-with-record", Boolean(screen.detail));
    decision.draw(screen);
    decision.drawSaid(said);
    redraw(notes, screen.state.notes.map((one) => h("p", { class: "rnb-note" }, one)));
    const text = said?.text ?? "";
    if (text && text !== saidBefore) desk.announce(text);
    else if (mine && patch.page) desk.announce(summary);
    saidBefore = text;
    if (focusRecord && patch.detail) {
      focusRecord = false;
      record.focus();
      desk.announce(`${patch.detail.status}: ${patch.detail.collection}, ${patch.detail.key}`);
    }
  };

  const take = (message) => {
    if (!message || typeof message !== "object" || !message.patch) return;
    const mine = message.c === view;
    const patch = { ...message.patch };
    if (mine) {
      waiting.delete(message.n);
      for (const [channel, parts] of Object.entries(PARTS))
        if (message.n < (latest[channel] ?? 0)) for (const part of parts) delete patch[part];
    }
    if (!desk.screen && !patch.view) return;
    const { marked } = patch;
    desk.screen = { ...desk.screen, ...patch };
    if (patch.view) desk.view = patch.view;
    if (marked && desk.screen.detail?.number === marked.number)
      desk.screen.detail = { ...desk.screen.detail, picked: marked.picked, chosen: marked.chosen };
    draw(patch, message.said, mine);
  };

  // A notebook's shortcuts are looked up from what has the focus outwards, and some name just that: it says so itself.
  root.addEventListener("focusin", (event) => { event.target.dataset.lmSuppressShortcuts = "true"; });
  root.addEventListener("keydown", (event) => {
    // What is typed here is meant for the desk, not for the notebook around it.
    event.stopPropagation();
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox";
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      filters.text.focus();
      filters.text.select();
    } else if (event.key === "Escape" && event.target === filters.text) {
      event.preventDefault();
      table_.focus(desk.screen?.detail?.number);
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
  desk.send("hello", { page: PAGE });
  return () => {
    clearInterval(clock);
    model.off("msg:custom", take);
  };
}

export default { render };
