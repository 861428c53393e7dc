// The decision: options, preview, confirmation, progress, result, and the way back.

const CONFLICTS = { skip: "skip: leave it", replace: "replace it", merge: "merge: add what it lacks", fail: "fail: plan nothing" };

const makeDecision = (desk) => {
  const conflict = h("select", { onchange: () => desk.send("options", { on_conflict: conflict.value }) });
  const transaction = h("input", { type: "checkbox",
    onchange: () => desk.send("options", { transaction: transaction.checked }) });
  const mark = h("input", { type: "text", maxlength: 200, placeholder: "no mark", spellcheck: "false", size: 12,
    onchange: () => desk.send("options", { mark: mark.value }) });
  const preview = button("Preview", () => desk.send("preview"), { class: "rnb-main" });
  const confirm = h("input", { type: "text", inputmode: "numeric", autocomplete: "off", size: 14,
    oninput: () => allow(), onkeydown: (event) => event.key === "Enter" && !restore.disabled && restore.click() });
  const confirmed = labelled("", confirm);
  const restore = button("Restore", () => {
    const { state } = desk.screen;
    desk.send("restore", { revision: state.revision, digest: state.preview.digest, confirmation: confirm.value });
  }, { class: "rnb-do" });
  const bar = h("div", { class: "rnb-decide", role: "group", "aria-label": "Restore the selected records" },
    labelled("Where the database has another version", conflict),
    h("label", { class: "rnb-check" }, transaction, "each batch wholly or not at all"),
    labelled("Mark restored records with the field", mark), preview, confirmed, restore);
  const said = h("div", { class: "rnb-said" });
  const progress = h("div", { class: "rnb-progress" });
  const told = h("div", { class: "rnb-told" });
  const node = h("div", { class: "rnb-decision" }, bar, progress, said, told);
  let digest = "";

  const count = () => confirm.value.replace(/[\s,.'_\u2019]/g, "");
  const allow = () => {
    const one = desk.screen.state.preview;
    const able = one?.fresh && one.to_write > 0 && !desk.screen.state.job;
    confirm.disabled = !able;
    restore.disabled = !able || count() !== String(one.to_write);
  };

  const problems = (title, { rows, total }) => total > 0 && table(["collection", "key", "because"],
    rows.map((one) => [one.collection, one.key, one.reason]),
    { label: title, caption: `${title}: ${rows.length < total ? `${number(rows.length)} of ` : ""}${number(total)}` });

  const left = (one, title) => one.left.total > 0 && h("details", {}, h("summary", {}, `${title} (${number(one.left.total)})`),
    problems(title, one.left));

  const outcomes = (rows, would) => rows.length > 0 && table([would, "because", "records"],
    rows.map(([outcome, reason, records]) => [outcome, reason, records]), { label: "Outcomes", caption: "By outcome" });

  const notes = (rows) => rows.map((one) => h("p", { class: "rnb-note" }, one));

  const drawPreview = (one) => h("section", { class: `rnb-card rnb-tone-${!one.fresh ? "pending" : one.tone === "success" ? "ready" : one.tone}`,
    "aria-label": "Preview" },
    h("h3", {}, one.fresh ? one.text : "This preview is of another selection or other options: preview again."),
    one.fresh && one.to_write > 0 && h("p", {},
      `Nothing is written yet: type ${number(one.to_write)} into the field above, then press Restore.`),
    h("p", { class: "rnb-dim" }, `Into ${one.database} · on conflict: ${one.options.on_conflict}`
      + `${one.options.transaction ? " · each batch wholly or not at all" : ""}`
      + `${one.options.mark ? ` · marked with ${one.options.mark}` : ""} · plan ${one.digest.slice(0, 16)}`),
    problems("Would be refused", one.problems), outcomes(one.outcomes, "would be"), left(one, "Would be left as they are"),
    notes(one.notes),
    h("details", {}, h("summary", {}, "By collection, and the selection as a file"),
      table(["collection", "action", "records"], one.collections, { label: "By collection" }),
      h("p", { class: "rnb-dim" }, "Selection, as restore --keys takes it: ", h("code", {}, one.keys))));

  const back = (id) => desk.screen.state.restores.filter((one) => one.id === id).flatMap((one) => [
    one.resume && button("Resume", () => desk.send("resume", { id }), { class: "rnb-main", "data-focus": `resume ${id}`,
      "aria-label": `Resume the restore ${id}` }),
    one.rollback && button("Roll back", () => desk.send("rollback", { id }), { class: "rnb-undo", "data-focus": `undo ${id}`,
      "aria-label": `Roll back the restore ${id}` }),
  ]);

  const drawResult = (one) => h("section", { class: `rnb-card rnb-tone-${one.tone}`, "aria-label": "Result" },
    h("div", { class: "rnb-title" }, h("h3", {}, one.text), back(one.id)),
    one.wrong_total > 0 && table(["where", "what is wrong"], one.wrong.map((row) => [row.where, row.what]),
      { label: "The verification", caption: `The verification found: ${number(one.wrong_total)}` }),
    problems("Not done", one.problems), outcomes(one.outcomes, "were"), left(one, "Left as they are"), notes(one.notes),
    one.command && h("p", { class: "rnb-dim" }, "To undo it from a shell: ", h("code", {}, one.command)));

  const drawRestores = (state) => {
    const rows = state.restores.filter((one) => one.id !== state.result?.id);
    return rows.length > 0 && h("details", { open: rows.some((one) => one.resume) || undefined },
      h("summary", {}, `Restores from this comparison (${number(rows.length)})`),
      table(["restore", "began (UTC)", "state", "restored", "failed", ""], rows.map((one) =>
        [h("code", {}, one.id), one.began, one.state, one.restored, one.failed, back(one.id)]),
      { label: "Restores from this comparison" }));
  };

  const drawProgress = ({ job }) => redraw(progress, job && [
    job.total ? h("progress", { value: Math.min(job.done, job.total), max: job.total, "aria-label": job.name })
      : h("progress", { "aria-label": job.name }),
    h("span", {}, job.stopping ? `${job.name} · stops after this batch`
      : job.total ? `${job.name} · ${job.what} · ${number(job.done)} of ${pieces(job.total, "record")}` : `${job.name} …`),
    button("Cancel", () => desk.send("cancel"), { disabled: job.stopping, "data-focus": "cancel" }),
  ]);

  let drawn = "";
  const draw = ({ state }) => {
    const { options, job } = state;
    fill(conflict, state.conflicts.map((one) => [one, CONFLICTS[one] ?? one, null]), options.on_conflict);
    transaction.checked = options.transaction;
    if (document.activeElement !== mark) mark.value = options.mark;
    for (const one of [conflict, transaction, mark]) one.disabled = Boolean(job);
    preview.disabled = !state.picked || Boolean(job);
    preview.textContent = state.picked ? `Preview ${number(state.picked)}` : "Preview";
    const one = state.preview;
    if ((one?.digest ?? "") !== digest) {
      digest = one?.digest ?? "";
      confirm.value = "";
    }
    const able = one?.fresh && one.to_write > 0;
    confirmed.firstChild.textContent = able ? `Type ${number(one.to_write)} to confirm` : "Preview first";
    restore.textContent = able ? `Restore ${number(one.to_write)}` : "Restore";
    allow();
    drawProgress(state);
    // Tables in which someone may be reading are drawn anew only when they change.
    const now = JSON.stringify([one, state.result, state.restores]);
    if (now !== drawn) {
      drawn = now;
      redraw(told, one && drawPreview(one), state.result && drawResult(state.result), drawRestores(state));
    }
  };
  // What a card below says already is not said twice.
  const told_ = (text) => [desk.screen.state.preview?.text, desk.screen.state.result?.text].includes(text);
  const drawSaid = (line) => redraw(said, line && !told_(line.text) && h("p", { class: `rnb-line-said rnb-tone-${line.tone}` },
    line.tone === "failed" && h("b", {}, "✗ "), line.tone === "partial" && h("b", {}, "⚠ "),
    line.tone === "success" && h("b", {}, "✓ "), line.text));
  return { node, draw, drawSaid };
};
