// The disabling explorer: what each head is worth to a task, to each seed, and to one prediction.

import {
  cellText, choose, clamp, goldValue, h, heatmap, number, roving, select, shades, signed, start,
} from "./shared.js";

const KINDS = {
  uniform: ["uniform attention", "Kovaleva et al. 2019"],
  zero: ["output set to zero", "Michel et al. 2019"],
};
const COEFFICIENTS = { mcc: "Matthews", pearson: "Pearson", spearman: "Spearman" }; // no percentages
const POINTS = 100; // fractions to points: of percent, or of a coefficient ×100
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;

/** How a metric's level, its name and its points are written. */
function wording(metric) {
  const scaled = COEFFICIENTS[metric] && `${COEFFICIENTS[metric]} ×100`;
  return scaled ? { level: ` (${scaled})`, name: scaled, column: scaled, points: `points of ${scaled}` }
    : { level: " %", name: metric, column: `${metric}, %`, points: "percentage points" };
}

/** The effect for each seed, their mean and its 95 % interval (null for a single seed), in points. */
function summary(grid, kind, layer, head) {
  const pick = (heads, layers) => (head === null ? layers[kind]?.[layer] : heads[kind]?.[layer][head]);
  const points = (values) => values?.map((value) => value * POINTS) ?? null;
  const values = points(pick(grid.effects, grid.layer_effects));
  return { values, mean: mean(values), interval: points(pick(grid.intervals, grid.layer_intervals)) };
}

/** Largest absolute value over both kinds, so that switching kinds keeps the scale. */
function limits(grid) {
  const largest = (values) => Math.max(...values.map(Math.abs), 1e-4) * POINTS;
  const kinds = (effects) => Object.values(effects).flat();
  return {
    head: largest(kinds(grid.effects).flat().map(mean)),
    layer: largest(kinds(grid.layer_effects).map(mean)),
    headSeed: largest(kinds(grid.effects).flat(2)),
    layerSeed: largest(kinds(grid.layer_effects).flat()),
  };
}

const legend = (name, limit) => h("div", { class: "legend" }, h("span", null, name),
  h("span", null, signed(-limit, 1)), h("span", { class: "ramp" }), h("span", null, signed(limit, 1)), "points");

/** Layers down, heads across, a last column for whole layers; colour is the mean effect. */
function effectGrid(task, onpick) {
  const { layers, heads, grid } = task, limit = limits(grid), wordy = heads <= 8;
  const cell = () => h("button", { type: "button", role: "gridcell" });
  const rows = Array.from({ length: layers }, () => Array.from({ length: heads + 1 }, cell));
  rows.forEach((cells) => cells[heads].classList.add("whole"));
  const place = roving(rows, (layer, column) => onpick(layer, column === heads ? null : column));
  const label = (role, text) => h("span", { role }, text);
  const root = h("div", { class: "effects", style: `--heads: ${heads}` },
    h("div", { role: "grid", "aria-label": "effect of disabling each head" },
      h("div", { class: "line-up", role: "row" }, label("columnheader", ""),
        ...rows[0].map((_, c) => label("columnheader", c < heads ? c + 1 : "all"))),
      ...rows.map((cells, r) => h("div", { class: "line-up", role: "row" }, label("rowheader", r + 1), ...cells))),
    h("p", { class: "remark" }, "Layers down, heads across; “all” is the whole layer."),
    legend("heads", limit.head), legend("layers", limit.layer));
  return { root, draw(kind, layer, head) {
    rows.forEach((cells, l) => cells.forEach((node, c) => {
      const whole = c === heads;
      const effect = mean(whole ? grid.layer_effects[kind][l] : grid.effects[kind][l][c]) * POINTS;
      const share = effect / (whole ? limit.layer : limit.head);
      node.style.setProperty("--share", `${Math.abs(share) * 100}%`);
      node.classList.toggle("loss", share < 0);
      node.classList.toggle("strong", Math.abs(share) > 0.6);
      node.textContent = wordy ? signed(effect, 1) : "";
      node.title = `layer ${l + 1}, ${whole ? "all heads" : `head ${c + 1}`}: ${signed(effect, 2)} points`;
      node.setAttribute("aria-label", node.title);
    }));
    place(layer, head === null ? heads : head);
  } };
}

