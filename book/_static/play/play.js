// The page "Try autograd now": takes what the reader enters to Python, which runs in worker.js, and shows what comes back.

import { addSteps } from "../steps.js";

const $ = (id) => document.getElementById(`play-${id}`);
const SVG = "http://www.w3.org/2000/svg";
const STOPPED = "stopped";

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// A button that is off keeps the focus, so that who works with keys does not lose their place.
const turn = (id, on) => $(id).setAttribute("aria-disabled", String(!on));

function onPress(id, action) {
  $(id).addEventListener("click", () => {
    if ($(id).getAttribute("aria-disabled") !== "true") action();
  });
}

// --- Python -------------------------------------------------------------------------------------

const python = {
  worker: null,
  pending: new Map(),
  count: 0,

  open() {
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => {
      const call = this.pending.get(data.id);
      if ("told" in data) return call.tell(data.told);
      this.pending.delete(data.id);
      if ("failure" in data) call.reject(new Error(data.failure));
      else call.resolve(data.result);
    };
    this.worker.onerror = (event) => this.close(event.message || "the browser could not start it");
  },

  close(why) {
    this.worker.terminate();
    for (const call of this.pending.values()) call.reject(new Error(why));
    this.pending.clear();
  },

  call(name, given = {}, tell = () => {}) {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject, tell });
      this.worker.postMessage({ id, name, given });
    });
  },
};

let available = {};
let ready = false;

async function start(first = "") {
  turn("start", false);
  $("state").textContent = `${first}starting ...`;
  const begun = performance.now();
  python.open();
  try {
    await python.call("start", available.start, (told) => ($("state").textContent = first + told));
  } catch (error) {
    $("state").textContent = `Python did not start: ${error.message}`;
    python.close(error.message);
    turn("start", true);
    return;
  }
  ready = true;
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  $("state").textContent = `${first}Python is running, ready after ${seconds} s.`;
  $("start").textContent = "Started";
  turn("run", true);
  turn("train", true);
}

// What never ends, and what broke Python itself, goes with the whole worker. A new one takes its place.
async function restart(why) {
  ready = false;
  ["run", "stop", "train", "halt"].forEach((id) => turn(id, false));
  python.close(STOPPED);
  await start(`${why} `);
}

// --- An expression ------------------------------------------------------------------------------

const fields = () => [...$("inputs").querySelectorAll("input")];

function showInputs(values) {
  const kept = Object.fromEntries(fields().map((field) => [field.name, field.value]));
  if (Object.keys(values).join() === Object.keys(kept).join()) return;
  const made = Object.entries(values).map(([name, value]) => {
    const field = element("input", { type: "number", step: "any", name, id: `play-input-${name}`, required: true });
    field.value = kept[name] ?? value;
    return element("label", { htmlFor: field.id }, element("span", { textContent: name }), field);
  });
  $("inputs").replaceChildren(...(made.length ? made : ["none"]));
}

function choose() {
  const { source, values } = $("example").selectedOptions[0].dataset;
  $("source").value = source;
  $("source").rows = Math.max(3, source.split("\n").length + 1);
  $("inputs").replaceChildren();
  showInputs(Object.fromEntries(values.split(" ").map((pair) => pair.split("="))));
}

async function askInputs() {
  const names = await python.call("inputs", { source: $("source").value });
  showInputs(Object.fromEntries(names.map((name) => [name, 1])));
}

async function compute() {
  if (!ready || $("run").getAttribute("aria-disabled") === "true") return;
  turn("run", false);
  turn("stop", true);
  try {
    await askInputs();
    const values = Object.fromEntries(fields().map((field) => [field.name, field.value === "" ? null : Number(field.value)]));
    showResult(await python.call("evaluate", { source: $("source").value, values }));
  } catch (error) {
    if (error.message === STOPPED) return;
    showResult({ error: `Python broke down over this: ${error.message}`, printed: "" });
    return restart("It broke down and was started again.");
  }
  turn("run", true);
  turn("stop", false);
}

