"use strict";
// `answer` of hyperlaw/report/what_if.py, and the sliders that ask it.
const whatIf = (() => {
  const held = charts.read("what-if-data");
  const draws = held.draws, batches = held.batch_size, rates = held.learning_rate;
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const packed = ({ low, step, counts }) => ({ low, step, counts: new Uint16Array(bytes(counts).buffer) });
  const unpacked = ({ low, step, counts }, row) =>
    Float64Array.from(counts.subarray(row * draws, (row + 1) * draws), (count) => low + step * count);
  const each = (object, of) => Object.fromEntries(Object.entries(object).map(([name, value]) => [name, of(value)]));
  const own = each(held.per_draw, (value) => unpacked(packed(value), 0));
  const atTarget = each(held.at_target, packed), ridge = packed(held.ridge);
  const bits = bytes(held.allowed);
  const ladders = held.ladder;

  function allowed(target, batch, rate) {
    const place = (target * batches.length + batch) * rates.length + rate;
    return (bits[place >> 3] >> (7 - (place & 7))) & 1;
  }

  function bowl(u, skew) {
    const t = Math.min(Math.max(skew * u, -50), 50);
    const shape = Math.abs(t) < 1e-2 ? 1 + t / 3 + (t * t) / 12 : (2 * (Math.expm1(t) - t)) / (t * t);
    return u * u * shape;
  }

  const overBatches = (v, above, below) =>
    below > 0 ? (above * bowl(v, above) + below * bowl(v, -below)) / (above + below) : bowl(v, above);

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  function quantile(values, q) {
    const ordered = Float64Array.from(values).sort();
    const place = q * (ordered.length - 1), low = Math.floor(place + 1e-9);
    const high = Math.min(low + 1, ordered.length - 1), beyond = Math.max(place - low, 0);
    return ordered[low] + beyond * (ordered[high] - ordered[low]);
  }

  function cvar(values, q) {
    const ordered = Float64Array.from(values).sort();
    const share = (1 - q) * ordered.length, whole = Math.floor(share + 1e-9);
    const part = share - whole, first = ordered.length - whole;
    let total = 0;
    for (let i = first; i < ordered.length; i++) total += ordered[i];
    if (whole === 0 || part > 1e-9) total += part * ordered[first - 1];
    return total / share;
  }

  const risks = { Mean: mean, Quantile: quantile, CVaR: cvar };
  const interval = (values) => [0.05, 0.5, 0.95].map((q) => quantile(values, q));
  const costs = (regret) => ({ mean: mean(regret), q90: quantile(regret, 0.9), cvar90: cvar(regret, 0.9) });

  // Regret of settings at a target, one after the other: `use` is told each place and its regret in every draw.
  function price(target, places, use) {
    const best = unpacked(atTarget.batch_size, target);
    const [sharpRate, sharpBatch] = ["sharpness_learning_rate", "sharpness_batch_size"].map((name) =>
      unpacked(atTarget[name], target).map(Math.exp));
    const regret = new Float64Array(draws), ofBatch = new Float64Array(draws), cost = held.diverge_cost;
    let along = null, before = -1;
    for (const [batch, rate] of places) {
      if (batch !== before) {
        along = unpacked(ridge, target * batches.length + batch);
        const log = Math.log(batches[batch]);
        for (let i = 0; i < draws; i++)
          ofBatch[i] = sharpBatch[i] * overBatches(log - best[i], own.skew_batch_size[i], own.skew_small_batch[i]);
        before = batch;
      }
      const log = Math.log(rates[rate]);
      let diverging = 0;
      for (let i = 0; i < draws; i++) {
        const u = log - along[i];
        const lost = 1 / (1 + Math.exp(-(u - own.divergence_threshold[i]) / own.divergence_width[i]));
        const excess = sharpRate[i] * bowl(u, own.skew_learning_rate[i]) + ofBatch[i];
        regret[i] = cost === null ? excess : excess + lost * (cost - excess);
        diverging += lost;
      }
      use([batch, rate], regret, diverging / draws);
    }
  }

  function answer(place, largest, attitude, level) {
    const target = place.reduce((number, rung, i) => number * ladders[i][1].length + rung, 0);
    const places = [];
    batches.forEach((size, batch) => {
      if (size <= largest) rates.forEach((_, rate) => allowed(target, batch, rate) && places.push([batch, rate]));
    });
    if (!places.length) return null;
    let chosen = null, least = Infinity, own = null, kept = null;
    const settled = [batches.indexOf(held.setting.batch_size), rates.indexOf(held.setting.learning_rate)];
    price(target, places, (where, regret, diverges) => {
      const risk = risks[attitude](regret, level);
      const one = () => ({ where, regret: Float64Array.from(regret), diverges });
      if (where[0] === settled[0] && where[1] === settled[1]) own = { risk, ...one() };
      if (risk < least) {
        least = risk;
        chosen = one();
      }
    });
    const home = place.every((rung, i) => rung === held.start[i]);
    if (home && own && own.risk <= (1 + held.same) * least) chosen = own;
    price(target, [settled], (_, regret) => { kept = costs(regret); });
    const [batch, rate] = chosen.where, size = batches[batch];
    const sizes = interval(unpacked(atTarget.batch_size, target).map(Math.exp));
    const atBatch = batches.length === 1 || size < sizes[0] || size > sizes[2];
    const logs = atBatch ? unpacked(ridge, target * batches.length + batch) : unpacked(atTarget.learning_rate, target);
    return {
      setting: { learning_rate: rates[rate], batch_size: size },
      intervals: { learning_rate: interval(logs.map(Math.exp)), batch_size: sizes, loss: interval(unpacked(atTarget.loss, target)) },
      at_batch: atBatch, regret: chosen.regret, costs: costs(chosen.regret), kept, p_diverge: chosen.diverges,
    };
  }

  const element = (id) => document.getElementById(id);
  const write = (id, text) => { element(id).textContent = text; };

  function digits(value, count = 3) {
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 1e6) return String(value);
    const text = value.toPrecision(count);
    if (size < 1e-4 || size >= 1e6) return value.toExponential(count - 1).replace("e+", "e");
    return text.includes("e") ? String(Number(text)) : text;
  }

  function short(value) {
    for (const [unit, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
      if (value >= Math.max(0.9995 * unit, 1e4)) return Number((value / unit).toPrecision(3)) + letter;
    }
    return digits(value, 4);
  }

  function asked() {
    const place = ladders.map((_, i) => Number(element(`rung-${i}`).value));
    const limit = element("limit") ? Number(element("limit").value) : batches.length;
    return {
      place, largest: limit < batches.length ? batches[limit] : Infinity,
      attitude: element("attitude").value, level: held.levels[Number(element("level").value)],
    };
  }

  function tell(id, text) {
    element(id).setAttribute("aria-valuetext", text);
    document.querySelector(`output[for="${id}"]`).textContent = text;
  }

  function show() {
    const { place, largest, attitude, level } = asked();
    const said = ladders.map(([name, values], i) => {
      const here = place[i] === held.start[i] ? " (the report's)" : "";
      tell(`rung-${i}`, short(values[place[i]]) + here);
      return `${name} ${short(values[place[i]])}`;
    });
    const limit = largest === Infinity ? "no limit" : digits(largest);
    if (element("limit")) tell("limit", limit);
    element("level").disabled = attitude === "Mean";
    tell("level", attitude === "Mean" ? "a mean has none" : String(level));
    const risk = attitude === "Mean" ? "Mean" : `${attitude}(${level})`;
    const batch = largest === Infinity ? "" : `, batch size at most ${limit}`;
    write("what-if-state", `At ${said.join(", ")}${batch}, by ${risk}:`);
    const found = answer(place, largest, attitude, level);
    element("what-if-none").hidden = found !== null;
    element("what-if-found").hidden = found === null;
    element("what-if").dataset.answer = JSON.stringify(found && { ...found, regret: undefined });
    if (found === null) return;
    const ends = ([low, , high], count = 3) => `${digits(low, count)} to ${digits(high, count)}`;
    write("at-batch", found.at_batch && !held.given ? " (best at this batch size)" : "");
    write("rate", digits(found.setting.learning_rate));
    write("rate-range", ends(found.intervals.learning_rate));
    write("batch", digits(found.setting.batch_size));
    write("batch-range", ends(found.intervals.batch_size));
    write("loss", digits(found.intervals.loss[1], 4));
    write("loss-range", ends(found.intervals.loss, 4));
    for (const [of, values] of [["regret", found.costs], ["kept", found.kept]]) {
      for (const name of ["mean", "q90", "cvar90"]) write(`${of}-${name}`, digits(values[name], 2));
    }
    write("diverges", found.p_diverge < 1e-3 ? "below 0.1 %" : `${digits(100 * found.p_diverge, 2)} %`);
    charts.draw("regret", histogram(found));
  }

  function histogram({ regret, costs: { mean: expected } }) {
    const most = quantile(regret, 0.99), unit = held.unit.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    const line = { type: "line", x0: expected, x1: expected, yref: "paper", y0: 0, y1: 1, line: { color: "#D55E00", dash: "dash" } };
    return {
      data: [{ type: "histogram", x: Array.from(regret), xbins: { start: 0, end: most, size: most / 40 }, autobinx: false, marker: { color: "#0072B2" }, hoverinfo: "x+y" }],
      layout: {
        height: 260, margin: { l: 50, r: 10, t: 10, b: 40 }, dragmode: false, shapes: [line],
        xaxis: { title: { text: `regret (${unit})` }, range: [0, most] }, yaxis: { title: { text: "draws" } },
      },
    };
  }

  let waiting = false;
  function soon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; show(); });
  }

  const form = element("what-if-form");
  form.addEventListener("input", soon);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(show));
  show();
  return { answer };
})();