/** One dot for each seed, a bar for the interval, a tick for the mean. */
function strip({ values, mean: m, interval }, limit, grid) {
  const width = 340, top = 12, row = 7, bottom = top + row * values.length;
  const x = (points) => width / 2 + points / limit * (width / 2 - 26);
  const tick = (points) => [h("line", { class: "axis", x1: x(points), x2: x(points), y1: top - 6, y2: bottom + 16 }),
    h("text", { x: x(points), y: bottom + 28, "text-anchor": "middle" }, signed(points, 1))];
  const dots = values.map((value, k) => h("circle", {
    class: grid.origins[k], cx: x(value), cy: top + row * (k + 0.5), r: 3.6 },
  h("title", null, `seed ${grid.seeds[k]}: ${signed(value, 2)} points, ${grid.origins[k]}`)));
  const y = bottom + 8;
  const reach = interval === null ? [] : [h("line", { class: "interval", x1: x(Math.max(-limit, interval[0])),
    x2: x(Math.min(limit, interval[1])), y1: y, y2: y })];
  return h("svg", { class: "strip", viewBox: `0 0 ${width} ${bottom + 34}`, role: "img",
    "aria-label": `${values.length} seeds, mean ${signed(m, 2)} ${wording(grid.metric).points}` },
  ...[-limit, 0, limit].flatMap(tick), ...dots, ...reach,
  h("line", { class: "mean", x1: x(m), x2: x(m), y1: y - 6, y2: y + 6 }));
}

function seedTable({ values }, grid) {
  const cells = (tag, ...texts) => h("tr", null, ...texts.map((text) => h(tag, null, text)));
  const body = values.map((value, k) => cells("td", String(grid.seeds[k]), number(grid.baseline[k] * POINTS, 2),
    signed(value, 2), grid.origins[k]));
  return h("details", null, h("summary", null, "Numbers for each seed"), h("div", { class: "scroll" }, h("table", null,
    h("thead", null, cells("th", "seed", wording(grid.metric).column, "effect, points", "origin")),
    h("tbody", null, ...body))));
}

/** From the probability with every head to the one without this head, class by class. */
function change(task, example, kind, layer, head) {
  if (!task.labels.length) return goldValue(example);
  const before = example.probabilities.at(-1), after = head === null ? null : example.disabled[kind]?.[layer][head];
  if (!before || !after) {
    return h("p", { class: "remark" }, head === null
      ? "Choose a single head to see its map and what it does to one prediction."
      : "Nothing recorded for this example’s prediction.");
  }
  const best = (p) => task.labels[p.indexOf(Math.max(...p))];
  const rows = task.labels.map((label, c) => h("li", null,
    h("span", null, label, label === example.gold ? h("span", { class: "gold" }, " gold") : null),
    h("span", null, number(before[c]), " → ", h("b", { class: "value" }, number(after[c])),
      ` (${signed(after[c] - before[c])})`),
    h("span", { class: "track", style: `--from: ${before[c]}; --to: ${after[c]}` })));
  const verdict = best(before) === best(after) ? `Still predicts “${best(after)}”.`
    : `The prediction flips from “${best(before)}” to “${best(after)}”.`;
  return h("div", { class: "change" }, h("p", null, verdict), h("ul", null, ...rows),
    h("p", { class: "remark" }, "Class probabilities on a line from 0 to 1: with every head → without this one."));
}