function showResult(result) {
  $("error").hidden = !result.error;
  $("error").textContent = result.error ?? "";
  $("result").hidden = Boolean(result.error) && !result.printed;
  for (const id of ["figures", "picture", "rule"]) $(id).hidden = Boolean(result.error);
  $("output").hidden = !result.printed;
  $("printed").textContent = result.printed;
  $("said").hidden = !result.note;
  $("said").textContent = result.note ?? "";
  if (result.error) return;
  const rows = [["result", result.value], ...Object.entries(result.gradients).map(([name, g]) => [`gradient of ${name}`, g])];
  showFigures("figures", rows);
  showGraph(result);
  $("forward").textContent = result.forward.join("\n");
  $("backward").textContent = result.backward.join("\n");
}

function showFigures(id, rows) {
  const made = rows.map(([name, value]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })),
  );
  $(id).replaceChildren(...made);
}

function showGraph({ svg, words }) {
  $("picture").hidden = !svg;
  $("picture").querySelector(".steps")?.remove();
  $("graph").innerHTML = svg;
  if (!svg) return;
  $("graph").firstChild.setAttribute("aria-label", words);
  addSteps($("graph"));
}

// --- A training ---------------------------------------------------------------------------------

const percent = (share) => `${(100 * share).toFixed(1)}%`;

async function train() {
  turn("train", false);
  turn("halt", true);
  $("answers").hidden = true;
  $("run-of-it").hidden = false;
  $("progress").textContent = "Training ...";
  const history = [];
  try {
    const end = await python.call("train", { seed: 0 }, ({ facts, numbers }) => {
      history.push(numbers);
      showEpoch(facts, history);
    });
    showAnswers(end, history);
  } catch (error) {
    $("progress").textContent = `The training ended early: ${error.message === STOPPED ? "Python was stopped." : error.message}`;
  }
  turn("train", ready);
  turn("halt", false);
}

function showEpoch(facts, history) {
  const now = history.at(-1);
  showFigures("numbers", [
    ["epoch", `${now.epoch} of ${facts.epochs}`],
    ["loss", now.loss.toFixed(4)],
    [`accuracy on ${facts.training.toLocaleString("en")} digits`, percent(now.accuracy)],
    [`accuracy on ${facts.watched} to watch`, percent(now.val_accuracy)],
  ]);
  drawCurve(facts.epochs, history);
}

