// The table of sources, and how much of each collection they hold.

const HEADS = [
  ["path", "Source", ""], [null, "Types", "rnb-if-wide"], ["taken", "Taken at (UTC)", ""], ["records", "Records", "rnb-if-room"],
  [null, "Collections", ""], ["trust", "Trust", ""],
];
const BELOW = ["taken", "records", "trust"]; // what is sorted with the most first

const makeLines = (picker) => {
  const whole = h("input", { type: "checkbox", "aria-label": "Take all sources of this page",
    onchange: () => picker.take(able().map((one) => one.id), whole.checked) });
  const heads = HEADS.map(([name, text, style]) => h("th", { scope: "col", class: style },
    name ? button([text, h("span", { class: "rnb-arrow", "aria-hidden": "true" })], () => {
      const { sort, descending } = picker.order;
      picker.look({ sort: name, descending: sort === name ? !descending : BELOW.includes(name) });
    }, { "data-sort": name }) : text));
  const body = h("tbody", {});
  const scroll = h("div", { class: "rnb-sources", role: "region", "aria-label": "Sources", tabIndex: 0 },
    h("table", { class: "rnb-list", "aria-label": "Sources" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "rnb-tick" }, whole), heads)), body));
  const pager = h("nav", { class: "rnb-pager", "aria-label": "Pages of sources" });
  const node = h("div", { class: "rnb-lines" }, scroll, pager);

  const able = () => picker.screen.rows.filter((one) => one.state !== "gone");

  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.target.type !== "checkbox" || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const boxes = [...body.querySelectorAll("input:not(:disabled)")];
    boxes[boxes.indexOf(event.target) + step]?.focus();
  });

  const part = (one) => h("span", { class: "rnb-part", title: one.title },
    one.name, h("b", {}, number(one.records)), one.because && h("i", {}, "inferred"));

  const line = (one, place) => {
    const gone = one.state === "gone";
    const inferred = one.parts.filter((it) => it.because);
    return h("tr", { class: `rnb-source rnb-is-${one.state.replace(" ", "-")}` },
      h("td", { class: "rnb-tick" }, h("input", { type: "checkbox", checked: one.state === "taken", disabled: gone,
        "aria-label": gone ? `Gone, cannot take part: ${one.path}` : `Take ${one.path}`, "data-focus": one.id,
        "data-place": place, onchange: (event) => picker.take([one.id], event.target.checked) })),
      h("th", { scope: "row", class: "rnb-where", title: one.title }, h("span", { class: "rnb-path" }, one.path),
        h("span", { class: "rnb-under" }, one.format, one.earlier && " · of an earlier scan",
          one.state === "left out" && h("b", {}, " · left out by choice"),
          gone && h("b", { class: "rnb-problem" }, " · gone since the scan"))),
      h("td", { class: "rnb-if-wide" }, one.types),
      h("td", {}, h("span", { class: "rnb-time" }, one.taken),
        h("span", { class: "rnb-under" }, `${one.age} · `, h("span", { class: one.weak ? "rnb-warn" : "" }, one.says))),
      h("td", { class: "rnb-number rnb-if-room" }, number(one.records)),
      h("td", { class: "rnb-parts" }, one.parts.map(part), one.more_parts > 0 && h("span", { class: "rnb-under" }, `and ${number(one.more_parts)} more`),
        inferred.map((it) => h("span", { class: "rnb-under" }, `${it.name}: ${it.because}`))),
      h("td", { class: "rnb-trust" }, h("span", { class: `rnb-sure rnb-sure-${one.trust}` }, one.trust),
        one.reasons.map((it) => h("span", { class: "rnb-under" }, it)),
        one.more_reasons > 0 && h("span", { class: "rnb-under" }, `and ${number(one.more_reasons)} more reasons`)));
  };

  const draw = (screen) => {
    const { order } = screen;
    redraw(body, screen.rows.map(line));
    heads.forEach((head, place) => {
      const [name] = HEADS[place];
      if (name) head.setAttribute("aria-sort", order.sort !== name ? "none" : order.descending ? "descending" : "ascending");
    });
    const taken = able().filter((one) => one.state === "taken").length;
    whole.checked = taken > 0 && taken === able().length;
    whole.indeterminate = taken > 0 && taken < able().length;
    whole.disabled = !able().length;
    const turn = (page) => () => picker.look({}, page);
    const end = screen.number >= screen.pages - 1;
    redraw(pager, screen.pages > 1 && [
      button("« First", turn(0), { disabled: !screen.number, "data-focus": "first" }),
      button("‹ Previous", turn(screen.number - 1), { disabled: !screen.number, "data-focus": "previous" }),
      h("span", {}, `page ${number(screen.number + 1)} of ${number(screen.pages)}`),
      button("Next ›", turn(screen.number + 1), { disabled: end, "data-focus": "next" }),
      button("Last »", turn(screen.pages - 1), { disabled: end, "data-focus": "last" }),
    ]);
  };
  return { node, draw };
};

const MORE = (count) => [h("span", { class: "rnb-short", "aria-hidden": "true" }, "▲ "), number(count),
  h("span", { class: "rnb-hidden" }, " (more than the database)")];

const drawGrid = ({ sources, rows, total, short, counted }) => rows.length > 0 && h("section", { class: "rnb-coverage",
  "aria-label": "What each source holds" },
h("h3", {}, "What does each source hold of each collection?"),
h("p", { class: "rnb-dim" }, !counted ? "The database was not read: nothing tells what it lacks."
  : short ? [h("span", { class: "rnb-short", "aria-hidden": "true" }, "▲ "),
    `Of ${pieces(short, "collection")} a source holds more than the database: a sign of loss, no proof.`]
    : "No source holds more of a collection than the database.",
total > rows.length && ` Shown are ${number(rows.length)} of ${number(total)} collections, those that lack most first.`),
h("div", { class: "rnb-scroll", tabIndex: 0, role: "region", "aria-label": "Records by collection and source" },
  h("table", { class: "rnb-list rnb-held" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Collection"), h("th", { scope: "col" }, "In the database"),
      h("th", { scope: "col" }, "Most in one source"),
      sources.map((one) => h("th", { scope: "col", title: one.title, class: one.state === "taken" ? "" : "rnb-dim" }, one.name,
        one.state !== "taken" && h("span", { class: "rnb-under" }, one.state))))),
    h("tbody", {}, rows.map((row) => h("tr", {},
      h("th", { scope: "row", title: row.title }, row.name),
      h("td", { class: "rnb-number" }, row.database === null ? "not counted" : number(row.database)),
      h("td", { class: "rnb-number" }, row.lacking > 0 ? [MORE(row.most), h("span", { class: "rnb-under" }, `${number(row.lacking)} more`)]
        : number(row.most)),
      row.counts.map((count) => h("td", { class: "rnb-number" }, count === null ? ""
        : row.database !== null && count > row.database ? MORE(count) : number(count)))))))));
