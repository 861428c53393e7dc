// One record: the database's version and those of the sources side by side, with where each is from.

const KINDS = {
  value: "other value", added: "only in the database", removed: "only in the source", order: "other order",
  width: "other number type", "lost type": "type lost", "not stated": "not stated", partial: "in part", same: "same",
};

const KEYS = [["↑ ↓", "move"], ["Enter", "opens"], ["Space", "selects"], ["Shift ↓", "selects on"], ["PgUp PgDn", "turn pages"],
  ["/", "finds"], ["Esc", "goes back"]];

const SURE_LENGTH = 400; // what is longer may be cut

const steps = (path) => path.split(/(?=\/)/).map((step) => [h("wbr"), step]);

const makeRecord = (desk) => {
  let equal = false;
  const node = h("section", { class: "rnb-pane rnb-record", "aria-label": "Record" });

  const close = () => {
    const opened = desk.screen.detail?.number;
    desk.send("close");
    desk.focusTable(opened);
  };
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && desk.screen.detail) {
      event.preventDefault();
      close();
    }
  });

  const fact = (name, value, title) => value !== "" && value !== null && value !== undefined
    && h("div", { class: "rnb-fact", title: title ?? "" }, h("span", { class: "rnb-dim" }, `${name} `), value);

  const provenance = (one) => [
    fact("taken", one.taken && `${one.taken} UTC`), fact("written", one.at && `${one.at} UTC`),
    fact("in", one.member, one.path), one.offset >= 0 && fact("at byte", number(one.offset)),
    one.length > 0 && fact("size", `${number(one.length)} bytes`),
    fact("confidence", one.confidence && h("span", { class: `rnb-sure rnb-sure-${one.confidence}` }, one.confidence)),
    fact("types from", one.inferred), fact("fingerprint", one.fingerprint && h("code", {}, one.fingerprint)),
    one.problem && h("div", { class: "rnb-problem" }, `⚠ ${one.problem}`),
  ];

  const head = (detail, one) => {
    const chosen = detail.chosen === one.rank && detail.picked;
    const use = detail.restorable && !one.problem && (chosen
      ? h("span", { class: "rnb-used" }, "✓ this version is selected")
      : button("Use this version", () => desk.send("choose", { number: detail.number, rank: one.rank }),
        { "data-focus": `use ${one.rank}`, "aria-label": `Use version ${one.rank}, of ${one.source}` }));
    return h("th", { scope: "col" },
      h("div", { class: "rnb-version", title: one.path }, `${one.rank} · ${one.source}`),
      h("div", { class: "rnb-fact rnb-dim" }, one.rank === 1 ? "the best version" : one.same ? "same bytes as 1" : "another version"),
      provenance(one), use);
  };

  const database = (one, asked) => h("th", { scope: "col" }, h("div", { class: "rnb-version" }, "The database now"),
    one ? provenance({ ...one, member: "", offset: -1, confidence: "" })
      : h("div", { class: "rnb-fact rnb-dim" }, asked ? "has no such record" : "was not asked"));

  const cell = (one, side) => one === null ? h("td", { class: "rnb-none" }, h("span", { class: "rnb-dim" }, "–"))
    : h("td", { class: side }, one.masked ? h("span", { class: "rnb-masked", title: "hidden until revealed" }, "hidden") : h("span", { class: "rnb-value" }, one.text),
      one.type && h("span", { class: "rnb-type" }, one.type));

  // What is as in the database is marked neither as coming nor as going. Of what is hidden or cut, nothing here can tell.
  const alike = (one, other) => Boolean(one && other) && !one.masked && !other.masked && one.type === other.type
    && one.text === other.text && one.text.length < SURE_LENGTH;
  const side = ([database, ...others], place) => place > 0 ? (alike(database, others[place - 1]) ? "" : "rnb-after")
    : others.every((one) => alike(database, one)) ? "" : "rnb-before";

  const lines = (detail) => {
    const differ = detail.lines.filter((one) => one.kind !== "same");
    const same = detail.lines.filter((one) => one.kind === "same");
    const line = (one) => h("tr", { class: one.kind === "same" ? "rnb-same" : "" },
      h("th", { scope: "row" }, h("code", {}, one.path ? steps(one.path) : "(the whole record)"),
        one.kind !== "same" && h("span", { class: "rnb-kind" }, KINDS[one.kind] ?? one.kind)),
      one.values.map((value, place) => cell(value, one.kind === "same" ? "" : side(one.values, place))));
    const shown = equal || !differ.length ? [...differ, ...same] : differ;
    return [
      h("div", { class: "rnb-scroll rnb-versions", tabIndex: 0, role: "region", "aria-label": "Versions of the record" },
        h("table", { class: "rnb-diff" },
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Field"), database(detail.database, !detail.note),
            detail.versions.map((one) => head(detail, one)))),
          h("tbody", {}, shown.map(line)))),
      differ.length > 0 && same.length > 0 && button(
        equal ? `Hide ${pieces(same.length, "equal field")}` : `Show ${pieces(same.length, "equal field")}`,
        () => { equal = !equal; draw(desk.screen); }, { "aria-expanded": equal ? "true" : "false", "data-focus": "equal" }),
      detail.left_out > 0 && h("p", { class: "rnb-dim" }, `${pieces(detail.left_out, "more field")} not shown.`),
    ];
  };

  const masked = (detail) => (detail.masked.length > 0 || detail.revealed.length > 0) && h("div", { class: "rnb-note" },
    detail.masked.length > 0 && ["Hidden until revealed: ",
      detail.masked.slice(0, 6).map(([name, text]) => button(`Reveal ${text}`, () => desk.send("reveal", { names: [name] }),
        { "data-focus": `reveal ${text}` })),
      detail.masked.length > 1 && button("Reveal all", () => desk.send("reveal", { names: detail.masked.map(([name]) => name) }),
        { "data-focus": "reveal all" }), " "],
    detail.revealed.length > 0 && button("Hide again", () => desk.send("hide"), { "data-focus": "hide" }),
    h("span", { class: "rnb-dim" }, " Revealing is logged."));

  const draw = ({ detail }) => {
    node.classList.toggle("rnb-empty", !detail);
    if (!detail) {
      redraw(node, h("p", { class: "rnb-dim" }, "Open a record to compare its versions field by field."),
        h("p", { class: "rnb-dim" }, KEYS.map(([key, what]) => h("span", { class: "rnb-keys" }, h("kbd", {}, key), ` ${what}`))));
      return;
    }
    redraw(node,
      h("div", { class: "rnb-title" }, badge(detail.status),
        h("h3", { tabIndex: -1, "data-focus": "title" }, h("span", { title: detail.title }, detail.collection), " / ",
          h("code", {}, detail.key)),
        button("Close", close, { class: "rnb-close", "aria-label": "Close the record", "data-focus": "close" })),
      detail.doubt && h("p", { class: "rnb-note rnb-warned" }, `⚠ In doubt: ${detail.doubt}`),
      detail.note && h("p", { class: "rnb-note rnb-warned" }, `⚠ ${detail.note}`),
      masked(detail),
      detail.versions.length < detail.of && h("p", { class: "rnb-dim" },
        `${number(detail.versions.length)} of ${number(detail.of)} versions are shown.`),
      lines(detail));
  };
  const focus = () => node.querySelector("h3")?.focus();
  return { node, draw, focus };
};