// Loss against the epoch, with powers of ten at equal distances.
function drawCurve(epochs, history) {
  const width = Math.min(Math.max($("curve").clientWidth, 280), 640); // so that letters keep their size on a narrow screen
  $("curve").setAttribute("viewBox", `0 0 ${width} 260`);
  const [left, right, top, bottom] = [52, width - 72, 14, 222];
  const losses = history.flatMap((row) => [row.loss, row.val_loss]).filter((loss) => loss > 0);
  const low = Math.floor(Math.log10(Math.min(...losses, 0.1)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(...losses))), low + 1);
  const x = (epoch) => left + ((right - left) * (epoch - 1)) / Math.max(epochs - 1, 1);
  const y = (loss) => bottom - ((bottom - top) * (Math.log10(loss) - low)) / (high - low);
  const parts = [];
  for (let power = low; power <= high; power++) {
    const at = y(10 ** power);
    parts.push(shape("line", { x1: left, x2: right, y1: at, y2: at, class: "play-grid" }));
    parts.push(shape("text", { x: left - 8, y: at + 4, "text-anchor": "end" }, String(Number((10 ** power).toPrecision(1)))));
  }
  for (const epoch of [1, Math.round(epochs / 2), epochs]) {
    parts.push(shape("text", { x: x(epoch), y: bottom + 18, "text-anchor": "middle" }, String(epoch)));
  }
  parts.push(shape("text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, "epoch"));
  parts.push(shape("text", { x: 12, y: (top + bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + bottom) / 2})` }, "loss"));
  const ends = {};
  for (const [name, label] of [["loss", "training"], ["val_loss", "watched"]]) {
    const points = history.filter((row) => row[name] > 0).map((row) => `${x(row.epoch).toFixed(1)},${y(row[name]).toFixed(1)}`);
    parts.push(shape("polyline", { points: points.join(" "), class: `play-${name}` }));
    ends[name] = { label, at: y(history.at(-1)[name]) };
  }
  const apart = ends.loss.at - ends.val_loss.at;
  const push = Math.abs(apart) < 16 ? ((apart < 0 ? -1 : 1) * (16 - Math.abs(apart))) / 2 : 0;
  for (const [name, sign] of [["loss", 1], ["val_loss", -1]]) {
    const place = { x: x(history.length) + 8, y: ends[name].at + 4 + sign * push, class: `play-${name}` };
    parts.push(shape("text", place, ends[name].label));
  }
  $("curve").replaceChildren(...parts);
  const [first, last] = [history[0], history.at(-1)];
  $("curve").setAttribute(
    "aria-label",
    `Loss against the epoch. On the training digits from ${first.loss.toFixed(3)} to ${last.loss.toFixed(4)} in ` +
      `${history.length} epochs, on the watched digits from ${first.val_loss.toFixed(3)} to ${last.val_loss.toFixed(4)}.`,
  );
}

function showAnswers(end, history) {
  const { facts } = end;
  $("progress").textContent =
    `${end.stopped ? "Stopped" : "Finished"} after ${history.length} epochs and ${end.seconds.toFixed(1)} s. ` +
    `Of ${facts.test} digits that it never saw it reads ${percent(end.accuracy)} correctly.`;
  $("first").replaceChildren(...end.first.map(digit));
  const some = end.wrong.length < end.mistaken ? `, ${end.wrong.length} of them here` : "";
  $("wrong-title").textContent = `The ${end.mistaken} of ${facts.test} that it mistakes${some}`;
  $("wrong").replaceChildren(...end.wrong.map(digit));
  $("answers").hidden = false;
}

function digit({ rows, truth, answer, sure }) {
  const canvas = element("canvas", { width: rows[0].length, height: rows.length });
  const context = canvas.getContext("2d");
  rows.forEach((row, j) =>
    row.forEach((ink, i) => {
      const grey = Math.round(255 * (1 - ink));
      context.fillStyle = `rgb(${grey} ${grey} ${grey})`;
      context.fillRect(i, j, 1, 1);
    }),
  );
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `A handwritten ${truth}`);
  const right = truth === answer;
  const told = element("span", { className: right ? "" : "play-mistake", textContent: right ? answer : `${answer}, not ${truth}` });
  return element("li", {}, canvas, told, element("small", { textContent: percent(sure) }));
}

// --- The page -----------------------------------------------------------------------------------

onPress("start", async () => {
  await start();
  compute();
});
onPress("stop", () => {
  showResult({ error: "It was stopped. A loop that never ends, perhaps?", printed: "" });
  restart("Stopped, and started again.");
});
onPress("train", train);
onPress("halt", () => {
  turn("halt", false);
  python.call("stop");
});
$("example").addEventListener("change", () => {
  choose();
  compute();
});
let waiting;
$("source").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => ready && askInputs().catch(() => {}), 300);
});
$("source").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) compute();
});
$("inputs").addEventListener("change", compute);
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  compute();
});

choose();
try {
  const answer = await fetch(new URL("../pyodide/available.json", import.meta.url));
  available = answer.ok ? await answer.json() : { missing: "" };
} catch {
  available = { missing: "" };
}
if (available.start) {
  $("note").hidden = true;
  $("state").textContent = `loads ${Math.round(available.bytes / 1e6)} MB`;
  turn("start", true);
} else {
  $("note").textContent = `This site was made without the browser's Python, so nothing can be run here. ${available.missing}`;
}