function build(model) {
  let tasks = [], task, example, effects, map, cell = [0, 0];
  const kind = () => (model.get("kind") in task.grid.effects ? model.get("kind") : Object.keys(task.grid.effects)[0]);
  const at = () => {
    const head = model.get("head");
    return [clamp(model.get("layer"), task.layers), head === null ? null : clamp(head, task.heads)];
  };
  const name = `bertstudy-kind-${Math.random()}`;
  const radios = Object.entries(KINDS).map(([value, [text, paper]]) => {
    const input = h("input", { type: "radio", name, value, onchange: () => choose(model, { kind: value }) });
    return { value, input, root: h("label", null, input, ` ${text} (${paper})`) };
  });
  const taskBox = select("Task", (i) => choose(model, { task: tasks[i].task, example: 0 }));
  const exampleBox = select("Example", (i) => choose(model, { example: i }));
  const title = h("h4"), readout = h("output", { class: "readout effect", "aria-live": "polite" });
  const seeds = h("div"), gridBox = h("div"), changeBox = h("div", { "aria-live": "polite" });
  const text = h("p", { class: "sentence" });
  const mapBox = h("div"), mapReadout = h("output", { class: "readout weight", "aria-live": "polite" });
  const root = h("section", { class: "explorer", "aria-label": "Disabling explorer" },
    h("div", { class: "controls pair" }, taskBox.root,
      h("fieldset", null, h("legend", null, "Disabling means"), ...radios.map((radio) => radio.root))),
    h("div", { class: "top" }, gridBox, h("div", null, title, readout, seeds)),
    h("div", { class: "one top" }, h("div", null, exampleBox.root, text, changeBox),
      h("div", null, mapReadout, mapBox, h("p", { class: "remark" }, "Attention of this head, nothing disabled: ",
        "rows are queries, columns keys; ", shades(), ", kept to ±0.002."))));

  function drawEffect([layer, head]) {
    const { grid } = task, whole = head === null, words = wording(grid.metric);
    const found = summary(grid, kind(), layer, head), limit = limits(grid);
    title.textContent = `Layer ${layer + 1}, ${whole ? "all heads" : `head ${head + 1}`}: ${KINDS[kind()][0]}`;
    const interval = found.interval === null ? " from one seed, so without an interval"
      : `, 95 % interval ${found.interval.map((bound) => signed(bound, 2)).join(" to ")}`;
    readout.replaceChildren(h("b", { class: "value" }, signed(found.mean, 2)), ` points of ${words.name}${interval}; `,
      `${number(mean(grid.baseline) * POINTS, 1)}${words.level} with every head`);
    const open = seeds.querySelector("details")?.open ?? false;
    const recorded = grid.origins.filter((origin) => origin === "recorded").length;
    const here = found.values.length - recorded;
    seeds.replaceChildren(strip(found, whole ? limit.layerSeed : limit.headSeed, grid),
      h("p", { class: "remark" }, `${capital(words.points)}, one dot a seed; bar and tick: 95 % interval and mean. `,
        [here && `● ${here} computed here`, recorded && `○ ${recorded} recorded`].filter(Boolean).join(", "), "."),
      seedTable(found, grid));
    seeds.querySelector("details").open = open;
  }

  function point(i, j) {
    cell = [i, j];
    map.point(i, j);
    mapReadout.replaceChildren(...cellText(example.tokens, example.map(task.models.length - 1, ...at()), cell));
  }

  function show(now) {
    tasks = now.filter((t) => t.grid);
    const next = tasks.find((t) => t.task === model.get("task")) ?? tasks[0];
    if (next !== task) {
      task = next;
      effects = effectGrid(task, (layer, head) => choose(model, { layer, head }));
      gridBox.replaceChildren(effects.root);
    }
    const index = clamp(model.get("example"), task.examples.length), [layer, head] = at();
    taskBox.fill(tasks.map((t) => t.task), tasks.indexOf(task));
    exampleBox.fill(task.examples.map((e) => e.text), index);
    radios.forEach(({ value, input, root: label }) => {
      input.checked = value === kind();
      label.hidden = !(value in task.grid.effects);
    });
    effects.draw(kind(), layer, head);
    drawEffect([layer, head]);
    if (task.examples[index] !== example) {
      example = task.examples[index];
      text.replaceChildren(example.text);
      cell = [0, Math.min(1, example.tokens.length - 1)];
      map = heatmap(example.tokens, task.models.at(-1), point);
      mapBox.replaceChildren(map.root);
    }
    changeBox.replaceChildren(change(task, example, kind(), layer, head));
    mapBox.parentNode.hidden = head === null;
    if (head !== null) {
      map.paint(example.map(task.models.length - 1, layer, head));
      point(...cell);
    }
  }

  return { root, show };
}

export function render(context) {
  return start(context, ["task", "example", "layer", "head", "kind"], build);
}

export default { render };
