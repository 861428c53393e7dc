// What the other chapters are written with. Texts become text nodes: no string is ever read as markup.

const h = (tag, given, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (["value", "checked", "disabled", "tabIndex", "title", "hidden"].includes(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(3).filter((one) => one !== null && one !== undefined && one !== false));
  return node;
};

const number = (value) => Number(value).toLocaleString("en-US");

const pieces = (count, one, several) => `${number(count)} ${count === 1 ? one : (several ?? one + "s")}`;

const button = (text, act, given) => h("button", { type: "button", onclick: act, ...given }, text);

const toggle = (text, pressed, act, given) =>
  button(text, act, { ...given, "aria-pressed": pressed ? "true" : "false" });

const labelled = (text, control, given) =>
  h("label", { class: "rnb-field", ...given }, h("span", { class: "rnb-label" }, text), control);

const badge = (status) => h("span", { class: `rnb-badge rnb-${status}` }, status);

// What holds the focus and goes leaves it within the panel: a notebook takes one that nobody has for its own cells.
const park = (place) => {
  if (!place.contains(document.activeElement)) return false;
  Object.assign(place, { tabIndex: -1 }).dataset.parked = "";
  place.focus({ preventScroll: true });
  return true;
};

// What is drawn anew keeps the focus where it was: by the name that its element has for this.
const redraw = (place, ...children) => {
  const name = place.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  park(place);
  place.replaceChildren(...children.flat(3).filter((one) => one !== null && one !== undefined && one !== false));
  if (name) [...place.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === name)?.focus();
};

const table = (heads, rows, given) =>
  h("div", { class: "rnb-scroll", tabIndex: 0, role: "region", "aria-label": given?.label ?? "Table" },
    h("table", { class: "rnb-list" },
      given?.caption && h("caption", {}, given.caption),
      h("thead", {}, h("tr", {}, heads.map((head, place) =>
        h("th", { scope: "col", class: typeof rows[0]?.[place] === "number" ? "rnb-number" : "" }, head)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) =>
        typeof cell === "number" ? h("td", { class: "rnb-number" }, number(cell)) : h("td", {}, cell)))))));

const later = (act, milliseconds) => {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), milliseconds);
  };
};
