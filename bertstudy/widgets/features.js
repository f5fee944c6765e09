// The feature map: each head's attention to a kind of token, its null, and one map with it marked.

import {
  cellText, choose, clamp, h, heatmap, number, roving, select, shades, signed, start,
} from "./shared.js";

const SIDES = ["pre-trained", "fine-tuned", "difference"];
const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;
const minus = (a, b) => a.map((row, l) => row.map((x, k) => x - b[l][k]));

/** What the grid shows: `[layer][head]`. `found` holds score and null before and after. */
function values(found, side, isMinus) {
  const one = ({ score, null: chance }) => (isMinus ? minus(score, chance) : score);
  if (side === "difference") return minus(one(found.after), one(found.before));
  return one(side === "fine-tuned" ? found.after : found.before);
}

/** Layers down, heads across, a last column for the mean of the layer; colour is the value. */
function scoreGrid(task, onpick) {
  const { layers, heads } = task, wordy = heads <= 8;
  const cell = () => h("button", { type: "button", role: "gridcell" });
  const rows = Array.from({ length: layers }, () => Array.from({ length: heads }, cell));
  const means = rows.map(() => h("span", { role: "gridcell" }));
  const place = roving(rows, onpick);
  const label = (role, text) => h("span", { role }, text);
  const scale = h("div", { class: "legend" });
  const root = h("div", { class: "effects", style: `--heads: ${heads}` },
    h("div", { role: "grid", "aria-label": "attention of each head" },
      h("div", { class: "line-up", role: "row" }, label("columnheader", ""),
        ...rows[0].map((_, c) => label("columnheader", c + 1)), label("columnheader", "mean")),
      ...rows.map((cells, r) => h("div", { class: "line-up", role: "row" },
        label("rowheader", r + 1), ...cells, means[r]))),
    h("p", { class: "remark" }, "Layers down, heads across; “mean” is that of the layer."), scale);
  return { root, draw(grid, isSigned, layer, head) {
    const say = isSigned ? signed : number;
    const limit = Math.max(...grid.flat().map(Math.abs), 1e-4);
    rows.forEach((cells, l) => {
      means[l].textContent = say(mean(grid[l]));
      cells.forEach((node, k) => {
        const share = grid[l][k] / limit;
        node.style.setProperty("--share", `${Math.abs(share) * 100}%`);
        node.classList.toggle("loss", share < 0);
        node.classList.toggle("strong", Math.abs(share) > 0.6);
        node.textContent = wordy ? number(grid[l][k], 2).replace("−0.00", "0.00") : "";
        node.title = `layer ${l + 1}, head ${k + 1}: ${say(grid[l][k])}`;
        node.setAttribute("aria-label", node.title);
      });
    });
    scale.replaceChildren(h("span", null, "colour"), h("span", null, isSigned ? signed(-limit) : "0"),
      h("span", { class: isSigned ? "ramp" : "ramp rising" }), h("span", null, say(limit)));
    place(layer, head);
  } };
}

/** One head in words: before, after, chance, and the difference with its interval over seeds. */
function inWords(found, seeds, isMinus, layer, head) {
  const models = { "pre-trained": found.before };
  if (found.after) models["fine-tuned"] = found.after;
  const row = (name, one) => h("tr", null, h("th", { scope: "row" }, name),
    ...Object.values(models).map(({ score, null: chance }) => h("td", null, one(score[layer][head], chance[layer][head]))));
  const table = h("div", { class: "scroll" }, h("table", null, h("thead", null, h("tr", null,
    ...["", ...Object.keys(models)].map((text) => h("th", null, text)))),
  h("tbody", null, row("this kind", (score) => number(score)), row("random words", (_, chance) => number(chance)),
    row("above", (score, chance) => signed(score - chance)))));
  if (!found.after) return [table];
  const difference = values(found, "difference", isMinus)[layer][head];
  const interval = found.interval?.[isMinus ? "above" : "score"][layer][head];
  return [table, h("p", { class: "remark" }, `Fine-tuning${isMinus ? ", null subtracted" : ""}: ${signed(difference)}`,
    interval ? `, 95 % interval over ${seeds} seeds ${interval.map((bound) => signed(bound)).join(" to ")}.` : ", one seed.")];
}

/** The token of the kind that receives most of this map, and the word that does. */
function received(tokens, map, marked) {
  const count = tokens.length;
  const sums = tokens.map((_, j) => mean(tokens.map((_, i) => map[i * count + j] / 255)));
  const top = (places) => places.reduce((best, j) => (sums[j] > sums[best] ? j : best), places[0]);
  const said = (j) => [h("q", null, tokens[j]), ` ${number(sums[j])}`];
  const all = top(tokens.map((_, j) => j));
  if (!marked.length) return ["None of that kind is marked here. Of all tokens ", ...said(all), " receives most."];
  return ["Of the marked tokens ", ...said(top(marked)), " receives most, of all ", ...said(all), "."];
}

