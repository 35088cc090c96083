// Asks for the figures once a second and draws them. Whatever text comes is shown as text.
"use strict";

const EVERY_MS = 1000, GIVE_UP_MS = 9000;
const CONTENDERS = [["live", "live model"], ["frozen", "frozen at version 1"],
  ["popularity", "popularity of lately"], ["markov", "last-item Markov"], ["vmis-knn", "VMIS-kNN"]];
const STAGES = [["gather", "window fills", "fills"], ["read", "waits, is read", "waits"], ["score", "scored", "scored"],
  ["train", "trained", "trained"], ["publish", "published", "published"], ["live", "goes live", "live in"]];
const GATE = [["held", "held"], ["let_pass", "let pass"], ["floods", "floods of items"], ["rolled_back", "rolled back"]];
const ALARMS = [["overtaken", "publishes overtaken"], ["workers_lost", "processes lost"],
  ["foreign", "foreign records"], ["undeleted", "failed deletions"]];

const at = (id) => document.getElementById(id);
const number = (value, digits = 0) => value === null || value === undefined ? "–"
  : value.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
const seconds = (value) => value === null || value === undefined ? "–"
  : value < 10 ? `${number(value, 2)} s` : value < 120 ? `${number(value, 1)} s` : `${number(value / 60)} min`;
const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
const sum = (values) => values.reduce((all, one) => all + one, 0);

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function box(id, big, unit, rows) {
  const place = at(id), value = place.querySelector(".big"), list = place.querySelector("dl");
  value.replaceChildren(big, element("small", unit ? ` ${unit}` : ""));
  list.replaceChildren(...rows.flatMap(([name, text, kind]) => [element("dt", name), element("dd", text, kind)]));
}

function table(id, heads, rows, nothing) {
  const [head, body] = [at(id).tHead, at(id).tBodies[0]];
  const line = element("tr");
  line.append(...heads.map(([text, kind]) => element("th", text, kind && "text")));
  head.replaceChildren(line);
  if (!rows.length) {
    const cell = element("td", nothing, "text empty");
    cell.colSpan = heads.length;
    rows = [[cell]];
  }
  body.replaceChildren(...rows.map((cells) => {
    const row = element("tr");
    row.append(...cells.map((cell, i) => cell instanceof Element ? cell : element("td", cell, heads[i][1])));
    return row;
  }));
}

