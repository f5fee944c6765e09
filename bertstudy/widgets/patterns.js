// The pattern gallery: maps of the examples, by pattern, layer and head, with the classifier's
// confidence; one of them large, with what its head shows over all validation examples.

import { cellText, choose, clamp, h, heatmap, number, paint, select, shades, start } from "./shared.js";

const MOST = 24; // thumbnails shown at once
const EVERY = "every";
const percent = (share) => `${number(share, share > 0 && share < 10 ? 1 : 0)} %`;

/** Every map of a task's examples with its pattern, the most confident first. */
function listed(task) {
  const { classes, confidence } = task.more.patterns;
  return classes.flatMap((layers, example) => layers.flatMap((heads, layer) => heads.map((pattern, head) => ({
    example, layer, head, pattern, confidence: confidence[example][layer][head],
  })))).sort((a, b) => b.confidence - a.confidence);
}

const place = ({ layer, head, example }) => `layer ${layer + 1}, head ${head + 1}, example ${example + 1}`;

/** One map to click. */
function thumbnail(task, found, onpick) {
  const { names, uncertain } = task.more.patterns, unsure = found.confidence <= uncertain;
  const canvas = h("canvas", { "aria-hidden": "true" });
  const said = `${names[found.pattern]}, ${number(found.confidence, 2)}${unsure ? ", uncertain" : ""}`;
  const root = h("button", { type: "button", "aria-label": `${place(found)}: ${said}`, title: place(found),
    onclick: () => onpick(found) }, canvas,
  h("span", null, `${found.layer + 1}·${found.head + 1} `, h("b", null, number(found.confidence, 2)), unsure ? " ?" : ""));
  return { found, root, paint: () => paint(canvas, mapOf(task, found), Math.sqrt) };
}

const mapOf = (task, { example, layer, head }) =>
  task.examples[example].map(task.models.length - 1, layer, head);

/** How often the head of the chosen map shows each pattern, over all validation examples. */
function census(task, { layer, head }) {
  const { names, shares, examples } = task.more.patterns;
  const rows = names.map((name, k) => ({ name, share: shares[layer][head][k] })).filter(({ share }) => share > 0);
  return h("div", null,
    h("p", null, `Layer ${layer + 1}, head ${head + 1} over ${examples} validation examples, mean over seeds:`),
    h("ul", { class: "census" }, ...rows.map(({ name, share }) => h("li", null, h("span", null, name),
      h("span", { class: "bar", style: `--p: ${share / 100}` }, percent(share))))));
}

function build(model) {
  let tasks = [], task, all = [], thumbnails = [], chosen = null, drawn = null, map, cell = [0, 0];
  const taskBox = select("Task", (i) => choose(model, { task: tasks[i].task }));
  const patternBox = select("Pattern", (i) => choose(model, { pattern: i ? task.more.patterns.names[i - 1] : "" }));
  const layerBox = select("Layer", (i) => choose(model, { layer: i ? i - 1 : null }));
  const headBox = select("Head", (i) => choose(model, { head: i ? i - 1 : null }));
  const summary = h("p", { class: "readout", role: "status" }), grid = h("div", { class: "gallery" });
  const title = h("h4"), text = h("p", { class: "sentence" }), heads = h("div");
  const readout = h("output", { class: "readout", "aria-live": "polite" }), mapBox = h("div");
  const one = h("div", { class: "one top" }, h("div", null, title, text, heads), h("div", null, readout, mapBox));
  const root = h("section", { class: "explorer", "aria-label": "Pattern gallery" },
    h("div", { class: "controls four" }, taskBox.root, patternBox.root, layerBox.root, headBox.root),
    summary, grid,
    h("p", { class: "remark" }, "Below each map: layer·head and the probability the classifier gives its pattern; ",
      "“?” where none has more than half. Shades of small maps by square root. Click one to see it large."),
    one, h("p", { class: "remark" }, "Large map: weight ", shades(), "; rows are queries, columns keys."));

  function point(i, j) {
    cell = [i, j];
    map.point(i, j);
    readout.replaceChildren(...cellText(task.examples[chosen.example].tokens, mapOf(task, chosen), cell));
  }

  /** The chosen map, large. */
  function draw(found) {
    chosen = found;
    one.hidden = !found;
    thumbnails.forEach(({ root: button, found: own }) => button.setAttribute("aria-pressed", own === found));
    if (!found) return;
    const { names } = task.more.patterns, example = task.examples[found.example];
    title.textContent = `${place(found)}: ${names[found.pattern]}, probability ${number(found.confidence, 2)}`;
    if (example !== drawn) {
      drawn = example;
      text.replaceChildren(example.text);
      cell = [0, Math.min(1, example.tokens.length - 1)];
      map = heatmap(example.tokens, task.models.at(-1), point);
      mapBox.replaceChildren(map.root);
    }
    heads.replaceChildren(census(task, found));
    map.paint(mapOf(task, found));
    point(...cell);
  }

  function show(now) {
    tasks = now.filter((t) => t.more.patterns);
    const next = tasks.find((t) => t.task === model.get("task")) ?? tasks[0];
    if (next !== task) { task = next; all = listed(task); chosen = null; }
    const { names } = task.more.patterns, pattern = names.indexOf(model.get("pattern"));
    const limit = (name, count) => (model.get(name) === null ? null : clamp(model.get(name), count));
    const layer = limit("layer", task.layers), head = limit("head", task.heads);
    taskBox.fill(tasks.map((t) => t.task), tasks.indexOf(task));
    patternBox.fill([EVERY, ...names], pattern + 1);
    const numbers = (count) => [EVERY, ...Array.from({ length: count }, (_, k) => `${k + 1}`)];
    layerBox.fill(numbers(task.layers), layer === null ? 0 : layer + 1);
    headBox.fill(numbers(task.heads), head === null ? 0 : head + 1);
    const asked = all.filter((f) => (layer === null || f.layer === layer) && (head === null || f.head === head));
    const found = asked.filter((f) => pattern < 0 || f.pattern === pattern), shown = found.slice(0, MOST);
    summary.textContent = `${found.length} of ${asked.length} maps of ${task.examples.length} examples`
      + (found.length > MOST ? `; the ${MOST} of highest confidence are shown.` : ".");
    thumbnails = shown.map((one) => thumbnail(task, one, draw));
    grid.replaceChildren(...thumbnails.map((t) => t.root));
    thumbnails.forEach((t) => t.paint());
    draw(shown.includes(chosen) ? chosen : shown[0] ?? null);
  }

  return { root, show };
}

export function render(context) {
  return start(context, ["task", "pattern", "layer", "head"], build);
}

export default { render };