function build(model) {
  let tasks = [], task, grid, example, panels = [], cell = [0, 0];
  const more = () => task.more.features;
  const kinds = () => Object.keys(more().kinds);
  const kind = () => (kinds().includes(model.get("kind")) ? model.get("kind") : kinds()[0]);
  const found = () => more().kinds[kind()];
  const side = () => (found().after ? model.get("side") : SIDES[0]);
  const at = () => [clamp(model.get("layer"), task.layers), clamp(model.get("head"), task.heads)];
  const taskBox = select("Task", (i) => choose(model, { task: tasks[i].task, example: 0 }));
  const kindBox = select("Kind of token", (i) => choose(model, { kind: kinds()[i] }));
  const exampleBox = select("Example", (i) => choose(model, { example: i }));
  const name = `bertstudy-side-${Math.random()}`;
  const radios = SIDES.map((value) => {
    const input = h("input", { type: "radio", name, value, onchange: () => choose(model, { side: value }) });
    return { value, input, root: h("label", null, input, ` ${value}`) };
  });
  const check = h("input", { type: "checkbox", onchange: () => choose(model, { minus: check.checked }) });
  const title = h("h4"), counted = h("p", { class: "remark" }), words = h("div", { "aria-live": "polite" });
  const gridBox = h("div"), text = h("p", { class: "sentence" }), views = h("div", { class: "panels" });
  const root = h("section", { class: "explorer", "aria-label": "Feature explorer" },
    h("div", { class: "controls pair" }, taskBox.root, kindBox.root,
      h("fieldset", null, h("legend", null, "Model"), ...radios.map((radio) => radio.root)),
      h("fieldset", null, h("legend", null, "Chance"),
        h("label", null, check, " minus as many random words"))),
    h("div", { class: "top" }, gridBox, h("div", null, title, counted, words)),
    h("div", { class: "one" }, exampleBox.root, text, views,
      h("p", { class: "remark" }, "The head’s map; tokens of the kind are marked. Rows are queries, columns keys; ",
        shades(), ", kept to ±0.002.")));

  function rebuild() {
    cell = [0, Math.min(1, example.tokens.length - 1)];
    text.replaceChildren(example.text);
    panels = task.models.map((own) => ({ name: own, readout: h("output", { class: "readout", "aria-live": "polite" }),
      said: h("p", { class: "remark received" }),
      map: heatmap(example.tokens, own, (i, j) => { cell = [i, j]; point(); }) }));
    views.replaceChildren(...panels.map((p) => h("article", { class: "panel" },
      h("p", { class: "name" }, p.name), p.readout, p.map.root, p.said)));
  }

  function point() {
    panels.forEach((panel, m) => {
      panel.map.point(...cell);
      panel.readout.replaceChildren(...cellText(example.tokens, example.map(m, ...at()), cell));
    });
  }

  function show(now) {
    tasks = now.filter((t) => t.more.features);
    const next = tasks.find((t) => t.task === model.get("task")) ?? tasks[0];
    if (next !== task) {
      task = next;
      grid = scoreGrid(task, (layer, head) => choose(model, { layer, head }));
      gridBox.replaceChildren(grid.root);
    }
    const index = clamp(model.get("example"), task.examples.length), [layer, head] = at();
    const isMinus = model.get("minus"), { examples, tokens } = found();
    taskBox.fill(tasks.map((t) => t.task), tasks.indexOf(task));
    kindBox.fill(kinds(), kinds().indexOf(kind()));
    exampleBox.fill(task.examples.map((e) => e.text), index);
    radios.forEach(({ value, input, root: label }) => {
      input.checked = value === side();
      label.hidden = !found().after && value !== SIDES[0];
    });
    check.checked = isMinus;
    grid.draw(values(found(), side(), isMinus), isMinus || side() === "difference", layer, head);
    title.textContent = `Layer ${layer + 1}, head ${head + 1}: ${kind()}`;
    counted.textContent = `${examples} of ${more().examples} examples have it, ${tokens} tokens in all. `
      + "Attention received: mean over queries, largest such token, mean over examples.";
    words.replaceChildren(...inWords(found(), more().seeds, isMinus, layer, head));
    if (task.examples[index] !== example) { example = task.examples[index]; rebuild(); }
    const marked = more().marks[index][kind()] ?? [];
    panels.forEach((panel, m) => {
      const map = example.map(m, layer, head);
      panel.map.paint(map);
      panel.map.mark(marked);
      panel.said.replaceChildren(...received(example.tokens, map, marked));
    });
    point();
  }

  return { root, show };
}

export function render(context) {
  return start(context, ["task", "example", "layer", "head", "kind", "side", "minus"], build);
}

export default { render };