function drawing(width, height, label) {
  return shape("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label});
}

function shape(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function legend(entries) {
  const list = element("ul", undefined, "legend");
  for (const [kind, text] of entries) {
    const item = element("li", text);
    item.prepend(element("span", undefined, kind));
    list.append(item);
  }
  return list;
}

const WIDTH = 620, HEIGHT = 220, LEFT = 44, BOTTOM = 22, TOP = 8;

// The next number above from which four even steps lead down to 0.
function rounded(top) {
  const power = 10 ** Math.floor(Math.log10(top / 4));
  return 4 * power * [1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10].find((step) => step * power * 4 >= top * .999);
}

function axes(svg, top, unit) {
  for (let step = 0; step <= 4; step++) {
    const value = top * step / 4, y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * step / 4;
    svg.append(shape("line", {x1: LEFT, x2: WIDTH, y1: y, y2: y, class: "axis"}),
      shape("text", {x: LEFT - 6, y: y + 4, "text-anchor": "end"}, number(value, top < 10 ? 2 : 0) + unit));
  }
}

// The live model of each track beside the default one is a curve of its own.
function drawScores(curves, tracks) {
  const curve = {...curves}, shown = [...CONTENDERS];
  tracks.forEach((one, i) => {
    curve[`track-${i % 4}`] = one.curve;
    shown.push([`track-${i % 4}`, `track ${one.track}`]);
  });
  const labels = shown.flatMap(([name]) => curve[name].map(([label]) => label));
  if (!labels.length) return [element("p", "no window has been scored yet", "empty")];
  const first = Math.min(...labels), last = Math.max(...labels, first + 1);
  const top = rounded(Math.max(0.05, ...shown.flatMap(([name]) => curve[name].map(([, value]) => value))));
  const x = (label) => LEFT + (WIDTH - LEFT - 4) * (label - first) / (last - first);
  const y = (value) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top;
  const svg = drawing(WIDTH, HEIGHT, "HR@10 by window, for each contender");
  axes(svg, top, "");
  for (const [name] of [...shown].reverse()) {
    const points = curve[name].map(([label, value]) => `${x(label).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    svg.append(shape("polyline", {points, class: `curve c-${name}`}));
  }
  const means = shown.filter(([name]) => curve[name].length).map(([name, text]) => {
    const values = curve[name].slice(-20).map(([, value]) => value);
    return [`c-${name}`, `${text} ${number(sum(values) / values.length, 3)}`];
  });
  svg.append(shape("text", {x: LEFT, y: HEIGHT - 5}, "means of the last 20 windows stand below"));
  return [svg, legend(means)];
}

function drawFreshness(windows) {
  const rows = windows.filter((row) => row.track === "default" && Object.keys(row.stages).length).reverse();
  if (!rows.length) return [element("p", "no version has been published yet", "empty")];
  const heights = rows.map((row) => sum(Object.values(row.stages)));
  const top = rounded(Math.max(0.5, ...heights));
  const svg = drawing(WIDTH, HEIGHT, "Seconds per stage, by version");
  axes(svg, top, " s");
  const step = (WIDTH - LEFT - 4) / Math.max(rows.length, 10);
  rows.forEach((row, i) => {
    let low = HEIGHT - BOTTOM;
    const bar = shape("g", {});
    for (const [name] of STAGES) {
      const high = (HEIGHT - BOTTOM - TOP) * (row.stages[name] || 0) / top;
      low -= high;
      bar.append(shape("rect", {x: LEFT + i * step + 1, y: low, width: Math.max(1, step - 2), height: high, class: `s-${name}`}));
    }
    bar.append(shape("title", {}, `version ${row.version}\n` + STAGES.filter(([name]) => name in row.stages)
      .map(([name, text]) => `${text}: ${seconds(row.stages[name])}`).join("\n")));
    svg.append(bar);
    if (i === 0 || i === rows.length - 1)
      svg.append(shape("text", {x: LEFT + (i + .5) * step, y: HEIGHT - 5, "text-anchor": "middle"}, `v${row.version}`));
  });
  return [svg, legend(STAGES.map(([name, text]) => [`s-${name}`, text]))];
}

function showLoop(now) {
  const {stream, trainer, serving, freshness} = now;
  const rejected = sum(Object.values(stream.rejected));
  box("box-events", number(stream.events_per_s), "accepted per s", [
    ["accepted so far", number(stream.applied)],
    ["not accepted", number(rejected), rejected ? "warn" : ""],
    ["wrong partition", number(stream.misplaced), stream.misplaced ? "bad" : ""],
  ]);
  box("box-worker", stream.workers ? number(stream.lag) : "–", "records behind", [
    ["workers", number(stream.workers), stream.workers ? "" : "bad"],
    ["late records", number(stream.late)],
    ["outcomes written", number(stream.outcomes)],
    ...(stream.restoring ? [["restoring", stream.restoring, "warn"]] : []),
  ]);
  const alarms = trainer ? sum(ALARMS.map(([name]) => trainer[name])) : 0;
  box("box-trainer", trainer ? number(trainer.backlog) : "–", "windows wait", [
    ["does now", trainer ? trainer.stage || trainer.state : "is away", trainer ? "" : "bad"],
    ["oldest waits for", trainer ? seconds(trainer.backlog_s) : "–"],
    ["windows trained", trainer ? number(trainer.windows) : "–"],
    ["alarms", number(alarms), alarms ? "bad" : ""],
  ]);
  box("box-weights", serving.version === null ? "–" : `v${serving.version}`, "is current", [
    ["epoch", number(serving.epoch)],
    ["after a rollback from", serving.left ? `v${serving.left}` : "–", serving.left ? "warn" : ""],
    ["event to every replica", freshness ? seconds(freshness.total_s) : "–"],
  ]);
  const live = serving.replicas.filter((one) => one.current).length;
  const failed = sum(serving.replicas.map((one) => one.failed));
  box("box-replicas", number(serving.requests_per_s), "requests per s", [
    ["have the current version", `${live} of ${serving.replicas.length}`, live < serving.replicas.length ? "warn" : ""],
    ["requests so far", number(sum(serving.replicas.map((one) => one.requests)))],
    ["failed", number(failed), failed ? "bad" : ""],
  ]);
}

function showTables(now) {
  const {stream, trainer, serving} = now;
  const several = now.tracks.length > 0;
  at("lines").hidden = !several;
  table("tracks", [["track", "text"], ["state", "text"], ["version"], ["live on"], ["windows"], ["wait"], ["HR@10"], ["held"], ["alarms"], ["trouble", "words"]],
    now.tracks.map((one) => [
      one.track, one.state, number(one.version), `${one.live_on} of ${one.replicas}`, number(one.windows),
      number(one.backlog), number(one.hr10, 3), number(one.held), element("td", number(one.alarms), one.alarms ? "bad" : ""), one.trouble || "–",
    ]), "none");
  table("versions", [["version"], ["what happened", "words"], ["parent"], ["window"], ["made"], ["events"], ["bits"], ["repeats"],
    ...CONTENDERS.map(([name]) => [name]), ...STAGES.map(([, , head]) => [head]), ["together"]],
  now.windows.map((row) => [
    (several ? `${row.track} ` : "") + (row.held ? "–" : number(row.version)), element("td", row.what, `words ${row.held || row.left ? "warn" : ""}`),
    number(row.parent), number(row.label), clock(row.at_ms), number(row.events),
    number(row.measures.bits_live, 2), number(row.measures.repeats, 3),
    ...CONTENDERS.map(([name]) => number(row.scores[name], 3)),
    ...STAGES.map(([name]) => seconds(row.stages[name])), seconds(row.total_s),
  ]), "no window has been trained yet");
  table("replicas", [["replica", "text"], ["state", "text"], ["version"], ["epoch"], ["live since"], ["per s"], ["requests"], ["failed"], ["trouble", "words"]],
    serving.replicas.map((one) => [
      one.name, one.state, element("td", number(one.version), one.current ? "good" : "warn"), number(one.epoch),
      one.since_ms ? clock(one.since_ms) : "–", number(one.requests_per_s, 1), number(one.requests),
      element("td", number(one.failed), one.failed ? "bad" : ""), one.reason || "–",
    ]), "no replica has reported in the last 10 s");
  const {closed, reason} = now.guardrails;
  at("arms").hidden = !closed;
  at("arms").textContent = `A guardrail has closed ${closed}. Nobody gets it any more, until a person opens it again (everfresh experiment reopen).`;
  at("guard").hidden = !reason;
  at("guard").textContent = `Guardrails of experiments cannot be looked at: ${reason}`;
  const counts = trainer ? [...GATE, ...ALARMS].filter(([name]) => trainer[name]).map(([name, text]) => `${text} ${number(trainer[name])}`) : [];
  at("gate").textContent = counts.length ? `Since the trainer started: ${counts.join(", ")}.`
    : "Since the trainer started: nothing was held or rolled back, and there was no alarm.";
  table("held", [["window"], ["at"], ["events"], ["stayed"], ["why", "words"]],
    now.held.map((row) => [number(row.label), clock(row.at_ms), number(row.events), row.version ? `v${row.version}` : "–", row.reason]),
    "none of the last windows");
  at("letters").textContent = now.dead_letters === null ? "Their number is not known yet."
    : `${number(now.dead_letters)} are in the topic: see everfresh dlq list. By reason, since the worker started:`;
  table("reasons", [["reason", "text"], ["records"]],
    Object.entries(stream.rejected).filter(([, count]) => count).sort((a, b) => b[1] - a[1]).map(([reason, count]) => [reason, number(count)]),
    "none");
}

function show(now) {
  const {stream, trainer, serving} = now;
  const away = [[stream.workers, "stream worker"], [trainer, "trainer"], [serving.replicas.length, "replica"]]
    .filter(([there]) => !there).map(([, name]) => `no ${name}`);
  at("state").textContent = `${clock(now.now_ms)}  ·  ${away.length ? away.join(", ") + " has reported in the last 10 s" : "all parts are there"}`;
  at("state").className = away.length ? "bad" : "";
  at("trouble").hidden = !now.error;
  at("trouble").textContent = now.error;
  showLoop(now);
  at("scores").replaceChildren(...drawScores(now.curve, now.tracks));
  at("freshness").replaceChildren(...drawFreshness(now.windows));
  showTables(now);
}

async function look() {
  const giveUp = AbortSignal.timeout(GIVE_UP_MS);
  try {
    const answer = await fetch("/figures.json", {cache: "no-store", signal: giveUp});
    if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    at("trouble").hidden = false;
    at("trouble").textContent = `The board does not answer (${error.message}). What is below is what it said last. The run may have stopped.`;
    at("state").textContent = "no answer";
  }
  setTimeout(look, EVERY_MS);
}

look();
