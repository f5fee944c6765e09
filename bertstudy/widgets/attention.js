// The attention explorer: example, layer, head; the models' maps side by side; token-to-token lines.

import {
  cellText, choose, clamp, goldValue, h, heatmap, number, paint, roving, select, shades, slider, start,
} from "./shared.js";

const FAINTEST = 0.02; // a line below this opacity cannot be seen

/** Tokens twice, queries left and keys right, joined by lines as opaque as their weight. */
function tokenLines(tokens, name, onisolate) {
  const count = tokens.length;
  const token = (side) => (text, index) => h("button", {
    type: "button", title: text, "aria-label": `${side} ${text}, position ${index + 1}`,
    onpointerenter: () => onisolate(side, index), onfocus: () => onisolate(side, index),
  }, text);
  const queries = tokens.map(token("query")), keys = tokens.map(token("key"));
  const canvas = h("svg", { viewBox: `0 0 100 ${count}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const release = () => onisolate(null);
  const root = h("div", { class: "lines", role: "group", "aria-label": `${name}: lines from queries to keys`,
    onpointerleave: release,
    onfocusout: (event) => { if (!root.contains(event.relatedTarget)) release(); },
    onkeydown: (event) => { if (event.key === "Escape") release(); } },
  h("div", { class: "tokens queries" }, ...queries), canvas, h("div", { class: "tokens keys" }, ...keys));
  const place = roving(tokens.map((_, i) => [queries[i], keys[i]]), () => {});
  place(0, 0);
  return {
    root,
    draw(map, isolated) {
      const weight = (i, j) => map[i * count + j] / 255;
      const drawn = (i, j) => !isolated || isolated.index === (isolated.side === "query" ? i : j);
      const lines = [];
      for (let i = 0; i < count; i++) {
        for (let j = 0; j < count; j++) {
          if (drawn(i, j) && weight(i, j) >= FAINTEST) {
            lines.push(h("line", { x1: 0, y1: i + 0.5, x2: 100, y2: j + 0.5, "stroke-opacity": weight(i, j) }));
          }
        }
      }
      canvas.replaceChildren(...lines);
      const shade = (side, nodes) => nodes.forEach((node, k) => {
        const other = isolated && isolated.side !== side;
        const [i, j] = side === "key" ? [isolated?.index, k] : [k, isolated?.index];
        node.style.setProperty("--w", other ? weight(i, j) : 0);
        node.classList.toggle("at", Boolean(isolated) && !other && isolated.index === k);
        if (isolated && !other && isolated.index === k) place(k, side === "query" ? 0 : 1);
      });
      shade("query", queries);
      shade("key", keys);
    },
  };
}

/** The isolated token and its three strongest partners, in words. */
function strongest(tokens, map, { side, index }) {
  const count = tokens.length;
  const weights = tokens.map((text, k) => [text, map[side === "query" ? index * count + k : k * count + index]]);
  const top = weights.sort((a, b) => b[1] - a[1]).slice(0, 3);
  return [h("q", null, tokens[index]), side === "query" ? " attends to " : " is attended by ",
    ...top.flatMap(([text, w], k) => [k ? ", " : "", h("q", null, text), ` ${number(w / 255)}`])];
}

/** Class probabilities, a column for each model that has a classifier; for regression the gold value. */
function predictions(task, example) {
  if (!task.labels.length) return goldValue(example);
  const rows = task.labels.map((label, c) => h("tr", null,
    h("th", { scope: "row" }, label, label === example.gold ? h("span", { class: "gold" }, " gold") : null),
    ...example.probabilities.map((p) => h("td", null, p
      ? h("span", { class: "bar", style: `--p: ${p[c]}` }, number(p[c])) : "–"))));
  const without = task.models.filter((_, m) => !example.probabilities[m]);
  return h("table", { class: "predictions" }, h("caption", null, "Predicted class probabilities",
    without.length ? ` (${without.join(", ")}: no classifier)` : ""),
    h("thead", null, h("tr", null, h("td"), ...task.models.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", null, ...rows));
}

/** Every head of the last model as a thumbnail, to see patterns at a glance and to choose one. */
function overview(task, example, onpick) {
  const model = task.models.length - 1;
  const rows = Array.from({ length: task.layers }, (_, layer) =>
    Array.from({ length: task.heads }, (_, head) => h("button", { type: "button", role: "gridcell",
      "aria-label": `layer ${layer + 1}, head ${head + 1}`, title: `layer ${layer + 1}, head ${head + 1}` },
    h("canvas", { "aria-hidden": "true" }))));
  const place = roving(rows, onpick);
  const number = (text) => h("span", { "aria-hidden": "true" }, text);
  const root = h("div", { class: "overview", style: `--heads: ${task.heads}` },
    h("div", { class: "line-up" }, number(""), ...rows[0].map((_, c) => number(c + 1))),
    h("div", { role: "grid", "aria-label": `all heads, ${task.models[model]}` },
      ...rows.map((cells, r) => h("div", { class: "line-up", role: "row" }, number(r + 1), ...cells))),
    h("p", { class: "remark" }, `All heads of the ${task.models[model]} model: layers down, heads across. `,
      "Shades by square root, so that faint patterns show."));
  return { root, draw(layer, head) {
    rows.forEach((cells, l) => cells.forEach((cell, k) =>
      paint(cell.firstChild, example.map(model, l, k), Math.sqrt)));
    place(layer, head);
  } };
}

function build(model) {
  let tasks = [], task, example, panels = [], heads;
  let cell = [0, 0], isolated = null;
  const at = () => [clamp(model.get("layer"), task.layers), clamp(model.get("head"), task.heads)];

  const taskBox = select("Task", (i) => choose(model, { task: tasks[i].task, example: 0 }));
  const exampleBox = select("Example", (i) => choose(model, { example: i }));
  const layerBox = slider("Layer", (layer) => choose(model, { layer }));
  const headBox = slider("Head", (head) => choose(model, { head }));
  const text = h("p", { class: "sentence" });
  const table = h("div", { class: "scroll" });
  const title = h("h4"), all = h("div"), views = h("div", { class: "panels" });
  const root = h("section", { class: "explorer", "aria-label": "Attention explorer" },
    h("div", { class: "top" },
      h("div", null, h("div", { class: "controls" }, taskBox.root, exampleBox.root, layerBox.root, headBox.root),
        text, table),
      all),
    title, views,
    h("p", { class: "remark" }, "Weight ", shades(), ", kept to ±0.002, as shade and as opacity of lines. Rows are ",
      "queries, columns keys; each row sums to 1. Point at a cell or a token, or use the arrow keys."));

  /** The parts whose size depends on the example. */
  function rebuild() {
    cell = [0, Math.min(1, example.tokens.length - 1)];
    isolated = null;
    heads = overview(task, example, (layer, head) => choose(model, { layer, head }));
    all.replaceChildren(heads.root);
    text.replaceChildren(example.text);
    table.replaceChildren(predictions(task, example));
    panels = task.models.map((name) => ({
      name, readout: h("output", { class: "readout", "aria-live": "polite" }), 
      map: heatmap(example.tokens, name, (i, j) => { cell = [i, j]; isolated = null; point(); }),
      lines: tokenLines(example.tokens, name, (side, index) => { isolated = side && { side, index }; point(); }),
    }));
    views.replaceChildren(...panels.map((p) => h("article", { class: "panel" },
      h("p", { class: "name" }, p.name), p.readout, p.map.root, p.lines.root)));
  }

  /** What follows the pointer. */
  function point() {
    panels.forEach((panel, m) => {
      const map = example.map(m, ...at());
      panel.map.point(...cell);
      panel.lines.draw(map, isolated);
      panel.readout.replaceChildren(...(isolated
        ? strongest(example.tokens, map, isolated) : cellText(example.tokens, map, cell)));
    });
  }

  function show(now) {
    tasks = now;
    task = tasks.find(({ task: name }) => name === model.get("task")) ?? tasks[0];
    const index = clamp(model.get("example"), task.examples.length);
    const [layer, head] = at();
    taskBox.fill(tasks.map((t) => t.task), tasks.indexOf(task));
    exampleBox.fill(task.examples.map((e) => e.text), index);
    layerBox.fill(task.layers, layer);
    headBox.fill(task.heads, head);
    if (task.examples[index] !== example) { example = task.examples[index]; rebuild(); }
    heads.draw(layer, head);
    title.textContent = `Layer ${layer + 1}, head ${head + 1}`;
    panels.forEach((panel, m) => panel.map.paint(example.map(m, layer, head)));
    point();
  }

  return { root, show };
}

export function render(context) {
  return start(context, ["task", "example", "layer", "head"], build);
}

export default { render };
