"use strict";
// Charts in the scheme of the reader, and light on paper.
const charts = (() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const templates = read("templates");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();

  let paper = false;

  function draw(id, figure) {
    drawn.set(id, figure);
    const template = templates[dark.matches && !paper ? "dark" : "light"];
    // A printer gives no window to fit into: as wide as A4 and Letter leave.
    const layout = { ...figure.layout, template, ...(paper ? { width: 660 } : {}) };
    return Plotly.react(`chart-${id}`, figure.data, layout, { displayModeBar: false, responsive: true });
  }

  function again() {
    for (const [id, figure] of drawn) draw(id, figure);
  }

  function print(on) {
    paper = on;
    if (on) for (const details of document.querySelectorAll("details")) details.open = true;
    again();
  }

  for (const element of document.querySelectorAll("script[id^='figure-']")) {
    draw(element.id.slice("figure-".length), JSON.parse(element.textContent));
  }
  // Where Plotly measures its texts: nothing to be read aloud.
  document.getElementById("js-plotly-tester")?.setAttribute("aria-hidden", "true");
  dark.addEventListener("change", again);
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
  return { draw, read };
})();
