// Chips, filters and the small histogram: what is looked at.

const STATUSES = ["missing", "changed", "equivalent", "duplicate", "corrupt", "extra"];
const DAY = 86_400_000;

const makeFilters = (desk) => {
  const look = (changes) => desk.look(changes);
  const chips = h("div", { class: "rnb-chips", role: "group", "aria-label": "Status" });
  const options = (select, name) => select.addEventListener("change", () =>
    look(name === "field" ? { field: select.value } : { [name]: select.value ? [select.value] : [] }));
  const collection = h("select", {});
  const source = h("select", {});
  const field = h("select", {});
  options(collection, "collections");
  options(source, "sources");
  options(field, "field");
  const since = h("input", { type: "date", onchange: () => look({ since: since.value }) });
  const until = h("input", { type: "date", onchange: () => look({ until: until.value ? dayAfter(until.value) : "" }) });
  const text = h("input", { type: "search", class: "rnb-text", placeholder: "key, collection or note  ( / )",
    maxlength: 1000, spellcheck: "false", autocomplete: "off" });
  text.addEventListener("input", later(() => look({}), 200));
  const bars = h("div", { class: "rnb-bars", "aria-hidden": "true" });
  const range = h("div", { class: "rnb-dim rnb-range" });
  const reset = button("Reset filters", () => look(
    { collections: [], sources: [], field: "", since: "", until: "", text: "", picked: false, doubtful: false }));
  const node = h("div", { class: "rnb-head" },
    h("div", { class: "rnb-line" }, chips),
    h("div", { class: "rnb-filters", role: "search", "aria-label": "Filter the differences" },
      labelled("Find", text, { class: "rnb-field rnb-wide" }), labelled("Collection", collection),
      labelled("Source", source), labelled("Field changed", field),
      labelled("Made from (UTC)", since), labelled("to (UTC)", until), reset),
    h("div", { class: "rnb-times" }, bars, range));

  const drawChips = ({ view, facets }) => {
    const known = STATUSES.filter((one) => facets.statuses[one] || view.statuses.includes(one));
    const on = view.statuses.length ? known.filter((one) => view.statuses.includes(one)) : known;
    redraw(chips,
      known.map((one) => toggle([h("span", { class: "rnb-mark", "aria-hidden": "true" }), one,
        h("b", {}, number(facets.statuses[one] ?? 0))], on.includes(one), () => {
        const next = on.includes(one) ? on.filter((other) => other !== one) : [...on, one];
        look({ statuses: next.length === known.length ? [] : next });
      }, { class: `rnb-chip rnb-${one}`, "data-focus": one })),
      toggle("⚠ in doubt only", view.doubtful, () => look({ doubtful: !view.doubtful }),
        { class: "rnb-chip rnb-plain", "data-focus": "doubtful" }),
      toggle("✓ selected only", view.picked, () => look({ picked: !view.picked }),
        { class: "rnb-chip rnb-plain", "data-focus": "picked" }));
  };

  const drawTimes = ({ view, times }) => {
    const most = Math.max(1, ...times.map((one) => one.missing + one.changed + one.other));
    const inside = (one) => (!view.since || new Date(one.end) > new Date(view.since))
      && (!view.until || new Date(one.start) < new Date(view.until));
    let from = null;
    const take = (to) => {
      const [first, last] = [Math.min(from, to), Math.max(from, to)];
      from = null;
      look({ since: times[first].start, until: times[last].end });
    };
    bars.replaceChildren(...times.map((one, place) => h("div", {
      class: inside(one) ? "rnb-bar" : "rnb-bar rnb-out",
      title: `${shortTime(one.start)} to ${shortTime(one.end)} UTC: ${number(one.missing)} missing, `
        + `${number(one.changed)} changed, ${number(one.other)} other`,
      onpointerdown: () => { from = place; }, onpointerup: () => { if (from !== null) take(place); },
    }, ["other", "changed", "missing"].map((kind) => one[kind] > 0 && h("div",
      { class: `rnb-${kind}`, style: `height: ${Math.max(3, (100 * one[kind]) / most)}%` })))));
    const [first, last] = [times[0]?.start, times[times.length - 1]?.end];
    range.textContent = !times.length ? "No record here says when it was made."
      : view.since || view.until
        ? `made ${view.since ? `from ${shortTime(view.since)}` : ""} ${view.until ? `to before ${shortTime(view.until)}` : ""} UTC`
        : `made ${shortTime(first)} to ${shortTime(last)} UTC · drag over the bars to choose a time`;
    bars.hidden = !times.length;
  };

  const draw = (screen) => {
    const { view, facets } = screen;
    drawChips(screen);
    const every = facets.more ? `all collections (${number(facets.more)} more: find them by name)` : "all collections";
    fill(collection, [["", every, null], ...facets.collections], view.collections[0] ?? "");
    fill(source, [["", "all sources", null], ...facets.sources], view.sources[0] ?? "");
    fill(field, [["", "any field", null], ...facets.fields], view.field);
    if (document.activeElement !== since) since.value = view.since.slice(0, 10);
    if (document.activeElement !== until) until.value = view.until ? new Date(new Date(view.until) - 1).toISOString().slice(0, 10) : "";
    if (document.activeElement !== text) text.value = view.text;
    drawTimes(screen);
    reset.disabled = !(view.collections.length || view.sources.length || view.field || view.since || view.until
      || view.text || view.picked || view.doubtful);
  };
  return { node, draw, text };
};

const dayAfter = (day) => new Date(new Date(`${day}T00:00:00Z`).getTime() + DAY).toISOString().slice(0, 10);

const shortTime = (iso) => iso.replace("T", " ").replace("+00:00", "").replace(/ 00:00:00(\.0+)?$/, "");

const fill = (select, rows, chosen) => {
  const known = JSON.stringify(rows);
  if (select.dataset.known !== known) {
    select.dataset.known = known;
    select.replaceChildren(...rows.map(([value, text, count]) =>
      h("option", { value }, count === null ? text : `${text} (${number(count)})`)));
  }
  select.value = chosen;
};
